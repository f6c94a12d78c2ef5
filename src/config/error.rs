//! Why no client could be built.

use crate::address::{Address, AddressProblem};
use std::time::Duration;

/// Why a client could not be built. Nothing was connected or sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The list of servers is empty.
    #[error("no server is configured")]
    NoServer,
    /// A group has no server.
    #[error("group {group} has no server")]
    #[non_exhaustive]
    EmptyGroup {
        /// Which group, 0 for the first.
        group: usize,
    },
    /// [`servers`](crate::Builder::servers) was called after [`group`](crate::Builder::group), and would replace the groups.
    #[error("`servers` must come before `group`: it would replace the {groups} groups before it")]
    #[non_exhaustive]
    ServersAfterGroup {
        /// How many groups there were before.
        groups: usize,
    },
    /// Two groups are the same servers, in whatever order.
    #[error("group {second} is group {first} again: both have the same servers")]
    #[non_exhaustive]
    DuplicateGroup {
        /// The group that was listed before, 0 for the first.
        first: usize,
        /// The group that is the same.
        second: usize,
    },
    /// Two addresses name one server, which must not vote twice, nor in two groups. Database and user make no difference.
    #[error("server {0} is configured twice")]
    DuplicateServer(Address),
    /// An address could not be understood.
    #[error("server address `{address}`: {problem}")]
    #[non_exhaustive]
    Address {
        /// The address, without a password.
        address: String,
        /// What is wrong with it.
        problem: AddressProblem,
    },
    /// A certificate or key could not be read, or a TLS setting has no effect beside another.
    #[error("TLS settings of server {server}: {problem}")]
    #[non_exhaustive]
    Tls {
        /// The server they are for.
        server: Address,
        /// What is wrong with them.
        problem: String,
    },
    /// A duration that must be longer than nothing is zero.
    #[error("{name} must be longer than 0")]
    #[non_exhaustive]
    Zero {
        /// Which setting it is.
        name: &'static str,
    },
    /// The shortest wait before a reconnection is longer than the longest.
    #[error("the shortest wait before a reconnection ({min:?}) must not exceed the longest ({max:?})")]
    #[non_exhaustive]
    Reconnect {
        /// The shortest wait.
        min: Duration,
        /// The longest wait.
        max: Duration,
    },
    /// The servers cannot remember fencing tokens for this long.
    #[error("the fence expiry ({fence_expiry:?}) must not exceed {longest:?}")]
    #[non_exhaustive]
    FenceExpiry {
        /// The expiry that was asked for.
        fence_expiry: Duration,
        /// The longest that is taken.
        longest: Duration,
    },
    /// The servers would forget fencing tokens that may still be ahead of their clocks, and a later lock could get a smaller one.
    #[error("the fence expiry ({fence_expiry:?}) must be at least {shortest:?}")]
    #[non_exhaustive]
    ShortFenceExpiry {
        /// The expiry that was asked for.
        fence_expiry: Duration,
        /// The shortest that is taken.
        shortest: Duration,
    },
    /// The id is too long to be part of each lock's value.
    #[error("the id is {length} bytes long, {longest} is the most")]
    #[non_exhaustive]
    LongId {
        /// How long it is, in bytes.
        length: usize,
        /// How long it may be.
        longest: usize,
    },
    /// The client is to remember locks, but no more than none.
    #[error("a client that remembers locks must remember at least 1")]
    RemembersNothing,
    /// The machine's hostname is unknown, so an id has to be given: the operating system's words.
    #[error("the hostname is unknown, so an id has to be given: {0}")]
    Hostname(String),
    /// The thread of a client for threads could not be started: the operating system's words.
    #[error("the background thread could not be started: {0}")]
    Thread(String),
    /// There is no tokio runtime to connect on.
    #[error("a client has to be built within a tokio runtime")]
    NoRuntime,
}
