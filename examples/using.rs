//! Work under a lock: it is stopped when the lock is lost, and what it returns comes back untouched.
//!
//! Without arguments the three servers are in this process; else give the addresses of yours.

mod common;

use common::Failed;
use multiredlock::{error::UsingError, testing::MemoryServer};
use std::{env, thread, time::Duration};
use tokio::time::sleep;

const TTL: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let servers: Vec<String> = env::args().skip(1).collect();
    let memory = ["a", "b", "c"].map(MemoryServer::named);
    let redlock = common::connect(&servers, |builder| builder).await?;

    let sum = redlock
        .using("books", TTL, async |_| [3, 4, 5].iter().sum::<i32>())
        .await?;
    println!("the sum is {sum}");

    let parsed = redlock.using("books", TTL, async |_| "three".parse::<i32>()).await?;
    println!("the closure's own result comes back: {parsed:?}");

    // Blocking work cannot be stopped from outside, so it looks at the guard.
    let hashed = redlock
        .acquire("books", TTL)
        .using_blocking(|guard| {
            let chunks = (0..5).take_while(|_| guard.is_valid());
            chunks.inspect(|_| thread::sleep(Duration::from_millis(20))).count()
        })
        .await?;
    println!("a thread worked through {hashed} chunks");

    if servers.is_empty() {
        let stopped = redlock
            .using("books", TTL, async |_| {
                memory[..2].iter().for_each(MemoryServer::crash);
                println!("-- two of three servers crash while the lock is held");
                sleep(Duration::from_secs(60)).await;
            })
            .await;
        match stopped {
            Err(UsingError::Lost(loss)) => println!("stopped within the ttl: {loss}"),
            other => println!("{other:?}"),
        }
    }
    redlock.close().await;
    Ok(())
}
