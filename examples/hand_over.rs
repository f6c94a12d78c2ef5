//! Passes a lock on by its value: one locks, another renews and unlocks.
//!
//! Without arguments both are in this process, and so are the three servers. With the addresses of servers as arguments it
//! locks and prints the command that takes the lock over in another process, where `value=…` comes first.

mod common;

use common::Failed;
use multiredlock::Lock;
use std::{env, time::Duration};

const TTL: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut servers: Vec<String> = env::args().skip(1).collect();
    if let Some(value) = servers.first().and_then(|first| first.strip_prefix("value=")) {
        let value = value.to_owned();
        return take_over(&servers.split_off(1), value).await;
    }
    let first = common::connect(&servers, |builder| builder.id("first")).await?;
    let lock = first.lock("baton", TTL).await?;
    println!("first locked `baton`: {lock:?}");
    if servers.is_empty() {
        return take_over(&servers, lock.value().to_owned()).await;
    }
    println!("take it over within {TTL:?} by:");
    println!(
        "  cargo run --example hand_over -- value={} {}",
        lock.value(),
        servers.join(" ")
    );
    first.close().await;
    Ok(())
}

async fn take_over(servers: &[String], value: String) -> Result<(), Failed> {
    let second = common::connect(servers, |builder| builder.id("second")).await?;
    match second.try_lock("baton", TTL).await {
        Err(refused) => println!("second cannot lock it: {refused}"),
        Ok(lock) => {
            second.unlock(&lock).counts().await;
            return Err("nobody held the baton any more".into());
        }
    }
    // How long it is still valid is not known here, until it is renewed.
    let lock = second.renew(&Lock::from_parts("baton", value), TTL).await?;
    println!("second took it over: {lock:?}");
    let unlocked = second.unlock(&lock).counts().await;
    println!("second unlocked it on {} servers", unlocked.removed);
    second.close().await;
    Ok(())
}
