//! Looking who holds a resource.

use super::Deferred;
use crate::{
    client::{Core, InvalidRequest, not_zero},
    decision::{
        Failure, Holder, ServerVote, Vote, majority,
        tally::{count, leading_holder},
    },
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

/// Who holds a resource, by the answers of a majority at one moment. It may have changed since.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ownership {
    /// A majority holds it for one owner.
    Held(Holder),
    /// A majority does not hold it for anybody.
    Free,
    /// Neither: too few servers answered, or they name different owners, as while several ask for it at once.
    #[non_exhaustive]
    Unclear {
        /// The resource and what each server said.
        failure: Box<Failure>,
    },
}

impl fmt::Display for Ownership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(holder) => write!(f, "held by {holder}"),
            Self::Free => f.write_str("free"),
            Self::Unclear { failure } => {
                let votes: Vec<String> = failure.votes.iter().map(ServerVote::to_string).collect();
                write!(f, "unclear: no majority agrees ({})", votes.join("; "))
            }
        }
    }
}

/// What every server says of a resource, and what follows from it: from [`OwnerRequest::survey`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Survey {
    /// Who holds it, by the answers of a majority.
    pub ownership: Ownership,
    /// The answer of each server of the resource's group, in the order in which they are configured: `Held` with whoever
    /// holds it there, `Missing` if nobody does, or why there is no answer.
    pub votes: Vec<ServerVote>,
}

/// A look at who holds a resource, from [`Redlock::owner`](crate::Redlock::owner). Awaiting it asks all servers, and changes
/// nothing.
///
/// # Errors
///
/// [`OwnerError`]: `Invalid` before anything is sent, `Closed` if the client is closed.
///
/// # Panics
///
/// If it is polled outside a tokio runtime with timers. It need not be the runtime in which the client was built.
///
/// # Cancel safety
///
/// It does nothing but ask.
#[must_use = "requests do nothing unless awaited"]
pub struct OwnerRequest(Deferred<Parameters, Result<Ownership, OwnerError>>);

struct Parameters {
    core: Arc<Core>,
    resources: Resources,
    attempt_timeout: Option<Duration>,
}

impl OwnerRequest {
    pub(crate) fn new(core: Arc<Core>, resources: Resources) -> Self {
        Self(Deferred::new(Parameters {
            attempt_timeout: core.attempt_timeout,
            core,
            resources,
        }))
    }

    /// Sets how long it waits for the answers that would settle it; 1 s unless it is set for the client. It must be longer than
    /// 0.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.0.parameters().attempt_timeout = Some(timeout);
        self
    }

    /// Waits for the answer of every server, of those that do not answer for as long as the attempt timeout, and tells each of
    /// them beside what they come to.
    ///
    /// # Errors
    ///
    /// Those of awaiting the request itself.
    ///
    /// # Cancel safety
    ///
    /// It does nothing but ask.
    pub async fn survey(self) -> Result<Survey, OwnerError> {
        let failure = self.0.into_parameters().ask(|_| false).await?;
        Ok(Survey {
            votes: failure.votes.clone(),
            ownership: settle(failure),
        })
    }
}

impl Parameters {
    async fn run(self) -> Result<Ownership, OwnerError> {
        self.ask(|votes| verdict(votes).is_some()).await.map(settle)
    }

    /// The votes when the caller calls them settled, or when no more come.
    async fn ask(self, is_settled: impl Fn(&[Vote]) -> bool) -> Result<Failure, OwnerError> {
        let Self { core, resources, .. } = self;
        let (group, keys) = core.locate(&resources).map_err(InvalidRequest::from)?;
        let default = Duration::from_secs(1);
        let limit = not_zero(self.attempt_timeout)?;
        let limit = limit.unwrap_or(default);
        if core.is_closed() {
            return Err(OwnerError::Closed);
        }
        let votes = group.probe(keys, false, limit, is_settled).await;
        if core.is_closed() {
            return Err(OwnerError::Closed);
        }
        Ok(group.servers.failure(&resources, 1, votes))
    }
}

/// What the votes come to.
fn settle(failure: Failure) -> Ownership {
    let votes: Vec<Vote> = failure.votes.iter().map(|vote| vote.vote.clone()).collect();
    verdict(&votes).unwrap_or_else(|| Ownership::Unclear {
        failure: Box::new(failure),
    })
}

/// What a majority says, if one does.
fn verdict(votes: &[Vote]) -> Option<Ownership> {
    let needed = majority(votes.len());
    if let Some((holder, named)) = leading_holder(votes)
        && named >= needed
    {
        return Some(Ownership::Held(holder.clone()));
    }
    (count(votes, |vote| *vote == Vote::Missing) >= needed).then_some(Ownership::Free)
}

impl Future for OwnerRequest {
    type Output = Result<Ownership, OwnerError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx, Parameters::run)
    }
}

impl fmt::Debug for OwnerRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut request = f.debug_struct("OwnerRequest");
        if let Some(parameters) = self.0.get() {
            request.field("resource", &parameters.resources);
        }
        request.finish_non_exhaustive()
    }
}

/// Why nobody was asked who holds a resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OwnerError {
    /// The request cannot be carried out. Nothing was sent.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The client was closed, or the runtime in which it was built has ended.
    #[error("the client is closed")]
    Closed,
}
