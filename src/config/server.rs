//! One server and how to reach it, with credentials; and what tells it apart from the others, without.

#[cfg(feature = "tls")]
use super::Tls;
use super::address::{parse, without_credentials};
use crate::error::{AddressProblem, ConfigError};
use std::{
    convert::Infallible,
    fmt,
    net::Ipv6Addr,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

const DEFAULT_PORT: u16 = 6379;

/// Which server: what tells it apart from the others in errors, events and logs. It holds no secret.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(Arc<str>);

impl Address {
    /// Returns it as text: `host:port`, a socket's path, or `memory://name`.
    pub fn as_str(&self) -> &str {
        &self.0
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
    Memory(String),
}

/// One server and how to reach it.
///
/// ```
/// use multiredlock::Server;
///
/// let typed = Server::new("10.0.0.2").port(6380).username("billing").password("secret").database(3);
/// assert_eq!(typed, "redis://billing:secret@10.0.0.2:6380/3".parse()?);
/// # Ok::<_, multiredlock::ConfigError>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Server {
    pub(crate) endpoint: Endpoint,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: u8,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Tls>,
}

impl Server {
    /// A server at this host (a name, an IPv4 or an IPv6 address), at port 6379.
    pub fn new(host: impl Into<String>) -> Self {
        Self::at(Endpoint::Tcp {
            host: host.into(),
            port: DEFAULT_PORT,
        })
    }

    /// A server at this Unix socket.
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self::at(Endpoint::Unix(path.as_ref().to_owned()))
    }

    pub(crate) fn memory(name: impl Into<String>) -> Self {
        Self::at(Endpoint::Memory(name.into()))
    }

    fn at(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            username: None,
            password: None,
            database: 0,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Reads an address:
    ///
    /// | form | server |
    /// |---|---|
    /// | `host`, `host:port` | as `redis://` |
    /// | `redis://[[user]:password@]host[:port][/database]`, `valkey://…` | over TCP, port 6379 and database 0 unless given |
    /// | `rediss://…`, `valkeys://…` | the same over TLS; needs the feature `tls` |
    /// | `redis+unix:///path` | at a Unix socket |
    /// | `memory://name` | an in-memory server of this process, see [`testing`](crate::testing) |
    ///
    /// User and password are percent-decoded.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Address`] for anything else: a part that means nothing here is an error, never ignored.
    pub fn parse(address: &str) -> Result<Self, ConfigError> {
        parse(address).map_err(|problem| ConfigError::Address {
            address: without_credentials(address),
            problem,
        })
    }

    /// Sets the port, 1 to 65535. It means nothing at a Unix socket or in memory.
    #[must_use]
    pub fn port(mut self, new: u16) -> Self {
        if let Endpoint::Tcp { port, .. } = &mut self.endpoint {
            *port = new;
        }
        self
    }

    /// Sets the name of the ACL user.
    #[must_use]
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// Sets the password, which is never printed.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Sets the number of the database. Locks in different databases of a server do not exclude each other.
    #[must_use]
    pub fn database(mut self, database: u8) -> Self {
        self.database = database;
        self
    }

    /// Connects over TLS.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Returns the address, without credentials.
    pub fn address(&self) -> Address {
        Address(match &self.endpoint {
            Endpoint::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}").into(),
            Endpoint::Tcp { host, port } => format!("{}:{port}", host.to_ascii_lowercase()).into(),
            Endpoint::Unix(path) => path.to_string_lossy().into(),
            Endpoint::Memory(name) => format!("memory://{name}").into(),
        })
    }

    /// Checks what the setters could not.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let problem = match &self.endpoint {
            Endpoint::Tcp { host, .. } if host.is_empty() => AddressProblem::Missing("the host"),
            Endpoint::Tcp { host, .. } if !is_host(host) => AddressProblem::Host,
            Endpoint::Tcp { port: 0, .. } => AddressProblem::Port("0".into()),
            Endpoint::Unix(path) if path.as_os_str().is_empty() => AddressProblem::Missing("the path of the socket"),
            Endpoint::Memory(name) if name.is_empty() => AddressProblem::Missing("the name"),
            _ => return Ok(()),
        };
        Err(ConfigError::Address {
            address: without_credentials(self.address().as_str()),
            problem,
        })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut server = f.debug_struct("Server");
        server.field("address", &self.address());
        server.field("username", &self.username);
        server.field("password", &self.password.as_ref().map(|_| "…"));
        server.field("database", &self.database);
        #[cfg(feature = "tls")]
        server.field("tls", &self.tls);
        server.finish_non_exhaustive()
    }
}

impl FromStr for Server {
    type Err = ConfigError;

    fn from_str(address: &str) -> Result<Self, ConfigError> {
        Self::parse(address)
    }
}

impl TryFrom<&str> for Server {
    type Error = ConfigError;

    fn try_from(address: &str) -> Result<Self, ConfigError> {
        Self::parse(address)
    }
}

impl TryFrom<String> for Server {
    type Error = ConfigError;

    fn try_from(address: String) -> Result<Self, ConfigError> {
        Self::parse(&address)
    }
}

impl TryFrom<&&str> for Server {
    type Error = ConfigError;

    fn try_from(address: &&str) -> Result<Self, ConfigError> {
        Self::parse(address)
    }
}

impl From<&Server> for Server {
    fn from(server: &Server) -> Self {
        server.clone()
    }
}

impl TryFrom<&String> for Server {
    type Error = ConfigError;

    fn try_from(address: &String) -> Result<Self, ConfigError> {
        Self::parse(address)
    }
}

/// A typed [`Server`] needs no parsing, so that cannot fail.
impl From<Infallible> for ConfigError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

fn is_host(host: &str) -> bool {
    let has_other_parts = host.contains([':', '/', '@', '?', '#', '[', ']']) || host.contains(char::is_whitespace);
    !has_other_parts || host.parse::<Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for host in ["10.0.0.1", "::1", "redis-1.example.com"] {
            assert_eq!(Server::new(host).check(), Ok(()), "{host}");
        }
        for host in ["", "10.0.0.1:6380", "redis://h", "[::1]", "a b", "u:p@h"] {
            assert!(Server::new(host).check().is_err(), "{host}");
        }
    }
}
