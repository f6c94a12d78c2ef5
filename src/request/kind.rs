//! Classes of errors, for code that treats several errors alike.

use super::{LockError, OwnerError, ReleaseError, RenewError};
use crate::decision::{Failure, Vote};
use std::fmt;

/// The class of an error. Its text, from [`as_str`](Self::as_str), is also the label of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Another owner holds the resource.
    Held,
    /// The servers answered with errors.
    Refused,
    /// A majority of the servers cannot be reached.
    NoQuorum,
    /// The servers take longer to answer than an attempt may take.
    TooSlow,
    /// A majority granted the lock when nothing was left of its TTL.
    Expired,
    /// The time limit of the call was reached.
    TimedOut,
    /// A majority no longer stores the lock's value.
    Lost,
    /// Too few servers answered, so the outcome is not known.
    Unknown,
    /// The request cannot be carried out. Nothing was sent.
    Invalid,
    /// The client is closed.
    Closed,
}

impl ErrorKind {
    /// Returns the class in lower case, with underscores: `no_quorum` for [`NoQuorum`](Self::NoQuorum).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Refused => "refused",
            Self::NoQuorum => "no_quorum",
            Self::TooSlow => "too_slow",
            Self::Expired => "expired",
            Self::TimedOut => "timed_out",
            Self::Lost => "lost",
            Self::Unknown => "unknown",
            Self::Invalid => "invalid",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl LockError {
    /// Returns the class of the error.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Held { .. } => ErrorKind::Held,
            Self::Refused { .. } => ErrorKind::Refused,
            Self::NoQuorum { .. } => ErrorKind::NoQuorum,
            Self::TooSlow { .. } => ErrorKind::TooSlow,
            Self::Expired { .. } => ErrorKind::Expired,
            Self::TimedOut { .. } => ErrorKind::TimedOut,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Closed => ErrorKind::Closed,
        }
    }

    /// Returns whether another owner holds the resource. After a time limit this is what the last attempt found.
    pub fn is_contended(&self) -> bool {
        match self {
            Self::TimedOut { cause, .. } => cause.as_ref().is_some_and(|cause| cause.is_contended()),
            _ => self.kind() == ErrorKind::Held,
        }
    }

    /// Returns whether the same call can succeed later, although neither the program nor the servers' configuration change.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused { failure } | Self::NoQuorum { failure, .. } => refusals_pass(failure),
            Self::TimedOut { cause, .. } => cause.as_ref().is_none_or(|cause| cause.is_transient()),
            Self::Held { .. } | Self::TooSlow { .. } | Self::Expired { .. } => true,
            Self::Invalid(_) | Self::Closed => false,
        }
    }
}

impl RenewError {
    /// Returns the class of the error.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Lost { .. } => ErrorKind::Lost,
            Self::Unknown { .. } => ErrorKind::Unknown,
            Self::Expired { .. } => ErrorKind::Expired,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Closed => ErrorKind::Closed,
        }
    }

    /// Returns whether another owner holds the resource: the lock is lost, and a server stores another value.
    pub fn is_contended(&self) -> bool {
        let is_held = |failure: &Failure| failure.votes.iter().any(|vote| matches!(vote.vote, Vote::Held(_)));
        matches!(self, Self::Lost { failure } if is_held(failure))
    }

    /// Returns whether the same renewal can succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unknown { failure, .. } => refusals_pass(failure),
            Self::Expired { .. } => true,
            Self::Lost { .. } | Self::Invalid(_) | Self::Closed => false,
        }
    }
}

impl ReleaseError {
    /// Returns the class of the error.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Gone { .. } => ErrorKind::Lost,
            Self::NotSent { .. } => ErrorKind::Invalid,
            Self::InsideRuntime(_) | Self::Unknown { .. } => ErrorKind::Unknown,
        }
    }

    /// Returns false: a release never competes with another owner. It is here so that code can treat all errors alike.
    pub const fn is_contended(&self) -> bool {
        false
    }

    /// Returns whether the release can still take effect: the client sends it to each server that comes back in time.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::InsideRuntime(_) | Self::Unknown { .. })
    }
}

impl OwnerError {
    /// Returns the class of the error.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Closed => ErrorKind::Closed,
        }
    }
}

/// Whether so few servers refuse, or are down, for a reason that lasts that the others are a majority.
fn refusals_pass(failure: &Failure) -> bool {
    let is_for_good = |vote: &Vote| match vote {
        Vote::Refused(refusal) => !refusal.passes(),
        Vote::Unreachable(reason) => reason.is_lasting(),
        _ => false,
    };
    let for_good = failure.votes.iter().filter(|vote| is_for_good(&vote.vote)).count();
    failure.votes.len() - for_good >= failure.needed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decision::{DownReason, Holder, Refusal, ServerVote},
        text::Text,
    };
    use std::time::Duration;

    /// A failure of three servers, of which two voted so.
    fn failure(vote: Vote) -> Failure {
        let server = |vote| ServerVote {
            server: "memory://a".parse().unwrap(),
            vote,
        };
        Failure {
            resource: "r".into(),
            attempts: 1,
            needed: 2,
            votes: [vote.clone(), vote, Vote::Granted].map(server).into(),
        }
    }

    #[test]
    fn an_error_is_transient_unless_a_majority_refuses_or_is_down_for_good() {
        let refused = |error: &str| LockError::Refused {
            failure: Box::new(failure(Vote::Refused(Refusal::parse(error)))),
        };
        let down = |reason| LockError::NoQuorum {
            reachable: 1,
            failure: Box::new(failure(Vote::Unreachable(reason))),
        };
        for (error, is_transient) in [
            (refused("OOM command not allowed"), true),
            (refused("CLUSTERDOWN The cluster is down"), true),
            (refused("NOPERM this user has no permissions"), false),
            (down(DownReason::ConnectionRefused), true),
            (down(DownReason::Auth(Text::new("WRONGPASS"))), false),
            (LockError::Closed, false),
        ] {
            assert_eq!(error.is_transient(), is_transient, "{error}");
            assert!(!error.is_contended(), "{error}");
        }
    }

    #[test]
    fn a_time_limit_is_contended_and_transient_as_its_cause_is() {
        let timed_out = |cause: Option<LockError>| LockError::TimedOut {
            resource: "r".into(),
            waited: Duration::from_secs(1),
            cause: cause.map(Box::new),
        };
        let held = LockError::Held {
            owner: None,
            retry_after: None,
            failure: Box::new(failure(Vote::Held(Holder::new(b"v", None)))),
        };
        let denied = LockError::Refused {
            failure: Box::new(failure(Vote::Refused(Refusal::NoPermission))),
        };
        let asked = [timed_out(Some(held)), timed_out(Some(denied)), timed_out(None)];
        assert_eq!(asked.each_ref().map(LockError::is_contended), [true, false, false]);
        assert_eq!(asked.each_ref().map(LockError::is_transient), [true, false, true]);
        assert!(asked.iter().all(|error| error.kind().as_str() == "timed_out"));
    }
}
