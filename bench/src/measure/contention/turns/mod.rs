//! Waiters that want one resource, each again as soon as its turn is over: how often it goes from one to another, and who
//! waits how long.

mod numbers;
mod waiter;

use std::{fmt, io::Write, sync::Arc, time::Duration};

use tokio::task::JoinSet;

use self::{
    numbers::Turn,
    waiter::{Seen, Waiter},
};
use super::{SERVERS, Waiting, warm_up};
use crate::{
    Result,
    args::{Child, Effort, Plan, Role},
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

pub struct Sample {
    pub contender: Name,
    pub crew: Crew,
    pub repeat: usize,
    pub numbers: Numbers,
}

pub async fn run(plan: &Plan, effort: Effort) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for repeat in 0..effort.repeats {
        for crew in CREWS {
            for contender in plan.waiting_turns(repeat) {
                eprintln!("contention {}/{}: {crew}, {contender}", repeat + 1, effort.repeats);
                let numbers = measure(contender, crew, effort.window).await?;
                samples.push(Sample {
                    contender,
                    crew,
                    repeat,
                    numbers,
                });
            }
        }
    }
    Ok(samples)
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
    let mut processes = Vec::new();
    for number in 0..crew.processes {
        let child = Child {
            contender,
            addresses: servers.addresses(),
            role: Role::Contend {
                first: number * crew.waiters,
                waiters: crew.waiters,
                window,
            },
        };
        processes.push(Process::start(&child).await?);
    }
    let start = Process::begin(&mut processes).await?;
    clock::sleep_until(start + window).await;
    let mut all = Vec::new();
    for mut process in processes {
        all.push(read(&mut process).await?);
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
    write(&all)
}

/// Tells what was seen: one line, and then the turns as bytes, since there can be a great many.
fn write(seen: &Seen) -> Result<()> {
    let longest_wait = clock::nanos(seen.longest_wait);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} {longest_wait} {}", seen.turns.len(), seen.failed)?;
    let turns: Vec<u8> = seen.turns.iter().flat_map(|turn| turn.to_bytes()).collect();
    out.write_all(&turns)?;
    Ok(out.flush()?)
}

async fn read(process: &mut Process) -> Result<Seen> {
    let line = process.line().await?;
    let mut words = line.split(' ').map(str::parse::<u64>);
    let mut next = || words.next().ok_or("a process told less than was asked");
    let (turns, longest_wait, failed) = (next()??, next()??, next()??);
    let bytes = process.bytes(usize::try_from(turns)? * Turn::BYTES).await?;
    let (turns, _) = bytes.as_chunks();
    Ok(Seen {
        turns: turns.iter().copied().map(Turn::from_bytes).collect(),
        longest_wait: Duration::from_nanos(longest_wait),
        failed,
    })
}
