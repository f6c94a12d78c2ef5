//! Locks `console` for 10 seconds, renews the lock, and unlocks it.
//!
//! Uses three servers within the process, or those whose addresses are given as arguments.

use multiredlock::Redlock;
use std::{env, error::Error, time::Duration};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut servers: Vec<String> = env::args().skip(1).collect();
    if servers.is_empty() {
        servers = ["memory://a", "memory://b", "memory://c"].map(String::from).into();
    }
    let redlock = Redlock::builder().servers(&servers).build()?;
    redlock.wait_connected().await;
    println!("connected to a majority of {} servers", servers.len());

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

    let unlocked = redlock.unlock(&lock).await;
    println!("unlocked `console` on {} servers", unlocked.removed);

    redlock.close().await;
    Ok(())
}
