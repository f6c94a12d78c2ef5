//! Waiters that want one resource, each again as soon as its turn is over: how often it goes from one to another, and who
//! waits how long.

mod numbers;
mod waiter;

use std::{fmt, sync::Arc, time::Duration};

use tokio::task::JoinSet;

use self::waiter::{Seen, Waiter};
use super::{SERVERS, Samples, Waiting, warm_up};
use crate::{
    Result,
    args::{Plan, Role},
    clock,
    contenders::Name,
    process::{Parent, Process},
    servers::Servers,
};

pub use self::numbers::Numbers;

/// Who waits: so many processes, with so many waiters each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Crew {
    pub processes: u32,
    pub waiters: u32,
}

pub const ONE_PROCESS: Crew = Crew {
    processes: 1,
    waiters: 10,
};
pub const FOUR_PROCESSES: Crew = Crew {
    processes: 4,
    waiters: 5,
};
pub const MANY_WAITERS: Crew = Crew {
    processes: 4,
    waiters: 250,
};
pub const CREWS: [Crew; 3] = [ONE_PROCESS, FOUR_PROCESSES, MANY_WAITERS];

pub async fn run(plan: &Plan) -> Result<Samples<Crew, Numbers>> {
    let effort = plan.contention_effort();
    Samples::take("contention", effort, &CREWS, plan.waiting(), async |name, crew, _| {
        measure(name, crew, effort.window).await
    })
    .await
}

impl fmt::Display for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.processes {
            1 => write!(f, "{} waiters in one process", self.waiters),
            processes => write!(f, "{processes} processes × {} waiters", self.waiters),
        }
    }
}

async fn measure(contender: Name, crew: Crew, window: Duration) -> Result<Numbers> {
    let servers = Servers::start(SERVERS)?;
    let roles = (0..crew.processes).map(|number| Role::Contend {
        first: number * crew.waiters,
        waiters: crew.waiters,
        window,
    });
    let mut processes = Process::start_all(contender, &servers.addresses(), roles).await?;
    let start = Process::begin(&mut processes).await?;
    clock::sleep_until(start + window).await;
    let mut all = Vec::new();
    for mut process in processes {
        all.push(process.hear().await?);
        process.end().await?;
    }
    Ok(Numbers::of(all, window))
}

/// What a process of the crew does.
pub async fn contend<C: Waiting>(contender: C, first: u32, waiters: u32, window: Duration) -> Result<()> {
    let contender = Arc::new(contender);
    warm_up(&contender, first, waiters).await?;
    let mut parent = Parent::greet()?;
    let until = parent.begin().await? + window;
    let mut running = JoinSet::new();
    for number in first..first + waiters {
        let waiter = Waiter {
            contender: Arc::clone(&contender),
            number,
        };
        running.spawn(waiter.run(until));
    }
    let mut all = Seen::default();
    while let Some(seen) = running.join_next().await {
        all.add(seen?);
    }
    Parent::tell(&all)
}
