//! Requests: awaited as they are, or adjusted first.

use crate::{
    engine::{
        Drift, Retry, Ttl, Vote,
        ballot::{is_held, is_lost, leading_holder, reachable, retry_after},
        round::{Electorate, Failed, Grant},
    },
    error::{LockError, RenewError},
    lock::Lock,
    quorum::majority,
    redlock::Core,
    resource::Resources,
    server::Operation,
};
use rand::{SeedableRng, rngs::SmallRng};
use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How long a round waits for the votes that would decide it, unless it is set: a tenth of the ttl within bounds.
fn default_round_timeout(ttl: Duration) -> Duration {
    (ttl / 10).clamp(Duration::from_millis(50), Duration::from_secs(1))
}

/// A lock that is asked for, from [`Redlock::lock`](crate::Redlock::lock). Awaiting it locks.
///
/// # Errors
///
/// [`LockError`] after the last round: `Held` if somebody else holds the resource, `Refused` if too many servers answered
/// with an error, `NoQuorum` if too few servers could be reached, `Expired` if the votes came too late. `InvalidTtl`, `InvalidResource` and `DriftFactor` come before anything is
/// sent. `Closed` if the handle is closed.
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
}

impl LockRequest {
    pub(crate) fn new(core: Arc<Core>, resources: Resources, ttl: Duration, retry: Retry) -> Self {
        Self {
            resources,
            ttl,
            retry,
            drift: None,
            round_timeout: core.defaults.round_timeout,
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

    /// Sets how long each round waits for the votes that would decide it.
    pub fn round_timeout(mut self, timeout: Duration) -> Self {
        self.round_timeout = Some(timeout);
        self
    }

    async fn run(self) -> Result<Lock, LockError> {
        let Self { core, resources, .. } = self;
        let (electorate, keys) = core.locate(&resources)?;
        let ttl = core.check_ttl(self.ttl, self.drift, LockError::DriftFactor)?;
        let limit = self.round_timeout.unwrap_or_else(|| default_round_timeout(self.ttl));
        let mut waits = None;
        for round in 1.. {
            let Some(attempt) = electorate.attempt(&keys, ttl, limit) else {
                break;
            };
            let failed = match attempt.decide().await {
                Ok(grant) => return Ok(Lock::new(resources, grant)),
                Err(failed) => failed,
            };
            // Most locks are granted at once and need no random numbers.
            let waits = waits.get_or_insert_with(|| self.retry.waits(SmallRng::from_entropy()));
            match waits.next() {
                Some(wait) => tokio::select! {
                    () = sleep(wait) => {}
                    () = core.monitor.closed() => break,
                },
                None if core.is_closed() => break,
                None => return Err(refused(electorate, &resources, ttl, round, failed)),
            }
        }
        Err(LockError::Closed)
    }
}

/// Says why the last round failed.
fn refused(electorate: &Electorate, resources: &Resources, ttl: Ttl, rounds: u32, failed: Failed) -> LockError {
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
        Failed::Outvoted(votes) => LockError::NoQuorum {
            reachable: reachable(&votes),
            failure: failure(votes),
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

/// A renewal that is asked for, from [`Redlock::renew`](crate::Redlock::renew). Awaiting it renews, in one round.
///
/// # Errors
///
/// [`RenewError`]: `Lost` if a majority no longer holds the lock's value, or if it was unlocked here, `Unknown` if too few servers answered to tell,
/// `Expired` if the votes came too late. The keys are left as they are in each case, since the owner may still be within
/// the validity that it had. `InvalidTtl`, `InvalidResource` and `DriftFactor` come before anything is sent. `Closed` if
/// the handle is closed.
///
/// # Cancel safety
///
/// A dropped future may have renewed the lock on some of the servers. The lock is as valid as it was, unless the new ttl
/// ends sooner than the old one.
#[must_use = "requests do nothing unless awaited"]
pub struct RenewRequest {
    core: Arc<Core>,
    lock: Lock,
    ttl: Duration,
    drift: Option<Drift>,
    round_timeout: Option<Duration>,
}

impl RenewRequest {
    pub(crate) fn new(core: Arc<Core>, lock: Lock, ttl: Duration) -> Self {
        Self {
            lock,
            ttl,
            drift: None,
            round_timeout: core.defaults.round_timeout,
            core,
        }
    }

    /// Sets the drift of this call.
    pub fn drift(mut self, drift: Drift) -> Self {
        self.drift = Some(drift);
        self
    }

    /// Sets how long the round waits for the votes that would decide it.
    pub fn round_timeout(mut self, timeout: Duration) -> Self {
        self.round_timeout = Some(timeout);
        self
    }

    async fn run(self) -> Result<Lock, RenewError> {
        let Self { core, lock, .. } = self;
        let resources = lock.shared_resources();
        let (electorate, keys) = core.locate(resources)?;
        let ttl = core.check_ttl(self.ttl, self.drift, RenewError::DriftFactor)?;
        let limit = self.round_timeout.unwrap_or_else(|| default_round_timeout(self.ttl));
        if core.is_closed() {
            return Err(RenewError::Closed);
        }
        let keys_and_value = (keys, Arc::clone(lock.shared_value()));
        let claim = lock.claim();
        let failure = |votes| Box::new(electorate.failure(resources, 1, votes));
        if claim.is_released() {
            // Its unlock may still be on its way.
            let not_asked = vec![Vote::Pending; electorate.lanes.len()];
            return Err(RenewError::Lost {
                failure: failure(not_asked),
            });
        }
        let start = Instant::now();
        let failed = match electorate.renew(keys_and_value, claim, ttl, limit).await {
            Ok(term) => {
                let (value, claim) = (Arc::clone(lock.shared_value()), Arc::clone(claim));
                return Ok(Lock::new(resources.clone(), Grant { value, claim, term }));
            }
            Err(failed) => failed,
        };
        Err(match failed {
            _ if core.is_closed() => RenewError::Closed,
            Failed::Expired { elapsed, votes } => RenewError::Expired {
                elapsed,
                ttl: ttl.duration(),
                failure: failure(votes),
            },
            Failed::Outvoted(votes) if is_lost(&votes) => RenewError::Lost {
                failure: failure(votes),
            },
            Failed::Outvoted(votes) => RenewError::Unknown {
                // Some servers may have taken the new ttl, which may be the shorter one.
                remaining: lock.validity().min(ttl.validity(start.elapsed()).unwrap_or_default()),
                failure: failure(votes),
            },
        })
    }
}

impl IntoFuture for RenewRequest {
    type Output = Result<Lock, RenewError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl fmt::Debug for RenewRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RenewRequest")
            .field("lock", &self.lock)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

/// What an unlock did, from [`Redlock::unlock`](crate::Redlock::unlock).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unlocked {
    /// On how many servers the key was removed.
    pub removed: usize,
    /// On how many servers it was no longer ours: expired, removed before, or somebody else's.
    pub not_ours: usize,
    /// How many servers could not be reached, refused, or did not answer in time. The unlock is still sent to those that
    /// come back before the key has expired.
    pub unreachable: usize,
}

impl Unlocked {
    fn count(votes: &[Vote]) -> Self {
        let mut unlocked = Self {
            removed: 0,
            not_ours: 0,
            unreachable: 0,
        };
        for vote in votes {
            match vote {
                Vote::Granted => unlocked.removed += 1,
                Vote::Missing | Vote::Held { .. } => unlocked.not_ours += 1,
                Vote::Refused(_) | Vote::Unreachable(_) | Vote::Unknown | Vote::Silent | Vote::Pending => {
                    unlocked.unreachable += 1;
                }
            }
        }
        unlocked
    }
}

/// The answer to an unlock that is already sent, from [`Redlock::unlock`](crate::Redlock::unlock).
///
/// Dropping it changes nothing. Awaiting it within a tokio runtime waits until every server has answered, at most for the
/// round timeout, 1 s unless set.
#[derive(Debug)]
pub struct Unlocking {
    operation: Arc<Operation>,
    limit: Duration,
    /// Made at the first poll, since an unlock can be sent outside a runtime.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Unlocking {
    pub(crate) fn new(operation: Arc<Operation>, limit: Option<Duration>) -> Self {
        Self {
            operation,
            limit: limit.unwrap_or(Duration::from_secs(1)),
            timer: None,
        }
    }
}

impl Future for Unlocking {
    type Output = Unlocked;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Unlocked> {
        let this = self.get_mut();
        if this.operation.poll_complete(cx).is_pending() {
            let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(this.limit)));
            ready!(timer.as_mut().poll(cx));
        }
        Poll::Ready(this.operation.look_at_votes(Unlocked::count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_lasts_a_tenth_of_the_ttl_within_bounds() {
        let ms = Duration::from_millis;
        assert_eq!(default_round_timeout(ms(200)), ms(50));
        assert_eq!(default_round_timeout(ms(2_000)), ms(200));
        assert_eq!(default_round_timeout(ms(60_000)), ms(1_000));
    }
}
