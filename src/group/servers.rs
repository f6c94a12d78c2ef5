//! The servers of one group: what is sent to all of them, and how their votes are waited for.

use super::{
    AttemptOptions,
    lease::{Failed, Lease},
};
use crate::{
    address::Address,
    clock::Moment,
    decision::{
        Failure, Patience, ServerVote, Vote, Waited, fresh,
        head::Conditions,
        majority,
        tally::{self, Decision},
    },
    fault_injection::InjectedFault,
    metrics,
    resource::Resources,
    server::{Changes, Operation, Pipeline, Promise, Subject, UnderWay, Verb, answer_within, later, was_held_up},
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
pub(crate) struct Servers {
    pub(crate) id: String,
    pub(crate) pipelines: Vec<Arc<Pipeline>>,
    pub(crate) addresses: Vec<Address>,
    pub(super) under_way: Arc<UnderWay>,
    /// Who wants to hear of changes of keys.
    pub(crate) changes: Arc<Changes>,
}

/// Why there is no vote that decides.
#[derive(Debug)]
enum Undecided {
    /// So many servers are silent that those left are no majority.
    Silent(Vec<Vote>),
    /// Servers still answer what came before, but nothing would be left of the TTL.
    Late(Vec<Vote>),
}

impl Servers {
    pub(super) fn new(id: String, addresses: Vec<Address>, under_way: Arc<UnderWay>) -> Self {
        let changes = Arc::<Changes>::default();
        // A pipeline votes under its server's number here.
        let pipelines = (0..addresses.len()).map(|server| Arc::new(Pipeline::new(server, Arc::clone(&changes))));
        Self {
            id,
            pipelines: pipelines.collect(),
            under_way,
            changes,
            addresses,
        }
    }

    /// Asks all servers who holds keys, until `is_settled`, every server answered, or the time is up. A value of ours is
    /// granted where it stands; without one nobody's value is ours. If it `watches` the servers report the next change.
    pub(crate) async fn probe(
        &self,
        keys: Resources,
        value: Option<&Arc<str>>,
        watches: bool,
        limit: Duration,
        is_settled: impl Fn(&[Vote]) -> bool,
    ) -> Vec<Vote> {
        let probe = self.probe_for(keys, value, watches, limit);
        self.submit(&[&probe]);
        let is_over = |votes: &[Vote]| is_settled(votes) || !votes.contains(&Vote::Pending);
        let settled = poll_fn(|cx| probe.poll_votes(cx, |votes| is_over(votes).then(|| votes.to_vec())));
        match answer_within(limit, settled).await {
            Ok(votes) => votes,
            Err(_) => tally::silent(probe.votes_so_far()),
        }
    }

    /// A probe that nobody waits for: the servers report the next change of these keys.
    pub(super) fn watch(&self, keys: Resources) -> Arc<Operation> {
        self.probe_for(keys, None, true, Duration::from_secs(1))
    }

    fn probe_for(&self, keys: Resources, value: Option<&Arc<str>>, watches: bool, limit: Duration) -> Arc<Operation> {
        let nobodys = || fresh(&self.id, SystemTime::now(), Waited::default()).into();
        let subject = Subject::new(keys, value.map_or_else(nobodys, Arc::clone));
        let mut probe = self.operation(Verb::Probe, subject, limit, Moment::now(), limit);
        probe.watches = watches;
        Arc::new(probe)
    }

    /// Names the votes of a failed attempt.
    pub(crate) fn failure(&self, resources: &Resources, attempts: u32, votes: Vec<Vote>) -> Failure {
        let servers = self.addresses.iter().cloned();
        Failure {
            resource: resources.to_string(),
            attempts,
            needed: majority(self.pipelines.len()),
            votes: servers
                .zip(votes)
                .map(|(server, vote)| ServerVote { server, vote })
                .collect(),
        }
    }

    /// How long the silent servers take to answer, if that is longer than they may and a majority needs them.
    pub(crate) fn too_slow(&self, votes: &[Vote], patience: Patience) -> Option<Duration> {
        let silent = self
            .pipelines
            .iter()
            .zip(votes)
            .filter(|(_, vote)| **vote == Vote::TimedOut);
        let slow =
            silent.filter_map(|(pipeline, _)| pipeline.round_trip().filter(|took| *took >= patience.with(Some(*took))));
        let mut slow: Vec<_> = slow.collect();
        slow.sort_unstable();
        let missing = majority(votes.len()).checked_sub(tally::reachable(votes))?;
        slow.get(missing.checked_sub(1)?).copied()
    }

    /// What the servers are like at present.
    pub(crate) fn conditions(&self) -> Conditions {
        let needed = majority(self.pipelines.len());
        let mut round_trips: Vec<_> = (self.pipelines.iter())
            .filter_map(|pipeline| pipeline.round_trip())
            .collect();
        round_trips.sort_unstable();
        let up: Vec<_> = self
            .pipelines
            .iter()
            .filter_map(|pipeline| pipeline.is_tracked())
            .collect();
        let tracked = up.iter().filter(|is_tracked| **is_tracked).count();
        Conditions {
            round_trip: round_trips.get(needed - 1).copied().unwrap_or_default(),
            // Without a majority nothing is granted, and it is told when a server comes back.
            is_tracked: tracked >= needed || up.len() < needed,
        }
    }

    /// Asks the servers to tell of changes of keys that are watched from now on.
    pub(crate) fn track(&self) {
        for pipeline in &self.pipelines {
            pipeline.track();
        }
    }

    /// A token that every server is likely to store as it is, so that they need not be asked again: one that is a little above
    /// what the furthest of their clocks says.
    pub(super) fn next_token(&self) -> u64 {
        let tokens = self.pipelines.iter().filter_map(|pipeline| pipeline.next_token());
        // Operations that travel together need not have different ones.
        tokens
            .max()
            .and_then(|token| token.checked_next_multiple_of(1_000))
            .unwrap_or(0)
    }

    /// Sends operations to all servers, each with the one before it.
    pub(super) fn submit(&self, operations: &[&Arc<Operation>]) {
        let needed = majority(self.pipelines.len());
        let asked = if InjectedFault::AsksNoMoreThanNeeded.is_on() {
            needed
        } else {
            self.pipelines.len()
        };
        for pipeline in &self.pipelines[..asked] {
            pipeline.submit(operations);
        }
    }

    /// An operation that begins at `start`, and is of no interest when `limit` is over.
    pub(super) fn operation(
        &self,
        verb: Verb,
        subject: Subject,
        ttl: Duration,
        start: Moment,
        limit: Duration,
    ) -> Operation {
        let now = start.instant();
        Operation::new(verb, subject, now, later(now, limit), ttl, self.pipelines.len())
    }

    /// Waits for the vote that decides, or until so many servers are silent that none will.
    pub(super) async fn decide(
        &self,
        operation: &Operation,
        start: Moment,
        number: u64,
        options: AttemptOptions,
    ) -> Result<Lease, Failed> {
        let AttemptOptions { ttl, patience, .. } = options;
        let decision = self.decision(operation, patience).await;
        let start = if InjectedFault::ClockReadLate.is_on() {
            Moment::now()
        } else {
            start
        };
        let elapsed = start.elapsed();
        debug!(verb = ?operation.verb, ?decision, ?elapsed, "attempt");
        let ttl = operation
            .lock_state
            .overhang()
            .map_or(ttl, |overhang| ttl.at_most(overhang));
        let is_in_time = ttl.validity(elapsed).is_some() || InjectedFault::NoLastCheck.is_on();
        let outcome = match decision {
            Ok(Decision::Won) if is_in_time => "won",
            Ok(Decision::Won) | Err(Undecided::Late(_)) => "expired",
            Ok(Decision::Lost) => "lost",
            Err(Undecided::Silent(_)) => "silent",
        };
        metrics::round(operation.verb.name(), outcome);
        match decision {
            Ok(Decision::Won) if is_in_time => Ok(Lease {
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
            let deadlines = self.pipelines.iter().map(|pipeline| {
                let quiet_since = pipeline.quiet_since()?;
                Some(later(quiet_since, patience.with(pipeline.round_trip()))).filter(|deadline| *deadline > now)
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
}
