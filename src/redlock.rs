//! The front door.

use crate::{
    config::{Address, Builder, Config, Server},
    engine::{Drift, Retry, Ttl, round::Electorate},
    error::{ConfigError, InvalidResource, InvalidTtl, UsingError},
    events::{Crossings, Events},
    groups::common_group,
    guard::Guard,
    lock::Lock,
    monitor::{Monitor, ServerStatus},
    quorum::{Connection, Quorum},
    remembered::Remembered,
    request::{AcquireRequest, LockRequest, OwnerRequest, RenewRequest, Unlocking},
    resource::{IntoResources, LONGEST, Resources},
    runtime::Runtime,
    server::{Closing, Connector, Lane, Operation, RestartGuard, Supervisor, UnderWay},
};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};
use tracing::warn;

/// How long an unlock is kept for a server that is down if it is not known when the key expires.
const KEEP_UNLOCK: Duration = Duration::from_secs(60);

/// Locks resources by a majority of independent Redis servers.
///
/// It is a cheap handle: clones share the connections. Dropping the last clone ends every task and connection without
/// waiting, inside or outside a runtime; [`close`](Self::close) waits for that.
///
/// Its tasks run in the tokio runtime in which it was built. If that runtime ends first, the handle is closed: every later call
/// gets `Closed`, and so does every waiter.
///
/// ```
/// use multiredlock::Redlock;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let redlock = Redlock::builder().servers(["memory://a", "memory://b", "memory://c"]).build()?;
/// redlock.wait_connected().await;
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

    /// Configures a handle.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Locks a resource for `ttl`, trying again as the [`Retry`] policy says.
    ///
    /// The request is awaited as it is or adjusted first; see [`LockRequest`] for its errors and its cancel safety.
    /// Sub-millisecond parts of the ttl are dropped.
    pub fn lock(&self, resource: impl IntoResources, ttl: Duration) -> LockRequest {
        LockRequest::new(Arc::clone(&self.core), resource.into_resources(), ttl, self.retry())
    }

    /// Locks a resource for `ttl` if that succeeds in a single round.
    ///
    /// This is [`lock`](Self::lock) without retries.
    pub fn try_lock(&self, resource: impl IntoResources, ttl: Duration) -> LockRequest {
        self.lock(resource, ttl).retry(Retry::none())
    }

    /// Sets a new ttl for a lock, counted from now.
    ///
    /// Use the returned lock from now on: it reports the new ttl. From the moment a renewal for a shorter ttl is submitted, no copy
    /// of the lock in this handle reports more than that ttl promises, until it is known that no server took it. If another
    /// client has renewed the lock for longer, only a renewal for a shorter ttl than this handle knows of can shorten it. Only
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
    /// [`Lock::from_parts`] does not check: they never were one lock of a handle like this.
    pub fn unlock(&self, lock: &Lock) -> Unlocking {
        Unlocking::new(self.core.unlock(lock), self.core.defaults.round_timeout)
    }

    /// Waits in line for a resource, and gives a [`Guard`](crate::Guard) that renews the lock until it is released.
    ///
    /// It waits as long as it takes, also for servers to be reached; see [`AcquireRequest`] for limits, errors and cancel
    /// safety.
    pub fn acquire(&self, resource: impl IntoResources, ttl: Duration) -> AcquireRequest {
        AcquireRequest::new(Arc::clone(&self.core), resource.into_resources(), ttl, true)
    }

    /// Gives a [`Guard`](crate::Guard) for a resource if it can be locked in a single round.
    pub fn try_acquire(&self, resource: impl IntoResources, ttl: Duration) -> AcquireRequest {
        AcquireRequest::new(Arc::clone(&self.core), resource.into_resources(), ttl, false)
    }

    /// Waits in line for a resource, runs `work` under a guard, and releases it: `acquire(resource, ttl).using(work)`.
    ///
    /// ```
    /// # use multiredlock::{Redlock, UsingError};
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
        resource: impl IntoResources,
        ttl: Duration,
        work: impl AsyncFnOnce(&Guard) -> T,
    ) -> Result<T, UsingError> {
        self.acquire(resource, ttl).using(work).await
    }

    /// Asks who holds a resource.
    pub fn owner(&self, resource: impl IntoResources) -> OwnerRequest {
        OwnerRequest::new(Arc::clone(&self.core), resource.into_resources())
    }

    /// Returns the lock that this handle or a clone took on a resource, if it [remembers](Builder::remember) locks and this
    /// one is still valid; as it was renewed last. So code can unlock by name.
    ///
    /// A lock on several resources is found by all of them together. Guards keep their locks to themselves.
    pub fn held(&self, resource: impl IntoResources) -> Option<Lock> {
        self.core.remembered.as_ref()?.get(&resource.into_resources())
    }

    /// Sets the retry policy of all later locks of this handle and its clones.
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
    pub fn group_of(&self, resource: impl IntoResources) -> Result<usize, InvalidResource> {
        self.core.group_of(&resource.into_resources())
    }

    /// Returns whether a majority of the servers can be reached, in every [group](Builder::group).
    pub fn is_connected(&self) -> bool {
        self.core.monitor.is_connected()
    }

    /// Waits until a majority of the servers can be reached, in every [group](Builder::group), and returns true then; false
    /// if the handle is closed first.
    ///
    /// It waits as long as it takes, also if a wrong password or address keeps a server down. `tokio::time::timeout` limits that;
    /// [`servers`](Self::servers) and the error of a lock say why a server is down.
    ///
    /// # Cancel safety
    ///
    /// It does nothing but wait.
    pub async fn wait_connected(&self) -> bool {
        self.core.monitor.wait_connected().await
    }

    /// Returns a stream of the moments at which a majority became reachable: with several [groups](Builder::group), that of
    /// the last group which had none.
    pub fn connected(&self) -> Crossings {
        Crossings::new(Arc::clone(&self.core.monitor), Connection::Connected)
    }

    /// Returns a stream of the moments at which a majority ceased to be reachable: with several [groups](Builder::group),
    /// that of the first group to lose it. The resources of the others can be locked as before.
    ///
    /// It tells nothing before a majority was reached for the first time, in every group.
    pub fn disconnected(&self) -> Crossings {
        Crossings::new(Arc::clone(&self.core.monitor), Connection::Disconnected)
    }

    /// Returns a stream of everything that happens to the servers.
    pub fn events(&self) -> Events {
        Events::new(Arc::clone(&self.core.monitor))
    }

    /// Returns each server, in the order in which they were configured, and whether it can vote.
    pub fn servers(&self) -> Vec<ServerStatus> {
        self.core
            .monitor
            .servers(self.core.lanes().map(|lane| lane.round_trip()))
    }

    /// Returns how many servers of each [group](Builder::group) can vote now, and how many have to.
    pub fn quorums(&self) -> Vec<Quorum> {
        self.core.monitor.quorums()
    }

    /// Ends every task and connection of this handle and all its clones.
    ///
    /// What was submitted before, an unlock for instance, is still sent, unless a server leaves it unanswered for longer
    /// than the heartbeat timeout. Locks stay locked until their ttl is over. Later calls get `Closed`.
    ///
    /// # Cancel safety
    ///
    /// The handle is closed at once; a dropped future only does not wait for the end.
    pub async fn close(&self) {
        self.core.close();
        self.core.shutdown.closed().await;
    }
}

impl Builder {
    /// Builds the handle, which connects in the background and reconnects whenever it has to.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a setting makes no sense or if there is no tokio runtime. Nothing was connected then. The runtime
    /// needs its timers and its I/O (`enable_all`).
    pub fn build(self) -> Result<Redlock, ConfigError> {
        let config = self.check()?;
        let runtime = Runtime::current().map_err(|_| ConfigError::NoRuntime)?;
        let connectors = config.groups.iter().flatten().map(|server| {
            Connector::new(server, &config).map_err(|problem| ConfigError::Tls {
                server: server.address(),
                problem,
            })
        });
        let connectors = connectors.collect::<Result<Vec<_>, _>>()?;

        let core = Core::new(&config, runtime.clone());
        for (server, (connector, lane)) in connectors.into_iter().zip(core.lanes()).enumerate() {
            let supervisor = Supervisor {
                server,
                connector,
                lane: Arc::clone(lane),
                monitor: Arc::clone(&core.monitor),
                closing: Arc::clone(&core.closing),
                config: config.connection,
                drift: config.drift,
                restart_guard: config.restart_guard.map(RestartGuard::new),
                closed: core.shutdown.subscribe(),
            };
            runtime.spawn(supervisor.run());
        }
        Ok(Redlock { core: Arc::new(core) })
    }
}

impl fmt::Debug for Redlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redlock")
            .field("id", &self.core.groups[0].id)
            .field("servers", &self.servers())
            .field("is_connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

/// What all clones of a handle share. The tasks share only its parts, so that it is dropped with the last clone.
#[derive(Debug)]
pub(crate) struct Core {
    /// At least one.
    groups: Vec<Arc<Electorate>>,
    closing: Arc<Closing>,
    /// Where the tasks of the handle run.
    pub(crate) runtime: Runtime,
    pub(crate) defaults: Defaults,
    fence_expiry: Duration,
    /// The longest ttl, if that matters when a server is started again.
    restart_guard: Option<Duration>,
    key_prefix: Vec<u8>,
    remembered: Option<Remembered>,
    retry: Mutex<Retry>,
    pub(crate) monitor: Arc<Monitor>,
    /// Tells the supervisors to end, by its value or by being dropped.
    shutdown: watch::Sender<bool>,
}

/// What a call can override.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defaults {
    pub(crate) drift: Drift,
    pub(crate) round_timeout: Option<Duration>,
    pub(crate) fenced: bool,
}

impl Core {
    fn new(config: &Config, runtime: Runtime) -> Self {
        let under_way = Arc::<UnderWay>::default();
        let electorate = |servers: &Vec<Server>| {
            let addresses = servers.iter().map(Server::address).collect();
            Electorate::new(config.id.clone(), addresses, Arc::clone(&under_way))
        };
        let groups: Vec<_> = config.groups.iter().map(electorate).map(Arc::new).collect();
        let addresses: Vec<&[Address]> = groups.iter().map(|group| &group.addresses[..]).collect();
        let monitor = Arc::new(Monitor::new(&addresses));
        let closing = Closing {
            under_way,
            rooms: groups.iter().map(|group| Arc::clone(&group.room)).collect(),
            monitor: Arc::clone(&monitor),
        };
        Self {
            monitor,
            groups,
            closing: Arc::new(closing),
            runtime,
            defaults: Defaults {
                drift: config.drift,
                round_timeout: config.round_timeout,
                fenced: config.fenced,
            },
            fence_expiry: config.fence_expiry,
            restart_guard: config.restart_guard,
            key_prefix: config.key_prefix.clone(),
            remembered: config.remember.map(Remembered::new),
            retry: Mutex::new(config.retry),
            shutdown: watch::Sender::new(false),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closing.under_way.is_closed()
    }

    fn close(&self) {
        self.closing.close();
        self.shutdown.send_replace(true);
    }

    /// The group that resources belong to, and their Redis keys.
    pub(crate) fn locate(&self, resources: &Resources) -> Result<(&Arc<Electorate>, Resources), InvalidResource> {
        let group = self.group_of(resources)?;
        Ok((&self.groups[group], resources.with_prefix(&self.key_prefix)))
    }

    fn group_of(&self, resources: &Resources) -> Result<usize, InvalidResource> {
        resources.check(self.key_prefix.len())?;
        resources.check_no_fence(&self.key_prefix)?;
        common_group(resources, self.groups.len())
    }

    /// Remembers a lock by name, if the handle does that.
    pub(crate) fn remember(&self, lock: &Lock) {
        if let Some(remembered) = &self.remembered {
            remembered.keep(lock);
        }
    }

    pub(crate) fn unlock(&self, lock: &Lock) -> Arc<Operation> {
        if let Some(remembered) = &self.remembered {
            remembered.forget(lock);
        }
        let keys = lock.shared_resources().with_prefix(&self.key_prefix);
        let now = Instant::now();
        let unknown = (!lock.is_of_known_age()).then_some(now + KEEP_UNLOCK);
        let expires = lock.claim().expires().max(unknown).unwrap_or(now);
        let keys_and_value = (keys, Arc::clone(lock.shared_value()));
        match self.group_of_lock(lock) {
            Ok(group) => self.groups[group].unlock(keys_and_value, lock.claim(), lock.since(), (now, expires)),
            Err(error) => {
                warn!(%error, "unlock");
                lock.claim().release();
                // No server votes on it, so that it is over at once.
                let claim = Arc::clone(lock.claim());
                Arc::new(Operation::unlock(keys_and_value, claim, (now, expires), 0))
            }
        }
    }

    /// The group in which a lock can be released, if it can be a lock. One that was put together from its parts may be anything.
    fn group_of_lock(&self, lock: &Lock) -> Result<usize, InvalidResource> {
        let resources = lock.shared_resources();
        resources.check(self.key_prefix.len())?;
        if lock.is_too_long() {
            return Err(InvalidResource::TooLong {
                length: lock.value().len(),
                longest: LONGEST,
            });
        }
        common_group(resources, self.groups.len())
    }

    /// The lanes to all servers, in the order in which the monitor counts them.
    fn lanes(&self) -> impl Iterator<Item = &Arc<Lane>> {
        self.groups.iter().flat_map(|group| &group.lanes)
    }

    /// Checks a ttl against the drift of a call.
    pub(crate) fn check_ttl<E>(&self, ttl: Duration, drift: Option<Drift>, factor: fn(f64) -> E) -> Result<Ttl, E>
    where
        E: From<crate::error::InvalidTtl>,
    {
        let drift = drift.unwrap_or(self.defaults.drift);
        match drift.invalid_factor() {
            Some(invalid) => Err(factor(invalid)),
            None => Ok(self.within_restart_guard(Ttl::new(ttl, drift)?)?),
        }
    }

    fn within_restart_guard(&self, checked: Ttl) -> Result<Ttl, InvalidTtl> {
        let ttl = checked.duration();
        match self.restart_guard {
            Some(max_ttl) if ttl > max_ttl => Err(InvalidTtl::OutlivesRestartGuard { ttl, max_ttl }),
            _ => Ok(checked),
        }
    }

    /// How long the servers remember the token of a lock, if it is to be `fenced`.
    pub(crate) fn fence(&self, fenced: bool, ttl: Ttl) -> Result<Option<Duration>, InvalidTtl> {
        let (ttl, fence_expiry) = (ttl.duration(), self.fence_expiry);
        if fenced && fence_expiry < ttl {
            return Err(InvalidTtl::OutlivesFence { ttl, fence_expiry });
        }
        Ok(fenced.then_some(fence_expiry))
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.close();
    }
}
