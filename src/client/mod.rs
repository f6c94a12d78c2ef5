//! What all clones of a client share.

mod closing;
mod options;
mod remembered;

pub use options::InvalidRequest;
pub(crate) use options::{Options, Prepared, not_zero};

use crate::{
    address::Address,
    config::{Config, ConfigError, Server},
    decision::{Drift, Retry, grouping::common_group},
    group::Group,
    lock::Lock,
    monitor::{Monitor, ServerId},
    resource::{InvalidResource, LONGEST, Resources},
    runtime::Runtime,
    server::{Connector, Operation, Pipeline, RestartGuard, Supervisor, UnderWay},
};
use closing::Closing;
use remembered::Remembered;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};
use tracing::warn;

/// How long an unlock is kept for a server that is down if it is not known when the key expires.
const KEEP_UNLOCK: Duration = Duration::from_secs(60);

/// What all clones of a client share. The tasks share only its parts, so that it is dropped with the last clone.
#[derive(Debug)]
pub(crate) struct Core {
    /// At least one.
    pub(crate) groups: Vec<Arc<Group>>,
    pub(crate) closing: Arc<Closing>,
    /// Where the tasks of the client run.
    pub(crate) runtime: Runtime,
    /// Of requests that set nothing else.
    drift: Drift,
    /// Of `acquire` without a limit of its own.
    pub(crate) acquire_timeout: Option<Duration>,
    pub(crate) attempt_timeout: Option<Duration>,
    fenced: bool,
    fence_expiry: Duration,
    /// The longest ttl, if that matters when a server is started again.
    restart_guard: Option<Duration>,
    key_prefix: Vec<u8>,
    pub(crate) remembered: Option<Remembered>,
    pub(crate) retry: Mutex<Retry>,
    pub(crate) monitor: Arc<Monitor>,
    /// Ends the supervisors if it is true or dropped.
    pub(crate) shutdown: watch::Sender<bool>,
}

impl Core {
    /// Starts the tasks that connect to the servers.
    pub(crate) fn start(config: &Config) -> Result<Self, ConfigError> {
        let runtime = Runtime::current().map_err(|_| ConfigError::NoRuntime)?;
        let connectors = config.groups.iter().flatten().map(|server| {
            Connector::new(server, config).map_err(|problem| ConfigError::Tls {
                server: server.address(),
                problem,
            })
        });
        let connectors = connectors.collect::<Result<Vec<_>, _>>()?;
        for server in config
            .groups
            .iter()
            .flatten()
            .filter(|server| server.is_memory_by_address())
        {
            warn!(server = %server.address(), "in-memory server: locks exclude nobody outside of this process");
        }

        let core = Self::new(config, runtime.clone());
        for (server, (connector, pipeline)) in connectors.into_iter().zip(core.pipelines()).enumerate() {
            let closing = Arc::clone(&core.closing);
            let supervisor = Supervisor {
                server: ServerId(server),
                connector,
                pipeline: Arc::clone(pipeline),
                monitor: Arc::clone(&core.monitor),
                under_way: Arc::clone(&core.closing.under_way),
                closing,
                config: config.connection,
                drift: config.drift,
                restart_guard: config.restart_guard.map(RestartGuard::new),
                closed: core.shutdown.subscribe(),
            };
            runtime.spawn(supervisor.run());
        }
        Ok(core)
    }

    fn new(config: &Config, runtime: Runtime) -> Self {
        let under_way = Arc::<UnderWay>::default();
        let group = |servers: &Vec<Server>| {
            let addresses = servers.iter().map(Server::address).collect();
            Group::new(config.id.clone(), addresses, Arc::clone(&under_way))
        };
        let groups: Vec<_> = config.groups.iter().map(group).map(Arc::new).collect();
        let addresses: Vec<&[Address]> = groups.iter().map(|group| &group.servers.addresses[..]).collect();
        let monitor = Arc::new(Monitor::new(&addresses));
        let closing = Closing {
            under_way,
            queues: groups.iter().map(|group| Arc::clone(&group.queues)).collect(),
            monitor: Arc::clone(&monitor),
        };
        Self {
            monitor,
            groups,
            closing: Arc::new(closing),
            runtime,
            drift: config.drift,
            acquire_timeout: config.acquire_timeout,
            attempt_timeout: config.attempt_timeout,
            fenced: config.fenced,
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

    pub(crate) fn close(&self) {
        self.closing.close();
        self.shutdown.send_replace(true);
    }

    /// The group that resources belong to, and their Redis keys.
    pub(crate) fn locate(&self, resources: &Resources) -> Result<(&Arc<Group>, Resources), InvalidResource> {
        let group = self.group_of(resources)?;
        Ok((&self.groups[group], resources.with_prefix(&self.key_prefix)))
    }

    pub(crate) fn group_of(&self, resources: &Resources) -> Result<usize, InvalidResource> {
        resources.check(self.key_prefix.len())?;
        resources.check_no_fence(&self.key_prefix)?;
        common_group(resources, self.groups.len())
    }

    /// Remembers a lock by name, if the client does that.
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
        let expires = lock.lock_state().expires().max(unknown).unwrap_or(now);
        let subject = lock.subject(keys);
        match self.group_of_lock(lock) {
            Ok(group) => self.groups[group].unlock(subject, lock.since(), now, expires),
            Err(error) => {
                warn!(%error, "unlock");
                lock.lock_state().release();
                // No server votes on it, so that it is over at once.
                Arc::new(Operation::unlock(subject, now, expires, 0))
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

    /// The pipelines to all servers, in the order in which the monitor counts them.
    pub(crate) fn pipelines(&self) -> impl Iterator<Item = &Arc<Pipeline>> {
        self.groups.iter().flat_map(|group| &group.servers.pipelines)
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.close();
    }
}
