//! One small error for each operation.

use crate::{
    config::Address,
    engine::{Owner, Vote},
};
use std::{
    fmt::{Display, Write},
    time::Duration,
};

/// Why a handle could not be built. Nothing was connected or sent.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The list of servers is empty.
    #[error("no server is configured")]
    NoServer,
    /// A group has no server.
    #[error("group {group} has no server")]
    EmptyGroup {
        /// Which group, 0 for the first.
        group: usize,
    },
    /// Two groups are the same servers, in whatever order.
    #[error("group {second} is group {first} again: both have the same servers")]
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
    Address {
        /// The address, without a password.
        address: String,
        /// What is wrong with it.
        problem: AddressProblem,
    },
    /// A certificate or key could not be read.
    #[error("TLS settings of server {server}: {problem}")]
    Tls {
        /// The server they are for.
        server: Address,
        /// What is wrong with them.
        problem: String,
    },
    /// The drift factor is not at least 0 and below 1.
    #[error("drift factor {0} must be at least 0 and below 1")]
    DriftFactor(f64),
    /// A duration that must be longer than nothing is zero.
    #[error("{name} must be longer than 0")]
    Zero {
        /// Which setting it is.
        name: &'static str,
    },
    /// The shortest wait before a reconnection is longer than the longest.
    #[error("the shortest wait before a reconnection ({min:?}) must not exceed the longest ({max:?})")]
    Reconnect {
        /// The shortest wait.
        min: Duration,
        /// The longest wait.
        max: Duration,
    },
    /// The servers cannot remember fencing tokens for this long.
    #[error("the fence expiry ({fence_expiry:?}) must not exceed {longest:?}")]
    FenceExpiry {
        /// The expiry that was asked for.
        fence_expiry: Duration,
        /// The longest that is taken.
        longest: Duration,
    },
    /// The servers would forget fencing tokens that may still be ahead of their clocks, and a later lock could get a smaller one.
    #[error("the fence expiry ({fence_expiry:?}) must be at least {shortest:?}")]
    ShortFenceExpiry {
        /// The expiry that was asked for.
        fence_expiry: Duration,
        /// The shortest that is taken.
        shortest: Duration,
    },
    /// The id is too long to be part of each lock's value.
    #[error("the id is {length} bytes long, {longest} is the most")]
    LongId {
        /// How long it is, in bytes.
        length: usize,
        /// How long it may be.
        longest: usize,
    },
    /// The handle is to remember locks, but no more than none.
    #[error("a handle that remembers locks must remember at least 1")]
    RemembersNothing,
    /// The machine's hostname is unknown, so an id has to be given: the operating system's words.
    #[error("the hostname is unknown, so an id has to be given: {0}")]
    Hostname(String),
    /// There is no tokio runtime to connect on.
    #[error("a handle has to be built within a tokio runtime")]
    NoRuntime,
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
    /// The nodes of a cluster cannot be distrusted.
    #[error("a cluster cannot be distrusted")]
    ClusterDistrusted,
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
}

/// A ttl that cannot lead to a lock. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTtl {
    /// The drift would leave less than a millisecond of validity.
    #[error("ttl ({ttl:?}) must exceed the drift ({drift:?}) by at least 1ms")]
    TooShort {
        /// The ttl that was asked for.
        ttl: Duration,
        /// The drift at that ttl.
        drift: Duration,
    },
    /// Redis does not take a ttl this long.
    #[error("ttl ({ttl:?}) must not exceed {longest:?}")]
    TooLong {
        /// The ttl that was asked for.
        ttl: Duration,
        /// The longest ttl that is taken.
        longest: Duration,
    },
    /// A server that was started again would vote too soon for locks with this ttl.
    #[error("ttl ({ttl:?}) must not exceed the longest that the restart guard is for ({max_ttl:?})")]
    OutlivesRestartGuard {
        /// The ttl that was asked for.
        ttl: Duration,
        /// The longest ttl that is taken: [`Builder::restart_guard`](crate::Builder::restart_guard).
        max_ttl: Duration,
    },
    /// The servers would forget the token of a fenced lock while it is held.
    #[error("ttl ({ttl:?}) of a fenced lock must not exceed the fence expiry ({fence_expiry:?})")]
    OutlivesFence {
        /// The ttl that was asked for.
        ttl: Duration,
        /// How long the servers remember a token: [`Builder::fence_expiry`](crate::Builder::fence_expiry).
        fence_expiry: Duration,
    },
}

/// A resource that cannot be a Redis key, or resources that cannot be locked together. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidResource {
    /// The resource is empty.
    #[error("the resource is empty")]
    Empty,
    /// The list of resources is empty.
    #[error("no resource is named")]
    None,
    /// More resources than one lock can have.
    #[error("{count} resources are too many for one lock, {most} are the most")]
    TooMany {
        /// How many there are, each counted once.
        count: usize,
        /// How many there can be.
        most: usize,
    },
    /// The resource with the key prefix is longer than 64 KiB, or several together are. A server may end a connection on which it
    /// is sent too much.
    #[error("the resource with its prefix is {length} bytes long, {longest} is the most")]
    TooLong {
        /// The length in bytes, with the key prefix.
        length: usize,
        /// The most that a lock can have, in bytes.
        longest: usize,
    },
    /// The servers store the token of [fenced](crate::Builder::fenced) locks under this key: `{key}:fence:{{key}}` is reserved.
    #[error("cannot lock `{resource}`: its key is reserved for the fencing token of the key `{key}`")]
    Fence {
        /// The resource, printable and shortened to 80 characters.
        resource: String,
        /// The key that it is the fence of, printable and shortened to 80 characters.
        key: String,
    },
    /// Two resources of one lock belong to different groups of servers; see [`Builder::group`](crate::Builder::group).
    #[error(
        "`{first}` belongs to group {first_group} and `{second}` to group {second_group}, but one lock has one group: a common `{{tag}}` in their names leads to one"
    )]
    Groups {
        /// One resource, printable and shortened to 80 characters.
        first: String,
        /// Its group, 0 for the first.
        first_group: usize,
        /// Another resource, printable and shortened to 80 characters.
        second: String,
        /// Its group.
        second_group: usize,
    },
}

/// How one server voted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerVote {
    /// The server.
    pub server: Address,
    /// Its answer.
    pub vote: Vote,
}

/// The resource of a failed operation and how each server voted on it in the last round.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The resource, printable and shortened to 80 characters; several are separated by commas, and 8 are named.
    pub resource: String,
    /// How many rounds were made.
    pub rounds: u32,
    /// How many grants are a majority.
    pub needed: usize,
    /// The vote of each server of the resource's group in the last round, in the order in which they are configured.
    pub votes: Vec<ServerVote>,
}

impl Failure {
    fn count(&self, is: impl Fn(&Vote) -> bool) -> usize {
        self.votes.iter().filter(|vote| is(&vote.vote)).count()
    }

    /// Returns how many servers granted it in the last round.
    pub fn granted(&self) -> usize {
        self.count(|vote| *vote == Vote::Granted)
    }

    /// Returns how many servers said in the last round that somebody else holds the resource.
    pub fn held(&self) -> usize {
        self.count(|vote| matches!(vote, Vote::Held { .. }))
    }

    fn could_not_lock(&self) -> String {
        let rounds = if self.rounds == 1 { "round" } else { "rounds" };
        format!(
            "could not lock `{}` in {} {rounds}: {} of {} servers granted it, {} needed",
            self.resource,
            self.rounds,
            self.granted(),
            self.votes.len(),
            self.needed,
        )
    }

    /// What the servers that neither granted nor held it said, for the end of a message.
    fn troubles(&self) -> String {
        let mut text = String::new();
        for ServerVote { server, vote } in &self.votes {
            let trouble: &dyn Display = match vote {
                Vote::Refused(refusal) => refusal,
                Vote::Unreachable(reason) => reason,
                Vote::Unknown => &"the answer was lost",
                Vote::Silent => &"no answer in time",
                Vote::Granted | Vote::Held { .. } | Vote::Missing | Vote::Pending => continue,
            };
            text += if text.is_empty() { " (" } else { "; " };
            // Writing to a string does not fail.
            let _ = write!(text, "{server}: {trouble}");
        }
        if !text.is_empty() {
            text.push(')');
        }
        text
    }
}

/// Who holds a resource, and until when, for a message.
fn holder(owner: Option<&Owner>, retry_after: Option<Duration>) -> String {
    let owner = owner.map_or_else(|| "an unknown owner".into(), Owner::to_string);
    match retry_after {
        Some(left) => format!("{owner}, {:.1} s left", left.as_secs_f64()),
        None => format!("{owner}, without a ttl"),
    }
}

/// Why a resource was not locked. An unlock follows every key that a server granted, and reaches a server that is away
/// when it comes back.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Somebody else holds the resource.
    #[error("{}; held by {}", failure.could_not_lock(), holder(owner.as_ref(), *retry_after))]
    Held {
        /// Who holds it on most of the servers that told, if the value tells.
        owner: Option<Owner>,
        /// When the owner's keys will have expired on enough servers, if it neither renews nor unlocks; `None` if
        /// that will never be.
        retry_after: Option<Duration>,
        /// The resource and the votes.
        failure: Box<Failure>,
    },
    /// Enough servers were reached, but too many of them answered with an error.
    #[error("{}{}", failure.could_not_lock(), failure.troubles())]
    Refused {
        /// The resource and the votes.
        failure: Box<Failure>,
    },
    /// Too few servers could be reached.
    #[error("{}{}", failure.could_not_lock(), failure.troubles())]
    NoQuorum {
        /// How many servers could be reached.
        reachable: usize,
        /// The resource and the votes.
        failure: Box<Failure>,
    },
    /// The servers may grant it, but they take longer to answer than an attempt may take.
    #[error(
        "could not lock `{}`: attempts take longer than their timeout of {timeout:?}, since a round trip takes {round_trip:?}",
        failure.resource
    )]
    TooSlow {
        /// How long a server may take to answer: the round timeout of the request or of the handle.
        timeout: Duration,
        /// How long the servers take that would make a majority.
        round_trip: Duration,
        /// The resource and the votes.
        failure: Box<Failure>,
    },
    /// A majority granted it, but the round took so long that nothing was left of the ttl.
    #[error(
        "could not lock `{}`: the round took {elapsed:?}, which leaves nothing of the ttl ({ttl:?})",
        failure.resource
    )]
    Expired {
        /// How long the round took.
        elapsed: Duration,
        /// The ttl that was asked for.
        ttl: Duration,
        /// The resource and the votes.
        failure: Box<Failure>,
    },
    /// The time was up that [`within`](crate::AcquireRequest::within) had set.
    #[error("could not lock `{resource}` within {waited:?}")]
    TimedOut {
        /// The resource, printable and shortened to 80 characters.
        resource: String,
        /// How long it waited.
        waited: Duration,
        /// Why the last round in its line failed; nothing if none did since this handle was granted the lock, or if the
        /// first was still under way.
        #[source]
        cause: Option<Box<LockError>>,
    },
    /// The ttl cannot lead to a lock.
    #[error(transparent)]
    InvalidTtl(#[from] InvalidTtl),
    /// The resource cannot be a Redis key, or several cannot be locked together.
    #[error(transparent)]
    InvalidResource(#[from] InvalidResource),
    /// The drift factor of this call is not at least 0 and below 1.
    #[error("drift factor {0} must be at least 0 and below 1")]
    DriftFactor(f64),
    /// The guard is to be held for no longer than less than its ttl, for which it is held at any rate.
    #[error("max_hold ({max_hold:?}) must not be less than the ttl ({ttl:?})")]
    MaxHold {
        /// The longest time that was asked for.
        max_hold: Duration,
        /// The ttl that was asked for.
        ttl: Duration,
    },
    /// A duration of this request that must be longer than nothing is zero.
    #[error("{name} must be longer than 0")]
    Zero {
        /// Which setting it is.
        name: &'static str,
    },
    /// The handle was closed, or the runtime in which it was built has ended.
    #[error("the handle is closed")]
    Closed,
}

/// Why a guard no longer holds its lock.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Loss {
    /// A majority no longer holds its value: the keys were removed, or somebody else has the resource now.
    #[error("lost `{}`: {needed} of {} servers had to hold its value still, {} do", failure.resource, failure.votes.len(), failure.granted(), needed = failure.needed)]
    Gone {
        /// The resource and the votes.
        failure: Box<Failure>,
    },
    /// Its validity was over before it could be renewed.
    #[error("lost `{resource}`: its validity was over before it could be renewed")]
    Expired {
        /// The resource, printable and shortened to 80 characters.
        resource: String,
        /// Why the last renewal failed, if one did.
        #[source]
        cause: Option<Box<RenewError>>,
    },
    /// It was held for as long as [`max_hold`](crate::AcquireRequest::max_hold) allows, and its validity is over.
    #[error("lost `{resource}`: it was not renewed any more after {max_hold:?}")]
    MaxHold {
        /// The resource, printable and shortened to 80 characters.
        resource: String,
        /// How long it was renewed.
        max_hold: Duration,
    },
}

impl Loss {
    /// What it is called where things are counted.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Gone { .. } => "gone",
            Self::Expired { .. } => "expired",
            Self::MaxHold { .. } => "max_hold",
        }
    }
}

impl LockError {
    /// What it is called where things are counted.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Held { .. } => "held",
            Self::Refused { .. } => "refused",
            Self::NoQuorum { .. } => "no_quorum",
            Self::TooSlow { .. } => "too_slow",
            Self::Expired { .. } => "expired",
            Self::TimedOut { .. } => "timed_out",
            Self::InvalidTtl(_)
            | Self::InvalidResource(_)
            | Self::DriftFactor(_)
            | Self::MaxHold { .. }
            | Self::Zero { .. } => "invalid",
            Self::Closed => "closed",
        }
    }
}

impl RenewError {
    /// What it is called where things are counted.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Lost { .. } => "lost",
            Self::Unknown { .. } => "unknown",
            Self::Expired { .. } => "expired",
            Self::InvalidTtl(_) | Self::InvalidResource(_) | Self::DriftFactor(_) | Self::Zero { .. } => "invalid",
            Self::Closed => "closed",
        }
    }
}

/// Why a guard does not vouch for what is about to be done.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EnsureError {
    /// The lock is lost.
    #[error(transparent)]
    Lost(#[from] Loss),
    /// Less validity is left than was asked for.
    #[error("{remaining:?} of the validity is left, {at_least:?} is needed")]
    TooLittle {
        /// How much is left.
        remaining: Duration,
        /// How much was asked for.
        at_least: Duration,
    },
    /// More was asked for than the ttl ever leaves.
    #[error("{at_least:?} can never be left of the ttl ({ttl:?}) less the drift ({drift:?})")]
    Never {
        /// How much was asked for.
        at_least: Duration,
        /// The ttl of the guard.
        ttl: Duration,
        /// The drift at that ttl.
        drift: Duration,
    },
}

/// Why it is not certain that a guard's lock was released.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// A majority did not hold its value any more, so the lock was lost before.
    #[error("`{resource}` was gone already: {removed} of {servers} servers still held it, {needed} had to")]
    Gone {
        /// The resource, printable and shortened to 80 characters.
        resource: String,
        /// How many servers removed it now.
        removed: usize,
        /// How many servers there are.
        servers: usize,
        /// How many are a majority.
        needed: usize,
    },
    /// No server was asked: the resources belong to different [groups](crate::Builder::group) of servers, or they or the value are
    /// too long, so they never were one lock. This happens to a lock that was put together by [`Lock::from_parts`](crate::Lock::from_parts) only.
    #[error("could not release `{resource}`: no server was asked, since it cannot be a lock")]
    NotSent {
        /// The resource, printable and shortened to 80 characters.
        resource: String,
    },
    /// Too few servers answered to tell. To those that come back before the keys have expired the unlock is still sent.
    #[error("could not release `{resource}` for sure: {removed} of {servers} servers removed it, {needed} needed")]
    Unknown {
        /// The resource, printable and shortened to 80 characters.
        resource: String,
        /// How many servers removed it.
        removed: usize,
        /// How many servers there are.
        servers: usize,
        /// How many are a majority.
        needed: usize,
    },
}

/// Why work under a guard did not come to its end.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UsingError {
    /// There was no lock, so the work was not begun.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The lock was lost, so the work was stopped.
    #[error(transparent)]
    Lost(#[from] Loss),
}

/// Why nobody was asked who holds a resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OwnerError {
    /// The resource cannot be a Redis key.
    #[error(transparent)]
    InvalidResource(#[from] InvalidResource),
    /// A duration of this request that must be longer than nothing is zero.
    #[error("{name} must be longer than 0")]
    Zero {
        /// Which setting it is.
        name: &'static str,
    },
    /// The handle was closed, or the runtime in which it was built has ended.
    #[error("the handle is closed")]
    Closed,
}

/// Why a lock was not renewed. Its keys are left as they are: the owner may still be within its validity.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RenewError {
    /// A majority no longer holds this lock's value: it expired, was unlocked, or somebody else has the resource now. If it
    /// was unlocked by this handle no server was asked.
    #[error("lost `{}`: {needed} of {} servers had to hold its value still, {} do", failure.resource, failure.votes.len(), failure.granted(), needed = failure.needed)]
    Lost {
        /// The resource and the votes.
        failure: Box<Failure>,
    },
    /// Too few servers answered to tell. Until `remaining` is over the lock holds, and renewing can be tried again.
    #[error(
        "could not renew `{}`: {} of {} servers renewed it, {} needed{}; {remaining:?} of its validity is left",
        failure.resource, failure.granted(), failure.votes.len(), failure.needed, failure.troubles()
    )]
    Unknown {
        /// What is left of the lock's validity, not counting what this renewal may have done.
        remaining: Duration,
        /// The resource and the votes.
        failure: Box<Failure>,
    },
    /// A majority renewed it, but the round took so long that nothing was left of the ttl.
    #[error(
        "could not renew `{}`: the round took {elapsed:?}, which leaves nothing of the ttl ({ttl:?})",
        failure.resource
    )]
    Expired {
        /// How long the round took.
        elapsed: Duration,
        /// The ttl that was asked for.
        ttl: Duration,
        /// The resource and the votes.
        failure: Box<Failure>,
    },
    /// The ttl cannot lead to a lock.
    #[error(transparent)]
    InvalidTtl(#[from] InvalidTtl),
    /// The resource cannot be a Redis key, or several cannot be locked together.
    #[error(transparent)]
    InvalidResource(#[from] InvalidResource),
    /// The drift factor of this call is not at least 0 and below 1.
    #[error("drift factor {0} must be at least 0 and below 1")]
    DriftFactor(f64),
    /// A duration of this request that must be longer than nothing is zero.
    #[error("{name} must be longer than 0")]
    Zero {
        /// Which setting it is.
        name: &'static str,
    },
    /// The handle was closed, or the runtime in which it was built has ended.
    #[error("the handle is closed")]
    Closed,
}
