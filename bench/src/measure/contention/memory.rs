//! What waiters take of the client's memory.

use std::fmt;

use super::{Held, Samples, waiters, with_waiting};
use crate::{
    Result,
    args::Plan,
    contenders::{Name, Waiting},
    usage::Memory,
};

pub const WAITERS: u32 = 100_000;

/// For how many resources they wait, evenly.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Resources(pub u32);

const VARIANTS: [Resources; 2] = [Resources(1), Resources(10_000)];

pub async fn run(plan: &Plan) -> Result<Samples<Resources, Memory>> {
    Samples::take(
        "memory of waiters",
        plan.contention_effort(),
        &VARIANTS,
        plan.waiting(),
        async |name, Resources(resources), _| with_waiting!(name, measure(name, resources)),
    )
    .await
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

async fn measure<C: Waiting>(name: Name, resources: u32) -> Result<Memory> {
    let held = Held::<C>::new(resources).await?;
    let mut processes = waiters::start(name, &held.servers, (1, WAITERS), resources).await?;
    let taken = waiters::begin(&mut processes).await?;
    // The waiters go with their processes: to let them leave the line in order is not what is measured.
    drop(processes);
    held.contender.close().await;
    Ok(taken)
}
