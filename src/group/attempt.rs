//! One round on all servers, and what it leaves behind.

use super::wait_queue::{Room, Terms, Unlocked};
use crate::{
    address::Address,
    clock::Moment,
    decision::{
        Failure, Patience, ServerVote, Vote, Waited, fresh,
        line::Weather,
        majority,
        tally::{self, Decision},
    },
    fault::Sabotage,
    fence::Fence,
    metrics,
    resource::Resources,
    server::{
        Changes, Claim, KeysAndValue, Lane, Listener, Operation, Promise, Round, UnderWay, Verb, answer_within, later,
        was_held_up,
    },
};
use std::{
    future::poll_fn,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::debug;

/// The servers that vote, and how we name ourselves to them.
#[derive(Debug)]
pub(crate) struct Electorate {
    pub(crate) id: String,
    pub(crate) lanes: Vec<Arc<Lane>>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) under_way: Arc<UnderWay>,
    /// Who wants to hear of changes of keys.
    pub(crate) changes: Arc<Changes>,
    /// Who waits for resources.
    pub(crate) room: Arc<Room>,
}

/// Keys that a majority holds for us.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) value: Arc<str>,
    pub(crate) claim: Arc<Claim>,
    pub(crate) term: Term,
    /// Of a fenced lock.
    pub(crate) token: Option<u64>,
}

/// For how long a majority holds keys for us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    pub(crate) promise: Promise,
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

/// Why there is no vote that decides.
#[derive(Debug)]
enum Undecided {
    /// So many servers are silent that those left are no majority.
    Silent(Vec<Vote>),
    /// Servers still answer what came before, but nothing would be left of the TTL.
    Late(Vec<Vote>),
}

/// A round that asks all servers for keys.
///
/// Unless it leads to a grant, also if it is dropped before it is decided, an unlock is sent after every SET that was sent.
#[derive(Debug)]
pub(crate) struct Attempt {
    electorate: Arc<Electorate>,
    set: Arc<Operation>,
    start: Moment,
    terms: Terms,
    outcome: Outcome,
    /// The line it is made for.
    line: Option<Arc<Listener>>,
    /// Whoever closes the handle waits for it, and so for the unlocks.
    _under_way: Round,
}

/// What became of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Open,
    Won,
    Failed,
}

impl Attempt {
    /// What asks the servers for the keys.
    pub(crate) fn set(&self) -> &Arc<Operation> {
        &self.set
    }

    /// Waits for the vote that decides or for the end of the round, and of a second one if the lock's fence has to be raised.
    pub(crate) async fn decide(mut self) -> Result<Grant, Failed> {
        let decided = match self.electorate.decide(&self.set, (self.start, 0), self.terms).await {
            Ok(term) => self.fence(term).await,
            Err(failed) => Err(failed),
        };
        self.outcome = if decided.is_ok() { Outcome::Won } else { Outcome::Failed };
        let (term, token) = decided?;
        Ok(Grant {
            value: Arc::clone(&self.set.value),
            claim: Arc::clone(&self.set.claim),
            term,
            token,
        })
    }

    /// Makes sure that a majority has stored the lock's token, the largest that any of them came to, if it is to have one.
    ///
    /// Any majority that grants the resource to another has one of these servers, which did so after it had stored this token
    /// and therefore stored a larger one.
    async fn fence(&self, term: Term) -> Result<(Term, Option<u64>), Failed> {
        let Some(fence) = self.set.fence else {
            return Ok((term, None));
        };
        let tokens = self.set.tokens();
        let token = tokens.iter().map(|(_, token)| *token).max().unwrap_or(fence.token);
        let have_it = tokens.iter().filter(|(_, stored)| *stored == token).count();
        if have_it >= majority(self.electorate.lanes.len()) || Sabotage::PlainMaximum.is_on() {
            return Ok((term, Some(token)));
        }
        let raise = Arc::new(self.set.raise(Fence { token, ..fence }, Instant::now()));
        let asked = raise.votes_so_far();
        for (lane, _) in self
            .electorate
            .lanes
            .iter()
            .zip(asked)
            .filter(|(_, vote)| *vote == Vote::Pending)
        {
            lane.submit(&[&raise]);
        }
        let term = self.electorate.decide(&raise, (self.start, 0), self.terms).await?;
        Ok((term, Some(token)))
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.outcome == Outcome::Won || Sabotage::NoUndo.is_on() {
            return;
        }
        self.set.claim.release();
        let unlock = Arc::new(self.set.undo());
        // The others have told that they did nothing.
        let is_undone = |vote: &Vote| matches!(vote, Vote::Granted | Vote::Pending | Vote::Unknown);
        let votes = self.set.votes_so_far();
        for (lane, _) in self
            .electorate
            .lanes
            .iter()
            .zip(&votes)
            .filter(|(_, vote)| is_undone(vote))
        {
            lane.submit(&[&unlock]);
        }
        if votes.iter().any(is_undone) {
            // The line that it was made for knows, unless whoever stood there is gone.
            let knows = self.line.as_ref().filter(|_| self.outcome == Outcome::Failed);
            let is_removed = |server: usize| is_undone(&votes[server]);
            self.electorate.changes.removed_here(&self.set.keys, knows, is_removed);
        }
    }
}

impl Electorate {
    pub(crate) fn new(id: String, addresses: Vec<Address>, under_way: Arc<UnderWay>) -> Self {
        let changes = Arc::<Changes>::default();
        // A lane votes under its server's number here.
        let lanes = (0..addresses.len()).map(|server| Arc::new(Lane::new(server, Arc::clone(&changes))));
        Self {
            id,
            lanes: lanes.collect(),
            under_way,
            room: Arc::new(Room::new(addresses.len(), Arc::clone(&changes))),
            changes,
            addresses,
        }
    }

    /// Asks all servers for keys, unless the handle is closed. If it is the turn of others they are left to them first.
    pub(crate) async fn attempt(self: &Arc<Self>, keys: &Resources, terms: Terms) -> Option<Result<Grant, Failed>> {
        if let Some(until) = self.room.left_until(keys) {
            sleep_until(until).await;
        }
        let attempt = self.prepare(keys, terms, false, None)?;
        self.submit(&[&attempt.set]);
        let decided = attempt.decide().await;
        if let Err(Failed::Outvoted(votes)) = &decided {
            self.room.taken(keys, votes);
        }
        Some(decided)
    }

    /// The same for the front of a line.
    pub(crate) fn attempt_in_line(
        self: &Arc<Self>,
        keys: &Resources,
        terms: Terms,
        line: &Arc<Listener>,
        watches: bool,
    ) -> Option<Attempt> {
        let attempt = self.prepare(keys, terms, watches, Some(line))?;
        self.submit(&[&attempt.set]);
        Some(attempt)
    }

    fn prepare(
        self: &Arc<Self>,
        keys: &Resources,
        terms: Terms,
        watches: bool,
        line: Option<&Arc<Listener>>,
    ) -> Option<Attempt> {
        let Terms { ttl, fence, .. } = terms;
        let under_way = self.under_way.begin()?;
        let start = Moment::now();
        let waited = Waited::new(start.instant().saturating_duration_since(terms.since));
        let value: Arc<str> = fresh(&self.id, SystemTime::now(), waited).into();
        let keys_and_value = (keys.clone(), value);
        let mut set = self.operation(
            Verb::Lock,
            keys_and_value,
            &Arc::default(),
            ttl.duration(),
            (start, ttl.promised()),
        );
        set.watches = watches;
        set.fence = fence.map(|expiry| Fence {
            token: self.next_token(),
            expiry,
        });
        Some(Attempt {
            electorate: Arc::clone(self),
            set: Arc::new(set),
            start,
            terms,
            outcome: Outcome::Open,
            line: line.cloned(),
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
        token: Option<u64>,
        terms: Terms,
    ) -> Result<Term, Failed> {
        let Terms { ttl, fence, .. } = terms;
        let (renewal, number, start) = {
            let _in_order = claim.order();
            let start = Moment::now();
            let counted = claim.begin(start, ttl.duration(), ttl.promised());
            let number = counted.number;
            let renewal = self.operation(
                Verb::Renew,
                keys_and_value,
                claim,
                ttl.duration(),
                (start, ttl.promised()),
            );
            let mut renewal = renewal.counted(counted);
            renewal.fence = token.zip(fence).map(|(token, expiry)| Fence { token, expiry });
            let renewal = Arc::new(renewal);
            self.submit(&[&renewal]);
            (renewal, number, start)
        };
        let term = self.decide(&renewal, (start, number), terms).await?;
        claim.granted(number);
        self.restore_missing(&renewal);
        Ok(term)
    }

    /// Sends an unlock to all servers, of keys that were locked `since` then. Where it cannot be sent now it is kept until
    /// `expires`.
    ///
    /// Whoever is next in line here gets a round that travels right behind it.
    pub(crate) fn unlock(
        self: &Arc<Self>,
        keys_and_value: KeysAndValue,
        claim: &Arc<Claim>,
        since: Instant,
        (now, expires): (Instant, Instant),
    ) -> Arc<Operation> {
        claim.release();
        let keys = keys_and_value.0.clone();
        let (claim, servers) = (Arc::clone(claim), self.lanes.len());
        let unlock = Arc::new(Operation::unlock(keys_and_value, claim, (now, expires), servers));
        match self.room.unlocked(&keys, since, || self.weather().round_trip) {
            Unlocked::Call(waiter, line) => {
                let next = self.prepare(&keys, waiter.terms, false, Some(&line));
                match &next {
                    Some(next) => self.submit(&[&unlock, &next.set]),
                    None => self.submit(&[&unlock]),
                }
                if let Some(next) = next {
                    waiter.call(next);
                }
                self.changes.removed_here(&keys, Some(&line), |_| true);
            }
            Unlocked::Known(line) => {
                self.submit(&[&unlock]);
                self.changes.removed_here(&keys, Some(&line), |_| true);
            }
            Unlocked::Unknown => {
                self.submit(&[&unlock]);
                self.changes.removed_here(&keys, None, |_| true);
            }
        }
        unlock
    }

    /// A token that every server is likely to store as it is, so that they need not be asked again: one that is a little above
    /// what the furthest of their clocks says.
    fn next_token(&self) -> u64 {
        let tokens = self.lanes.iter().filter_map(|lane| lane.next_token());
        // Operations that travel together need not have different ones.
        tokens
            .max()
            .and_then(|token| token.checked_next_multiple_of(1_000))
            .unwrap_or(0)
    }

    /// What the servers are like at present.
    pub(crate) fn weather(&self) -> Weather {
        let needed = majority(self.lanes.len());
        let mut round_trips: Vec<_> = (self.lanes.iter()).filter_map(|lane| lane.round_trip()).collect();
        round_trips.sort_unstable();
        let up: Vec<_> = self.lanes.iter().filter_map(|lane| lane.is_tracked()).collect();
        let tracked = up.iter().filter(|is_tracked| **is_tracked).count();
        Weather {
            round_trip: round_trips.get(needed - 1).copied().unwrap_or_default(),
            // Without a majority nothing is granted, and it is told when a server comes back.
            is_tracked: tracked >= needed || up.len() < needed,
        }
    }

    /// Asks the servers to tell of changes of keys that are watched from now on.
    pub(crate) fn track(&self) {
        for lane in &self.lanes {
            lane.track();
        }
    }

    /// Asks all servers who holds keys, until `is_settled`, every server answered, or the time is up. A value of ours is
    /// granted where it stands; without one nobody's value is ours. If it `watches` the servers report the next change.
    pub(crate) async fn look(
        &self,
        keys: Resources,
        value: Option<&Arc<str>>,
        watches: bool,
        limit: Duration,
        is_settled: impl Fn(&[Vote]) -> bool,
    ) -> Vec<Vote> {
        let nobodys = || fresh(&self.id, SystemTime::now(), Waited::default()).into();
        let our_value = value.map_or_else(nobodys, Arc::clone);
        let times = (Moment::now(), limit);
        let mut look = self.operation(Verb::Look, (keys, our_value), &Arc::default(), limit, times);
        look.watches = watches;
        let look = Arc::new(look);
        self.submit(&[&look]);
        let is_over = |votes: &[Vote]| is_settled(votes) || !votes.contains(&Vote::Pending);
        let settled = poll_fn(|cx| look.poll_votes(cx, |votes| is_over(votes).then(|| votes.to_vec())));
        let votes = match answer_within(limit, settled).await {
            Ok(votes) => votes,
            Err(_) => tally::silent(look.votes_so_far()),
        };
        // What this handle asks for itself, and is about to undo perhaps, belongs to nobody.
        match value {
            None => self.room.without_own(&look.keys, votes),
            Some(_) => votes,
        }
    }

    /// How long the silent servers take to answer, if that is longer than they may and a majority needs them.
    pub(crate) fn too_slow(&self, votes: &[Vote], patience: Patience) -> Option<Duration> {
        let silent = self.lanes.iter().zip(votes).filter(|(_, vote)| **vote == Vote::Silent);
        let slow = silent.filter_map(|(lane, _)| lane.round_trip().filter(|took| *took >= patience.with(Some(*took))));
        let mut slow: Vec<_> = slow.collect();
        slow.sort_unstable();
        let missing = majority(votes.len()).checked_sub(tally::reachable(votes))?;
        slow.get(missing.checked_sub(1)?).copied()
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
        ttl: Duration,
        (start, limit): (Moment, Duration),
    ) -> Operation {
        let until = later(start.instant(), limit);
        let times = (start.instant(), until);
        Operation::vote_by(times, verb, keys_and_value, Arc::clone(claim), ttl, self.lanes.len())
    }

    /// Waits for the vote that decides, or until so many servers are silent that none will.
    async fn decide(
        &self,
        operation: &Operation,
        (start, number): (Moment, u64),
        Terms { ttl, patience, .. }: Terms,
    ) -> Result<Term, Failed> {
        let decision = self.decision(operation, patience).await;
        let start = if Sabotage::ClockReadLate.is_on() {
            Moment::now()
        } else {
            start
        };
        let elapsed = start.elapsed();
        debug!(verb = ?operation.verb, ?decision, ?elapsed, "round");
        let ttl = operation.claim.overhang().map_or(ttl, |overhang| ttl.at_most(overhang));
        let is_in_time = ttl.validity(elapsed).is_some() || Sabotage::NoLastCheck.is_on();
        let outcome = match decision {
            Ok(Decision::Won) if is_in_time => "won",
            Ok(Decision::Won) | Err(Undecided::Late(_)) => "expired",
            Ok(Decision::Lost) => "lost",
            Err(Undecided::Silent(_)) => "silent",
        };
        metrics::round(operation.verb.name(), outcome);
        match decision {
            Ok(Decision::Won) if is_in_time => Ok(Term {
                promise: Promise {
                    number,
                    start,
                    lasts: ttl.promised(),
                },
                // Keys were set as late as now.
                expires: Instant::now() + ttl.duration(),
            }),
            Ok(Decision::Won) => Err(Failed::Expired {
                elapsed,
                votes: operation.votes_so_far(),
            }),
            Ok(Decision::Lost) => Err(Failed::Outvoted(operation.votes_so_far())),
            Err(Undecided::Silent(votes)) => Err(Failed::Outvoted(votes)),
            Err(Undecided::Late(votes)) => Err(Failed::Expired { elapsed, votes }),
        }
    }

    /// What the votes decide, or the votes as they are when so many servers are silent that they decide nothing any more.
    ///
    /// A server is silent if it has left the operation unanswered for too long, and whatever was sent before it. As long as it
    /// answers what came before, the operation is waited for: that costs time, and to begin anew would cost more.
    async fn decision(&self, operation: &Operation, patience: Patience) -> Result<Decision, Undecided> {
        let mut look_at = later(operation.submitted(), patience.shortest());
        loop {
            let decided = poll_fn(|cx| operation.poll_decision(cx));
            if let Ok(decision) = timeout_at(look_at.min(operation.until()), decided).await {
                return Ok(decision);
            }
            let now = Instant::now();
            if was_held_up(look_at, patience.shortest() / 8) && now < operation.until() {
                // So was whatever reads the answers.
                look_at = now + patience.shortest();
                continue;
            }
            let deadlines = self.lanes.iter().map(|lane| {
                let quiet_since = lane.quiet_since()?;
                Some(later(quiet_since, patience.with(lane.round_trip()))).filter(|deadline| *deadline > now)
            });
            let deadlines: Vec<_> = deadlines.collect();
            if let Some(votes) = operation.decided_without(|server| deadlines[server].is_none()) {
                return Err(Undecided::Silent(votes));
            }
            if now >= operation.until() {
                return Err(Undecided::Late(operation.votes_so_far()));
            }
            look_at = deadlines.into_iter().flatten().min().unwrap_or(operation.until());
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
        let needed = majority(self.lanes.len());
        let asked = if Sabotage::AsksNoMoreThanNeeded.is_on() {
            needed
        } else {
            self.lanes.len()
        };
        for lane in &self.lanes[..asked] {
            lane.submit(operations);
        }
    }
}
