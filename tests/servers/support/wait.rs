//! Waiting for a condition, never for a time.

use std::future::{Future, IntoFuture};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);

/// Asks again and again whether `holds`, and panics with the description when it has not come true in ten seconds.
#[track_caller]
pub(crate) fn eventually(description: &str, mut holds: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let start = Instant::now();
        while !holds().await {
            assert!(start.elapsed() < PATIENCE, "never came true: {description} ({caller})");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The same for the fixture itself, which blocks.
#[track_caller]
pub(crate) fn block_until(description: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never came true: {description}");
        std::thread::sleep(PAUSE);
    }
}

/// The outcome of a future that comes as soon as a server tells of a change.
///
/// Whoever was asking shortly before asks of its own accord no sooner than after two and a half seconds.
#[track_caller]
pub(crate) fn soon<F: IntoFuture>(description: &str, future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        let outcome = tokio::time::timeout(SOON, future.into_future()).await;
        outcome.unwrap_or_else(|_| panic!("not told of in time: {description} ({caller})"))
    }
}

/// The outcome of a future that would otherwise hang the whole suite when the library forgets to finish it.
#[track_caller]
pub(crate) fn finishes<F: IntoFuture>(description: &str, future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        let outcome = tokio::time::timeout(3 * PATIENCE, future.into_future()).await;
        outcome.unwrap_or_else(|_| panic!("never finished: {description} ({caller})"))
    }
}
