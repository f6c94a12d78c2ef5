//! Why a server is down, and why a server that is up refused an operation.

use crate::{address::Address, text::Text};
use std::time::Duration;

/// Why a server cannot vote.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DownReason {
    /// No connection was made yet.
    #[error("not connected yet")]
    NotYet,
    /// Nothing listens at the address.
    #[error("connection refused")]
    ConnectionRefused,
    /// The host name has no address, as far as the name servers know: the name, and the operating system's words.
    #[error("no address for the host {0}")]
    Unresolved(Text),
    /// The address could not be reached, or the connection broke: the operating system's words.
    #[error("{0}")]
    Io(Text),
    /// While connecting an answer took longer than the heartbeat timeout.
    #[error("no answer while connecting")]
    ConnectTimeout,
    /// The connection ended, as when the server crashed.
    #[error("connection lost")]
    ConnectionLost,
    /// The server left a heartbeat unanswered: it is stopped, overloaded, or its network is gone.
    #[error("no answer to a heartbeat")]
    Unresponsive,
    /// The user name or the password was not accepted: the server's words.
    #[error("not authenticated: {0}")]
    Auth(Text),
    /// The TLS handshake failed.
    #[error("TLS failed: {0}")]
    Tls(Text),
    /// The address asks for no encryption, and the server seems to expect TLS.
    #[error("it seems to expect TLS: use `rediss://`")]
    NeedsTls,
    /// The address asks for TLS, and the server answers without it.
    #[error("it answers without TLS: use its `tls-port`, or `redis://` for no encryption")]
    LacksTls,
    /// The server is a replica, whose votes are worth nothing: its master could grant the same lock again.
    #[error("it is a replica")]
    Replica,
    /// The server is still loading its data.
    #[error("it is loading its data")]
    Loading,
    /// The server was started, or another took its place, less than the longest ttl ago, so that it may have forgotten locks
    /// that are still held: [`Builder::restart_guard`](crate::Builder::restart_guard). It votes on no new lock until then.
    /// What it holds is renewed and unlocked there.
    #[error("it was started less than the longest ttl ago, {:.1} s to go", ready_in.as_secs_f64())]
    #[non_exhaustive]
    Restarted {
        /// How much longer it does not vote on new locks, from the moment at which this was told.
        ready_in: Duration,
    },
    /// Another configured address leads to the same server, which votes only once: the address that votes.
    #[error("it is the same server as {0}")]
    Duplicate(Address),
    /// What listens there does not speak the Redis protocol.
    #[error("not a Redis server: {0}")]
    NotRedis(Text),
    /// The server, which is [untrusted](crate::Server::untrusted), sent more than any reply to this library takes: which
    /// bound it passed.
    #[error("beyond all bounds: {0}")]
    Excessive(Text),
    /// The server does not let this user run a command that locking needs: its name, or the server's words.
    #[error("no permission: {0}")]
    NoPermission(Text),
    /// The server refused the connection in other words, or lacks a command that locking needs.
    #[error("refused: {0}")]
    Refused(Text),
    /// A node of the cluster could not be reached, or the cluster says that it does not work: what is the matter.
    #[error("the cluster is not whole: {0}")]
    Cluster(Text),
    /// No sentinel named a master: what is the matter.
    #[error("no sentinel names a master: {0}")]
    Sentinel(Text),
    /// More operations wait for this server than are kept.
    #[error("too many operations wait for it")]
    Busy,
    /// The client was closed, or the runtime in which it was built has ended.
    #[error("the client is closed")]
    Closed,
}

impl DownReason {
    /// Whether this will not pass by itself: somebody has to change a setting, of the server or of the client.
    pub(crate) fn is_lasting(&self) -> bool {
        const LASTING: [&str; 8] = [
            "not authenticated",
            "TLS failed",
            "it seems to expect TLS",
            "it answers without TLS",
            "not a Redis server",
            "no permission",
            "no address for the host",
            "knows no service",
        ];
        match self {
            Self::Unresolved(_)
            | Self::Auth(_)
            | Self::Tls(_)
            | Self::NeedsTls
            | Self::LacksTls
            | Self::Duplicate(_)
            | Self::NotRedis(_)
            | Self::Excessive(_)
            | Self::NoPermission(_)
            | Self::Refused(_) => true,
            // They have the reason of one process in words.
            Self::Cluster(text) | Self::Sentinel(text) => LASTING.iter().any(|words| text.as_str().contains(words)),
            Self::NotYet
            | Self::ConnectionRefused
            | Self::Io(_)
            | Self::ConnectTimeout
            | Self::ConnectionLost
            | Self::Unresponsive
            | Self::Replica
            | Self::Loading
            | Self::Restarted { .. }
            | Self::Busy
            | Self::Closed => false,
        }
    }
}

/// Why a server that is up refused an operation, other than that somebody holds the resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The key holds something else than a string, so it is nobody's lock.
    #[error("the key holds something else than a lock")]
    WrongType,
    /// The server reached its memory limit.
    #[error("out of memory")]
    OutOfMemory,
    /// The server does not take writes: it became a replica.
    #[error("read-only")]
    ReadOnly,
    /// The server is loading its data.
    #[error("loading its data")]
    Loading,
    /// The key is on its way from one node of the cluster to another.
    #[error("the key is moving to another node of the cluster")]
    Moving,
    /// This user may not run the command, or may not touch this key.
    #[error("no permission")]
    NoPermission,
    /// Any other error: the server's words.
    #[error("{0}")]
    Other(Text),
}

impl Refusal {
    /// Reads an error reply. Redis 6 puts the place in the script before the code, Redis 7 does not.
    pub(crate) fn parse(error: &str) -> Self {
        let says = |words: &[&str]| words.iter().any(|word| error.contains(word));
        // A denial names the user, who may be called anything.
        if says(&[
            "NOPERM",
            "ACL failure",
            "can't run this command",
            "can't access at least one of the keys",
        ]) {
            Self::NoPermission
        } else if says(&["WRONGTYPE"]) {
            Self::WrongType
        } else if says(&["OOM "]) {
            Self::OutOfMemory
        } else if says(&["READONLY"]) {
            Self::ReadOnly
        } else if says(&["LOADING"]) {
            Self::Loading
        } else if says(&["TRYAGAIN"]) {
            Self::Moving
        } else {
            Self::Other(Text::new(error))
        }
    }

    /// Whether the same operation may succeed a little later.
    pub(crate) fn passes(&self) -> bool {
        const PASSING: [&str; 5] = ["BUSY", "MISCONF", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN"];
        match self {
            Self::OutOfMemory | Self::ReadOnly | Self::Loading | Self::Moving => true,
            Self::WrongType | Self::NoPermission => false,
            Self::Other(text) => PASSING.iter().any(|code| text.as_str().contains(code)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_both_generations_of_servers_are_read() {
        for (words, refusal) in [
            (
                "WRONGTYPE Operation against a key holding the wrong kind of value",
                Refusal::WrongType,
            ),
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                Refusal::OutOfMemory,
            ),
            (
                "-OOM command not allowed when used memory > 'maxmemory'.",
                Refusal::OutOfMemory,
            ),
            (
                "READONLY You can't write against a read only replica.",
                Refusal::ReadOnly,
            ),
            ("LOADING Redis is loading the dataset in memory", Refusal::Loading),
            (
                "TRYAGAIN Multiple keys request during rehashing of slot",
                Refusal::Moving,
            ),
            (
                "NOPERM User a has no permissions to run the 'set' command",
                Refusal::NoPermission,
            ),
            (
                "NOPERM User READONLY-LOADING has no permissions to run the 'set' command",
                Refusal::NoPermission,
            ),
            (
                "@user_script: 9: The user executing the script can't run this command or subcommand",
                Refusal::NoPermission,
            ),
        ] {
            assert_eq!(Refusal::parse(words), refusal, "{words}");
        }
        assert_eq!(Refusal::parse("ERR odd"), Refusal::Other(Text::new("ERR odd")));
    }

    #[test]
    fn a_server_that_was_restarted_is_shown_with_the_time_that_is_left() {
        let reason = DownReason::Restarted {
            ready_in: Duration::from_millis(1_500),
        };
        let words = "it was started less than the longest ttl ago, 1.5 s to go";
        assert_eq!(reason.to_string(), words);
    }

    #[test]
    fn what_sentinels_and_clusters_tell_lasts_as_it_does_for_a_single_server() {
        let lasting = [
            DownReason::Auth(Text::new("WRONGPASS")),
            DownReason::Tls(Text::new("the server has no certificate")),
            DownReason::NotRedis(Text::new("HTTP/1.1")),
            DownReason::NoPermission(Text::new("NOPERM")),
            DownReason::Unresolved(Text::new("`a`")),
        ];
        for reason in lasting {
            assert!(reason.is_lasting(), "{reason}");
            assert!(DownReason::Sentinel(Text::new(format!("a:1: {reason}"))).is_lasting());
            assert!(DownReason::Cluster(Text::new(reason.to_string())).is_lasting());
        }
        for reason in [
            DownReason::ConnectionRefused,
            DownReason::Loading,
            DownReason::Unresponsive,
        ] {
            assert!(!reason.is_lasting(), "{reason}");
            assert!(!DownReason::Sentinel(Text::new(format!("a:1: {reason}"))).is_lasting());
        }
    }
}
