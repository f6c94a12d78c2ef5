//! A renewal that is asked for.

use super::{Deferred, option_setters, outcome};
use crate::{
    client::{Core, InvalidRequest, Options, Prepared},
    decision::{Failure, Vote, tally::is_lost},
    group::lease::{Failed, Locked},
    lock::Lock,
    metrics,
};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tracing::{Instrument, debug_span, field::Empty};

/// A renewal that is asked for, from [`Redlock::renew`](crate::Redlock::renew). Awaiting it renews, in one attempt.
///
/// # Errors
///
/// [`RenewError`]: `Lost` if a majority no longer holds the lock's value, or if it was unlocked here, `Unknown` if too few servers answered to tell,
/// `Expired` if the votes came too late. The keys are left as they are in each case, since the owner may still be within
/// the validity that it had. `Invalid` comes before anything is sent.
/// `Closed` if the client is closed.
///
/// # Panics
///
/// If it is polled outside a tokio runtime with timers. It need not be the runtime in which the client was built.
///
/// # Cancel safety
///
/// A dropped future may have renewed the lock on some of the servers. The lock is as valid as it was, unless the new ttl ends
/// sooner than the old one: then no copy of the lock is valid for longer than the new ttl promises.
#[must_use = "requests do nothing unless awaited"]
pub struct RenewRequest(Deferred<Renewal, Result<Lock, RenewError>>);

/// A renewal with its parameters.
pub(crate) struct Renewal {
    pub(crate) core: Arc<Core>,
    pub(crate) lock: Lock,
    pub(crate) options: Options,
}

option_setters!(RenewRequest);

impl RenewRequest {
    pub(crate) fn new(core: Arc<Core>, lock: Lock, ttl: Duration) -> Self {
        let options = Options {
            fenced: lock.token().is_some(),
            ..core.options(ttl)
        };
        Self(Deferred::new(Renewal { core, lock, options }))
    }
}

impl Renewal {
    async fn run(self) -> Result<Lock, RenewError> {
        let core = Arc::clone(&self.core);
        let lock = self.renew().await?;
        core.remember(&lock);
        Ok(lock)
    }

    /// Renews a lock that nobody finds by name, as a guard's.
    pub(crate) async fn renew(self) -> Result<Lock, RenewError> {
        let resources = self.lock.shared_resources();
        let span =
            debug_span!("renew", resource = %resources, ttl = ?self.options.ttl, outcome = Empty, validity = Empty);
        let renewed = self.ask().instrument(span.clone()).await;
        metrics::renewal(outcome(&span, &renewed, Lock::validity, RenewError::kind));
        renewed
    }

    async fn ask(self) -> Result<Lock, RenewError> {
        let Self { core, lock, .. } = self;
        let resources = lock.shared_resources();
        let Prepared { group, keys, options } = core.prepare(resources, &self.options)?;
        let servers = &group.servers;
        if core.is_closed() {
            return Err(RenewError::Closed);
        }
        let (lock_state, token) = (lock.lock_state(), lock.token());
        let failure = |votes| Box::new(servers.failure(resources, 1, votes));
        // Its unlock may still be on its way.
        if lock_state.is_released() || lock.is_too_long() {
            let not_asked = vec![Vote::Pending; servers.pipelines.len()];
            return Err(RenewError::Lost {
                failure: failure(not_asked),
            });
        }
        let failed = match servers.renew(lock.subject(keys), token, options).await {
            Ok(lease) => {
                let locked = Locked {
                    value: Arc::clone(lock.shared_value()),
                    lock_state: Arc::clone(lock_state),
                    lease,
                    token,
                };
                return Ok(Lock::new(resources.clone(), locked));
            }
            Err(failed) => failed,
        };
        Err(match failed {
            _ if core.is_closed() => RenewError::Closed,
            Failed::Expired { elapsed, votes } => RenewError::Expired {
                elapsed,
                ttl: self.options.ttl,
                failure: failure(votes),
            },
            Failed::Outvoted(votes) if is_lost(&votes) => RenewError::Lost {
                failure: failure(votes),
            },
            Failed::Outvoted(votes) => RenewError::Unknown {
                remaining: lock.validity(),
                failure: failure(votes),
            },
        })
    }
}

impl Future for RenewRequest {
    type Output = Result<Lock, RenewError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx, Renewal::run)
    }
}

impl fmt::Debug for RenewRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut request = f.debug_struct("RenewRequest");
        if let Some(renewal) = self.0.get() {
            request.field("lock", &renewal.lock).field("ttl", &renewal.options.ttl);
        }
        request.finish_non_exhaustive()
    }
}

/// Why a lock was not renewed. Its keys are left as they are: the owner may still be within its validity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenewError {
    /// A majority no longer holds this lock's value: it expired, was unlocked, or somebody else has the resource now. If it
    /// was unlocked by this client no server was asked.
    #[error("lost the lock on `{}`: {}", failure.resource, failure.still_held())]
    #[non_exhaustive]
    Lost {
        /// The resource and the votes.
        failure: Box<Failure>,
    },
    /// Too few servers answered to tell. Until `remaining` is over the lock holds, and renewing can be tried again.
    #[error(
        "could not renew `{}`: {} of {} servers renewed it, {} required{}; {remaining:?} of its validity is left",
        failure.resource, failure.granted(), failure.votes.len(), failure.needed, failure.troubles()
    )]
    #[non_exhaustive]
    Unknown {
        /// What is left of the lock's validity, not counting what this renewal may have done.
        remaining: Duration,
        /// The resource and the votes.
        failure: Box<Failure>,
    },
    /// A majority renewed it, but the attempt took so long that nothing was left of the ttl.
    #[error(
        "could not renew `{}`: the attempt took {elapsed:?}, which leaves nothing of the ttl ({ttl:?})",
        failure.resource
    )]
    #[non_exhaustive]
    Expired {
        /// How long the attempt took.
        elapsed: Duration,
        /// The ttl that was asked for.
        ttl: Duration,
        /// The resource and the votes.
        failure: Box<Failure>,
    },
    /// The request cannot be carried out. Nothing was sent.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The client was closed, or the runtime in which it was built has ended.
    #[error("the client is closed")]
    Closed,
}
