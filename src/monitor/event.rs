//! What happens to servers, as subscribers are told.

use crate::{
    address::Address,
    decision::{Connection, DownReason, Quorum},
};
use std::{fmt, time::Duration};

/// What happened to the servers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A majority of the servers can be reached now: of every group, of which this one was the last.
    Connected(Quorum),
    /// A majority can no longer be reached: of this group, while it could of every other.
    Disconnected(Quorum),
    /// A majority of this group can be reached now. Told only by a client with more than one group, before the `Connected`
    /// that may follow from it.
    GroupConnected(Quorum),
    /// A majority of this group can no longer be reached. Told only by a client with more than one group, before the
    /// `Disconnected` that may follow from it. The resources of other groups can be locked as before.
    GroupDisconnected(Quorum),
    /// A server can vote now.
    #[non_exhaustive]
    ServerUp {
        /// The server.
        server: Address,
        /// Its group, 0 for the first.
        group: usize,
    },
    /// A server cannot vote any more, or still cannot, for another reason than before.
    #[non_exhaustive]
    ServerDown {
        /// The server.
        server: Address,
        /// Its group, 0 for the first.
        group: usize,
        /// Why it cannot.
        reason: DownReason,
    },
    /// Something about a server that is up makes its locks less trustworthy.
    #[non_exhaustive]
    Warning {
        /// The server.
        server: Address,
        /// Its group, 0 for the first.
        group: usize,
        /// What it is.
        warning: Warning,
    },
    /// The subscriber was so slow that this many events were dropped. The state that holds now follows.
    #[non_exhaustive]
    Lagged {
        /// How many were dropped.
        missed: u64,
    },
}

impl Event {
    /// What a server's state tells, if it was tried.
    pub(crate) fn of_server(server: Address, group: usize, state: ServerState) -> Option<Self> {
        match state {
            ServerState::Up => Some(Self::ServerUp { server, group }),
            ServerState::Down(DownReason::NotYet) => None,
            ServerState::Down(reason) => Some(Self::ServerDown { server, group, reason }),
        }
    }

    /// What the state of one of several groups tells, once its majority was reached.
    pub(crate) fn of_group(connection: Connection, quorum: Quorum) -> Option<Self> {
        match connection {
            Connection::Connecting => None,
            Connection::Connected => Some(Self::GroupConnected(quorum)),
            Connection::Disconnected => Some(Self::GroupDisconnected(quorum)),
        }
    }

    /// What the state of a client tells, once all its majorities were reached.
    pub(crate) fn of_client(connection: Connection, quorum: Quorum) -> Option<Self> {
        match connection {
            Connection::Connecting => None,
            Connection::Connected => Some(Self::Connected(quorum)),
            Connection::Disconnected => Some(Self::Disconnected(quorum)),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected(quorum) => write!(f, "connected: {quorum}"),
            Self::Disconnected(quorum) => write!(f, "disconnected: {quorum}"),
            Self::GroupConnected(quorum) => write!(f, "group {} connected: {quorum}", quorum.group),
            Self::GroupDisconnected(quorum) => write!(f, "group {} disconnected: {quorum}", quorum.group),
            Self::ServerUp { server, .. } => write!(f, "{server} is up"),
            Self::ServerDown { server, reason, .. } => write!(f, "{server} is down: {reason}"),
            Self::Warning { server, warning, .. } => write!(f, "{server}: {warning}"),
            Self::Lagged { missed: 1 } => write!(f, "1 event was missed"),
            Self::Lagged { missed } => write!(f, "{missed} events were missed"),
        }
    }
}

/// What makes a server's locks less trustworthy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// The server may drop locks when its memory is full. The policy should be `noeviction`.
    #[error("its eviction policy {policy} may drop locks")]
    #[non_exhaustive]
    Eviction {
        /// The policy, as Redis names it.
        policy: String,
    },
    /// The server denies or lacks `INFO`. It may be a replica, or another address of a server that votes
    /// already, and our previous connection to it is not ended, as with [`OldConnectionLives`](Self::OldConnectionLives).
    #[error("INFO is denied or missing, so that it may be a replica, or vote twice")]
    InfoDenied,
    /// The server did not end our previous connection: it denies or lacks `CLIENT KILL`, `CLIENT ID` or `INFO`. If it was stopped rather than
    /// disconnected, a SET that it still finds there leaves a key that nobody holds until its ttl is over.
    #[error(
        "CLIENT KILL, CLIENT ID or INFO is denied or missing, so that commands of our previous connection may still run"
    )]
    OldConnectionLives,
    /// The server denies or lacks `CLIENT TRACKING`, so it reports no change. Those who wait for a resource have to ask it ten
    /// times a second, and a guard learns later that its key is gone.
    #[error("CLIENT TRACKING is denied or missing, so that it tells of no change")]
    TrackingDenied,
    /// The server may forget that it was a replica sooner than the restart guard assumes. If it became a master by a failover, it may
    /// grant what its former master has granted. Set its `repl-backlog-ttl` to 0 or to no less than
    /// [`restart_guard`](crate::Builder::restart_guard).
    #[error("its repl-backlog-ttl ({backlog_ttl:?}) must not be less than the restart guard ({max_ttl:?})")]
    #[non_exhaustive]
    ShortHistory {
        /// How long the server remembers that it was a replica.
        backlog_ttl: Duration,
        /// The longest TTL that the restart guard is for.
        max_ttl: Duration,
    },
    /// The server's clock was set ahead: within a moment it went further than ours, by more than the drift for that time. Keys
    /// expire by it, and so locks may have ended before their validity did.
    #[error("its clock jumped ahead by {by:?}, so that keys expire too soon")]
    #[non_exhaustive]
    ClockAhead {
        /// How much further it went than ours.
        by: Duration,
    },
    /// The server's clock was set back, by more than the drift for the time since it was read last. Keys that were set before
    /// stay for that much longer.
    #[error("its clock jumped back by {by:?}, so that keys expire too late")]
    #[non_exhaustive]
    ClockBack {
        /// How much less far it went than ours.
        by: Duration,
    },
    /// The server does not let us read its clock (`TIME`), so that it is not told if that is set. It refuses
    /// [fenced](crate::Builder::fenced) locks.
    #[error("TIME is denied or missing, so that its clock is not watched and fenced locks are refused")]
    TimeDenied,
}

/// Whether a server can vote.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerState {
    /// It can.
    Up,
    /// It cannot, for this reason.
    Down(DownReason),
}

impl ServerState {
    /// Returns why the server is down, if it is.
    pub fn reason(&self) -> Option<&DownReason> {
        match self {
            Self::Up => None,
            Self::Down(reason) => Some(reason),
        }
    }

    /// Whether there is a connection, on which locks are at least renewed and unlocked.
    pub(crate) fn is_connected(&self) -> bool {
        matches!(self, Self::Up | Self::Down(DownReason::Restarted { .. }))
    }
}

impl fmt::Display for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up => f.write_str("up"),
            Self::Down(reason) => write!(f, "down: {reason}"),
        }
    }
}
