//! One server and how to reach it, with credentials; and what tells it apart from the others, without.

#[cfg(feature = "tls")]
use super::Tls;
use super::{
    ConfigError,
    parse::{parse, without_credentials},
};
use crate::address::{Address, AddressProblem, Endpoint, Node, REDIS_PORT, Sentinels};
use std::{
    collections::HashSet,
    convert::Infallible,
    fmt,
    hash::{Hash, Hasher},
    path::Path,
    str::FromStr,
};

/// One server and how to reach it.
///
/// ```
/// use multiredlock::Server;
///
/// let typed = Server::new("10.0.0.2").port(6380).username("billing").password("secret").database(3);
/// assert_eq!(typed, "redis://billing:secret@10.0.0.2:6380/3".parse()?);
/// # Ok::<_, multiredlock::ConfigError>(())
/// ```
///
/// Two values are equal if they have the same settings, the password included. `Debug` does not print it. Hosts are compared as they
/// are written. A setting that is set twice has the later value. A setting that this kind of server does not have is an error in
/// [`Builder::build`](crate::Builder::build).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Server {
    pub(crate) endpoint: Endpoint,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: u8,
    pub(crate) is_untrusted: bool,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Tls>,
    /// The first setting that this kind of server does not have.
    pub(super) inapplicable: Option<String>,
    pub(super) is_from_text: FromText,
}

/// Whether the server was read from an address. It makes no difference between servers.
#[derive(Clone, Copy, Default)]
pub(super) struct FromText(bool);

impl PartialEq for FromText {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for FromText {}

impl Hash for FromText {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Server {
    /// A server at this host (a name, an IPv4 or an IPv6 address), at port 6379.
    pub fn new(host: impl Into<String>) -> Self {
        Self::at(Endpoint::Tcp {
            host: host.into(),
            port: REDIS_PORT,
        })
    }

    /// A server at this Unix socket.
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self::at(Endpoint::Unix(path.as_ref().to_owned()))
    }

    /// A server that is a whole Redis Cluster, of which any of these nodes tells the others.
    ///
    /// Each is a host and a port. Name several, so that one of them can be away. The cluster counts as one server, whatever
    /// the number of its nodes; see [`parse`](Self::parse) for what it asks of locks.
    ///
    /// ```
    /// use multiredlock::Server;
    ///
    /// let typed = Server::cluster([("10.0.0.2", 7000), ("10.0.0.3", 7000)]).password("secret");
    /// assert_eq!(typed, "redis-cluster://:secret@10.0.0.2:7000?node=10.0.0.3:7000".parse()?);
    /// # Ok::<_, multiredlock::ConfigError>(())
    /// ```
    pub fn cluster<H: Into<String>>(nodes: impl IntoIterator<Item = (H, u16)>) -> Self {
        Self::at(Endpoint::Cluster(nodes.into_iter().map(Node::from).collect()))
    }

    /// A server that is whichever master these sentinels name for a service. Each is a host and a port.
    ///
    /// Credentials, database and TLS are those of the master; see [`sentinel_username`](Self::sentinel_username) and
    /// [`sentinel_password`](Self::sentinel_password) for those of the sentinels. TLS goes for both.
    ///
    /// ```
    /// use multiredlock::Server;
    ///
    /// let typed = Server::sentinel("locks", [("10.0.0.2", 26379), ("10.0.0.3", 26379)]);
    /// assert_eq!(typed, "redis-sentinel://10.0.0.2?node=10.0.0.3&sentinelServiceName=locks".parse()?);
    /// # Ok::<_, multiredlock::ConfigError>(())
    /// ```
    pub fn sentinel<H: Into<String>>(
        service: impl Into<String>,
        sentinels: impl IntoIterator<Item = (H, u16)>,
    ) -> Self {
        Self::at(Endpoint::Sentinel(Sentinels {
            service: service.into(),
            nodes: sentinels.into_iter().map(Node::from).collect(),
            username: None,
            password: None,
        }))
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
            is_untrusted: false,
            #[cfg(feature = "tls")]
            tls: None,
            inapplicable: None,
            is_from_text: FromText::default(),
        }
    }

    /// Notes a setting that this kind of server does not have, without a value that may be secret.
    fn note_inapplicable(&mut self, setting: impl Into<String>) {
        self.inapplicable.get_or_insert_with(|| setting.into());
    }

    /// Reads an address:
    ///
    /// | form | server |
    /// |---|---|
    /// | `host`, `host:port` | as `redis://` |
    /// | `redis://[[user]:password@]host[:port][/database]`, `valkey://…` | over TCP, port 6379 and database 0 unless given |
    /// | `rediss://…`, `valkeys://…` | the same over TLS; needs the feature `tls` |
    /// | `redis+unix:///path` | at a Unix socket |
    /// | `redis-cluster://[[user]:password@]host[:port][?node=host[:port]&…]` | a Redis Cluster; each `node` is one more to ask |
    /// | `redis-sentinel://[[user]:password@]host[:port][/database]?sentinelServiceName=…[&node=host[:port]…]` | the master of this service; the hosts are sentinels, at port 26379 unless given |
    /// | `valkey-cluster://…`, `valkey-sentinel://…` | the same |
    /// | `rediss-cluster://…`, `valkeys-cluster://…`, `rediss-sentinel://…`, `valkeys-sentinel://…` | the same over TLS |
    /// | `memory://name` | **locks nothing outside of this process**: an in-memory server for [tests](crate::testing) |
    ///
    /// `untrusted=true` is a parameter of all but clusters and in-memory servers, see [`untrusted`](Self::untrusted).
    /// `sentinelUsername` and `sentinelPassword` are two more parameters, for sentinels that ask for them. User, password and
    /// parameters are percent-decoded.
    ///
    /// A client that is built with a `memory://` address logs a warning; one that is built with a
    /// [`MemoryServer`](crate::testing::MemoryServer) does not.
    ///
    /// A cluster, or a master with its replicas, is one server, however many processes it has. A failover may lose a lock that
    /// it granted, as a restart does. To a cluster each operation goes as a command of its own, which is slower, and all
    /// resources of one lock have to be in one hash slot (`{tag}a` and `{tag}b` are): otherwise it refuses its vote.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Address`] for anything else: a part that means nothing here is an error, never ignored.
    pub fn parse(address: &str) -> Result<Self, ConfigError> {
        let server = parse(address).map_err(|problem| ConfigError::Address {
            address: without_credentials(address),
            problem,
        })?;
        Ok(Self {
            is_from_text: FromText(true),
            ..server
        })
    }

    /// Sets the port of a server at one host, 1 to 65535. It is an error for every other kind of server.
    #[must_use]
    pub fn port(mut self, new: u16) -> Self {
        match &mut self.endpoint {
            Endpoint::Tcp { port, .. } => *port = new,
            _ => self.note_inapplicable(format!("port({new})")),
        }
        self
    }

    /// Sets the name of the ACL user. It is an error for an in-memory server.
    #[must_use]
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// Sets the password, which is never printed. It is an error for an in-memory server.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Sets the name of the user that the sentinels know. It is an error for a server without sentinels.
    #[must_use]
    pub fn sentinel_username(mut self, name: impl Into<String>) -> Self {
        match &mut self.endpoint {
            Endpoint::Sentinel(Sentinels { username, .. }) => *username = Some(name.into()),
            _ => self.note_inapplicable("sentinel_username"),
        }
        self
    }

    /// Sets the password that the sentinels ask for, which is never printed. It is an error for a server without sentinels.
    #[must_use]
    pub fn sentinel_password(mut self, secret: impl Into<String>) -> Self {
        match &mut self.endpoint {
            Endpoint::Sentinel(Sentinels { password, .. }) => *password = Some(secret.into()),
            _ => self.note_inapplicable("sentinel_password"),
        }
        self
    }

    /// Sets the number of the database, of which a cluster and an in-memory server have only 0. Locks in different databases of a server
    /// do not exclude each other.
    #[must_use]
    pub fn database(mut self, database: u8) -> Self {
        self.database = database;
        self
    }

    /// Connects over TLS. It is an error for a Unix socket and for an in-memory server.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Does not trust the server: whatever it sends, it costs us no more than some 50 MB and part of a processor.
    ///
    /// Without this a server is believed to speak as Redis does once it greeted like one. A reply that never ends could fill the
    /// memory or occupy a processor, and lists in lists without end overflow the stack, which ends the process. With it a reply
    /// is passed on only when it is whole, and a server is down with [`DownReason::Excessive`](crate::status::DownReason::Excessive)
    /// as soon as one is longer than 2 MiB, has lists nested deeper than 16, or more than 1024 values. None that this library
    /// asks for is. What a server tells unasked is dropped if it is longer than 64 KiB, so that no waiter is told of a resource
    /// whose name is that long, and has to ask.
    ///
    /// The replies pass through one more socket within this process for that. With all of three local servers untrusted a
    /// lone lock took 57 µs in place of 41, and 512 callers made an eighth fewer cycles a second. The socket is made in the
    /// folder for temporary files, where no other user can reach it, and needs a system that has Unix sockets.
    ///
    /// It bounds what a server costs, not what it says: a server that lies about its locks votes wrongly, and no more than a
    /// minority may. It is an error for a cluster and for an in-memory server.
    #[must_use]
    pub fn untrusted(mut self) -> Self {
        self.is_untrusted = true;
        self
    }

    /// Returns the address, without credentials.
    pub fn address(&self) -> Address {
        Address::of(&self.endpoint)
    }

    /// The address as text that [`parse`](Self::parse) reads, without passwords and TLS settings.
    #[cfg(feature = "serde")]
    pub(crate) fn without_secrets(&self) -> String {
        super::parse::without_secrets(self)
    }

    /// Where it is found. Two servers with a place in common are the same: a node belongs to one cluster, and sentinels name
    /// one master for a service.
    pub(super) fn places(&self) -> HashSet<String> {
        match &self.endpoint {
            Endpoint::Cluster(nodes) => nodes.iter().map(Node::to_string).collect(),
            Endpoint::Sentinel(Sentinels { service, nodes, .. }) => {
                nodes.iter().map(|node| format!("{service}@{node}")).collect()
            }
            _ => HashSet::from([self.address().to_string()]),
        }
    }

    /// Whether it locks nothing outside of this process, which its address may not have been meant to say.
    pub(crate) fn is_memory_by_address(&self) -> bool {
        matches!(self.endpoint, Endpoint::Memory(_)) && self.is_from_text.0
    }

    /// Checks what the setters could not.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if let Some(problem) = self.problem() {
            return Err(ConfigError::Address {
                address: without_credentials(self.address().as_str()),
                problem,
            });
        }
        #[cfg(feature = "tls")]
        if let Some(problem) = self.tls.as_ref().and_then(Tls::problem) {
            return Err(ConfigError::Tls {
                server: self.address(),
                problem,
            });
        }
        Ok(())
    }

    /// The first setting that this kind of server does not have.
    fn inapplicable(&self) -> Option<String> {
        let of_memory = [
            ("username", self.username.is_some()),
            ("password", self.password.is_some()),
            ("untrusted", self.is_untrusted),
        ];
        self.inapplicable.clone().or_else(|| match self.endpoint {
            Endpoint::Memory(_) if self.database != 0 => Some(format!("database({})", self.database)),
            Endpoint::Memory(_) => {
                let set = of_memory.into_iter().find(|(_, is_set)| *is_set);
                set.map(|(setting, _)| setting.into())
            }
            _ => None,
        })
    }

    /// What is wrong with it, if anything is.
    pub(super) fn problem(&self) -> Option<AddressProblem> {
        let missing = |what| Some(AddressProblem::Missing(what));
        if let Some(setting) = self.inapplicable() {
            let kind = self.endpoint.kind();
            return Some(AddressProblem::Inapplicable { setting, kind });
        }
        match &self.endpoint {
            Endpoint::Tcp { host, port } => Node::from((host, *port)).problem(),
            Endpoint::Unix(path) if path.as_os_str().is_empty() => missing("the path of the socket"),
            Endpoint::Cluster(nodes) | Endpoint::Sentinel(Sentinels { nodes, .. }) if nodes.is_empty() => {
                missing("the host")
            }
            Endpoint::Cluster(_) if self.is_untrusted => Some(AddressProblem::ClusterUntrusted),
            Endpoint::Cluster(_) if self.database != 0 => Some(AddressProblem::ClusterDatabase(self.database)),
            Endpoint::Sentinel(Sentinels { service, .. }) if service.is_empty() => missing("the name of the service"),
            Endpoint::Cluster(nodes) | Endpoint::Sentinel(Sentinels { nodes, .. }) => {
                nodes.iter().find_map(Node::problem)
            }
            Endpoint::Memory(name) if name.is_empty() => missing("the name"),
            #[cfg(feature = "tls")]
            Endpoint::Unix(_) | Endpoint::Memory(_) if self.tls.is_some() => Some(AddressProblem::NotOverTls),
            Endpoint::Unix(_) | Endpoint::Memory(_) => None,
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut server = f.debug_struct("Server");
        server.field("address", &self.address());
        server.field("username", &self.username);
        server.field("password", &self.password.as_ref().map(|_| "…"));
        server.field("database", &self.database);
        server.field("is_untrusted", &self.is_untrusted);
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

#[cfg(test)]
mod tests;
