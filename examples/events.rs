//! Prints every event while servers stop and start.
//!
//! Without arguments it stops and starts three servers within the process. With the addresses of servers as arguments it
//! watches those until Ctrl-C: stop and start them meanwhile.

mod common;

use common::Failed;
use multiredlock::{Redlock, event::Events, testing::MemoryServer};
use std::{env, time::Duration};
use tokio::time::timeout;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let servers: Vec<String> = env::args().skip(1).collect();
    if servers.is_empty() {
        return stop_and_start().await;
    }
    let redlock = Redlock::builder().servers(&servers).build()?;
    let mut events = redlock.events();
    loop {
        tokio::select! {
            Some(event) = events.recv() => println!("{event}"),
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    redlock.close().await;
    Ok(())
}

async fn stop_and_start() -> Result<(), Failed> {
    let servers = ["a", "b", "c"].map(MemoryServer::named);
    let short = Duration::from_millis(50);
    let redlock = Redlock::builder()
        .servers(&servers)
        .reconnect(short, 4 * short)
        .build()?;
    let mut events = redlock.events();
    print_for_a_while(&mut events).await;
    for server in &servers[..2] {
        println!("-- {} crashes", server.server().address());
        server.crash();
        print_for_a_while(&mut events).await;
    }
    for server in &servers[..2] {
        println!("-- {} starts", server.server().address());
        server.restart();
        print_for_a_while(&mut events).await;
    }
    redlock.close().await;
    Ok(())
}

/// Prints what happens until nothing has for half a second.
async fn print_for_a_while(events: &mut Events) {
    while let Ok(Some(event)) = timeout(Duration::from_millis(500), events.recv()).await {
        println!("{event}");
    }
}
