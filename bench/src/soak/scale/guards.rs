//! One process that acquires thousands of guards at once and keeps them over several renewals, while one server is stopped
//! for less than a second. None may be lost, and no key may be left when they are released.

use std::time::{Duration, Instant};

use multiredlock::{Guard, Redlock};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Checker, TTL, Table, keys_left, seconds};
use crate::{
    Result,
    args::{Child, Role},
    contenders::{Name, builder, connected},
    process::{Parent, Process},
    servers::Servers,
    soak::SERVERS,
};

/// A guard is renewed about every second, so this is two renewals before the stopped server and three after it.
const BEFORE_STOP: Duration = Duration::from_secs(2);
const STOPPED: Duration = Duration::from_millis(700);
const AFTER_STOP: Duration = Duration::from_secs(3);
/// A guard needs about ten script calls' work on each server, so thousands take some seconds on a busy machine without
/// optimization. A guard that takes longer than this was not granted because of a fault.
const GRANTED_WITHIN: Duration = Duration::from_secs(30);

pub async fn run(guards: usize, checker: &mut Checker) -> Result<Table> {
    let servers = Servers::start(SERVERS)?;
    let mut process = Process::start(Name::Multiredlock, servers.addresses(), Role::Guards { guards }).await?;
    process.say("acquire").await?;
    let (not_granted, granted_within): (usize, Duration) = process.hear().await?;
    let started = Instant::now();
    sleep(BEFORE_STOP).await;
    servers[0].freeze();
    sleep(STOPPED).await;
    servers[0].thaw();
    sleep(AFTER_STOP).await;
    process.say("release").await?;
    let held = started.elapsed();
    let (lost, shortest, reason): (usize, Duration, String) = process.hear().await?;
    process.end().await?;
    if not_granted > 0 {
        checker.violation(format!(
            "{not_granted} of {guards} guards were not granted within {GRANTED_WITHIN:?}"
        ));
    }
    if lost > 0 {
        checker.violation(format!("{lost} of {guards} guards were lost, one because {reason}"));
    }
    let rows = vec![
        ("all granted within", seconds(granted_within, 2)),
        ("held from then on for", seconds(held, 1)),
        ("shortest validity left", seconds(shortest, 2)),
        ("lost", lost.to_string()),
        ("keys left", keys_left(&servers, checker).await.to_string()),
    ];
    Ok((format!("{guards} guards of one process"), rows))
}

/// What the process that holds the guards does.
pub async fn work(child: &Child, guards: usize) -> Result<()> {
    let mut parent = Parent::connect()?;
    let redlock = connected(builder(&child.addresses)).await?;
    Parent::ready();
    parent.line().await?.ok_or("nobody asked for guards")?;
    let started = Instant::now();
    let held = tokio::select! {
        held = acquire(&redlock, guards) => held?,
        line = parent.line() => return Err(format!("not finished, but was asked for {line:?}").into()),
    };
    Parent::tell(&(guards - held.len(), started.elapsed()))?;
    let mut shortest = TTL;
    while let Err(_not_yet) = timeout(Duration::from_millis(100), parent.line()).await {
        let left = held.iter().map(Guard::validity).min();
        shortest = shortest.min(left.unwrap_or(TTL));
    }
    let (lost, reason) = release(held).await;
    Parent::tell(&(lost, shortest, reason))?;
    redlock.close().await;
    Ok(())
}

async fn acquire(redlock: &Redlock, guards: usize) -> Result<Vec<Guard>> {
    let mut acquiring = JoinSet::new();
    for number in 0..guards {
        let request = redlock.acquire(format!("guard:{number}"), TTL).timeout(GRANTED_WITHIN);
        acquiring.spawn(request);
    }
    let mut held = Vec::with_capacity(guards);
    while let Some(guard) = acquiring.join_next().await {
        held.extend(guard?);
    }
    Ok(held)
}

/// Releases all of them at once, and returns how many were lost and why one was.
async fn release(held: Vec<Guard>) -> (usize, String) {
    let (mut lost, mut reason) = (0, String::new());
    let mut releasing = Vec::with_capacity(held.len());
    for guard in held {
        if let Some(loss) = guard.loss() {
            lost += 1;
            reason = loss.to_string();
        } else {
            releasing.push(guard.release());
        }
    }
    for released in releasing {
        if let Err(error) = released.await {
            lost += 1;
            reason = error.to_string();
        }
    }
    (lost, reason)
}
