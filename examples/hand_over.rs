//! Passes a lock on by its value: one locks, another renews and unlocks.
//!
//! Without arguments both are in this process, and so are the three servers. With the addresses of servers as arguments it
//! locks and prints the command that takes the lock over in another process, where `value=…` comes first.

use multiredlock::{Lock, Redlock, testing::MemoryServer};
use std::{env, error::Error, time::Duration};

const TTL: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut servers: Vec<String> = env::args().skip(1).collect();
    let value = servers
        .first()
        .and_then(|first| first.strip_prefix("value="))
        .map(String::from);
    if value.is_some() {
        servers.remove(0);
    }
    // Servers within the process live as long as somebody has them.
    let in_memory = ["a", "b", "c"].map(MemoryServer::named);
    let alone = servers.is_empty();
    if alone {
        servers = in_memory
            .iter()
            .map(|server| server.server().address().to_string())
            .collect();
    }
    match value {
        Some(value) => take_over(&servers, value).await,
        None => {
            let value = lock(&servers).await?;
            if alone {
                return take_over(&servers, value).await;
            }
            println!("take it over within {TTL:?} by:");
            println!("  cargo run --example hand_over -- value={value} {}", servers.join(" "));
            Ok(())
        }
    }
}

async fn lock(servers: &[String]) -> Result<String, Box<dyn Error>> {
    let redlock = Redlock::builder().servers(servers).id("first").build()?;
    redlock.wait_connected().await;
    let lock = redlock.lock("baton", TTL).await?;
    println!("first locked `baton`: {lock:?}");
    redlock.close().await;
    Ok(lock.value().to_owned())
}

async fn take_over(servers: &[String], value: String) -> Result<(), Box<dyn Error>> {
    let redlock = Redlock::builder().servers(servers).id("second").build()?;
    redlock.wait_connected().await;
    let refused = redlock.try_lock("baton", TTL).await.unwrap_err();
    println!("second cannot lock it: {refused}");

    // How long it is still valid is not known here, until it is renewed.
    let lock = redlock.renew(&Lock::from_parts("baton", value), TTL).await?;
    println!("second took it over: {lock:?}");
    let unlocked = redlock.unlock(&lock).await;
    println!("second unlocked it on {} servers", unlocked.removed);
    redlock.close().await;
    Ok(())
}
