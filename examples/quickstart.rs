//! Locks `console` for 10 seconds, renews the lock, and unlocks it.
//!
//! Uses three servers within the process, or those whose addresses are given as arguments.

mod common;

use common::Failed;
use std::{env, time::Duration};

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let servers: Vec<String> = env::args().skip(1).collect();
    let redlock = common::connect(&servers, |builder| builder).await?;
    println!("connected to a majority of {} servers", redlock.servers().len());

    let lock = redlock.lock("console", Duration::from_secs(10)).await?;
    println!(
        "locked  `console`: validity {:?}, value {}",
        lock.validity(),
        lock.value()
    );

    let lock = redlock.renew(&lock, Duration::from_secs(10)).await?;
    println!(
        "renewed `console`: validity {:?}, value {}",
        lock.validity(),
        lock.value()
    );

    let unlocked = redlock.unlock(&lock).counts().await;
    println!("unlocked `console` on {} servers", unlocked.removed);

    redlock.close().await;
    Ok(())
}
