//! What waiters take of the client's memory.

use super::{Held, waiters, with_waiting};
use crate::{
    Result,
    args::{Effort, Plan},
    contenders::{Name, Waiting},
};

pub const WAITERS: u32 = 100_000;
/// For how many resources they wait, evenly.
pub const RESOURCES: [u32; 2] = [1, 10_000];

/// In bytes.
pub struct Sample {
    pub contender: Name,
    pub resources: u32,
    pub resident: f64,
    pub live: f64,
}

pub async fn run(plan: &Plan, effort: Effort) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for repeat in 0..effort.repeats {
        for resources in RESOURCES {
            for contender in plan.waiting_turns(repeat) {
                eprintln!(
                    "contention {}/{}: memory of {WAITERS} waiters for {resources}, {contender}",
                    repeat + 1,
                    effort.repeats
                );
                samples.push(with_waiting!(contender, measure(contender, resources))?);
            }
        }
    }
    Ok(samples)
}

async fn measure<C: Waiting>(name: Name, resources: u32) -> Result<Sample> {
    let held = Held::<C>::new(resources).await?;
    let mut processes = waiters::start(name, &held.servers, (1, WAITERS), resources).await?;
    let taken = waiters::begin(&mut processes).await?;
    // The waiters go with their processes: to let them leave the line in order is not what is measured.
    drop(processes);
    held.contender.close().await;
    Ok(Sample {
        contender: name,
        resources,
        resident: taken.iter().map(|taken| taken.resident as f64).sum(),
        live: taken.iter().map(|taken| taken.live as f64).sum(),
    })
}
