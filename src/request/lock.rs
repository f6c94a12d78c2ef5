//! A lock that is asked for.

use super::{BoxFuture, not_zero, outcome};
use crate::{
    engine::{
        Drift, Patience, Retry,
        ballot::{is_held, leading_holder, reachable, retry_after},
        room::Terms,
        round::{Electorate, Failed},
    },
    error::LockError,
    lock::Lock,
    metrics,
    quorum::majority,
    random,
    redlock::Core,
    resource::Resources,
};
use std::{fmt, future::IntoFuture, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};
use tracing::{Instrument, Span, debug_span, field::Empty};

/// A lock that is asked for, from [`Redlock::lock`](crate::Redlock::lock). Awaiting it locks.
///
/// # Errors
///
/// [`LockError`] after the last round: `Held` if somebody else holds the resource, `Refused` if too many servers answered
/// with an error, `NoQuorum` if too few servers could be reached, `TooSlow` if the servers take longer to answer than the round timeout,
/// `Expired` if the votes came too late. `InvalidTtl`, `InvalidResource`, `DriftFactor` and `Zero` come before anything is
/// sent. `Closed` if the handle is closed.
///
/// # Panics
///
/// If it is polled outside a tokio runtime with timers. It need not be the runtime in which the handle was built.
///
/// # Cancel safety
///
/// It is cancel-safe: dropping the future at any point leaves nothing locked. Unlocks are sent for whatever was asked for.
#[must_use = "requests do nothing unless awaited"]
pub struct LockRequest {
    core: Arc<Core>,
    resources: Resources,
    ttl: Duration,
    retry: Retry,
    drift: Option<Drift>,
    round_timeout: Option<Duration>,
    fenced: bool,
}

impl LockRequest {
    pub(crate) fn new(core: Arc<Core>, resources: Resources, ttl: Duration, retry: Retry) -> Self {
        Self {
            resources,
            ttl,
            retry,
            drift: None,
            round_timeout: core.defaults.round_timeout,
            fenced: core.defaults.fenced,
            core,
        }
    }

    /// Sets the retry policy of this call.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets the drift of this call.
    pub fn drift(mut self, drift: Drift) -> Self {
        self.drift = Some(drift);
        self
    }

    /// Sets how long a server may leave an operation of this request unanswered,
    /// as [`Builder::round_timeout`](crate::Builder::round_timeout) does for all. It must be longer than 0.
    pub fn round_timeout(mut self, timeout: Duration) -> Self {
        self.round_timeout = Some(timeout);
        self
    }

    /// Gives the lock a [token](Lock::token) that is larger than that of every fenced lock granted on the resource before,
    /// as [`Builder::fenced`](crate::Builder::fenced) does for all.
    pub fn fenced(mut self) -> Self {
        self.fenced = true;
        self
    }

    async fn run(self) -> Result<Lock, LockError> {
        let span = debug_span!("lock", resource = %self.resources, ttl = ?self.ttl, outcome = Empty, validity = Empty, rounds = Empty);
        let started = Instant::now();
        let locked = self.lock(&span).instrument(span.clone()).await;
        let outcome = outcome(&span, &locked, Lock::validity, LockError::name);
        metrics::lock(outcome, started.elapsed());
        locked
    }

    async fn lock(self, span: &Span) -> Result<Lock, LockError> {
        let Self { core, resources, .. } = self;
        let (electorate, keys) = core.locate(&resources)?;
        let ttl = core.check_ttl(self.ttl, self.drift, LockError::DriftFactor)?;
        let timeout = not_zero(self.round_timeout, |name| LockError::Zero { name })?;
        let patience = Patience::new(timeout, self.ttl);
        let fence = core.fence(self.fenced, ttl)?;
        let terms = Terms {
            ttl,
            patience,
            fence,
            since: Instant::now(),
        };
        let mut waits = None;
        for round in 1.. {
            let Some(decided) = electorate.attempt(&keys, terms).await else {
                break;
            };
            let failed = match decided {
                Ok(grant) => {
                    span.record("rounds", round);
                    let lock = Lock::new(resources, grant);
                    core.remember(&lock);
                    return Ok(lock);
                }
                Err(failed) => failed,
            };
            // Most locks are granted at once and need no random numbers.
            let waits = waits.get_or_insert_with(|| self.retry.waits(random::for_waits()));
            match waits.next() {
                Some(wait) => tokio::select! {
                    biased;
                    () = core.monitor.closed() => break,
                    () = sleep(wait) => {}
                },
                None if core.is_closed() => break,
                None => {
                    span.record("rounds", round);
                    return Err(refused(electorate, &resources, terms, round, failed));
                }
            }
        }
        Err(LockError::Closed)
    }
}

/// Says why the last round failed.
pub(super) fn refused(
    electorate: &Electorate,
    resources: &Resources,
    terms: Terms,
    rounds: u32,
    failed: Failed,
) -> LockError {
    let Terms { ttl, patience, .. } = terms;
    let failure = |votes| Box::new(electorate.failure(resources, rounds, votes));
    match failed {
        Failed::Expired { elapsed, votes } => LockError::Expired {
            elapsed,
            ttl: ttl.duration(),
            failure: failure(votes),
        },
        Failed::Outvoted(votes) if is_held(&votes) => LockError::Held {
            owner: leading_holder(&votes).and_then(|(holder, _)| holder.owner.clone()),
            retry_after: retry_after(&votes),
            failure: failure(votes),
        },
        Failed::Outvoted(votes) if reachable(&votes) >= majority(votes.len()) => LockError::Refused {
            failure: failure(votes),
        },
        Failed::Outvoted(votes) => match electorate.too_slow(&votes, patience) {
            Some(round_trip) => LockError::TooSlow {
                timeout: patience.shortest(),
                round_trip,
                failure: failure(votes),
            },
            None => LockError::NoQuorum {
                reachable: reachable(&votes),
                failure: failure(votes),
            },
        },
    }
}

impl IntoFuture for LockRequest {
    type Output = Result<Lock, LockError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl fmt::Debug for LockRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockRequest")
            .field("resource", &self.resources)
            .field("ttl", &self.ttl)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}
