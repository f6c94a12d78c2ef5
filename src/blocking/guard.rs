//! A guard for threads.

use super::{Background, Unlocking};
use crate::{
    guard::{self, EnsureError, LockLost},
    lock::Lock,
    runtime::InsideRuntime,
    token::FencingToken,
};
use std::{sync::Arc, time::Duration};

/// A lock that the client's thread renews until it is released, from [`Redlock::acquire`](super::Redlock::acquire).
///
/// Dropping it sends the unlock and does not wait for the answer. It keeps the client and its thread alive. The last of the client's
/// clones and guards to be dropped waits for up to 100 ms, so that the unlock is sent even if the program exits right after.
///
/// No other client is granted the resource while [`is_valid`](Self::is_valid) holds, under the assumptions that the crate's
/// documentation names. A lost lock never becomes valid again.
///
/// ```
/// use multiredlock::blocking::Redlock;
/// use std::time::Duration;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let redlock = Redlock::builder().servers(["memory://a", "memory://b", "memory://c"]).build_blocking()?;
/// let guard = redlock.acquire("report", Duration::from_secs(10)).wait()?;
/// for page in 1..=3 {
///     // Right before something that only the owner may do.
///     guard.ensure_valid_for(Duration::from_secs(1))?;
///     println!("page {page}");
/// }
/// guard.release().wait()?; // or drop it
/// # Ok(())
/// # }
/// ```
#[must_use = "the lock is released when the guard is dropped"]
#[derive(Debug)]
pub struct Guard {
    /// Dropped first, so that the thread sends its unlock.
    guard: guard::Guard,
    background: Arc<Background>,
}

impl Guard {
    pub(super) fn new(guard: guard::Guard, background: Arc<Background>) -> Self {
        Self { guard, background }
    }

    /// Returns the lock as it was renewed last.
    pub fn lock(&self) -> Lock {
        self.guard.lock()
    }

    /// Returns the fencing token, if the lock is [fenced](super::AcquireRequest::fenced); see [`Lock::token`]. Renewals keep it.
    pub fn token(&self) -> Option<FencingToken> {
        self.guard.token()
    }

    /// Returns whether the lock is valid at this moment.
    pub fn is_valid(&self) -> bool {
        self.guard.is_valid()
    }

    /// Returns how much longer the lock is valid unless it is renewed, zero if it is lost.
    pub fn validity(&self) -> Duration {
        self.guard.validity()
    }

    /// Makes sure that the lock stays valid for a while, to be called right before something that only its owner may do. It reads
    /// the clock and waits for nothing.
    ///
    /// # Errors
    ///
    /// As [`Guard::ensure_valid_for`](crate::Guard::ensure_valid_for).
    pub fn ensure_valid_for(&self, at_least: Duration) -> Result<(), EnsureError> {
        self.guard.ensure_valid_for(at_least)
    }

    /// Returns why the lock is lost, if it is.
    pub fn loss(&self) -> Option<LockLost> {
        self.guard.loss()
    }

    /// Waits until the lock is lost, for at most this long, and returns why; `None` if the lock is still held then.
    ///
    /// It returns as soon as [`Guard::lost`](crate::Guard::lost) would resolve: when a majority of the servers says so, at the end
    /// of the validity at the latest.
    ///
    /// # Errors
    ///
    /// [`InsideRuntime`] inside a tokio runtime.
    pub fn wait_lost(&self, limit: Duration) -> Result<Option<LockLost>, InsideRuntime> {
        self.background.wait_timeout(self.guard.lost(), limit)
    }

    /// Ends the renewals and releases the lock. The unlock is already sent when this returns:
    /// [`wait`](Unlocking::wait), which reports whether the lock was still held, is optional.
    pub fn release(self) -> Unlocking {
        Unlocking::new(self.guard.release(), self.background)
    }

    /// Ends the renewals, and leaves the lock to the caller: it stays locked until it is unlocked or its TTL is over.
    pub fn into_lock(self) -> Lock {
        self.guard.into_lock()
    }
}
