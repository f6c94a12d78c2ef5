//! What waiters cost the servers while nothing changes.

use std::{fmt, time::Duration};

use futures_util::future::select_all;

use super::{Held, waiters, with_waiting};
use crate::{
    Result,
    args::{Effort, Plan},
    clock,
    commands::{self, Commands},
    contenders::{Name, Waiting},
    process::Process,
};

pub const WAITERS: u32 = 1_000;
pub const PROCESSES: u32 = 4;

/// What the waiters want.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    One,
    OneEach,
}

pub const VARIANTS: [Wanted; 2] = [Wanted::One, Wanted::OneEach];

pub struct Sample {
    pub contender: Name,
    pub wanted: Wanted,
    /// The same processes, connected, before anybody waits.
    pub before: PerSecond,
    pub waiting: PerSecond,
}

/// Commands a second, of all servers together.
pub struct PerSecond {
    pub sent: f64,
    pub processed: f64,
}

pub async fn run(plan: &Plan, effort: Effort) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for repeat in 0..effort.repeats {
        for wanted in VARIANTS {
            for contender in plan.waiting_turns(repeat) {
                eprintln!(
                    "contention {}/{}: {WAITERS} waiters for {wanted}, {contender}",
                    repeat + 1,
                    effort.repeats
                );
                samples.push(with_waiting!(contender, measure(contender, wanted, effort.window))?);
            }
        }
    }
    Ok(samples)
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::One => "one resource",
            Self::OneEach => "a resource each",
        })
    }
}

async fn measure<C: Waiting>(name: Name, wanted: Wanted, window: Duration) -> Result<Sample> {
    let resources = match wanted {
        Wanted::One => 1,
        Wanted::OneEach => WAITERS,
    };
    let held = Held::<C>::new(resources).await?;
    let addresses = held.servers.addresses();
    let mut processes = waiters::start(name, &held.servers, (PROCESSES, WAITERS), resources).await?;
    let before = commands::count(&addresses, window).await?;
    waiters::begin(&mut processes).await?;
    let waiting = commands::count(&addresses, window).await?;
    let unlocked = clock::now();
    for lock in held.locks {
        held.contender.unlock(lock).await?;
    }
    let first_turn = first_turn(&mut processes).await?;
    if first_turn < unlocked {
        return Err(format!("{name}: a waiter had its turn while the resource was held").into());
    }
    for process in processes {
        process.end().await?;
    }
    held.contender.close().await;
    Ok(Sample {
        contender: name,
        wanted,
        before: PerSecond::new(&before),
        waiting: PerSecond::new(&waiting),
    })
}

/// Waiters that ask for nothing could also have been forgotten, so one must get what it waits for in the end.
async fn first_turn(processes: &mut [Process]) -> Result<Duration> {
    let lines = processes.iter_mut().map(|process| Box::pin(process.line()));
    let (line, ..) = select_all(lines).await;
    Ok(Duration::from_nanos(line?.parse()?))
}

impl PerSecond {
    fn new(commands: &Commands) -> Self {
        let per_second = |count: u64| count as f64 / commands.window.as_secs_f64();
        Self {
            sent: per_second(commands.sent),
            processed: per_second(commands.processed),
        }
    }
}
