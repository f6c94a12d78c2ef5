//! Where servers are.

mod node;

pub(crate) use node::{Node, Sentinels};

use std::{borrow::Borrow, fmt, path::PathBuf, str::FromStr, sync::Arc};

pub(crate) const REDIS_PORT: u16 = 6379;
pub(crate) const SENTINEL_PORT: u16 = 26379;

/// The texts that are read as an [`Address`].
const FORMS: &str = "expected `host:port`, the path of a socket, `memory://name`, `redis-cluster://host:port` or \
                     `redis-sentinel://service@host:port`";

/// The address of a server, as errors, events and logs show it. It holds no secret.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(Arc<str>);

impl Address {
    pub(crate) fn of(endpoint: &Endpoint) -> Self {
        let first = |nodes: &[Node]| nodes.first().map(Node::to_string).unwrap_or_default();
        Self(match endpoint {
            Endpoint::Tcp { host, port } => Node::from((host, *port)).to_string().into(),
            Endpoint::Unix(path) => path.to_string_lossy().into(),
            Endpoint::Cluster(nodes) => format!("redis-cluster://{}", first(nodes)).into(),
            Endpoint::Sentinel(Sentinels { service, nodes, .. }) => {
                format!("redis-sentinel://{service}@{}", first(nodes)).into()
            }
            Endpoint::Memory(name) => format!("memory://{name}").into(),
        })
    }

    /// Returns it as text: `host:port`, a socket's path, `memory://name`, `redis-cluster://host:port` with the node that was
    /// named first, or `redis-sentinel://service@host:port` with the sentinel that was named first.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Address {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// So that a map from addresses is searched by text.
impl Borrow<str> for Address {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Address {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl PartialEq<&str> for Address {
    fn eq(&self, other: &&str) -> bool {
        *self.0 == **other
    }
}

/// Reads the forms that [`as_str`](Address::as_str) returns. A port that is missing is the usual one.
///
/// ```
/// use multiredlock::{Address, Server};
///
/// let address: Address = "LOCALHOST".parse()?;
/// assert_eq!(address, Server::new("localhost").address());
/// assert_eq!(address, "localhost:6379");
/// # Ok::<_, multiredlock::error::AddressProblem>(())
/// ```
impl FromStr for Address {
    type Err = AddressProblem;

    fn from_str(text: &str) -> Result<Self, AddressProblem> {
        let syntax = || AddressProblem::Syntax(FORMS.into());
        let node = |text, port| Node::parse(text, port).ok_or_else(syntax);
        let endpoint = match text.split_once("://") {
            Some(("memory", name)) if !name.is_empty() => Endpoint::Memory(name.into()),
            Some(("redis-cluster", first)) => Endpoint::Cluster(vec![node(first, REDIS_PORT)?]),
            Some(("redis-sentinel", rest)) => {
                let (service, first) = rest
                    .rsplit_once('@')
                    .filter(|(service, _)| !service.is_empty())
                    .ok_or_else(syntax)?;
                Endpoint::Sentinel(Sentinels {
                    service: service.into(),
                    nodes: vec![node(first, SENTINEL_PORT)?],
                    username: None,
                    password: None,
                })
            }
            None if text.contains('/') => Endpoint::Unix(text.into()),
            _ => node(text, REDIS_PORT)?.endpoint(),
        };
        Ok(Self::of(&endpoint))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a server is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    Tcp {
        host: String,
        port: u16,
    },
    Unix(PathBuf),
    /// A cluster. Any of these nodes names the others.
    Cluster(Vec<Node>),
    /// Whichever master these name.
    Sentinel(Sentinels),
    Memory(String),
}

impl Endpoint {
    /// What kind of server is there.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Tcp { .. } => "a server at one host",
            Self::Unix(_) => "a Unix socket",
            Self::Cluster(_) => "a cluster",
            Self::Sentinel(_) => "a master that sentinels name",
            Self::Memory(_) => "an in-memory server",
        }
    }
}

/// What is wrong with a server address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressProblem {
    /// It is not a URL, `host`, or `host:port`: what the URL parser says.
    #[error("{0}")]
    Syntax(String),
    /// The scheme is none of those that are understood.
    #[error(
        "unknown scheme `{0}`, expected redis, rediss, valkey or valkeys, each also with -cluster or -sentinel, \
         redis+unix, or memory"
    )]
    Scheme(String),
    /// There is no host, or no path of a socket, or no name of a service or an in-memory server.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// The user name or the password has a character that ends it: `/`, `?` and `#` have to be percent-encoded, and `@` wherever
    /// it does not end them.
    #[error("`/`, `?`, `#` and `@` in a user name or password have to be percent-encoded")]
    Credentials,
    /// The address of a Unix socket or of an in-memory server begins with what looks like credentials.
    #[error("neither a socket nor an in-memory server is named with credentials")]
    NoCredentials,
    /// The port is not between 1 and 65535.
    #[error("port {0} is not between 1 and 65535")]
    Port(String),
    /// What follows the host is not a number of at most five digits. It is not shown, since it may be a part of a password.
    #[error("the text after the `:` is not a port (1 to 65535)")]
    NotAPort,
    /// The host is an IPv6 address without its brackets.
    #[error("an IPv6 address stands in brackets, such as `[::1]:6379`")]
    Brackets,
    /// The database is not between 0 and 255.
    #[error("database {0} is not between 0 and 255")]
    Database(String),
    /// A cluster has only the database 0.
    #[error("a cluster has no database but 0, and not {0}")]
    ClusterDatabase(u8),
    /// The nodes of a cluster cannot be untrusted.
    #[error("a cluster cannot be untrusted")]
    ClusterUntrusted,
    /// A setting was set that this kind of server does not have.
    #[error("`{setting}` does not apply to {kind}")]
    #[non_exhaustive]
    Inapplicable {
        /// The method of [`Server`](crate::Server), with the value unless that may be secret.
        setting: String,
        /// The kind of server.
        kind: &'static str,
    },
    /// The host is neither a name nor an IP address.
    #[error("the host is neither a name nor an IP address")]
    Host,
    /// The URL has a query parameter that means nothing here: its name.
    #[error("query parameter `{0}` is not understood")]
    Parameter(String),
    /// The URL has a query parameter twice of which there can be one: its name.
    #[error("query parameter `{0}` is given twice")]
    Repeated(&'static str),
    /// A query parameter is neither `true` nor `false`: its name.
    #[error("query parameter `{0}` is neither `true` nor `false`")]
    Flag(&'static str),
    /// A query parameter that names one more node is neither `host` nor `host:port`.
    #[error("query parameter `node` is neither `host` nor `host:port`")]
    Node,
    /// The URL has a fragment, which means nothing here.
    #[error("a fragment is not understood")]
    Fragment,
    /// The address asks for TLS, which this build does not have. It is never replaced by plaintext.
    #[error("TLS is asked for, but the crate was built without its feature `tls`")]
    NoTls,
    /// A Unix socket and an in-memory server have no TLS.
    #[error("neither a Unix socket nor an in-memory server can use TLS")]
    NotOverTls,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Server;

    #[test]
    fn every_address_that_is_shown_is_read_again() {
        for server in [
            Server::new("Redis-1.example.com").port(6380),
            Server::new("::1"),
            Server::unix("/run/redis.sock"),
            Server::memory("a b"),
            Server::cluster([("a", 7000), ("b", 7001)]),
            Server::sentinel("m@y", [("::1", 26379)]),
        ] {
            let address = server.address();
            assert_eq!(address.as_str().parse(), Ok(address.clone()));
            assert_eq!(address, address.as_str());
        }
        let read = |text: &str| text.parse::<Address>().unwrap().to_string();
        assert_eq!(read("H"), "h:6379");
        assert_eq!(read("redis-sentinel://s@h"), "redis-sentinel://s@h:26379");
    }

    #[test]
    fn what_is_no_address_is_refused_without_a_part_of_it() {
        for text in [
            "",
            "h:0",
            "u:hunter2@h:1",
            "redis://h:1",
            "memory://",
            "redis-cluster://",
            "redis-cluster://u:hunter2@h:1",
            "redis-sentinel://h:1",
            "redis-sentinel://@h:1",
        ] {
            let problem = text.parse::<Address>().unwrap_err();
            assert_eq!(problem.to_string(), FORMS, "{text}");
        }
    }

    #[test]
    fn a_map_from_addresses_is_searched_by_text() {
        let servers = std::collections::HashMap::from([(Server::new("h").address(), 1)]);
        assert_eq!(servers.get("h:6379"), Some(&1));
    }
}
