//! What waiters cost the servers while nothing changes.

use std::{fmt, time::Duration};

use futures_util::future::select_all;

use super::{Held, Samples, waiters, with_waiting};
use crate::{
    Result,
    args::Plan,
    clock,
    commands::{self, PerSecond},
    contenders::{Name, Waiting},
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

pub struct Numbers {
    /// The same processes, connected, before anybody waits.
    pub before: PerSecond,
    pub waiting: PerSecond,
}

pub async fn run(plan: &Plan) -> Result<Samples<Wanted, Numbers>> {
    let effort = plan.contention_effort();
    Samples::take(
        "idle waiters",
        effort,
        &VARIANTS,
        plan.waiting(),
        async |name, wanted, _| with_waiting!(name, measure(name, wanted, effort.window)),
    )
    .await
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::One => "one resource",
            Self::OneEach => "a resource each",
        })
    }
}

async fn measure<C: Waiting>(name: Name, wanted: Wanted, window: Duration) -> Result<Numbers> {
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
    // Waiters that ask for nothing could also have been forgotten, so one must get what it waits for in the end.
    let turns = processes.iter_mut().map(|process| Box::pin(process.hear()));
    let (first_turn, ..) = select_all(turns).await;
    let first_turn: Duration = first_turn?;
    if first_turn < unlocked {
        return Err(format!("{name}: a waiter had its turn while the resource was held").into());
    }
    for process in processes {
        process.end().await?;
    }
    held.contender.close().await;
    Ok(Numbers { before, waiting })
}
