//! What a handle is built from. A `Config` that exists is valid.

mod address;
mod server;
#[cfg(feature = "tls")]
mod tls;

pub(crate) use server::Endpoint;
pub use server::{Address, Server};
#[cfg(feature = "tls")]
pub use tls::Tls;

use crate::{
    engine::{Drift, Retry},
    error::ConfigError,
};
use std::{collections::HashSet, time::Duration};

/// A configuration that was checked.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) servers: Vec<Server>,
    pub(crate) id: String,
    pub(crate) drift: Drift,
    pub(crate) retry: Retry,
    pub(crate) round_timeout: Option<Duration>,
    pub(crate) key_prefix: Vec<u8>,
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
/// | [`id`](Self::id) | the machine's hostname |
/// | [`drift`](Self::drift) | fixed, 100 ms |
/// | [`retry`](Self::retry) | 3 retries, each after a random wait of at most 100 ms |
/// | [`round_timeout`](Self::round_timeout) | a tenth of the ttl, at least 50 ms, at most 1 s |
/// | [`key_prefix`](Self::key_prefix) | none |
/// | [`heartbeat_interval`](Self::heartbeat_interval) | 1 s |
/// | [`heartbeat_timeout`](Self::heartbeat_timeout) | 1 s |
/// | [`reconnect`](Self::reconnect) | after 50 ms, doubling up to 5 s, with jitter |
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct Builder {
    servers: Option<Result<Vec<Server>, ConfigError>>,
    id: Option<String>,
    drift: Drift,
    retry: Retry,
    round_timeout: Option<Duration>,
    key_prefix: Vec<u8>,
    connection: ConnectionConfig,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            servers: None,
            id: None,
            drift: Drift::default(),
            retry: Retry::default(),
            round_timeout: None,
            key_prefix: Vec::new(),
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
    /// Sets the servers, in place of any that were set before: addresses, or [`Server`]s with more to say.
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
        let servers = servers.into_iter().map(|server| server.try_into().map_err(Into::into));
        self.servers = Some(servers.collect());
        self
    }

    /// Sets the id by which others see who holds a resource. It becomes the first part of every lock's value.
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

    /// Sets how long a round waits for the votes that would decide it. It must be longer than 0.
    pub fn round_timeout(mut self, timeout: Duration) -> Self {
        self.round_timeout = Some(timeout);
        self
    }

    /// Sets what is put before every resource to make the Redis key.
    pub fn key_prefix(mut self, prefix: impl AsRef<[u8]>) -> Self {
        self.key_prefix = prefix.as_ref().to_vec();
        self
    }

    /// Sets how long a connection may be silent before the server is sent a PING. It must be longer than 0.
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.connection.heartbeat_interval = interval;
        self
    }

    /// Sets how long a PING or a connection attempt may go unanswered before the server counts as down. It must be
    /// longer than 0.
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
        let servers = match self.servers {
            Some(servers) => servers?,
            None => vec![Server::new("localhost")],
        };
        if servers.is_empty() {
            return Err(ConfigError::NoServer);
        }
        let mut seen = HashSet::new();
        for server in &servers {
            server.check()?;
            if !seen.insert(server.address()) {
                return Err(ConfigError::DuplicateServer(server.address()));
            }
        }
        if let Some(factor) = self.drift.invalid_factor() {
            return Err(ConfigError::DriftFactor(factor));
        }
        let ConnectionConfig {
            heartbeat_interval,
            heartbeat_timeout,
            reconnect_min: min,
            reconnect_max: max,
        } = self.connection;
        for (name, duration) in [
            ("round_timeout", self.round_timeout.unwrap_or(Duration::MAX)),
            ("heartbeat_interval", heartbeat_interval),
            ("heartbeat_timeout", heartbeat_timeout),
            ("the shortest wait before a reconnection", min),
        ] {
            if duration.is_zero() {
                return Err(ConfigError::Zero { name });
            }
        }
        if min > max {
            return Err(ConfigError::Reconnect { min, max });
        }
        let id = match self.id {
            Some(id) => id,
            None => hostname::get()
                .map_err(|error| ConfigError::Hostname(error.to_string()))?
                .to_string_lossy()
                .into_owned(),
        };
        Ok(Config {
            servers,
            id,
            drift: self.drift,
            retry: self.retry,
            round_timeout: self.round_timeout,
            key_prefix: self.key_prefix,
            connection: self.connection,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(builder: Builder) -> String {
        builder.check().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_those_of_the_original() {
        let config = Builder::default().check().unwrap();
        assert_eq!(config.servers, [Server::new("localhost").port(6379)]);
        assert_eq!(config.id, hostname::get().unwrap().to_str().unwrap());
        assert_eq!(config.drift, Drift::fixed(Duration::from_millis(100)));
        assert_eq!(config.retry, Retry::new(3, Duration::from_millis(100)));
    }

    #[test]
    fn a_wrong_setting_is_named_with_its_value() {
        let builder = Builder::default;
        assert_eq!(error(builder().servers([] as [&str; 0])), "no server is configured");
        assert_eq!(
            error(builder().servers(["redis://a/1", "valkey://user:secret@A:6379/2"])),
            "server a:6379 is configured twice"
        );
        assert_eq!(
            error(builder().servers(["a", "http://b"])),
            "server address `http://b`: unknown scheme `http`, expected redis, rediss, valkey, valkeys, redis+unix, or memory"
        );
        assert_eq!(
            error(builder().drift(Drift::factor(1.5))),
            "drift factor 1.5 must be at least 0 and below 1"
        );
        assert_eq!(
            error(builder().heartbeat_timeout(Duration::ZERO)),
            "heartbeat_timeout must be longer than 0"
        );
        assert_eq!(
            error(builder().reconnect(Duration::from_secs(2), Duration::from_secs(1))),
            "the shortest wait before a reconnection (2s) must not exceed the longest (1s)"
        );
        assert_eq!(
            error(builder().servers([Server::new("a").port(0)])),
            "server address `a:0`: port 0 is not between 1 and 65535"
        );
    }
}
