//! Divides resources between two groups of servers, and goes on with one of them while the other is down.
//!
//! Without arguments the groups are servers within the process, of which it crashes and restarts one group. With arguments
//! each is a group, its addresses separated by commas; then it watches until Ctrl-C: stop and start servers meanwhile.

mod common;

use common::Failed;
use multiredlock::{
    Redlock,
    event::{Event, Events},
    testing::MemoryServer,
};
use std::{env, time::Duration};
use tokio::time::timeout;
use tokio_stream::StreamExt;

const TTL: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let groups: Vec<String> = env::args().skip(1).collect();
    if groups.is_empty() {
        return crash_and_restart_a_group().await;
    }
    let builder = Redlock::builder();
    let redlock = groups
        .iter()
        .fold(builder, |builder, group| builder.group(group.split(',')))
        .build()?;
    let mut events = redlock.events();
    print_for_a_while(&mut events).await;
    lock_some(&redlock).await?;
    loop {
        tokio::select! {
            Some(event) = events.next() => print(&event),
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    redlock.close().await;
    Ok(())
}

async fn crash_and_restart_a_group() -> Result<(), Failed> {
    let first = ["a", "b", "c"].map(MemoryServer::named);
    let second = ["d", "e", "f"].map(MemoryServer::named);
    let short = Duration::from_millis(50);
    let redlock = Redlock::builder()
        .group(&first)
        .group(&second)
        .reconnect(short, 4 * short)
        .build()?;
    let mut events = redlock.events();
    print_for_a_while(&mut events).await;
    lock_some(&redlock).await?;

    println!("-- group 1 crashes");
    second.iter().for_each(MemoryServer::crash);
    print_for_a_while(&mut events).await;
    lock_some(&redlock).await?;

    println!("-- group 1 starts");
    second.iter().for_each(MemoryServer::restart);
    print_for_a_while(&mut events).await;
    lock_some(&redlock).await?;
    redlock.close().await;
    Ok(())
}

/// Locks and unlocks some resources, and two that are locked together for their common tag.
async fn lock_some(redlock: &Redlock) -> Result<(), Failed> {
    for resources in [&["order:1"][..], &["order:5"], &["{user:8}.mail", "{user:8}.files"]] {
        let (name, group) = (resources.join(" and "), redlock.group_of(resources)?);
        match redlock.try_lock(resources, TTL).await {
            Ok(lock) => {
                println!("locked {name} in group {group}");
                redlock.unlock(&lock).counts().await;
            }
            Err(error) => println!("not locked {name} in group {group}: {error}"),
        }
    }
    Ok(())
}

/// Prints what happens until nothing has for half a second.
async fn print_for_a_while(events: &mut Events) {
    while let Ok(Some(event)) = timeout(Duration::from_millis(500), events.next()).await {
        print(&event);
    }
}

fn print(event: &Event) {
    match event {
        Event::GroupConnected(quorum) => println!("group {} is connected", quorum.group),
        Event::GroupDisconnected(quorum) => println!(
            "group {} is disconnected: {} of {} servers are up, {} needed",
            quorum.group, quorum.reachable, quorum.servers, quorum.needed
        ),
        Event::Connected(_) => println!("connected to every group"),
        Event::Disconnected(quorum) => println!("disconnected, for lack of group {}", quorum.group),
        Event::ServerUp { server, group, .. } => println!("  {server} of group {group} is up"),
        Event::ServerDown {
            server, group, reason, ..
        } => println!("  {server} of group {group} is down: {reason}"),
        other => println!("  {other:?}"),
    }
}
