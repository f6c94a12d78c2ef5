//! The settings of a server, as users read them.

use super::Server;
use crate::address::{Endpoint, Node};
use std::{fmt, path::Path};

/// The settings of a [`Server`], from [`Server::parts`].
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ServerParts<'a> {
    /// Where it is.
    pub location: Location<'a>,
    /// The user name, if one is set.
    pub username: Option<&'a str>,
    /// The password, if one is set. `Debug` does not print it.
    pub password: Option<&'a str>,
    /// The number of the database.
    pub database: u8,
    /// Whether the connection uses TLS.
    pub is_encrypted: bool,
    /// Whether it is [untrusted](Server::untrusted).
    pub is_untrusted: bool,
}

/// Where a [`Server`] is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Location<'a> {
    /// At a TCP port.
    #[non_exhaustive]
    Tcp {
        /// A name or an IP address, without brackets.
        host: &'a str,
        /// The port.
        port: u16,
    },
    /// At a Unix socket with this path.
    Unix(&'a Path),
    /// In a cluster.
    #[non_exhaustive]
    Cluster {
        /// The host and the port of each node that was named.
        nodes: Vec<(&'a str, u16)>,
    },
    /// At the address that sentinels name.
    #[non_exhaustive]
    Sentinel {
        /// The name of the service.
        service: &'a str,
        /// The host and the port of each sentinel.
        nodes: Vec<(&'a str, u16)>,
    },
    /// In the memory of this process, under this name.
    Memory(&'a str),
}

impl fmt::Debug for ServerParts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerParts")
            .field("location", &self.location)
            .field("username", &self.username)
            .field("password", &self.password.map(|_| "…"))
            .field("database", &self.database)
            .field("is_encrypted", &self.is_encrypted)
            .field("is_untrusted", &self.is_untrusted)
            .finish()
    }
}

impl Server {
    /// Returns the settings of the server, to show them or to connect with another client.
    ///
    /// ```
    /// use multiredlock::{Server, status::Location};
    ///
    /// let server = Server::parse("redis://billing:secret@10.0.0.2/3")?;
    /// let parts = server.parts();
    /// assert!(matches!(parts.location, Location::Tcp { host: "10.0.0.2", port: 6379, .. }));
    /// assert_eq!((parts.username, parts.password, parts.database), (Some("billing"), Some("secret"), 3));
    /// # Ok::<_, multiredlock::ConfigError>(())
    /// ```
    pub fn parts(&self) -> ServerParts<'_> {
        fn pairs(nodes: &[Node]) -> Vec<(&str, u16)> {
            nodes.iter().map(|node| (&*node.host, node.port)).collect()
        }

        ServerParts {
            location: match &self.endpoint {
                Endpoint::Tcp { host, port } => Location::Tcp { host, port: *port },
                Endpoint::Unix(path) => Location::Unix(path),
                Endpoint::Cluster(all) => Location::Cluster { nodes: pairs(all) },
                Endpoint::Sentinel(sentinels) => Location::Sentinel {
                    service: &sentinels.service,
                    nodes: pairs(&sentinels.nodes),
                },
                Endpoint::Memory(name) => Location::Memory(name),
            },
            username: self.username.as_deref(),
            password: self.password.as_deref(),
            database: self.database,
            #[cfg(feature = "tls")]
            is_encrypted: self.tls.is_some(),
            #[cfg(not(feature = "tls"))]
            is_encrypted: false,
            is_untrusted: self.is_untrusted,
        }
    }
}
