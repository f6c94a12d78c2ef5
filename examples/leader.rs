//! Leader election: candidates campaign, one of them leads, and steps down when it may no longer lead.
//!
//! Without arguments there are three candidates and three servers in this process, which crash and start again. With the
//! addresses of servers as arguments this is one candidate, until Ctrl-C. Start several.

mod common;

use common::Failed;
use multiredlock::{Guard, LockError, LockLost, Redlock, testing::MemoryServer};
use std::{env, process, time::Duration};
use tokio::{
    signal,
    time::{interval, sleep},
};

/// How long nobody leads after a leader crashed, at the most.
const TTL: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(300);

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let servers: Vec<String> = env::args().skip(1).collect();
    if !servers.is_empty() {
        let name = format!("candidate {}", process::id());
        let redlock = common::connect(&servers, |builder| builder.id(&name)).await?;
        tokio::select! {
            result = campaign(redlock.clone(), name) => result?,
            _ = signal::ctrl_c() => {}
        }
        // Whoever leads has stepped down by now: its guard was dropped.
        redlock.close().await;
        return Ok(());
    }

    let memory = ["a", "b", "c"].map(MemoryServer::named);
    let mut candidates = Vec::new();
    for name in ["anna", "berta", "clara"] {
        let redlock = common::connect(&[], |builder| builder.id(name)).await?;
        candidates.push(tokio::spawn(campaign(redlock, name.into())));
        sleep(Duration::from_millis(10)).await;
    }
    sleep(TICK * 2).await;
    println!("-- anna's process is stopped");
    candidates[0].abort();
    sleep(TICK * 2).await;
    println!("-- two of three servers crash");
    memory[..2].iter().for_each(MemoryServer::crash);
    sleep(TTL * 3 / 2).await;
    println!("-- they start again");
    memory[..2].iter().for_each(MemoryServer::restart);
    sleep(TTL).await;
    for candidate in candidates {
        candidate.abort();
    }
    Ok(())
}

/// Waits to be the leader, leads, and does it again.
async fn campaign(redlock: Redlock, name: String) -> Result<(), LockError> {
    loop {
        println!("{name} campaigns");
        let guard = redlock.acquire("leader", TTL).await?;
        println!("{name} leads");
        println!("{name} steps down: {}", lead(&redlock, &guard, &name).await);
    }
}

/// Does what only the leader may do, until it may no longer.
async fn lead(redlock: &Redlock, guard: &Guard, name: &str) -> LockLost {
    let mut disconnected = redlock.disconnected();
    let mut connected = redlock.connected();
    let mut ticks = interval(TICK);
    loop {
        tokio::select! {
            loss = guard.lost() => return loss,
            // It still leads for as long as the lock is valid, but cannot renew it.
            Some(_) = disconnected.recv() => println!("{name} has no majority, and may lead for {:?}", guard.validity()),
            Some(_) = connected.recv() => {}
            _ = ticks.tick(), if redlock.is_connected() => println!("{name} works"),
        }
    }
}
