//! Requests: the async ones, and the thread to wait with.

use super::{Background, Guard};
use crate::{
    decision::{Drift, Retry},
    guard::{self, UsingError},
    lock::Lock,
    request::{self, LockError, OwnerError, Ownership, ReleaseError, RenewError, Survey, Unlocked},
    runtime::InsideRuntime,
};
use std::{sync::Arc, time::Duration};

/// A request of the async API with its setters.
macro_rules! request {
    ($(#[$doc:meta])* $name:ident($from:path): $($setter:ident($($argument:ident: $of:ty)?)),+) => {
        $(#[$doc])*
        #[must_use = "requests do nothing unless waited for"]
        #[derive(Debug)]
        pub struct $name {
            request: $from,
            background: Arc<Background>,
        }

        impl $name {
            pub(super) fn new(request: $from, background: &Arc<Background>) -> Self {
                let background = Arc::clone(background);
                Self { request, background }
            }

            $(
                #[doc = concat!(
                    "Sets what [`future::", stringify!($name), "::", stringify!($setter), "`](crate::future::", stringify!($name), "::",
                    stringify!($setter), ") sets."
                )]
                pub fn $setter(mut self $(, $argument: $of)?) -> Self {
                    self.request = self.request.$setter($($argument)?);
                    self
                }
            )+
        }
    };
}

request! {
    /// A pending lock, from [`Redlock::lock`](super::Redlock::lock) or [`Redlock::try_lock`](super::Redlock::try_lock).
    ///
    /// Its setters are those of [`future::LockRequest`](crate::future::LockRequest). [`wait`](Self::wait) locks.
    LockRequest(request::LockRequest): retry(retry: Retry), drift(drift: Drift), attempt_timeout(timeout: Duration), fenced()
}

impl LockRequest {
    /// Locks the resource.
    ///
    /// # Errors
    ///
    /// [`LockError`], as [`future::LockRequest`](crate::future::LockRequest). Inside a tokio runtime it is `Invalid`, and nothing is
    /// sent.
    pub fn wait(self) -> Result<Lock, LockError> {
        self.background.wait(self.request)?
    }
}

request! {
    /// A pending renewal, from [`Redlock::renew`](super::Redlock::renew).
    ///
    /// Its setters are those of [`future::RenewRequest`](crate::future::RenewRequest). [`wait`](Self::wait) renews.
    RenewRequest(request::RenewRequest): drift(drift: Drift), attempt_timeout(timeout: Duration)
}

impl RenewRequest {
    /// Renews the lock, in one attempt.
    ///
    /// # Errors
    ///
    /// [`RenewError`], as [`future::RenewRequest`](crate::future::RenewRequest). Inside a tokio runtime it is `Invalid`, and nothing
    /// is sent.
    pub fn wait(self) -> Result<Lock, RenewError> {
        self.background.wait(self.request)?
    }
}

request! {
    /// A pending question for the owner of a resource, from [`Redlock::owner`](super::Redlock::owner).
    ///
    /// Its setter is that of [`future::OwnerRequest`](crate::future::OwnerRequest). [`wait`](Self::wait) asks the servers.
    OwnerRequest(request::OwnerRequest): attempt_timeout(timeout: Duration)
}

impl OwnerRequest {
    /// Asks the servers, until a majority has settled it.
    ///
    /// # Errors
    ///
    /// [`OwnerError`], as [`future::OwnerRequest`](crate::future::OwnerRequest). Inside a tokio runtime it is `Invalid`, and nothing
    /// is sent.
    pub fn wait(self) -> Result<Ownership, OwnerError> {
        self.background.wait(self.request)?
    }

    /// Asks the servers, until each of them has answered or the attempt timeout is over, and returns every answer.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait).
    pub fn survey(self) -> Result<Survey, OwnerError> {
        self.background.wait(self.request.survey())?
    }
}

request! {
    /// A pending lock acquisition, from [`Redlock::acquire`](super::Redlock::acquire) or
    /// [`Redlock::try_acquire`](super::Redlock::try_acquire).
    ///
    /// Its setters are those of [`future::AcquireRequest`](crate::future::AcquireRequest). [`wait`](Self::wait) waits in the queue and
    /// returns a [`Guard`].
    ///
    /// ```
    /// use multiredlock::{LockError, blocking::Redlock};
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let redlock = Redlock::builder().servers(["memory://a", "memory://b", "memory://c"]).build_blocking()?;
    /// let guard = redlock.acquire("invoices", Duration::from_secs(10)).wait()?;
    ///
    /// // It would wait for as long as the guard is there.
    /// let waiting = redlock.acquire("invoices", Duration::from_secs(10)).timeout(Duration::from_millis(50));
    /// assert!(matches!(waiting.wait(), Err(LockError::TimedOut { .. })));
    /// # Ok(())
    /// # }
    /// ```
    AcquireRequest(guard::AcquireRequest): timeout(longest: Duration), max_hold(longest: Duration), drift(drift: Drift),
        attempt_timeout(timeout: Duration), fenced()
}

impl AcquireRequest {
    /// Waits in the queue for the resource: without [`timeout`](Self::timeout) for as long as it takes.
    ///
    /// # Errors
    ///
    /// [`LockError`], as [`future::AcquireRequest`](crate::future::AcquireRequest). Inside a tokio runtime it is `Invalid`, and nothing
    /// is sent.
    pub fn wait(self) -> Result<Guard, LockError> {
        let guard = self.background.wait(self.request)??;
        Ok(Guard::new(guard, self.background))
    }

    /// Waits in the queue for the resource, runs `work` with the guard on this thread, and releases the lock.
    ///
    /// A thread cannot be stopped from outside, so `work` must check [`Guard::is_valid`] now and then, and return if the lock is lost.
    /// If `work` panics, the lock is released and the panic goes on.
    ///
    /// # Errors
    ///
    /// [`UsingError::Lock`] if the lock was not granted, so that `work` was not called; [`UsingError::Lost`] if the lock was lost
    /// before `work` returned, whatever `work` returned.
    pub fn using<T>(self, work: impl FnOnce(&Guard) -> T) -> Result<T, UsingError> {
        let guard = self.wait()?;
        let result = work(&guard);
        let loss = guard.loss();
        // Best effort: `acquire` and `release` report whether the release succeeded.
        let _ = guard.release().wait();
        match loss {
            None => Ok(result),
            Some(loss) => Err(loss.into()),
        }
    }
}

/// An unlock that is already sent, from [`Redlock::unlock`](super::Redlock::unlock) and [`Guard::release`].
///
/// Dropping it changes nothing. [`wait`](Self::wait) reports whether a majority held the lock until now.
#[derive(Debug)]
pub struct Unlocking {
    request: request::Unlocking,
    background: Arc<Background>,
}

impl Unlocking {
    pub(super) fn new(request: request::Unlocking, background: Arc<Background>) -> Self {
        Self { request, background }
    }

    /// Waits until a majority removed the keys, every server has answered, or the attempt timeout is over, 1 s unless set.
    ///
    /// # Errors
    ///
    /// [`ReleaseError`], as [`future::Unlocking`](crate::future::Unlocking). Inside a tokio runtime it is `InsideRuntime`; the unlock is
    /// sent all the same.
    pub fn wait(self) -> Result<(), ReleaseError> {
        self.background.wait(self.request)?
    }

    /// Waits until every server has answered, for at most the attempt timeout, and counts the answers.
    ///
    /// # Errors
    ///
    /// [`InsideRuntime`] inside a tokio runtime. The unlock is sent all the same.
    pub fn counts(self) -> Result<Unlocked, InsideRuntime> {
        self.background.wait(self.request.counts())
    }
}
