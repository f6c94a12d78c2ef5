//! One round on all servers, and what it leaves behind.

use super::{
    Ttl, Vote,
    ballot::{self, Decision},
    fresh,
};
use crate::{
    config::Address,
    error::{Failure, ServerVote},
    quorum::majority,
    resource::Resources,
    server::{Claim, KeysAndValue, Lane, Operation, Round, UnderWay, Verb, later},
};
use std::{
    future::poll_fn,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, timeout_at};
use tracing::debug;

/// The servers that vote, and how we name ourselves to them.
#[derive(Debug)]
pub(crate) struct Electorate {
    pub(crate) id: String,
    pub(crate) lanes: Vec<Arc<Lane>>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) under_way: Arc<UnderWay>,
}

/// Keys that a majority holds for us.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) value: Arc<str>,
    pub(crate) claim: Arc<Claim>,
    pub(crate) term: Term,
}

/// Until when a majority holds keys for us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    /// Until then nobody else can be granted the resource.
    pub(crate) valid_until: Instant,
    /// By then every server has dropped the keys.
    pub(crate) expires: Instant,
}

/// Why a round did not lead to a grant.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The votes did not make a majority.
    Outvoted(Vec<Vote>),
    /// They did, but too late.
    Expired { elapsed: Duration, votes: Vec<Vote> },
}

/// A round that asks all servers for keys.
///
/// Unless it leads to a grant, also if it is dropped before it is decided, an unlock is sent after every SET that was sent.
#[derive(Debug)]
pub(crate) struct Attempt {
    electorate: Arc<Electorate>,
    set: Arc<Operation>,
    start: Instant,
    ttl: Ttl,
    is_won: bool,
    /// Whoever closes the handle waits for it, and so for the unlocks.
    _under_way: Round,
}

impl Attempt {
    /// Waits for the vote that decides or for the end of the round.
    pub(crate) async fn decide(mut self) -> Result<Grant, Failed> {
        let term = self.electorate.decide(&self.set, self.start, self.ttl).await?;
        self.is_won = true;
        Ok(Grant {
            value: Arc::clone(&self.set.value),
            claim: Arc::clone(&self.set.claim),
            term,
        })
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.is_won {
            return;
        }
        self.set.claim.release();
        let unlock = Arc::new(self.set.undo());
        for (lane, vote) in self.electorate.lanes.iter().zip(self.set.votes_so_far()) {
            // The others have told that they did nothing.
            if matches!(vote, Vote::Granted | Vote::Pending | Vote::Unknown) {
                lane.submit(&[&unlock]);
            }
        }
    }
}

impl Electorate {
    /// Asks all servers for keys, unless the handle is closed.
    pub(crate) fn attempt(self: &Arc<Self>, keys: &Resources, ttl: Ttl, limit: Duration) -> Option<Attempt> {
        let attempt = self.prepare(keys, ttl, limit)?;
        self.submit(&[&attempt.set]);
        Some(attempt)
    }

    fn prepare(self: &Arc<Self>, keys: &Resources, ttl: Ttl, limit: Duration) -> Option<Attempt> {
        let under_way = self.under_way.begin()?;
        let value: Arc<str> = fresh(&self.id, SystemTime::now()).into();
        let (set, start) = self.operation(Verb::Lock, (keys.clone(), value), &Arc::default(), ttl, limit);
        Some(Attempt {
            electorate: Arc::clone(self),
            set,
            start,
            ttl,
            is_won: false,
            _under_way: under_way,
        })
    }

    /// Asks all servers to let our keys live on, and puts them back where they went missing if a majority still had them.
    ///
    /// Keys that were put back are not counted: their server may have granted the resource to another in between.
    pub(crate) async fn renew(
        &self,
        keys_and_value: KeysAndValue,
        claim: &Arc<Claim>,
        ttl: Ttl,
        limit: Duration,
    ) -> Result<Term, Failed> {
        let (renewal, start) = self.operation(Verb::Renew, keys_and_value, claim, ttl, limit);
        self.submit(&[&renewal]);
        let term = self.decide(&renewal, start, ttl).await?;
        self.restore_missing(&renewal);
        Ok(term)
    }

    /// Sends an unlock to all servers. Where it cannot be sent now it is kept until `expires`.
    pub(crate) fn unlock(
        &self,
        keys_and_value: KeysAndValue,
        claim: &Arc<Claim>,
        now: Instant,
        expires: Instant,
    ) -> Arc<Operation> {
        claim.release();
        let (claim, servers) = (Arc::clone(claim), self.lanes.len());
        let unlock = Arc::new(Operation::unlock(keys_and_value, claim, (now, expires), servers));
        self.submit(&[&unlock]);
        unlock
    }

    /// Names the votes of a failed round.
    pub(crate) fn failure(&self, resources: &Resources, rounds: u32, votes: Vec<Vote>) -> Failure {
        let servers = self.addresses.iter().cloned();
        Failure {
            resource: resources.to_string(),
            rounds,
            needed: majority(self.lanes.len()),
            votes: servers
                .zip(votes)
                .map(|(server, vote)| ServerVote { server, vote })
                .collect(),
        }
    }

    fn operation(
        &self,
        verb: Verb,
        keys_and_value: KeysAndValue,
        claim: &Arc<Claim>,
        ttl: Ttl,
        limit: Duration,
    ) -> (Arc<Operation>, Instant) {
        let start = Instant::now();
        let until = later(start, limit);
        let (ttl, servers) = (ttl.duration(), self.lanes.len());
        let operation = Operation::vote_by((start, until), verb, keys_and_value, Arc::clone(claim), ttl, servers);
        (Arc::new(operation), start)
    }

    /// Waits for the vote that decides or for the end of the round.
    async fn decide(&self, operation: &Operation, start: Instant, ttl: Ttl) -> Result<Term, Failed> {
        let decided = poll_fn(|cx| operation.poll_decision(cx));
        let decision = timeout_at(operation.until(), decided).await;
        let elapsed = start.elapsed();
        debug!(verb = ?operation.verb, ?decision, ?elapsed, "round");
        match decision {
            Ok(Decision::Won) if ttl.validity(elapsed).is_some() => Ok(Term {
                valid_until: start + ttl.promised(),
                // Keys were set as late as now.
                expires: start + elapsed + ttl.duration(),
            }),
            Ok(Decision::Won) => Err(Failed::Expired {
                elapsed,
                votes: operation.votes_so_far(),
            }),
            Ok(Decision::Lost) => Err(Failed::Outvoted(operation.votes_so_far())),
            Err(_) => Err(Failed::Outvoted(ballot::silent(operation.votes_so_far()))),
        }
    }

    fn restore_missing(&self, renewal: &Operation) {
        for (lane, vote) in self.lanes.iter().zip(renewal.votes_so_far()) {
            if vote == Vote::Missing {
                lane.submit(&[&Arc::new(renewal.restore())]);
            }
        }
    }

    /// Sends operations to all servers, each with the one before it.
    fn submit(&self, operations: &[&Arc<Operation>]) {
        for lane in &self.lanes {
            lane.submit(operations);
        }
    }
}
