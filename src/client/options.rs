//! What a request sets, and what is checked before anything is sent.

use super::Core;
use crate::{
    decision::{Drift, InvalidTtl, Patience, Ttl},
    group::{AttemptOptions, Group},
    resource::{InvalidResource, Resources},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How a lock is asked for or renewed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) ttl: Duration,
    pub(crate) drift: Drift,
    pub(crate) round_timeout: Option<Duration>,
    pub(crate) fenced: bool,
}

/// Why a request is refused before anything is sent.
#[derive(Debug)]
pub(crate) enum Invalid {
    Resource(InvalidResource),
    Ttl(InvalidTtl),
    DriftFactor(f64),
    /// A duration that must be longer than nothing.
    Zero(&'static str),
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
            round_timeout: self.round_timeout,
            fenced: self.fenced,
        }
    }

    /// Checks a request for a lock, or for its renewal.
    pub(crate) fn prepare(&self, resources: &Resources, options: &Options) -> Result<Prepared<'_>, Invalid> {
        let (group, keys) = self.locate(resources).map_err(Invalid::Resource)?;
        if let Some(invalid) = options.drift.invalid_factor() {
            return Err(Invalid::DriftFactor(invalid));
        }
        let ttl = self.check_ttl(options).map_err(Invalid::Ttl)?;
        let timeout = not_zero(options.round_timeout).map_err(Invalid::Zero)?;
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

/// A round timeout that is set, or its name if it is zero: a vote takes longer, so that no attempt could succeed, and a waiter would
/// ask for ever.
pub(crate) fn not_zero(round_timeout: Option<Duration>) -> Result<Option<Duration>, &'static str> {
    match round_timeout {
        Some(Duration::ZERO) => Err("round_timeout"),
        set => Ok(set),
    }
}
