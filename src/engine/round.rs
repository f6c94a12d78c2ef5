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
    server::{Claim, KeyAndValue, Lane, Operation, UnderWay, Verb, later},
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

/// A key that a majority holds for us.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) value: Arc<str>,
    pub(crate) claim: Arc<Claim>,
    pub(crate) term: Term,
}

/// Until when a majority holds a key for us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    /// Until then nobody else can be granted the resource.
    pub(crate) valid_until: Instant,
    /// By then every server has dropped the key.
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

impl Electorate {
    /// Asks all servers for a key.
    ///
    /// # Cancel safety
    ///
    /// If the round fails, or the future is dropped, an unlock is sent after every SET that was sent.
    pub(crate) async fn lock(&self, key: &Arc<[u8]>, ttl: Ttl, limit: Duration) -> Result<Grant, Failed> {
        let value: Arc<str> = fresh(&self.id, SystemTime::now()).into();
        let claim = Arc::new(Claim::default());
        let (set, start) = self.operation(Verb::Lock, (Arc::clone(key), Arc::clone(&value)), &claim, ttl, limit);
        let undo = Undo {
            electorate: self,
            set: &set,
        };
        let term = self.vote(&set, start, ttl).await?;
        undo.disarm();
        Ok(Grant { value, claim, term })
    }

    /// Asks all servers to let our key live on, and puts it back where it went missing if a majority still had it.
    ///
    /// A key that was put back is not counted: its server may have granted the resource to another in between.
    pub(crate) async fn renew(
        &self,
        key_and_value: KeyAndValue,
        claim: &Arc<Claim>,
        ttl: Ttl,
        limit: Duration,
    ) -> Result<Term, Failed> {
        let (renewal, start) = self.operation(Verb::Renew, key_and_value, claim, ttl, limit);
        let term = self.vote(&renewal, start, ttl).await?;
        self.restore_missing(&renewal);
        Ok(term)
    }

    /// Sends an unlock to all servers. Where it cannot be sent now it is kept until `expires`.
    pub(crate) fn unlock(
        &self,
        key_and_value: KeyAndValue,
        claim: &Arc<Claim>,
        now: Instant,
        expires: Instant,
    ) -> Arc<Operation> {
        claim.release();
        let (claim, servers) = (Arc::clone(claim), self.lanes.len());
        let unlock = Arc::new(Operation::unlock(key_and_value, claim, (now, expires), servers));
        self.submit(&unlock);
        unlock
    }

    /// Names the votes of a failed round.
    pub(crate) fn failure(&self, resource: &[u8], rounds: u32, votes: Vec<Vote>) -> Failure {
        let servers = self.addresses.iter().cloned();
        Failure {
            resource: String::from_utf8_lossy(resource).into_owned(),
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
        key_and_value: KeyAndValue,
        claim: &Arc<Claim>,
        ttl: Ttl,
        limit: Duration,
    ) -> (Arc<Operation>, Instant) {
        let start = Instant::now();
        let until = later(start, limit);
        let (ttl, servers) = (ttl.duration(), self.lanes.len());
        let operation = Operation::vote_by((start, until), verb, key_and_value, Arc::clone(claim), ttl, servers);
        (Arc::new(operation), start)
    }

    /// Sends the operation to all servers, and waits for the vote that decides or for the end of the round.
    async fn vote(&self, operation: &Arc<Operation>, start: Instant, ttl: Ttl) -> Result<Term, Failed> {
        self.submit(operation);
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
                lane.submit(&Arc::new(renewal.restore()));
            }
        }
    }

    fn submit(&self, operation: &Arc<Operation>) {
        for lane in &self.lanes {
            lane.submit(operation);
        }
    }
}

/// Sends unlocks after the SETs of a round unless it was won.
struct Undo<'a> {
    electorate: &'a Electorate,
    set: &'a Arc<Operation>,
}

impl Undo<'_> {
    fn disarm(self) {
        std::mem::forget(self);
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        self.set.claim.release();
        let unlock = Arc::new(self.set.undo());
        for (lane, vote) in self.electorate.lanes.iter().zip(self.set.votes_so_far()) {
            // The others have told that they did nothing.
            if matches!(vote, Vote::Granted | Vote::Pending | Vote::Unknown) {
                lane.submit(&unlock);
            }
        }
    }
}
