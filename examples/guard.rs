//! A guard renews its lock while work goes on for longer than the ttl, and tells at once when the lock is lost.
//!
//! Without arguments the three servers are in this process, and two of them forget the lock in the end. With the addresses
//! of servers as arguments it waits for you to delete the key `report` on a majority of them; or start it twice, and see
//! the second wait in line.

mod common;

use common::Failed;
use multiredlock::{Guard, testing::MemoryServer};
use std::{env, time::Duration};
use tokio::time::sleep;

const TTL: Duration = Duration::from_millis(900);
const PAGE: Duration = Duration::from_millis(400);

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let servers: Vec<String> = env::args().skip(1).collect();
    let memory = ["a", "b", "c"].map(MemoryServer::named);
    let redlock = common::connect(&servers, |builder| builder).await?;

    let guard = redlock.acquire("report", TTL).await?;
    println!("locked `report` for {TTL:?} at a time");
    if servers.is_empty() {
        tokio::spawn(async move {
            sleep(PAGE * 9 / 2).await;
            println!("-- two servers forget the lock");
            memory[..2].iter().for_each(MemoryServer::forget_all);
        });
    }
    tokio::select! {
        loss = guard.lost() => println!("stopped: {loss}"),
        result = write(&guard) => result?,
    }
    drop(guard);

    let guard = redlock.acquire("report", TTL).await?;
    println!("locked it again, and released it: {:?}", guard.release().await);
    redlock.close().await;
    Ok(())
}

/// Writes pages until it is stopped.
async fn write(guard: &Guard) -> Result<(), Failed> {
    for page in 1.. {
        sleep(PAGE).await;
        // Right before what only the owner may do.
        guard.ensure_valid_for(Duration::from_millis(100))?;
        println!("wrote page {page}, valid for another {:?}", rounded(guard.validity()));
    }
    Ok(())
}

fn rounded(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
