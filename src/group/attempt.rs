//! An attempt to lock keys on all servers, and what it leaves behind.

use super::{
    AttemptOptions,
    lease::{Failed, Lease, Locked},
    servers::Servers,
};
use crate::{
    clock::Moment,
    decision::{Vote, Waited, fresh, majority},
    fault_injection::InjectedFault,
    fence::Fence,
    resource::Resources,
    server::{Listener, Ongoing, Operation, Subject, Verb},
    token::FencingToken,
};
use std::{sync::Arc, time::SystemTime};
use tokio::time::Instant;

/// An attempt that asks all servers for keys.
///
/// Unless it leads to a grant, also if it is dropped before it is decided, an unlock is sent after every SET that was sent.
#[derive(Debug)]
pub(crate) struct Attempt {
    servers: Arc<Servers>,
    set: Arc<Operation>,
    start: Moment,
    options: AttemptOptions,
    outcome: Outcome,
    /// Listens to the keys for the queue for which it is made.
    listener: Option<Arc<Listener>>,
    /// Whoever closes the client waits for it, and so for the unlocks.
    _under_way: Ongoing,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Open,
    Won,
    Failed,
}

impl Attempt {
    /// Makes an attempt, which [`send`](Self::send) sends; none if the client is closed. If it `watches`, the servers report the next
    /// change of the keys. If it is made for a waiter, `listener` is that of its queue.
    pub(super) fn new(
        servers: &Arc<Servers>,
        keys: &Resources,
        options: AttemptOptions,
        watches: bool,
        listener: Option<&Arc<Listener>>,
    ) -> Option<Self> {
        let AttemptOptions { ttl, fence_expiry, .. } = options;
        let under_way = servers.under_way.begin()?;
        let start = Moment::now();
        let waited = Waited::new(start.instant().saturating_duration_since(options.since));
        let subject = Subject::new(keys.clone(), fresh(&servers.id, SystemTime::now(), waited));
        let mut set = servers.operation(Verb::Lock, subject, ttl.duration(), start, ttl.promised());
        set.watches = watches;
        set.fence = fence_expiry.map(|expiry| Fence {
            token: servers.next_token(),
            expiry,
        });
        Some(Self {
            servers: Arc::clone(servers),
            set: Arc::new(set),
            start,
            options,
            outcome: Outcome::Open,
            listener: listener.cloned(),
            _under_way: under_way,
        })
    }

    /// Asks all servers, right behind this operation if there is one.
    pub(super) fn send(&self, behind: Option<&Arc<Operation>>) {
        match behind {
            Some(first) => self.servers.submit(&[first, &self.set]),
            None => self.servers.submit(&[&self.set]),
        }
    }

    /// What asks the servers for the keys.
    pub(crate) fn set(&self) -> &Arc<Operation> {
        &self.set
    }

    /// Waits for the vote that decides or for the end of the attempt, and of a second one if the lock's fence has to be raised.
    pub(crate) async fn decide(mut self) -> Result<Locked, Failed> {
        let decided = match self.servers.decide(&self.set, self.start, 0, self.options).await {
            Ok(lease) => self.fence(lease).await,
            Err(failed) => Err(failed),
        };
        self.outcome = if decided.is_ok() { Outcome::Won } else { Outcome::Failed };
        let (lease, token) = decided?;
        Ok(Locked {
            value: Arc::clone(&self.set.value),
            lock_state: Arc::clone(&self.set.lock_state),
            lease,
            token: token.map(FencingToken::from),
        })
    }

    /// Makes sure that a majority has stored the lock's token, the largest that any of them came to, if it is to have one.
    ///
    /// Any majority that grants the resource to another has one of these servers, which did so after it had stored this token
    /// and therefore stored a larger one.
    async fn fence(&self, lease: Lease) -> Result<(Lease, Option<u64>), Failed> {
        let Some(fence) = self.set.fence else {
            return Ok((lease, None));
        };
        let tokens = self.set.tokens();
        let token = tokens.iter().map(|(_, token)| *token).max().unwrap_or(fence.token);
        let have_it = tokens.iter().filter(|(_, stored)| *stored == token).count();
        if have_it >= majority(self.servers.pipelines.len()) || InjectedFault::PlainMaximum.is_on() {
            return Ok((lease, Some(token)));
        }
        let update = Arc::new(self.set.update_fence(Fence { token, ..fence }, Instant::now()));
        let asked = update.votes_so_far();
        for (pipeline, _) in self
            .servers
            .pipelines
            .iter()
            .zip(asked)
            .filter(|(_, vote)| *vote == Vote::Pending)
        {
            pipeline.submit(&[&update]);
        }
        let lease = self.servers.decide(&update, self.start, 0, self.options).await?;
        Ok((lease, Some(token)))
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.outcome == Outcome::Won || InjectedFault::NoUndo.is_on() {
            return;
        }
        self.set.lock_state.release();
        let unlock = Arc::new(self.set.undo());
        // The others have told that they did nothing.
        let is_undone = |vote: &Vote| matches!(vote, Vote::Granted | Vote::Pending | Vote::OutcomeUnknown);
        let votes = self.set.votes_so_far();
        for (pipeline, _) in self
            .servers
            .pipelines
            .iter()
            .zip(&votes)
            .filter(|(_, vote)| is_undone(vote))
        {
            pipeline.submit(&[&unlock]);
        }
        if votes.iter().any(is_undone) {
            // The queue for which it was made knows, unless its head is gone.
            let knows = self.listener.as_ref().filter(|_| self.outcome == Outcome::Failed);
            let is_removed = |server: usize| is_undone(&votes[server]);
            self.servers.changes.removed_here(&self.set.keys, knows, is_removed);
        }
    }
}
