//! Waiting for a condition, never for a time.

use std::future::{Future, IntoFuture};
use std::time::{Duration, Instant};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
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

/// Blocks until `holds`, and panics with the description when it has not come true in thirty seconds.
#[track_caller]
pub fn block_until(description: &str, mut holds: impl FnMut() -> bool) {
    block_until_some(description, || holds().then_some(()));
}

/// The same until there is something to return.
#[track_caller]
pub fn block_until_some<T>(description: &str, look: impl FnMut() -> Option<T>) -> T {
    within(3 * PATIENCE, look).unwrap_or_else(|| panic!("never came true: {description}"))
}

/// Blocks until there is something to return, for so long at most.
pub(crate) fn within<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let found = look();
        if found.is_some() || start.elapsed() > patience {
            return found;
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
