//! What a request sets, and what is checked before anything is sent.

use super::Core;
use crate::{
    decision::{Drift, InvalidTtl, Patience, Ttl},
    group::{AttemptOptions, Group},
    resource::{InvalidResource, Resources},
    runtime::InsideRuntime,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How a lock is asked for or renewed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) ttl: Duration,
    pub(crate) drift: Drift,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) fenced: bool,
}

/// Why a request cannot be carried out. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// The TTL cannot lead to a lock.
    #[error(transparent)]
    Ttl(#[from] InvalidTtl),
    /// The resource cannot be a Redis key, or several cannot be locked together.
    #[error(transparent)]
    Resource(#[from] InvalidResource),
    /// The call would block a tokio runtime.
    #[error(transparent)]
    InsideRuntime(#[from] InsideRuntime),
    /// A duration that must be longer than 0 is 0.
    #[error("{name} must be longer than 0")]
    #[non_exhaustive]
    Zero {
        /// The name of the setting.
        name: &'static str,
    },
    /// The guard would be held for less than its TTL, for which it is locked in any case.
    #[error("max_hold ({max_hold:?}) must not be less than the ttl ({ttl:?})")]
    #[non_exhaustive]
    MaxHold {
        /// The longest time that was asked for.
        max_hold: Duration,
        /// The TTL that was asked for.
        ttl: Duration,
    },
}

/// A request that was checked.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    pub(crate) group: &'a Arc<Group>,
    pub(crate) keys: Resources,
    pub(crate) options: AttemptOptions,
}

impl Core {
    pub(crate) fn options(&self, ttl: Duration) -> Options {
        Options {
            ttl,
            drift: self.drift,
            attempt_timeout: self.attempt_timeout,
            fenced: self.fenced,
        }
    }

    /// Checks a request for a lock, or for its renewal.
    pub(crate) fn prepare(&self, resources: &Resources, options: &Options) -> Result<Prepared<'_>, InvalidRequest> {
        let (group, keys) = self.locate(resources)?;
        let ttl = self.check_ttl(options)?;
        let timeout = not_zero(options.attempt_timeout)?;
        let options = AttemptOptions {
            ttl,
            patience: Patience::new(timeout, options.ttl),
            fence_expiry: options.fenced.then_some(self.fence_expiry),
            since: Instant::now(),
        };
        Ok(Prepared { group, keys, options })
    }

    fn check_ttl(&self, options: &Options) -> Result<Ttl, InvalidTtl> {
        let checked = Ttl::new(options.ttl, options.drift)?;
        let (ttl, fence_expiry) = (options.ttl, self.fence_expiry);
        match self.restart_guard {
            Some(max_ttl) if ttl > max_ttl => Err(InvalidTtl::OutlivesRestartGuard { ttl, max_ttl }),
            _ if options.fenced && fence_expiry < ttl => Err(InvalidTtl::OutlivesFence { ttl, fence_expiry }),
            _ => Ok(checked),
        }
    }
}

/// Checks that a attempt timeout, if it is set, is not 0: every vote takes longer, so no attempt could succeed, and a waiter would ask
/// for ever.
pub(crate) fn not_zero(attempt_timeout: Option<Duration>) -> Result<Option<Duration>, InvalidRequest> {
    match attempt_timeout {
        Some(Duration::ZERO) => Err(InvalidRequest::Zero {
            name: "attempt_timeout",
        }),
        set => Ok(set),
    }
}
