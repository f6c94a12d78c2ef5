//! The same calls for threads: no `async`, and no tokio in your `Cargo.toml`. Needs the feature `blocking`.
//!
//! A [`Redlock`] of this module has the methods of [`multiredlock::Redlock`](crate::Redlock). Those that return a future there return a
//! request here: adjust it, then call `wait`.
//!
//! ```
//! use multiredlock::blocking::Redlock;
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let ttl = Duration::from_secs(10);
//! let redlock = Redlock::builder().servers(["memory://a", "memory://b", "memory://c"]).build_blocking()?;
//! redlock.wait_connected_timeout(Duration::from_secs(10))?;
//!
//! // A lock for ten seconds at most, which is yours to renew and to unlock.
//! let lock = redlock.lock("console", ttl).wait()?;
//! let lock = redlock.renew(&lock, ttl).wait()?;
//! redlock.unlock(&lock).wait()?;
//!
//! // A lock that is waited for, and renewed for as long as the work takes.
//! let sum = redlock.using("console", ttl, |_guard| 1 + 1)?;
//! assert_eq!(sum, 2);
//! # Ok(())
//! # }
//! ```
//!
//! | async | blocking |
//! |:--|:--|
//! | `Redlock::builder().build()?` | `Redlock::builder().build_blocking()?` |
//! | `redlock.lock("console", ttl).await?` | `redlock.lock("console", ttl).wait()?` |
//! | `redlock.acquire("console", ttl).timeout(d).await?` | `redlock.acquire("console", ttl).timeout(d).wait()?` |
//! | `redlock.using("console", ttl, async \|guard\| …).await?` | `redlock.using("console", ttl, \|guard\| …)?` |
//! | `guard.lost().await` | `guard.wait_lost(limit)?` |
//! | `guard.release().await?` | `guard.release().wait()?` |
//! | `redlock.events().next().await` | `redlock.events().next()` |
//!
//! # The thread of a client
//!
//! Each client that is built starts one thread, named `multiredlock`, with a runtime of its own. It holds the connections, renews the
//! guards, and sends what other threads ask for. Clones and guards share it. When the last of them is dropped, the client is closed and
//! the thread ends; the drop waits for that for at most 100 ms, so that an unlock that was sent before reaches the servers even if the
//! program exits right after. [`Redlock::close`] waits for as long as closing takes.
//!
//! # Inside a tokio runtime
//!
//! A blocking call would stop the tasks of the runtime, so it fails at once, and nothing is sent: with
//! [`InvalidRequest::InsideRuntime`](crate::error::InvalidRequest::InsideRuntime) in a [`LockError`](crate::LockError), a
//! [`RenewError`](crate::RenewError) or an [`OwnerError`](crate::error::OwnerError), with
//! [`InsideRuntime`] itself elsewhere. Use the async [`Redlock`](crate::Redlock) there. Threads for blocking
//! work, of `tokio::task::spawn_blocking` and `block_in_place`, may call everything. Calls that do not wait, such as
//! [`unlock`](Redlock::unlock), work everywhere, and drops do not wait inside a runtime.

mod background;
mod error;
mod events;
mod guard;
mod request;

pub use error::WaitError;
pub use events::Events;
pub use guard::Guard;
pub use request::{AcquireRequest, LockRequest, OwnerRequest, RenewRequest, Unlocking};

use crate::{
    config::{Builder, ConfigError},
    decision::{Quorum, Retry},
    guard::UsingError,
    lock::Lock,
    monitor::{Closed, ServerStatus},
    redlock,
    resource::{InvalidResource, Resources},
    runtime::InsideRuntime,
};
use background::{Background, block_on_timeout};
use std::{fmt, sync::Arc, time::Duration};

/// Locks resources on a majority of independent Redis servers, for threads.
///
/// Clones share the connections and the [thread](self#the-thread-of-a-client) that holds them. When the last clone and the last guard
/// are dropped, the client is closed, and that drop waits for at most 100 ms; [`close`](Self::close) waits for as long as it takes.
///
/// ```
/// use multiredlock::blocking::Redlock;
/// use std::{thread, time::Duration};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let redlock = Redlock::builder().servers(["memory://a", "memory://b", "memory://c"]).build_blocking()?;
/// let workers: Vec<_> = (0..4)
///     .map(|worker| {
///         let redlock = redlock.clone();
///         thread::spawn(move || {
///             redlock.using("console", Duration::from_secs(10), |_guard| println!("{worker} alone has the console"))
///         })
///     })
///     .collect();
/// for worker in workers {
///     worker.join().expect("it does not panic")?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Redlock {
    /// Dropped first, so that the thread has all there is to send.
    redlock: redlock::Redlock,
    background: Arc<Background>,
}

impl Redlock {
    /// Builds a client of one server, `redis://localhost:6379`.
    ///
    /// # Errors
    ///
    /// As [`Builder::build_blocking`].
    pub fn new() -> Result<Self, ConfigError> {
        Self::builder().build_blocking()
    }

    /// Configures a client, which [`Builder::build_blocking`] builds.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Locks a resource for `ttl`, with retries as the [`Retry`] policy says; see [`Redlock::lock`](crate::Redlock::lock).
    pub fn lock(&self, resource: impl Into<Resources>, ttl: Duration) -> LockRequest {
        LockRequest::new(self.redlock.lock(resource, ttl), &self.background)
    }

    /// Locks a resource for `ttl` if that succeeds in a single attempt; see [`Redlock::try_lock`](crate::Redlock::try_lock).
    pub fn try_lock(&self, resource: impl Into<Resources>, ttl: Duration) -> LockRequest {
        LockRequest::new(self.redlock.try_lock(resource, ttl), &self.background)
    }

    /// Sets a new TTL for a lock, counted from now; see [`Redlock::renew`](crate::Redlock::renew). Use the returned lock from now on.
    pub fn renew(&self, lock: &Lock, ttl: Duration) -> RenewRequest {
        RenewRequest::new(self.redlock.renew(lock, ttl), &self.background)
    }

    /// Releases the lock on every server that still stores its value; see [`Redlock::unlock`](crate::Redlock::unlock).
    ///
    /// The unlock is already sent when this returns, and it is best effort: [`wait`](Unlocking::wait) is optional.
    pub fn unlock(&self, lock: &Lock) -> Unlocking {
        Unlocking::new(self.redlock.unlock(lock), Arc::clone(&self.background))
    }

    /// Waits in the queue for a resource, and gives a [`Guard`] that renews the lock until it is released; see
    /// [`Redlock::acquire`](crate::Redlock::acquire).
    pub fn acquire(&self, resource: impl Into<Resources>, ttl: Duration) -> AcquireRequest {
        AcquireRequest::new(self.redlock.acquire(resource, ttl), &self.background)
    }

    /// Gives a [`Guard`] for a resource if it can be locked in a single attempt.
    pub fn try_acquire(&self, resource: impl Into<Resources>, ttl: Duration) -> AcquireRequest {
        AcquireRequest::new(self.redlock.try_acquire(resource, ttl), &self.background)
    }

    /// Waits in the queue for a resource, runs `work` with the guard on this thread, and releases the lock:
    /// `acquire(resource, ttl).using(work)`.
    ///
    /// # Errors
    ///
    /// As [`AcquireRequest::using`].
    pub fn using<T>(
        &self,
        resource: impl Into<Resources>,
        ttl: Duration,
        work: impl FnOnce(&Guard) -> T,
    ) -> Result<T, UsingError> {
        self.acquire(resource, ttl).using(work)
    }

    /// Asks the servers which client owns a resource.
    pub fn owner(&self, resource: impl Into<Resources>) -> OwnerRequest {
        OwnerRequest::new(self.redlock.owner(resource), &self.background)
    }

    /// Returns the lock that this client or a clone took on a resource; see [`Redlock::held`](crate::Redlock::held).
    pub fn held(&self, resource: impl Into<Resources>) -> Option<Lock> {
        self.redlock.held(resource)
    }

    /// Sets the retry policy of all later locks of this client and its clones.
    pub fn set_retry(&self, retry: Retry) {
        self.redlock.set_retry(retry);
    }

    /// Returns the retry policy.
    pub fn retry(&self) -> Retry {
        self.redlock.retry()
    }

    /// Returns which [group](Builder::group) of servers a resource belongs to, 0 for the first.
    ///
    /// # Errors
    ///
    /// As [`Redlock::group_of`](crate::Redlock::group_of).
    pub fn group_of(&self, resource: impl Into<Resources>) -> Result<usize, InvalidResource> {
        self.redlock.group_of(resource)
    }

    /// Returns whether a majority of the servers can be reached, in every [group](Builder::group).
    pub fn is_connected(&self) -> bool {
        self.redlock.is_connected()
    }

    /// Waits until a majority of the servers can be reached, in every [group](Builder::group), for as long as it takes.
    ///
    /// # Errors
    ///
    /// [`WaitError`]: `Closed` if the client is closed, `InsideRuntime` inside a tokio runtime.
    pub fn wait_connected(&self) -> Result<(), WaitError> {
        let connected = self.background.wait(self.redlock.wait_connected())?;
        connected.map_err(|Closed| WaitError::Closed)
    }

    /// Waits until a majority of the servers can be reached, in every [group](Builder::group), for at most this long.
    ///
    /// # Errors
    ///
    /// [`WaitError`]: `NotConnected` after this time, with the reason why each server is down, `Closed` if the client is closed, `InsideRuntime` inside a tokio runtime.
    pub fn wait_connected_timeout(&self, limit: Duration) -> Result<(), WaitError> {
        let waiting = self.redlock.wait_connected().timeout(limit);
        Ok(self.background.wait(waiting)??)
    }

    /// Returns an iterator over everything that happens to the servers, which waits for each event.
    ///
    /// ```
    /// use multiredlock::{blocking::Redlock, event::Event};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let redlock = Redlock::builder().servers(["memory://a", "memory://b", "memory://c"]).build_blocking()?;
    /// for event in redlock.events() {
    ///     if let Event::Connected(_) = event? {
    ///         break;
    ///     }
    /// }
    /// assert!(redlock.is_connected());
    /// # Ok(())
    /// # }
    /// ```
    pub fn events(&self) -> Events {
        Events::new(self.redlock.events())
    }

    /// Returns each server, in the order in which they were configured, and whether it can vote.
    pub fn servers(&self) -> Vec<ServerStatus> {
        self.redlock.servers()
    }

    /// Returns how many servers of each [group](Builder::group) can vote now, and how many have to.
    pub fn quorums(&self) -> Vec<Quorum> {
        self.redlock.quorums()
    }

    /// Closes the connections of this client and all its clones, and waits for that.
    ///
    /// What was submitted before, an unlock for instance, is still sent, unless a server leaves it unanswered for longer than the
    /// heartbeat timeout. Locks stay locked until their TTL is over. Later calls get `Closed`.
    ///
    /// # Errors
    ///
    /// [`InsideRuntime`] inside a tokio runtime. The client is closed all the same; only nothing waited for the end.
    pub fn close(&self) -> Result<(), InsideRuntime> {
        let mut closing = Box::pin(self.redlock.close());
        // Its first step closes the client, also where this call must not wait for the rest.
        let is_closed = block_on_timeout(&mut closing, Duration::ZERO).is_some();
        self.background.wait(async {
            if !is_closed {
                closing.await;
            }
        })
    }
}

impl Builder {
    /// Builds a client for threads, which connects in the background and reconnects whenever it has to. It starts the client's
    /// [thread](crate::blocking#the-thread-of-a-client) and waits for nothing else, so that it may be called anywhere.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a setting makes no sense, or if the thread could not be started. Nothing was connected then.
    pub fn build_blocking(self) -> Result<Redlock, ConfigError> {
        let (redlock, background) = Background::start(self)?;
        let background = Arc::new(background);
        Ok(Redlock { redlock, background })
    }
}

impl fmt::Debug for Redlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.redlock.fmt(f)
    }
}
