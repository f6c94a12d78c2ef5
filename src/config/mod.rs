//! What a client is built from. A `Config` that exists is valid.

mod error;
mod parse;
mod parts;
mod server;
mod shown;
#[cfg(feature = "tls")]
mod tls;

pub use error::ConfigError;
pub use parts::{Location, ServerParts};
pub use server::Server;
#[cfg(feature = "tls")]
pub use tls::Tls;

use crate::{
    decision::{Drift, LONGEST_TTL, Retry},
    fault_injection::InjectedFault,
    fence,
};
use std::{collections::HashSet, num::NonZeroUsize, time::Duration};

/// The most bytes of an id, which travels with each operation.
const LONGEST_ID: usize = 1024;

/// A configuration that was checked.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// At least one, each of at least one server.
    pub(crate) groups: Vec<Vec<Server>>,
    pub(crate) id: String,
    pub(crate) drift: Drift,
    pub(crate) retry: Retry,
    pub(crate) acquire_timeout: Option<Duration>,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) key_prefix: Vec<u8>,
    pub(crate) remember: Option<NonZeroUsize>,
    pub(crate) fenced: bool,
    pub(crate) fence_expiry: Duration,
    pub(crate) restart_guard: Option<Duration>,
    pub(crate) connection: ConnectionConfig,
}

/// How the connection to each server is watched and made again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionConfig {
    pub(crate) heartbeat_interval: Duration,
    pub(crate) heartbeat_timeout: Duration,
    pub(crate) reconnect_min: Duration,
    pub(crate) reconnect_max: Duration,
}

/// Builds a [`Redlock`](crate::Redlock).
///
/// # Default
///
/// | setting | default |
/// |---|---|
/// | [`servers`](Self::servers) | one, `redis://localhost:6379` |
/// | [`group`](Self::group) | none but the group of `servers` |
/// | [`id`](Self::id) | the machine's hostname |
/// | [`drift`](Self::drift) | fixed, 100 ms |
/// | [`retry`](Self::retry) | 3 retries, each after a random wait of at most 100 ms |
/// | [`acquire_timeout`](Self::acquire_timeout) | none: `acquire` waits for as long as it takes |
/// | [`attempt_timeout`](Self::attempt_timeout) | a tenth of the ttl, at least 50 ms, at most 1 s, and at least four round trips |
/// | [`key_prefix`](Self::key_prefix) | none |
/// | [`remember`](Self::remember) | no locks |
/// | [`fenced`](Self::fenced) | only the locks that ask for it |
/// | [`fence_expiry`](Self::fence_expiry) | 7 days |
/// | [`restart_guard`](Self::restart_guard) | none |
/// | [`heartbeat_interval`](Self::heartbeat_interval) | 1 s |
/// | [`heartbeat_timeout`](Self::heartbeat_timeout) | 1 s |
/// | [`reconnect`](Self::reconnect) | after 50 ms, doubling up to 5 s, with jitter |
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct Builder {
    groups: Vec<Result<Vec<Server>, ConfigError>>,
    /// Whether any of them was set by `group`.
    has_groups: bool,
    id: Option<String>,
    drift: Drift,
    retry: Retry,
    acquire_timeout: Option<Duration>,
    attempt_timeout: Option<Duration>,
    key_prefix: Vec<u8>,
    remember: Option<usize>,
    fenced: bool,
    fence_expiry: Duration,
    restart_guard: Option<Duration>,
    connection: ConnectionConfig,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            groups: Vec::new(),
            has_groups: false,
            id: None,
            drift: Drift::default(),
            retry: Retry::default(),
            acquire_timeout: None,
            attempt_timeout: None,
            key_prefix: Vec::new(),
            remember: None,
            fenced: false,
            fence_expiry: Duration::from_secs(7 * 24 * 60 * 60),
            restart_guard: None,
            connection: ConnectionConfig {
                heartbeat_interval: Duration::from_secs(1),
                heartbeat_timeout: Duration::from_secs(1),
                reconnect_min: Duration::from_millis(50),
                reconnect_max: Duration::from_secs(5),
            },
        }
    }
}

impl Builder {
    /// Sets the servers of the first group, in place of those that an earlier call set: addresses, or [`Server`]s with more settings.
    ///
    /// After [`group`](Self::group) it is an error in [`build`](Self::build), since it would replace all groups.
    ///
    /// They have to be independent: neither replicas of each other nor nodes of one cluster. An odd number is best,
    /// since four servers bear the loss of no more than three do.
    ///
    /// See [`Server::parse`] for the forms an address can have. A wrong one becomes an error in
    /// [`build`](Self::build).
    pub fn servers<I>(mut self, servers: I) -> Self
    where
        I: IntoIterator<Item: TryInto<Server, Error: Into<ConfigError>>>,
    {
        if self.has_groups {
            let groups = self.groups.len();
            self.groups.push(Err(ConfigError::ServersAfterGroup { groups }));
        } else {
            self.groups = vec![parse_all(servers, ConfigError::NoServer)];
        }
        self
    }

    /// Adds a group of servers with a majority of its own: how one outgrows a single set of servers.
    ///
    /// Each resource belongs to one group, which [`group_of`](crate::Redlock::group_of) tells. A lock needs a majority of
    /// that group and asks no other. The client is [connected](crate::Redlock::connected) while every group has its
    /// majority; while one has not, the resources of the others can be locked as before.
    ///
    /// A group is known by its place in the list, so **all processes have to list the groups in the same order, and a new
    /// one goes at the end.** The name of a resource says where it belongs, by consistent hashing; the key prefix plays no
    /// part. As in a Redis Cluster, of a name with braces, `{user:7}.mail`, only the tag in the first pair of them counts,
    /// unless it is empty. Resources that are locked together have to belong to one group, so give them a common tag.
    ///
    /// # When a group is added
    ///
    /// From n groups to n + 1, about one resource in n + 1 moves, and only to the new group. The locks that are held do not
    /// move along: **a process with the old list and one with the new list do not exclude each other from the resources
    /// that moved.** So first let all locks end, by stopping every process or by waiting for the longest ttl while none
    /// locks, and only then start with the new list. The same goes for removing the last group. No other can be
    /// removed, as every group after it would get another place. To exchange servers within a group moves nothing, but
    /// the new servers know nothing of the locks that are held, so the same care is due there.
    ///
    /// # Example
    ///
    /// ```
    /// # use multiredlock::Redlock;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let redlock = Redlock::builder()
    ///     .group(["memory://a", "memory://b", "memory://c"])
    ///     .group(["memory://d", "memory://e", "memory://f"])
    ///     .build()?;
    /// assert_eq!(redlock.group_of("order:1")?, 0);
    /// assert_eq!(redlock.group_of("{user:7}.mail")?, redlock.group_of("{user:7}.files")?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn group<I>(mut self, servers: I) -> Self
    where
        I: IntoIterator<Item: TryInto<Server, Error: Into<ConfigError>>>,
    {
        let group = self.groups.len();
        self.groups.push(parse_all(servers, ConfigError::EmptyGroup { group }));
        self.has_groups = true;
        self
    }

    /// Sets the id of this client, at most 1024 bytes. Other clients see it as the owner of a lock.
    ///
    /// Every lock's value begins with it. It is also the name of the connections in `CLIENT LIST`, in which characters that a
    /// name cannot contain become `_`.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets how much the clocks of the servers may drift apart while a lock is held. It is taken off the validity.
    pub fn drift(mut self, drift: Drift) -> Self {
        self.drift = drift;
        self
    }

    /// Sets how often a lock is tried again; [`set_retry`](crate::Redlock::set_retry) changes it later.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets how long [`acquire`](crate::Redlock::acquire) and [`using`](crate::Redlock::using) wait for a lock, also through an outage.
    /// By default they have no limit and wait for as long as it takes.
    ///
    /// [`timeout`](crate::future::AcquireRequest::timeout) overrides it for one call; `Duration::MAX` is no limit there. The limit must
    /// be longer than 0. A lock that is not acquired in this time is a [`TimedOut`](crate::LockError::TimedOut) error, which names the
    /// limit.
    ///
    /// ```
    /// # use multiredlock::{LockError, Redlock, testing::MemoryServer};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = MemoryServer::new();
    /// let limit = Duration::from_secs(30);
    /// let redlock = Redlock::builder().servers([&server]).acquire_timeout(limit).build()?;
    ///
    /// server.crash();
    /// let error = redlock.acquire("console", Duration::from_secs(10)).await.unwrap_err();
    /// assert!(matches!(error, LockError::TimedOut { waited, .. } if waited == limit));
    /// # Ok(())
    /// # }
    /// ```
    pub fn acquire_timeout(mut self, longest: Duration) -> Self {
        self.acquire_timeout = Some(longest);
        self
    }

    /// Sets how long a server may leave an operation unanswered. It must be longer than 0.
    ///
    /// The time counts from when the operation was sent or from the last answer of that server, whichever is later. A server
    /// that takes longer counts as silent. Set it to no less than a few round trips.
    ///
    /// # Default
    ///
    /// A tenth of the ttl, at least 50 ms and at most 1 s, and at least four measured round trips of that server.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// Sets what is put before every resource to make the Redis key.
    pub fn key_prefix(mut self, prefix: impl AsRef<[u8]>) -> Self {
        self.key_prefix = prefix.as_ref().to_vec();
        self
    }

    /// Remembers up to this many locks, at least one, so that [`held`](crate::Redlock::held) gives them back by name.
    ///
    /// A lock is forgotten when it is unlocked or its validity is over. If there are more locks than this, the one is
    /// forgotten that was used least recently; it stays locked.
    pub fn remember(mut self, capacity: usize) -> Self {
        self.remember = Some(capacity);
        self
    }

    /// Gives every lock a fencing token: [`Lock::token`](crate::Lock::token), [`Guard::token`](crate::Guard::token).
    ///
    /// A lock that is asked for after another was granted on the same resource has a larger token, whatever became of the ttl
    /// of the first.
    /// The servers store it in a key of its own beside the lock's, `{key}:fence:{{key}}`, so the user needs access to that
    /// and to the commands `TIME`, `GET` and `SET`. No resource can have such a name. If another program stores something
    /// there, the lock is refused and nothing changes. All processes that lock the resource have to ask for tokens: a lock
    /// without one is in nobody's order.
    ///
    /// ```
    /// # use multiredlock::Redlock;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let servers = ["memory://a", "memory://b", "memory://c"];
    /// let redlock = Redlock::builder().servers(servers).fenced().build()?;
    /// let first = redlock.lock("invoice:7", Duration::from_secs(10)).await?;
    /// redlock.unlock(&first).await?;
    /// let second = redlock.lock("invoice:7", Duration::from_secs(10)).await?;
    /// // Send the token with each write. The storage refuses a smaller one than it has seen.
    /// assert!(second.token() > first.token());
    /// # Ok(())
    /// # }
    /// ```
    pub fn fenced(mut self) -> Self {
        self.fenced = true;
        self
    }

    /// Sets how long a server remembers the token of a fenced lock after the lock was granted or renewed last. It must not
    /// be below the ttl of such a lock.
    ///
    /// A token is never below the server's time in microseconds, so that they go on growing also after one was forgotten, as
    /// long as no server's clock is set back by as much, nor is behind another's by as much less a second. All processes
    /// should set the same: each lock sets how long its token is remembered anew. It must be at least 2 s, as a token may be
    /// ahead of a server's time by a second, and must not exceed 2^53 ms.
    pub fn fence_expiry(mut self, expiry: Duration) -> Self {
        self.fence_expiry = expiry;
        self
    }

    /// Keeps a server that was started again from voting on new locks until `max_ttl` has passed, by when every lock is over
    /// that it may have forgotten. It goes on to renew and unlock what it holds.
    ///
    /// A server that does not write each key to disk before it answers forgets some when it is started again, and then the
    /// resource can be granted twice. With this a server does not vote while it has been up for less than `max_ttl`, nor for
    /// that long once its `run_id` is another than before, as when another process took its place, or its replication history
    /// is (`master_replid`), as when a replica became the master. A new process does not know since when a server is a master
    /// that remembers that it was a replica (`master_replid2`), and waits for as long, until it is started again. The
    /// [Redis page on distributed locks](https://redis.io/docs/latest/develop/use/patterns/distributed-locks/) calls it a
    /// delayed restart. [`servers`](crate::Redlock::servers) tells such a server as down, with
    /// [`Restarted`](crate::status::DownReason::Restarted) and the time that is left. One that does not let us look (`INFO`) waits
    /// after each connection.
    ///
    /// All processes that lock have to set it, to no less than the longest ttl that any of them uses. A longer ttl is refused
    /// here.
    ///
    /// ```
    /// # use multiredlock::{Redlock, testing::MemoryServer};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let servers = [MemoryServer::new(), MemoryServer::new(), MemoryServer::new()];
    /// let longest_ttl = Duration::from_secs(30);
    /// let redlock = Redlock::builder().servers(&servers).restart_guard(longest_ttl).build()?;
    /// // These servers have just started, so they do not vote before 30 s have passed.
    /// redlock.wait_connected().timeout(Duration::from_secs(31)).await?;
    /// let refused = redlock.lock("invoice:7", Duration::from_secs(31)).await.unwrap_err();
    /// assert_eq!(refused.to_string(), "ttl (31s) must not exceed the longest that the restart guard is for (30s)");
    /// # Ok(())
    /// # }
    /// ```
    pub fn restart_guard(mut self, max_ttl: Duration) -> Self {
        self.restart_guard = Some(max_ttl);
        self
    }

    /// Sets how long a connection may be silent before the server is sent a PING. It must be longer than 0.
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.connection.heartbeat_interval = interval;
        self
    }

    /// Sets how long a PING may go unanswered before the server counts as down, and each question while a connection is made. It
    /// must be longer than 0. Servers work whose round trip is up to half of this; making a connection takes some nine round trips.
    pub fn heartbeat_timeout(mut self, timeout: Duration) -> Self {
        self.connection.heartbeat_timeout = timeout;
        self
    }

    /// Sets the shortest and the longest wait before a server that is down is connected to again.
    ///
    /// The wait doubles from `min` to `max`, and each is shortened at random by up to a half. `min` must be longer than
    /// 0 and not above `max`.
    pub fn reconnect(mut self, min: Duration, max: Duration) -> Self {
        self.connection.reconnect_min = min;
        self.connection.reconnect_max = max;
        self
    }

    /// Checks everything.
    pub(crate) fn check(self) -> Result<Config, ConfigError> {
        let mut groups = self.groups.into_iter().collect::<Result<Vec<_>, _>>()?;
        if groups.is_empty() {
            groups.push(vec![Server::new("localhost")]);
        }
        check_groups(&groups)?;
        let ConnectionConfig {
            heartbeat_interval,
            heartbeat_timeout,
            reconnect_min: min,
            reconnect_max: max,
        } = self.connection;
        for (name, duration) in [
            ("acquire_timeout", self.acquire_timeout.unwrap_or(Duration::MAX)),
            ("attempt_timeout", self.attempt_timeout.unwrap_or(Duration::MAX)),
            ("heartbeat_interval", heartbeat_interval),
            ("heartbeat_timeout", heartbeat_timeout),
            ("the shortest wait before a reconnection", min),
            ("restart_guard", self.restart_guard.unwrap_or(Duration::MAX)),
        ] {
            if duration.is_zero() {
                return Err(ConfigError::Zero { name });
            }
        }
        if min > max {
            return Err(ConfigError::Reconnect { min, max });
        }
        let fence_expiry = self.fence_expiry;
        let (shortest, longest) = (fence::SHORTEST_EXPIRY, LONGEST_TTL);
        if fence_expiry > longest {
            return Err(ConfigError::FenceExpiry { fence_expiry, longest });
        }
        if fence_expiry < shortest && !InjectedFault::FenceForgottenSoon.is_on() {
            return Err(ConfigError::ShortFenceExpiry { fence_expiry, shortest });
        }
        let remember = match self.remember {
            None => None,
            Some(capacity) => Some(NonZeroUsize::new(capacity).ok_or(ConfigError::RemembersNothing)?),
        };
        let id = match self.id {
            Some(id) => id,
            None => hostname::get()
                .map_err(|error| ConfigError::Hostname(error.to_string()))?
                .to_string_lossy()
                .into_owned(),
        };
        if id.len() > LONGEST_ID {
            return Err(ConfigError::LongId {
                length: id.len(),
                longest: LONGEST_ID,
            });
        }
        Ok(Config {
            groups,
            id,
            drift: self.drift,
            retry: self.retry,
            acquire_timeout: self.acquire_timeout,
            attempt_timeout: self.attempt_timeout,
            key_prefix: self.key_prefix,
            remember,
            fenced: self.fenced,
            fence_expiry: self.fence_expiry,
            restart_guard: self.restart_guard,
            connection: self.connection,
        })
    }
}

fn parse_all<I>(servers: I, if_none: ConfigError) -> Result<Vec<Server>, ConfigError>
where
    I: IntoIterator<Item: TryInto<Server, Error: Into<ConfigError>>>,
{
    let servers = servers.into_iter().map(|server| server.try_into().map_err(Into::into));
    let servers = servers.collect::<Result<Vec<_>, _>>()?;
    if servers.is_empty() { Err(if_none) } else { Ok(servers) }
}

/// Checks that no server is there twice, neither in its group nor in another.
fn check_groups(groups: &[Vec<Server>]) -> Result<(), ConfigError> {
    let mut before: Vec<HashSet<String>> = Vec::new();
    for (second, servers) in groups.iter().enumerate() {
        let mut places = HashSet::new();
        for server in servers {
            server.check()?;
            let own = server.places();
            if !own.is_disjoint(&places) {
                return Err(ConfigError::DuplicateServer(server.address()));
            }
            places.extend(own);
        }
        // Said first, since of such a group each server is there twice.
        if let Some(first) = before.iter().position(|other| *other == places) {
            return Err(ConfigError::DuplicateGroup { first, second });
        }
        let is_elsewhere = |server: &&Server| before.iter().any(|other| !other.is_disjoint(&server.places()));
        if let Some(server) = servers.iter().find(is_elsewhere) {
            return Err(ConfigError::DuplicateServer(server.address()));
        }
        before.push(places);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
