//! The whole library on servers within the process, mostly on a paused clock: exact, and without Redis.

mod cancel;
mod clocks;
mod data;
mod events;
mod fairness;
mod fencing;
mod groups;
mod guard;
mod hand_over;
mod limits;
#[cfg(feature = "metrics")]
mod metrics;
mod observe;
mod outlived;
mod owner;
mod preempted;
mod remembered;
mod renewal;
mod restart;
mod rounds;
mod several;
mod traits;
mod undo;
mod using;
mod views;
mod waiting;

use multiredlock::{Builder, Redlock, testing::MemoryServer};
use std::{future::Future, time::Duration};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn start(count: usize) -> Vec<MemoryServer> {
    (0..count).map(|_| MemoryServer::new()).collect()
}

fn builder(servers: &[MemoryServer]) -> Builder {
    Redlock::builder().servers(servers).id("here")
}

fn delay_all(servers: &[MemoryServer], delay: Duration) {
    for server in servers {
        server.delay(delay);
    }
}

/// A handle to which every server is up.
async fn connect(servers: &[MemoryServer]) -> Redlock {
    let redlock = builder(servers).build().unwrap();
    all_up(&redlock).await;
    redlock
}

async fn all_up(redlock: &Redlock) {
    up(redlock, redlock.servers().len()).await;
}

/// Waits until exactly so many servers are up.
async fn up(redlock: &Redlock, count: usize) {
    let is_up = |status: &multiredlock::ServerStatus| status.state == multiredlock::ServerState::Up;
    eventually(&format!("{count} servers up"), async || {
        redlock.servers().iter().filter(|s| is_up(s)).count() == count
    })
    .await;
}

/// Waits for a condition, at most for a minute of the tests' clock.
async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    for _ in 0..60_000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(ms(1)).await;
    }
    panic!("this never came: {what}");
}

/// Waits until no server has a key any more.
async fn eventually_free(servers: &[MemoryServer]) {
    eventually("no key anywhere", async || servers.iter().all(MemoryServer::is_empty)).await;
}

/// Lets every task go on until it waits for something; the clock stands still.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
