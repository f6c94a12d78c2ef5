//! The measurements, and what they are made of.

pub mod contention;
pub mod frozen;
pub mod memory;
pub mod throughput;

mod load;
mod recorder;
mod samples;

use std::time::{Duration, Instant};

use crate::Result;

pub use self::samples::{Sample, Samples};

/// Of every measurement but that of throughput.
pub const SERVERS: usize = 3;

/// What locks are taken for, unless it says otherwise.
pub const TTL: Duration = Duration::from_secs(10);

/// Enough for connections, caches and the servers' tables to settle.
const WARM_UP: Duration = Duration::from_millis(300);

/// Waits until a condition holds, within a bound that only a fault reaches.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    // A server that was just started is waited for by a restart guard.
    const BOUND: Duration = Duration::from_secs(30);
    let started = Instant::now();
    while !holds() {
        if started.elapsed() > BOUND {
            return Err(format!("not within {BOUND:?}: {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
