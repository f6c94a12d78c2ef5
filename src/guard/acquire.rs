//! A guard that is asked for, and work that is done under one.

use super::{Guard, LockLost, Settings};
use crate::{
    client::{Core, InvalidRequest, Options, Prepared},
    decision::Vote,
    group::{
        AttemptOptions, Group, Stopped, Ticket,
        lease::{Failed, Locked},
    },
    lock::Lock,
    metrics,
    request::{Deferred, LockError, fenced_setter, lock::refused, option_setters, outcome},
    resource::Resources,
};
use std::{
    fmt,
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};
use tracing::{Instrument, debug_span, field::Empty};

/// A guard that is asked for, from [`Redlock::acquire`](crate::Redlock::acquire) or
/// [`Redlock::try_acquire`](crate::Redlock::try_acquire). Awaiting it waits in line.
///
/// The waiters of a client and its clones stand in line for each resource, first come, first served. Only the first of them
/// asks the servers; it is told by them when the resource may be free. Clients of other processes get their turns in
/// between.
///
/// # Errors
///
/// [`LockError`]: `TimedOut` after the time that [`timeout`](Self::timeout) or
/// [`acquire_timeout`](crate::Builder::acquire_timeout) sets, with the reason why the last attempt failed.
/// `Refused` if too many servers refuse for a reason that does not pass by itself, `Expired` if four attempts in a row took
/// so long that nothing was left of the ttl. As long as too few servers can be reached it waits.
/// [`try_acquire`](crate::Redlock::try_acquire) has the errors of [`lock`](crate::Redlock::lock). `Invalid`
/// comes before anything is sent. `Closed` if the client is closed.
///
/// # Panics
///
/// If it is polled outside a tokio runtime with timers. It need not be the runtime in which the client was built.
///
/// # Cancel safety
///
/// It is cancel-safe: dropping the future at any point leaves the line, and nothing locked. Poll it until then: while it
/// stands first in line nobody behind it gets a turn.
///
/// ```
/// use multiredlock::{LockError, Redlock};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let redlock = Redlock::builder().servers(["memory://a", "memory://b", "memory://c"]).build()?;
/// let ttl = Duration::from_secs(10);
/// let guard = redlock
///     .acquire("invoice:7", ttl)
///     .timeout(Duration::from_secs(30)) // the longest wait
///     .max_hold(Duration::from_secs(300)) // then it is not renewed any more
///     .await?;
///
/// let second = redlock.acquire("invoice:7", ttl).timeout(Duration::from_secs(1)).await;
/// assert!(matches!(second, Err(LockError::TimedOut { .. })));
/// # drop(guard);
/// # Ok(())
/// # }
/// ```
#[must_use = "requests do nothing unless awaited"]
pub struct AcquireRequest(Deferred<Parameters, Result<Guard, LockError>>);

struct Parameters {
    core: Arc<Core>,
    resources: Resources,
    waits: bool,
    timeout: Option<Duration>,
    options: Options,
    max_hold: Option<Duration>,
}

option_setters!(AcquireRequest);
fenced_setter!(AcquireRequest);

impl AcquireRequest {
    pub(crate) fn new(core: Arc<Core>, resources: Resources, ttl: Duration, waits: bool) -> Self {
        Self(Deferred::new(Parameters {
            resources,
            waits,
            timeout: core.acquire_timeout.filter(|_| waits),
            options: core.options(ttl),
            max_hold: None,
            core,
        }))
    }

    /// Waits no longer than this, in place of the client's [`acquire_timeout`](crate::Builder::acquire_timeout). With neither, it waits for
    /// as long as it takes; `Duration::MAX` is no limit. It means nothing to [`try_acquire`](crate::Redlock::try_acquire), which
    /// never waits in line.
    pub fn timeout(mut self, longest: Duration) -> Self {
        self.0.parameters().timeout = Some(longest);
        self
    }

    /// Stops renewing once the guard has been held for this long, at least the ttl. It is lost when what it was renewed for
    /// last is over, at most a ttl later.
    pub fn max_hold(mut self, longest: Duration) -> Self {
        self.0.parameters().max_hold = Some(longest);
        self
    }

    /// Waits in line, runs `work` with the guard, and releases it.
    ///
    /// What `work` returns comes back untouched, also if the release fails. If the lock is lost before `work` is done, it is
    /// not polled any more but dropped.
    ///
    /// # Errors
    ///
    /// [`UsingError::Lock`] if there was no lock, so that `work` was not called; [`UsingError::Lost`] if the lock was lost.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops `work` where it is and releases the lock.
    pub async fn using<T>(self, work: impl AsyncFnOnce(&Guard) -> T) -> Result<T, UsingError> {
        let guard = self.await?;
        let result = tokio::select! {
            biased;
            loss = guard.lost() => return Err(loss.into()),
            result = work(&guard) => result,
        };
        // It may have been lost within the last poll of the work.
        if let Some(loss) = guard.loss() {
            return Err(loss.into());
        }
        // It is best effort: whoever needs to know uses the guard.
        let _ = guard.release().await;
        Ok(result)
    }

    /// Waits in line, runs `work` with the guard on a thread for blocking work, and releases it.
    ///
    /// Nobody can stop a thread, so `work` has to look now and then whether [`Guard::is_valid`] still holds, and to return
    /// if not.
    ///
    /// # Errors
    ///
    /// [`UsingError::Lock`] if there was no lock, so that `work` was not called; [`UsingError::Lost`] if the lock was lost
    /// before `work` returned, whatever that was.
    ///
    /// # Panics
    ///
    /// If `work` panics.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future while `work` runs does not stop it. It keeps the guard, which is released when it returns.
    pub async fn using_blocking<T, F>(self, work: F) -> Result<T, UsingError>
    where
        T: Send + 'static,
        F: FnOnce(&Guard) -> T + Send + 'static,
    {
        let guard = self.await?;
        let run = move || {
            let result = work(&guard);
            let outcome = match guard.loss() {
                None => Ok(result),
                Some(loss) => Err(UsingError::from(loss)),
            };
            (outcome, guard)
        };
        match spawn_blocking(run).await {
            Ok((outcome, guard)) => {
                let _ = guard.release().await;
                outcome
            }
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The runtime is shut down, and the work was not begun.
                Err(_) => Err(LockError::Closed.into()),
            },
        }
    }
}

impl Parameters {
    async fn run(self) -> Result<Guard, LockError> {
        let span = debug_span!("acquire", resource = %self.resources, ttl = ?self.options.ttl, outcome = Empty, validity = Empty);
        let started = Instant::now();
        let acquired = self.acquire().instrument(span.clone()).await;
        let outcome = outcome(&span, &acquired, Guard::validity, LockError::kind);
        metrics::wait(outcome, started.elapsed());
        acquired
    }

    async fn acquire(&self) -> Result<Guard, LockError> {
        let Prepared { group, keys, options } = self.core.prepare(&self.resources, &self.options)?;
        let ttl = self.options.ttl;
        if let Some(max_hold) = self.max_hold.filter(|max_hold| *max_hold < ttl) {
            return Err(InvalidRequest::MaxHold { max_hold, ttl }.into());
        }
        let locked = if self.waits {
            self.wait(group, group.join(keys, options)).await?
        } else {
            // Boxed, so that waiters need no memory for it.
            Box::pin(self.try_once(group, keys, options)).await?
        };
        let lock = Lock::new(self.resources.clone(), locked);
        let settings = Settings {
            options: self.options,
            max_hold: self.max_hold,
        };
        Ok(Guard::new(Arc::clone(&self.core), lock, settings))
    }

    async fn wait(&self, group: &Group, ticket: Ticket) -> Result<Locked, LockError> {
        let waited = tokio::select! {
            biased;
            // A lock that is granted as the time ends is not given back.
            waited = group.wait(&ticket) => waited,
            () = time_is_up(self.timeout) => return Err(self.timed_out(group, ticket.options(), ticket.last_votes())),
        };
        match waited {
            Ok((locked, was_handed_over)) => {
                ticket.won(locked.lease.expires, was_handed_over, group.servers.conditions());
                Ok(locked)
            }
            Err(Stopped::Closed) => Err(LockError::Closed),
            Err(Stopped::Failed(attempts, failed)) => Err(refused(
                &group.servers,
                &self.resources,
                ticket.options(),
                attempts,
                failed,
            )),
        }
    }

    async fn try_once(&self, group: &Group, keys: Resources, options: AttemptOptions) -> Result<Locked, LockError> {
        let decided = group.attempt(&keys, options).await.ok_or(LockError::Closed)?;
        decided.map_err(|failed| match failed {
            _ if self.core.is_closed() => LockError::Closed,
            failed => refused(&group.servers, &self.resources, options, 1, failed),
        })
    }

    fn timed_out(&self, group: &Group, options: AttemptOptions, votes: Vec<Vote>) -> LockError {
        // Without votes this client has it, or the first attempt is still under way.
        let cause = (!votes.is_empty()).then(|| {
            let failed = Failed::Outvoted(votes);
            Box::new(refused(&group.servers, &self.resources, options, 1, failed))
        });
        LockError::TimedOut {
            resource: self.resources.to_string(),
            waited: self.timeout.unwrap_or_default(),
            cause,
        }
    }
}

/// Resolves after this time, if there is a limit.
async fn time_is_up(timeout: Option<Duration>) {
    match timeout {
        // Boxed, because most wait without a limit.
        Some(timeout) => Box::pin(sleep(timeout)).await,
        None => std::future::pending().await,
    }
}

impl Future for AcquireRequest {
    type Output = Result<Guard, LockError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx, Parameters::run)
    }
}

impl fmt::Debug for AcquireRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut request = f.debug_struct("AcquireRequest");
        if let Some(parameters) = self.0.get() {
            request
                .field("resource", &parameters.resources)
                .field("ttl", &parameters.options.ttl)
                .field("timeout", &parameters.timeout)
                .field("max_hold", &parameters.max_hold);
        }
        request.finish_non_exhaustive()
    }
}

/// Why work under a guard did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsingError {
    /// There was no lock, so the work was not begun.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The lock was lost, so the work was stopped.
    #[error(transparent)]
    Lost(#[from] LockLost),
}
