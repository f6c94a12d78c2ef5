//! Waiting for a resource that others want, too.
//!
//! Every measurement has servers of its own, so that nothing meets what an earlier one has left behind.

pub mod hand_over;
pub mod idle;
pub mod memory;
pub mod turns;

mod waiters;

use std::{sync::Arc, time::Duration};

use super::{SERVERS, Samples};
use crate::{
    Result,
    args::{Child, Plan, Role},
    contenders::{Contender, Waiting, with_waiting},
    servers::Servers,
    usage::Memory,
};

/// Of the locks that waiters take in turns. Longer than any turn, so that none is over before it ends.
const TTL: Duration = Duration::from_secs(10);
/// Of the locks that are held while others wait. Longer than any measurement.
const LONG_TTL: Duration = Duration::from_secs(600);

/// Everything that was measured.
#[derive(Default)]
pub struct Contention {
    pub turns: Samples<turns::Crew, turns::Numbers>,
    pub hand_over: Samples<&'static str, hand_over::Numbers>,
    pub idle: Samples<idle::Wanted, idle::Numbers>,
    pub memory: Samples<memory::Resources, Memory>,
}

pub async fn run(plan: &Plan) -> Result<Contention> {
    Ok(Contention {
        turns: turns::run(plan).await?,
        hand_over: hand_over::run(plan).await?,
        idle: idle::run(plan).await?,
        memory: memory::run(plan).await?,
    })
}

/// What a process does that one of the measurements has started.
pub async fn work(child: &Child) -> Result<()> {
    with_waiting!(child.contender, work_with(child))
}

async fn work_with<C: Waiting>(child: &Child) -> Result<()> {
    let contender = C::connect(&child.addresses).await?;
    match child.role {
        Role::Contend { first, waiters, window } => turns::contend(contender, first, waiters, window).await,
        Role::TakeOver => hand_over::take_over(contender).await,
        Role::Wait {
            first,
            waiters,
            resources,
        } => waiters::wait(contender, first, waiters, resources).await,
        role => Err(format!("nobody waits in the role {role:?}").into()),
    }
}

/// Servers, and locks on them that one client holds for long.
struct Held<C: Contender> {
    servers: Servers,
    contender: C,
    locks: Vec<C::Held>,
}

impl<C: Contender> Held<C> {
    async fn new(resources: u32) -> Result<Self> {
        let servers = Servers::start(SERVERS)?;
        let contender = C::connect(&servers.addresses()).await?;
        let mut locks = Vec::new();
        for resource in &*waiters::resources(resources) {
            locks.push(contender.lock(resource, LONG_TTL).await?);
        }
        Ok(Self {
            servers,
            contender,
            locks,
        })
    }
}

async fn take_one_turn<C: Waiting>(contender: &C, resource: &str) -> Result<()> {
    let turn = contender.acquire(resource, TTL).await?;
    contender.end_turn(turn).await
}

/// What every process does first: connections are used, scripts are loaded, and memory that stays is taken.
async fn warm_up<C: Waiting>(contender: &Arc<C>, first: u32, count: u32) -> Result<()> {
    for number in first..first + count {
        take_one_turn(&**contender, &format!("bench:warm:{number}")).await?;
    }
    Ok(())
}
