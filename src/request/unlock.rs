//! The answer to an unlock that is already sent.

use crate::{
    decision::{Vote, majority},
    resource::Resources,
    runtime::InsideRuntime,
    server::{Operation, TimeIsUp, answer_within},
};
use std::{
    fmt,
    future::{Future, pending, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

/// What each server did with an unlock, from [`Unlocking::counts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unlocked {
    /// How many servers removed the keys.
    pub removed: usize,
    /// How many servers did not store the lock's value: the keys had expired, or been removed, or belong to another owner.
    pub not_ours: usize,
    /// How many servers could not be reached, refused, or did not answer in time. The client sends the unlock to each of them that
    /// comes back before the keys have expired.
    pub unreachable: usize,
}

impl Unlocked {
    /// Counts the answers to an unlock that is about these resources, if that was the lock of a majority until now.
    fn check(self, resources: &Resources) -> Result<(), ReleaseError> {
        let Self {
            removed,
            not_ours,
            unreachable,
        } = self;
        let servers = removed + not_ours + unreachable;
        let needed = majority(servers);
        let resource = resources.to_string();
        if servers == 0 {
            Err(ReleaseError::NotSent { resource })
        } else if removed >= needed {
            Ok(())
        } else if not_ours > servers - needed {
            Err(ReleaseError::Gone {
                resource,
                removed,
                servers,
                needed,
            })
        } else {
            Err(ReleaseError::Unknown {
                resource,
                removed,
                servers,
                needed,
            })
        }
    }

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
                Vote::Refused(_) | Vote::Unreachable(_) | Vote::OutcomeUnknown | Vote::TimedOut | Vote::Pending => {
                    unlocked.unreachable += 1;
                }
            }
        }
        unlocked
    }
}

impl fmt::Display for Unlocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            removed,
            not_ours,
            unreachable,
        } = *self;
        let servers = removed + not_ours + unreachable;
        if servers == 0 {
            return f.write_str("no server was asked");
        }
        write!(f, "{removed} of {servers} servers removed the keys")?;
        if not_ours > 0 {
            write!(f, ", {not_ours} did not store the value")?;
        }
        if unreachable > 0 {
            write!(f, ", {unreachable} did not answer")?;
        }
        Ok(())
    }
}

/// An unlock that is already sent, from [`Redlock::unlock`](crate::Redlock::unlock) and [`Guard::release`](crate::Guard::release).
///
/// Dropping it changes nothing. Awaiting it reports whether a majority held the lock until now. It resolves when a majority
/// removed the keys, when every server has answered, or after the attempt timeout, 1 s unless set.
///
/// # Errors
///
/// [`ReleaseError`]: `Gone` if a majority did not store the lock's value any more, `Unknown` if too few servers answered to tell,
/// `NotSent` if no server was asked.
///
/// # Panics
///
/// If it is polled outside a tokio runtime with timers.
///
/// # Cancel safety
///
/// It does nothing but wait.
pub struct Unlocking {
    resources: Resources,
    operation: Arc<Operation>,
    limit: Duration,
    /// Made at the first poll, since an unlock can be sent outside a runtime.
    timer: Option<Timer>,
    time_is_up: bool,
}

type Timer = Pin<Box<dyn Future<Output = Result<(), TimeIsUp>> + Send + Sync>>;

impl Unlocking {
    pub(crate) fn new(resources: Resources, operation: Arc<Operation>, limit: Option<Duration>) -> Self {
        Self {
            resources,
            operation,
            limit: limit.unwrap_or(Duration::from_secs(1)),
            timer: None,
            time_is_up: false,
        }
    }

    /// Waits until every server has answered, at most for the attempt timeout, and counts the answers.
    ///
    /// # Panics
    ///
    /// If it is polled outside a tokio runtime with timers.
    ///
    /// # Cancel safety
    ///
    /// It does nothing but wait.
    pub async fn counts(mut self) -> Unlocked {
        poll_fn(|cx| self.poll_complete(cx)).await;
        self.operation.with_votes(Unlocked::count)
    }

    /// Resolves when every server has answered, or the time is up.
    fn poll_complete(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.time_is_up || self.operation.poll_complete(cx).is_ready() {
            return Poll::Ready(());
        }
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(answer_within(self.limit, pending())));
        // It always says that the time is up.
        let _ = ready!(timer.as_mut().poll(cx));
        self.time_is_up = true;
        Poll::Ready(())
    }
}

impl Future for Unlocking {
    type Output = Result<(), ReleaseError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        // An error waits for the others: it says how many servers still held the lock.
        let is_removed = |votes: &[Vote]| Unlocked::count(votes).removed >= majority(votes.len());
        let removed = |votes: &[Vote]| is_removed(votes).then_some(());
        if this.operation.poll_votes(cx, removed).is_ready() {
            return Poll::Ready(Ok(()));
        }
        ready!(this.poll_complete(cx));
        Poll::Ready(this.operation.with_votes(Unlocked::count).check(&this.resources))
    }
}

impl fmt::Debug for Unlocking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unlocking")
            .field("resource", &self.resources)
            .field("operation", &self.operation)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// Why it is not certain that a lock was released.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// A majority did not hold its value any more, so the lock was lost before.
    #[error("`{resource}` was gone already: {removed} of {servers} servers still held it, {needed} required")]
    #[non_exhaustive]
    Gone {
        /// The resource, printable and shortened to 80 characters.
        resource: String,
        /// How many servers removed it now.
        removed: usize,
        /// How many servers there are.
        servers: usize,
        /// How many are a majority.
        needed: usize,
    },
    /// No server was asked: the resources belong to different [groups](crate::Builder::group) of servers, or they or the value are
    /// too long, so they never were one lock. This happens to a lock that was put together by [`Lock::from_parts`](crate::Lock::from_parts) only.
    #[error("could not release `{resource}`: no server was asked, since it cannot be a lock")]
    #[non_exhaustive]
    NotSent {
        /// The resource, printable and shortened to 80 characters.
        resource: String,
    },
    /// The unlock was sent, but the call could not wait for the answers.
    #[error(transparent)]
    InsideRuntime(#[from] InsideRuntime),
    /// Too few servers answered to tell. To those that come back before the keys have expired the unlock is still sent.
    #[error("could not release `{resource}` for sure: {removed} of {servers} servers removed it, {needed} required")]
    #[non_exhaustive]
    Unknown {
        /// The resource, printable and shortened to 80 characters.
        resource: String,
        /// How many servers removed it.
        removed: usize,
        /// How many servers there are.
        servers: usize,
        /// How many are a majority.
        needed: usize,
    },
}
