//! Looking who holds a resource.

use super::BoxFuture;
use crate::{
    engine::{
        Holder, Vote,
        ballot::{count, leading_holder},
    },
    error::{Failure, OwnerError},
    quorum::majority,
    redlock::Core,
    resource::Resources,
};
use std::{fmt, future::IntoFuture, sync::Arc, time::Duration};

/// Who holds a resource, by the answers of a majority at one moment. It may have changed since.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ownership {
    /// A majority holds it for one owner.
    Held(Holder),
    /// A majority does not hold it for anybody.
    Free,
    /// Neither: too few servers answered, or they name different owners, as while several ask for it at once.
    Unclear {
        /// The resource and what each server said.
        failure: Box<Failure>,
    },
}

/// A look at who holds a resource, from [`Redlock::owner`](crate::Redlock::owner). Awaiting it asks all servers, and changes
/// nothing.
///
/// # Errors
///
/// [`OwnerError`]: `InvalidResource` before anything is sent, `Closed` if the handle is closed.
///
/// # Cancel safety
///
/// It does nothing but ask.
#[must_use = "requests do nothing unless awaited"]
pub struct OwnerRequest {
    core: Arc<Core>,
    resources: Resources,
    round_timeout: Option<Duration>,
}

impl OwnerRequest {
    pub(crate) fn new(core: Arc<Core>, resources: Resources) -> Self {
        Self {
            round_timeout: core.defaults.round_timeout,
            core,
            resources,
        }
    }

    /// Sets how long it waits for the answers that would settle it; 1 s unless it is set for the handle.
    pub fn round_timeout(mut self, timeout: Duration) -> Self {
        self.round_timeout = Some(timeout);
        self
    }

    async fn run(self) -> Result<Ownership, OwnerError> {
        let Self { core, resources, .. } = self;
        let (electorate, keys) = core.locate(&resources)?;
        let limit = self.round_timeout.unwrap_or(Duration::from_secs(1));
        if core.is_closed() {
            return Err(OwnerError::Closed);
        }
        let votes = electorate
            .look(keys, None, limit, |votes| settle(votes).is_some())
            .await;
        if core.is_closed() {
            return Err(OwnerError::Closed);
        }
        Ok(settle(&votes).unwrap_or_else(|| Ownership::Unclear {
            failure: Box::new(electorate.failure(&resources, 1, votes)),
        }))
    }
}

/// What the votes say, if they do.
fn settle(votes: &[Vote]) -> Option<Ownership> {
    let needed = majority(votes.len());
    if let Some((holder, named)) = leading_holder(votes)
        && named >= needed
    {
        return Some(Ownership::Held(holder.clone()));
    }
    (count(votes, |vote| *vote == Vote::Missing) >= needed).then_some(Ownership::Free)
}

impl IntoFuture for OwnerRequest {
    type Output = Result<Ownership, OwnerError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl fmt::Debug for OwnerRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerRequest")
            .field("resource", &self.resources)
            .finish_non_exhaustive()
    }
}
