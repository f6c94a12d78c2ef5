//! The front door.

use crate::{
    client::Core,
    config::{Builder, ConfigError},
    decision::{Quorum, Retry, quorum::Connection},
    guard::{AcquireRequest, Guard, UsingError},
    lock::Lock,
    monitor::{Events, QuorumChanges, ServerStatus, WaitConnected},
    request::{LockRequest, OwnerRequest, RenewRequest, Unlocking},
    resource::{InvalidResource, Resources},
};
use std::{
    fmt,
    sync::{Arc, PoisonError},
    time::Duration,
};

/// Locks resources by a majority of independent Redis servers.
///
/// It is a client, cheap to clone: clones share it. Dropping the last clone ends every task and connection without
/// waiting, inside or outside a runtime; [`close`](Self::close) waits for that.
///
/// Its tasks run in the tokio runtime in which it was built. If that runtime ends first, the client is closed: every later call
/// gets `Closed`, and so does every waiter.
///
/// ```
/// use multiredlock::Redlock;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let redlock = Redlock::builder().servers(["memory://a", "memory://b", "memory://c"]).build()?;
/// redlock.wait_connected().await?;
///
/// let lock = redlock.lock("console", Duration::from_secs(10)).await?;
/// // Nobody else has the console for the next `lock.validity()`.
/// let lock = redlock.renew(&lock, Duration::from_secs(10)).await?;
/// redlock.unlock(&lock);
///
/// redlock.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Redlock {
    core: Arc<Core>,
}

impl Redlock {
    /// Locks on one server, `redis://localhost:6379`, as node `multiredlock` does without arguments.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    pub fn new() -> Result<Self, ConfigError> {
        Self::builder().build()
    }

    /// Configures a client.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Locks a resource for `ttl`, trying again as the [`Retry`] policy says.
    ///
    /// The request is awaited as it is or adjusted first; see [`LockRequest`] for its errors and its cancel safety.
    /// Sub-millisecond parts of the ttl are dropped.
    pub fn lock(&self, resource: impl Into<Resources>, ttl: Duration) -> LockRequest {
        LockRequest::new(Arc::clone(&self.core), resource.into(), ttl, self.retry())
    }

    /// Locks a resource for `ttl` if that succeeds in a single attempt.
    ///
    /// This is [`lock`](Self::lock) without retries.
    pub fn try_lock(&self, resource: impl Into<Resources>, ttl: Duration) -> LockRequest {
        self.lock(resource, ttl).retry(Retry::none())
    }

    /// Sets a new ttl for a lock, counted from now.
    ///
    /// Use the returned lock from now on: it reports the new ttl. From the moment a renewal for a shorter ttl is submitted, no copy
    /// of the lock in this client reports more than that ttl promises, until it is known that no server took it. If another
    /// client has renewed the lock for longer, only a renewal for a shorter ttl than this client knows of can shorten it. Only
    /// servers that still hold this lock's value count. Where the key went missing on a minority it is put back.
    /// See [`RenewRequest`] for the errors and the cancel safety.
    pub fn renew(&self, lock: &Lock, ttl: Duration) -> RenewRequest {
        RenewRequest::new(Arc::clone(&self.core), lock.clone(), ttl)
    }

    /// Unlocks a resource, as far as the lock's value still stands there.
    ///
    /// It is best effort, and already on its way when this returns: awaiting the answer is optional, also outside a
    /// runtime. To a server that is down it is sent when the server comes back before the key has expired (within 60 s if
    /// that is unknown, for a lock made by [`Lock::from_parts`]). A program that ends right after this should await the
    /// answer or [`close`](Self::close), lest the runtime ends before the bytes are written.
    ///
    /// Nothing is sent for resources of different groups, or for a resource or value that is longer than any lock's, which
    /// [`Lock::from_parts`] does not check: they never were one lock of a client like this.
    pub fn unlock(&self, lock: &Lock) -> Unlocking {
        Unlocking::new(
            lock.shared_resources().clone(),
            self.core.unlock(lock),
            self.core.attempt_timeout,
        )
    }

    /// Waits in line for a resource, and gives a [`Guard`](crate::Guard) that renews the lock until it is released.
    ///
    /// **It has no time limit by default.** It waits for as long as it takes, also through an outage. Set a limit for the client with
    /// [`Builder::acquire_timeout`], or for one call with [`timeout`](AcquireRequest::timeout). See [`AcquireRequest`] for errors and
    /// cancel safety.
    pub fn acquire(&self, resource: impl Into<Resources>, ttl: Duration) -> AcquireRequest {
        AcquireRequest::new(Arc::clone(&self.core), resource.into(), ttl, true)
    }

    /// Gives a [`Guard`](crate::Guard) for a resource if it can be locked in a single attempt.
    pub fn try_acquire(&self, resource: impl Into<Resources>, ttl: Duration) -> AcquireRequest {
        AcquireRequest::new(Arc::clone(&self.core), resource.into(), ttl, false)
    }

    /// Waits in line for a resource, runs `work` under a guard, and releases it: `acquire(resource, ttl).using(work)`. It waits for as
    /// long as [`acquire`](Self::acquire) does.
    ///
    /// ```
    /// # use multiredlock::{Redlock, error::UsingError};
    /// # use std::time::Duration;
    /// # async fn f(redlock: Redlock) -> Result<(), UsingError> {
    /// let sum = redlock
    ///     .using("console", Duration::from_secs(10), async |guard| {
    ///         // Nobody else has the console; `guard` tells for how long.
    ///         1 + 1
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`AcquireRequest::using`].
    ///
    /// # Cancel safety
    ///
    /// As [`AcquireRequest::using`].
    pub async fn using<T>(
        &self,
        resource: impl Into<Resources>,
        ttl: Duration,
        work: impl AsyncFnOnce(&Guard) -> T,
    ) -> Result<T, UsingError> {
        self.acquire(resource, ttl).using(work).await
    }

    /// Asks who holds a resource.
    pub fn owner(&self, resource: impl Into<Resources>) -> OwnerRequest {
        OwnerRequest::new(Arc::clone(&self.core), resource.into())
    }

    /// Returns the lock that this client or a clone took on a resource, if it [remembers](Builder::remember) locks and this
    /// one is still valid; as it was renewed last. So code can unlock by name.
    ///
    /// A lock on several resources is found by all of them together. Guards keep their locks to themselves.
    pub fn held(&self, resource: impl Into<Resources>) -> Option<Lock> {
        self.core.remembered.as_ref()?.get(&resource.into())
    }

    /// Sets the retry policy of all later locks of this client and its clones.
    pub fn set_retry(&self, retry: Retry) {
        *self.core.retry.lock().unwrap_or_else(PoisonError::into_inner) = retry;
    }

    /// Returns the retry policy.
    pub fn retry(&self) -> Retry {
        *self.core.retry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns which [group](Builder::group) of servers a resource belongs to, 0 for the first; of several resources, which
    /// they belong to together. It depends on nothing but their names and how many groups there are.
    ///
    /// # Errors
    ///
    /// [`InvalidResource`] if it could not be locked, or if several belong to different groups.
    pub fn group_of(&self, resource: impl Into<Resources>) -> Result<usize, InvalidResource> {
        self.core.group_of(&resource.into())
    }

    /// Returns whether a majority of the servers can be reached, in every [group](Builder::group).
    pub fn is_connected(&self) -> bool {
        self.core.monitor.is_connected()
    }

    /// Waits until a majority of the servers can be reached, in every [group](Builder::group).
    ///
    /// It waits as long as it takes, also if a wrong password or address keeps a server down;
    /// [`timeout`](WaitConnected::timeout) limits that, and its error says why each server is down. See [`WaitConnected`] for the
    /// errors and the cancel safety.
    pub fn wait_connected(&self) -> WaitConnected {
        WaitConnected::new(Arc::clone(&self.core.monitor))
    }

    /// Returns a stream of the moments at which a majority became reachable: with several [groups](Builder::group), that of
    /// the last group which had none.
    pub fn connected(&self) -> QuorumChanges {
        QuorumChanges::new(Arc::clone(&self.core.monitor), Connection::Connected)
    }

    /// Returns a stream of the moments at which a majority ceased to be reachable: with several [groups](Builder::group),
    /// that of the first group to lose it. The resources of the others can be locked as before.
    ///
    /// It tells nothing before a majority was reached for the first time, in every group.
    pub fn disconnected(&self) -> QuorumChanges {
        QuorumChanges::new(Arc::clone(&self.core.monitor), Connection::Disconnected)
    }

    /// Returns a stream of everything that happens to the servers.
    ///
    /// ```
    /// # use multiredlock::{Redlock, event::Event, testing::MemoryServer};
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let servers = [MemoryServer::new(), MemoryServer::new(), MemoryServer::new()];
    /// let redlock = Redlock::builder().servers(&servers).build()?;
    /// redlock.wait_connected().await?;
    /// let mut events = redlock.events();
    /// servers[0].crash();
    /// servers[1].crash();
    /// while let Some(event) = events.recv().await {
    ///     println!("{event}");
    ///     if let Event::Disconnected(quorum) = event {
    ///         assert_eq!((quorum.reachable, quorum.needed), (1, 2));
    ///         break;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn events(&self) -> Events {
        Events::new(Arc::clone(&self.core.monitor))
    }

    /// Returns each server, in the order in which they were configured, and whether it can vote.
    pub fn servers(&self) -> Vec<ServerStatus> {
        self.core
            .monitor
            .servers(self.core.pipelines().map(|pipeline| pipeline.round_trip()))
    }

    /// Returns how many servers of each [group](Builder::group) can vote now, and how many have to.
    pub fn quorums(&self) -> Vec<Quorum> {
        self.core.monitor.quorums()
    }

    /// Ends every task and connection of this client and all its clones.
    ///
    /// What was submitted before, an unlock for instance, is still sent, unless a server leaves it unanswered for longer
    /// than the heartbeat timeout. Locks stay locked until their ttl is over. Later calls get `Closed`.
    ///
    /// # Cancel safety
    ///
    /// The client is closed at once; a dropped future only does not wait for the end.
    pub async fn close(&self) {
        self.core.close();
        self.core.shutdown.closed().await;
    }
}

impl Builder {
    /// Builds the client, which connects in the background and reconnects whenever it has to.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a setting makes no sense or if there is no tokio runtime. Nothing was connected then. The runtime
    /// needs its timers and its I/O (`enable_all`).
    pub fn build(self) -> Result<Redlock, ConfigError> {
        let core = Core::start(&self.check()?)?;
        Ok(Redlock { core: Arc::new(core) })
    }
}

impl fmt::Debug for Redlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redlock")
            .field("id", &self.core.groups[0].servers.id)
            .field("servers", &self.servers())
            .field("is_connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}
