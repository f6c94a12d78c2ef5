//! Waiting for a condition, never for a time.

use std::future::{Future, IntoFuture};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// Asks again and again whether `holds`, and panics with the description when it has not come true in ten seconds.
#[track_caller]
pub fn eventually(description: &str, mut holds: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let start = Instant::now();
        while !holds().await {
            assert!(start.elapsed() < PATIENCE, "never came true: {description} ({caller})");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The same for a fixture, which blocks.
#[track_caller]
pub fn block_until(description: &str, mut holds: impl FnMut() -> bool) {
    assert!(comes_true(&mut holds), "never came true: {description}");
}

/// Asks again and again whether `holds`, and returns whether it came true in ten seconds.
pub(crate) fn comes_true(mut holds: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if holds() {
            return true;
        }
        if start.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}

/// The outcome of a future that would otherwise hang the whole suite when the library forgets to finish it.
#[track_caller]
pub fn finishes<F: IntoFuture>(description: &str, future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        let outcome = tokio::time::timeout(3 * PATIENCE, future.into_future()).await;
        outcome.unwrap_or_else(|_| panic!("never finished: {description} ({caller})"))
    }
}
