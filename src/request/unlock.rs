//! The answer to an unlock that is already sent.

use crate::{
    decision::{Vote, majority, tally::count},
    resource::Resources,
    server::{Operation, TimeIsUp, answer_within},
    text::Shown,
};
use std::{
    fmt,
    future::{Future, pending},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

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
    /// Tells whether a majority held the lock until it was unlocked.
    ///
    /// # Errors
    ///
    /// [`ReleaseError`], which names the resource: `Gone` if a majority did not hold it any more, `Unknown` if too few
    /// servers answered to tell, `NotSent` if no server was asked.
    pub fn check(&self, resource: impl Into<String>) -> Result<(), ReleaseError> {
        self.check_as(Shown(resource.into().as_bytes()).to_string())
    }

    /// The same with a name that is to be shown as it is.
    fn check_as(&self, resource: String) -> Result<(), ReleaseError> {
        let Self {
            removed,
            not_ours,
            unreachable,
        } = *self;
        // The fields are public, so they may hold any number.
        let servers = removed.saturating_add(not_ours).saturating_add(unreachable);
        let needed = majority(servers);
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
pub struct Unlocking {
    operation: Arc<Operation>,
    limit: Duration,
    /// Made at the first poll, since an unlock can be sent outside a runtime.
    timer: Option<Timer>,
}

type Timer = Pin<Box<dyn Future<Output = Result<(), TimeIsUp>> + Send + Sync>>;

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
            let timer = this
                .timer
                .get_or_insert_with(|| Box::pin(answer_within(this.limit, pending())));
            // It always says that the time is up.
            let _ = ready!(timer.as_mut().poll(cx));
        }
        Poll::Ready(this.operation.with_votes(Unlocked::count))
    }
}

impl fmt::Debug for Unlocking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unlocking")
            .field("operation", &self.operation)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// The answer to a release that is already sent, from [`Guard::release`](crate::Guard::release).
///
/// Dropping it changes nothing. Awaiting it within a tokio runtime waits until a majority removed the keys, or until every
/// server has answered, at most for the round timeout, 1 s unless set.
#[derive(Debug)]
pub struct Releasing {
    resources: Resources,
    unlocking: Unlocking,
}

impl Releasing {
    pub(crate) fn new(resources: Resources, unlocking: Unlocking) -> Self {
        Self { resources, unlocking }
    }
}

impl Future for Releasing {
    type Output = Result<(), ReleaseError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let is_removed = |votes: &[Vote]| count(votes, |vote| *vote == Vote::Granted) >= majority(votes.len());
        let removed = |votes: &[Vote]| is_removed(votes).then_some(());
        if this.unlocking.operation.poll_votes(cx, removed).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let unlocked = ready!(Pin::new(&mut this.unlocking).poll(cx));
        Poll::Ready(unlocked.check_as(this.resources.to_string()))
    }
}

/// Why it is not certain that a guard's lock was released.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// A majority did not hold its value any more, so the lock was lost before.
    #[error("`{resource}` was gone already: {removed} of {servers} servers still held it, {needed} had to")]
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
    NotSent {
        /// The resource, printable and shortened to 80 characters.
        resource: String,
    },
    /// Too few servers answered to tell. To those that come back before the keys have expired the unlock is still sent.
    #[error("could not release `{resource}` for sure: {removed} of {servers} servers removed it, {needed} needed")]
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
