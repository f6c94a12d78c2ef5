//! Why a guard does not hold its lock any more.

use crate::{decision::Failure, request::RenewError};
use std::time::Duration;

/// Why a guard no longer holds its lock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LockLost {
    /// A majority no longer holds its value: the keys were removed, or somebody else has the resource now.
    #[error("lost the lock on `{}`: {}", failure.resource, failure.still_held())]
    #[non_exhaustive]
    Gone {
        /// The resource and the votes.
        failure: Box<Failure>,
    },
    /// Its validity was over before it could be renewed.
    #[error("lost the lock on `{resource}`: its validity ended before it could be renewed")]
    #[non_exhaustive]
    Expired {
        /// The resource, printable and shortened to 80 characters.
        resource: String,
        /// Why the last renewal failed, if one did.
        #[source]
        cause: Option<Box<RenewError>>,
    },
    /// It was held for as long as [`max_hold`](crate::future::AcquireRequest::max_hold) allows, and its validity is over.
    #[error("lost the lock on `{resource}`: it was not renewed after {max_hold:?}, as max_hold says")]
    #[non_exhaustive]
    MaxHold {
        /// The resource, printable and shortened to 80 characters.
        resource: String,
        /// How long it was renewed.
        max_hold: Duration,
    },
}

impl LockLost {
    /// What it is called where things are counted.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Gone { .. } => "gone",
            Self::Expired { .. } => "expired",
            Self::MaxHold { .. } => "max_hold",
        }
    }
}

/// Why a guard does not vouch for what is about to be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnsureError {
    /// The lock is lost.
    #[error(transparent)]
    Lost(#[from] LockLost),
    /// Less validity is left than was asked for.
    #[error("{remaining:?} of the validity is left, {at_least:?} is needed")]
    #[non_exhaustive]
    TooLittle {
        /// How much is left.
        remaining: Duration,
        /// How much was asked for.
        at_least: Duration,
    },
    /// More was asked for than the ttl ever leaves.
    #[error("{at_least:?} can never be left of the ttl ({ttl:?}) less the drift ({drift:?})")]
    #[non_exhaustive]
    Never {
        /// How much was asked for.
        at_least: Duration,
        /// The ttl of the guard.
        ttl: Duration,
        /// The drift at that ttl.
        drift: Duration,
    },
}
