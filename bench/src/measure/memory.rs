//! What held locks take of the client's memory.
//!
//! Each contender holds its locks in a process of its own, since memory that an earlier measurement has freed but not
//! given back would hide what a later one takes.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::{SERVERS, Samples};
use crate::{
    Result,
    args::{Child, Plan, Role},
    contenders::{Contender, with_contender},
    process::{Parent, Process},
    servers::Servers,
    usage::Memory,
};

pub const LOCKS: usize = 100_000;
/// What is measured.
pub const KEY: &str = "held locks";
const CALLERS: usize = 64;
/// Longer than any measurement, so that no lock is over before it is counted.
const TTL: Duration = Duration::from_secs(3600);

pub async fn run(plan: &Plan) -> Result<Samples<&'static str, Memory>> {
    Samples::take(
        "memory",
        plan.effort(),
        &[KEY],
        plan.peers(),
        async |contender, _, _| {
            let servers = Servers::start(SERVERS)?;
            let role = Role::Hold { locks: LOCKS };
            let mut process = Process::start(contender, servers.addresses(), role).await?;
            let taken = process.hear().await?;
            process.end().await?;
            Ok(taken)
        },
    )
    .await
}

/// The child process: holds the locks and reports their memory.
pub async fn hold(child: &Child, locks: usize) -> Result<()> {
    with_contender!(child.contender, hold_with(&child.addresses, locks))
}

async fn hold_with<C: Contender>(addresses: &[SocketAddr], locks: usize) -> Result<()> {
    let contender = Arc::new(C::connect(addresses).await?);
    // What a busy client takes without holding anything is not the price of a lock.
    for held in lock_many(&contender, "warm", locks / 20).await? {
        contender.unlock(held).await?;
    }
    Parent::ready();
    let before = Memory::now()?;
    let locks = lock_many(&contender, "held", locks).await?;
    let taken = Memory::now()?.since(before);
    drop(locks);
    Parent::tell(&taken)
}

async fn lock_many<C: Contender>(contender: &Arc<C>, name: &'static str, count: usize) -> Result<Vec<C::Held>> {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let contender = Arc::clone(contender);
        callers.spawn(async move {
            let mut held = Vec::new();
            for lock in (caller..count).step_by(CALLERS) {
                let resource = format!("bench:{name}:{lock}");
                held.push(contender.lock(&resource, TTL).await?);
            }
            Result::Ok(held)
        });
    }
    let mut locks = Vec::with_capacity(count);
    while let Some(held) = callers.join_next().await {
        locks.extend(held??);
    }
    Ok(locks)
}
