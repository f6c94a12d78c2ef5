//! The clock that all processes of a run share.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The time since a moment that is the same for every process of the machine; an `Instant` does not tell when its own was.
pub fn now() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC);
    time.expect("every system that has these servers has this clock").into()
}

/// A time of this clock as it is told to another process.
pub fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("a machine is up for less than 584 years")
}

/// Sleeps until a time of this clock, not at all if it is over.
pub async fn sleep_until(time: Duration) {
    tokio::time::sleep(time.saturating_sub(now())).await;
}
