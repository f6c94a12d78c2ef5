//! A lock that is asked for.

use super::{Deferred, fenced_setter, option_setters, outcome};
use crate::{
    client::{Core, InvalidRequest, Options, Prepared},
    decision::{
        Failure, Owner, Retry, holder_in_words, majority,
        tally::{is_held, leading_holder, reachable, retry_after},
    },
    group::{AttemptOptions, Servers, lease::Failed},
    lock::Lock,
    metrics, random,
    resource::Resources,
};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, sleep};
use tracing::{Instrument, Span, debug_span, field::Empty};

/// A lock that is asked for, from [`Redlock::lock`](crate::Redlock::lock). Awaiting it locks.
///
/// # Errors
///
/// [`LockError`] after the last attempt: `Held` if somebody else holds the resource, `Refused` if too many servers answered
/// with an error, `NoQuorum` if too few servers could be reached, `TooSlow` if the servers take longer to answer than the attempt timeout,
/// `Expired` if the votes came too late. `Invalid` comes before anything is sent. `Closed` if the client is closed.
///
/// # Panics
///
/// If it is polled outside a tokio runtime with timers. It need not be the runtime in which the client was built.
///
/// # Cancel safety
///
/// It is cancel-safe: dropping the future at any point leaves nothing locked. Unlocks are sent for whatever was asked for.
#[must_use = "requests do nothing unless awaited"]
pub struct LockRequest(Deferred<Parameters, Result<Lock, LockError>>);

struct Parameters {
    core: Arc<Core>,
    resources: Resources,
    retry: Retry,
    options: Options,
}

option_setters!(LockRequest);
fenced_setter!(LockRequest);

impl LockRequest {
    pub(crate) fn new(core: Arc<Core>, resources: Resources, ttl: Duration, retry: Retry) -> Self {
        Self(Deferred::new(Parameters {
            resources,
            retry,
            options: core.options(ttl),
            core,
        }))
    }

    /// Sets the retry policy of this call. The default is that of the client.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.0.parameters().retry = retry;
        self
    }
}

impl Parameters {
    async fn run(self) -> Result<Lock, LockError> {
        let span = debug_span!("lock", resource = %self.resources, ttl = ?self.options.ttl, outcome = Empty, validity = Empty, attempts = Empty);
        let started = Instant::now();
        let locked = self.lock(&span).instrument(span.clone()).await;
        let outcome = outcome(&span, &locked, Lock::validity, LockError::kind);
        metrics::lock(outcome, started.elapsed());
        locked
    }

    async fn lock(self, span: &Span) -> Result<Lock, LockError> {
        let Self { core, resources, .. } = self;
        let Prepared { group, keys, options } = core.prepare(&resources, &self.options)?;
        let mut waits = None;
        for attempt in 1.. {
            let Some(decided) = group.attempt(&keys, options).await else {
                break;
            };
            let failed = match decided {
                Ok(locked) => {
                    span.record("attempts", attempt);
                    let lock = Lock::new(resources, locked);
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
                    span.record("attempts", attempt);
                    return Err(refused(&group.servers, &resources, options, attempt, failed));
                }
            }
        }
        Err(LockError::Closed)
    }
}

/// Says why the last attempt failed.
pub(crate) fn refused(
    servers: &Servers,
    resources: &Resources,
    options: AttemptOptions,
    attempts: u32,
    failed: Failed,
) -> LockError {
    let AttemptOptions { ttl, patience, .. } = options;
    let failure = |votes| Box::new(servers.failure(resources, attempts, votes));
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
        Failed::Outvoted(votes) => match servers.too_slow(&votes, patience) {
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

impl Future for LockRequest {
    type Output = Result<Lock, LockError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx, Parameters::run)
    }
}

impl fmt::Debug for LockRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut request = f.debug_struct("LockRequest");
        if let Some(parameters) = self.0.get() {
            request
                .field("resource", &parameters.resources)
                .field("ttl", &parameters.options.ttl)
                .field("retry", &parameters.retry);
        }
        request.finish_non_exhaustive()
    }
}

/// Why a resource was not locked. An unlock follows every key that a server granted, and reaches a server that is away
/// when it comes back.
///
/// ```
/// use multiredlock::{LockError, Redlock};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let redlock = Redlock::builder().servers(["memory://a", "memory://b", "memory://c"]).build()?;
/// # let _lock = redlock.lock("invoice:7", Duration::from_secs(10)).await?;
/// match redlock.try_lock("invoice:7", Duration::from_secs(10)).await {
///     Ok(lock) => println!("locked for {:?}", lock.validity()),
///     Err(LockError::Held { owner: Some(owner), .. }) => println!("{} is at it", owner.id),
///     Err(error) if error.is_transient() => println!("not now: {error}"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Somebody else holds the resource.
    #[error("{}; held by {}", failure.could_not_lock(), holder_in_words(owner.as_ref(), *retry_after))]
    #[non_exhaustive]
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
    #[non_exhaustive]
    Refused {
        /// The resource and the votes.
        failure: Box<Failure>,
    },
    /// Too few servers could be reached.
    #[error("{}{}", failure.could_not_lock(), failure.troubles())]
    #[non_exhaustive]
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
    #[non_exhaustive]
    TooSlow {
        /// How long a server may take to answer: the attempt timeout of the request or of the client.
        timeout: Duration,
        /// How long the servers take that would make a majority.
        round_trip: Duration,
        /// The resource and the votes.
        failure: Box<Failure>,
    },
    /// A majority granted it, but the attempt took so long that nothing was left of the ttl.
    #[error(
        "could not lock `{}`: the attempt took {elapsed:?}, which leaves nothing of the ttl ({ttl:?})",
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
    /// The lock was not acquired within the limit, which [`timeout`](crate::future::AcquireRequest::timeout) or
    /// [`acquire_timeout`](crate::Builder::acquire_timeout) set.
    #[error("could not lock `{resource}` within {waited:?}")]
    #[non_exhaustive]
    TimedOut {
        /// The resource, printable and shortened to 80 characters.
        resource: String,
        /// The limit.
        waited: Duration,
        /// Why the last attempt in its line failed; nothing if none did since this client was granted the lock, or if the
        /// first was still under way.
        #[source]
        cause: Option<Box<LockError>>,
    },
    /// The request cannot be carried out. Nothing was sent.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The client was closed, or the runtime in which it was built has ended.
    #[error("the client is closed")]
    Closed,
}
