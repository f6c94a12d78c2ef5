//! A process full of waiters that do nothing but wait, since somebody else holds what they want.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::sleep};

use super::{LONG_TTL, Waiting, warm_up};
use crate::{
    Result,
    args::Role,
    clock,
    contenders::Name,
    process::{Parent, Process},
    servers::Servers,
    usage::Memory,
};

/// Until every waiter waits, and whatever came with that is over.
const SETTLE: Duration = Duration::from_secs(5);

/// What so many resources are called.
pub fn resources(count: u32) -> Arc<[String]> {
    (0..count).map(|number| format!("bench:held:{number}")).collect()
}

/// Starts processes that share the waiters evenly, and the waiters share the resources.
pub async fn start(
    contender: Name,
    servers: &Servers,
    (processes, waiters): (u32, u32),
    resources: u32,
) -> Result<Vec<Process>> {
    let each = waiters / processes;
    let roles = (0..processes).map(|number| Role::Wait {
        first: number * each,
        waiters: each,
        resources,
    });
    Process::start_all(contender, &servers.addresses(), roles).await
}

/// Lets the waiters begin, and returns when all of them wait, with what they have taken of the memory.
pub async fn begin(processes: &mut [Process]) -> Result<Memory> {
    Process::begin(processes).await?;
    let mut all = Memory { resident: 0, live: 0 };
    for process in processes {
        let taken: Memory = process.hear().await?;
        all.resident += taken.resident;
        all.live += taken.live;
    }
    Ok(all)
}

/// What such a process does: tells what its waiters take, and then when the first of them got its resource.
pub async fn wait<C: Waiting>(contender: C, first: u32, waiters: u32, resources: u32) -> Result<()> {
    let contender = Arc::new(contender);
    warm_up(&contender, first, waiters / 20).await?;
    let resources = self::resources(resources);
    let mut parent = Parent::greet()?;
    let before = Memory::now()?;
    parent.begin().await?;
    let (ended, mut turns) = mpsc::unbounded_channel();
    for number in first..first + waiters {
        let (contender, resources, ended) = (Arc::clone(&contender), Arc::clone(&resources), ended.clone());
        tokio::spawn(async move {
            let index = number as usize % resources.len();
            let turn = take_turn(&*contender, &resources[index]).await;
            // Nobody listens any more when the process is about to end.
            let _ = ended.send(turn);
        });
    }
    sleep(SETTLE).await;
    // A waiter that does not wait takes no memory and asks for nothing, and must not pass for one that does it well.
    if let Ok(turn) = turns.try_recv() {
        return Err(match turn {
            Ok(_) => "a waiter had its turn while the resource was held".into(),
            Err(error) => error,
        });
    }
    Parent::tell(&Memory::now()?.since(before))?;
    tokio::select! {
        over = parent.line() => over.map(drop)?,
        turn = turns.recv() => {
            Parent::tell(&turn.ok_or("every waiter is gone")??)?;
            parent.line().await?;
        }
    }
    Ok(())
}

async fn take_turn<C: Waiting>(contender: &C, resource: &str) -> Result<Duration> {
    let turn = contender.acquire(resource, LONG_TTL).await?;
    let at = clock::now();
    contender.end_turn(turn).await?;
    Ok(at)
}
