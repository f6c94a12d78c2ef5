//! What waits for one server, what travels to it, and what is kept while it is away.

use super::pending::Pending;
use crate::{
    decision::{DownReason, Refusal},
    fault_injection::InjectedFault,
    server::{
        link::{Answer, Link, Outcome},
        operation::{Operation, Verb},
        time::Reading,
    },
};
use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// How many operations are worth a second command on any way.
pub(super) const LARGE_BATCH: usize = 128;

/// How long a round trip is looked at as the shortest.
pub(super) const WINDOW: Duration = Duration::from_secs(10);

/// How many commands of one operation each may be unanswered.
pub(super) const MOST_ONE_BY_ONE: usize = 32;

/// How many operations may be passed over because a command with a key of theirs is unanswered.
pub(super) const MOST_PASSED_OVER: usize = 256;

/// The most new locks that wait for one server, the most renewals, and the most unlocks that are kept for one that is down.
pub(super) const CAPACITY: usize = 100_000;

/// Operations that travel as one command.
pub(super) type Batch = Arc<[Arc<Operation>]>;

#[derive(Debug)]
pub(super) struct State {
    /// The connection, or why there is none.
    pub(super) link: Result<Arc<dyn Link>, DownReason>,
    /// Counts the connections, so that an answer is never taken for one of a later connection.
    pub(super) epoch: u64,
    /// When the server may be asked for locks, if it may not yet.
    pub(super) ready_at: Option<Instant>,
    /// What is unanswered, oldest first, and since when.
    pub(super) in_flight: VecDeque<(Instant, Batch)>,
    pub(super) pending: Pending,
    /// Unlocks for the time the server is back.
    pub(super) late: VecDeque<Arc<Operation>>,
    /// SETs whose answer was lost with a connection. A server that was stopped carries them out when it goes on.
    pub(super) unanswered: VecDeque<Arc<Operation>>,
    pub(super) heard: Instant,
    pub(super) round_trip: Option<Duration>,
    /// What the server's clock said last.
    pub(super) clock: Option<Reading>,
    /// The shortest of late: what a command takes on its way.
    pub(super) shortest_round_trip: Shortest,
    /// Whether the server said that it is a replica now.
    pub(super) is_demoted: bool,
    /// Whether each operation is a command of its own, which others may overtake on their way.
    pub(super) is_one_by_one: bool,
    pub(super) tracking: Tracking,
}

/// Whether the server tells of changes of keys.
#[derive(Debug)]
pub(super) struct Tracking {
    /// Whether somebody wants to hear of them.
    pub(super) is_wanted: bool,
    /// Whether this connection was asked to tell, and did not refuse.
    pub(super) is_on: bool,
    /// Whether the user may access all keys that were watched on this connection.
    pub(super) may_declare: bool,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            link: Err(DownReason::NotYet),
            epoch: 0,
            ready_at: None,
            in_flight: VecDeque::new(),
            pending: Pending::default(),
            late: VecDeque::new(),
            unanswered: VecDeque::new(),
            heard: Instant::now(),
            round_trip: None,
            clock: None,
            shortest_round_trip: Shortest::new(Instant::now()),
            is_demoted: false,
            is_one_by_one: false,
            tracking: Tracking {
                is_wanted: false,
                is_on: false,
                may_declare: true,
            },
        }
    }

    /// Starts over with a new connection.
    pub(super) fn open(&mut self, link: Arc<dyn Link>, old_connection_lives: bool) {
        let now = Instant::now();
        self.is_one_by_one = link.takes_one_by_one();
        self.link = Ok(link);
        self.epoch += 1;
        self.in_flight.clear();
        self.heard = now;
        self.shortest_round_trip = Shortest::new(now);
        self.is_demoted = false;
        self.clock = None;
        self.tracking.is_on = false;
        self.tracking.may_declare = true;
        let unanswered = std::mem::take(&mut self.unanswered);
        let unanswered = if InjectedFault::UnansweredForgotten.is_on() {
            VecDeque::new()
        } else {
            unanswered
        };
        // The value of any other may have been handed over: another client may count on this key, and renew it.
        if old_connection_lives {
            let shortening = unanswered.iter().filter(|operation| operation.shortens());
            shortening.for_each(|operation| operation.lock_state.overhangs(operation.ttl()));
        }
        let orphans = unanswered.iter().filter(|set| set.is_orphaned(now));
        orphans.for_each(|set| self.pending.push(&Arc::new(set.undo())));
        self.take_up_late(now);
    }

    /// Why the server is not asked for locks yet.
    pub(super) fn restarted(&self) -> DownReason {
        let ready_at = self.ready_at.unwrap_or_else(Instant::now);
        let ready_in = ready_at.saturating_duration_since(Instant::now());
        DownReason::Restarted { ready_in }
    }

    /// Whether one more command may be sent. A large batch need not wait for another: it is cheap already, and the server
    /// has work while the answer to the first is read.
    pub(super) fn has_room_on_the_way(&self) -> bool {
        let commands = self.in_flight.len();
        if self.is_one_by_one {
            return commands < MOST_ONE_BY_ONE;
        }
        commands < commands_in_flight(self.shortest_round_trip.get())
            || (commands < 2 && self.pending.len() >= LARGE_BATCH)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.link.is_err() || (self.pending.is_empty() && self.in_flight.is_empty())
    }

    /// Whether too much waits for one more operation. New locks give way to what keeps a lock that somebody has, and both to
    /// unlocks, without which keys would stay.
    pub(super) fn is_full_for(&self, operation: &Operation) -> bool {
        match operation.verb {
            Verb::Unlock => self.pending.len() >= 3 * CAPACITY,
            Verb::Renew | Verb::ReSet | Verb::UpdateFence => self.pending.urgent() >= CAPACITY,
            Verb::Lock | Verb::Probe => self.pending.len() >= CAPACITY,
        }
    }

    /// Lets the unlocks that were kept wait for their turn again, unless their keys have expired.
    pub(super) fn take_up_late(&mut self, now: Instant) {
        for unlock in std::mem::take(&mut self.late) {
            if !unlock.is_over(now) {
                self.pending.push(&unlock);
            }
        }
    }

    /// Takes what is to be sent next, without what is of no use any more. Nothing if all of it has to wait for an answer.
    pub(super) fn next_batch(&mut self, now: Instant) -> Batch {
        if self.is_one_by_one {
            return self.next_one(now).into_iter().collect();
        }
        self.pending.take_batch(|operation| operation.to_send(now)).into()
    }

    /// Takes the first operation that has no key in common with one that is unanswered, or that waits for longer. So an
    /// unlock is not sent before the SET that it undoes was answered, and cannot overtake it on its way.
    fn next_one(&mut self, now: Instant) -> Option<Arc<Operation>> {
        self.pending.trim(|operation| operation.to_send(now));
        let unanswered = self.in_flight.iter().flat_map(|(_, batch)| batch.iter());
        let mut taken: HashSet<_> = unanswered
            .flat_map(|operation| operation.keys.as_slice())
            .cloned()
            .collect();
        self.pending.take_first(MOST_PASSED_OVER, |operation| {
            if operation.is_stale(now) {
                return false;
            }
            let keys = operation.keys.as_slice();
            let is_free = !keys.iter().any(|key| taken.contains(key));
            taken.extend(keys.iter().cloned());
            is_free
        })
    }

    /// Since when nothing has been heard of what is unanswered; nothing if all is answered.
    pub(super) fn quiet_since(&self) -> Option<Instant> {
        let (sent, _) = self.in_flight.front()?;
        // Where commands go to several nodes, one answer says nothing of the others.
        Some(if self.is_one_by_one {
            *sent
        } else {
            self.heard.max(*sent)
        })
    }

    pub(super) fn note_answer(&mut self, now: Instant, round_trip: Duration) {
        if !self.is_one_by_one {
            self.heard = now;
        }
        self.round_trip = Some(round_trip);
        self.shortest_round_trip.note(now, round_trip);
    }

    /// Keeps what a command of a connection that ended may have left, and the unlocks it carried.
    pub(super) fn keep_lost(&mut self, epoch: u64, batch: &[Arc<Operation>]) {
        let is_back = self.epoch != epoch && self.link.is_ok();
        for operation in batch {
            match operation.verb {
                Verb::Unlock if is_back => self.pending.push(operation),
                Verb::Unlock => self.keep_unlock(operation),
                // A renewal of a server that was stopped may be carried out as late as a SET.
                Verb::Lock | Verb::ReSet | Verb::Renew if !is_back => keep(&mut self.unanswered, operation),
                // That its ttl is over is no reason here: a renewal may have counted this server since it is back.
                Verb::Lock | Verb::ReSet | Verb::Renew if operation.lock_state.is_released() => {
                    self.pending.push(&Arc::new(operation.undo()));
                }
                Verb::Lock | Verb::ReSet | Verb::Renew | Verb::UpdateFence | Verb::Probe => {}
            }
        }
    }

    /// Keeps the unlocks that the server refused for a reason that passes.
    pub(super) fn keep_refused(&mut self, batch: &[Arc<Operation>], answer: &Answer) {
        match answer {
            Answer::Rejected(refusal) if refusal.passes() => {
                for operation in batch {
                    self.keep_unlock(operation);
                }
            }
            Answer::Outcomes(outcomes) => {
                for (operation, outcome) in batch.iter().zip(outcomes) {
                    let may_succeed = |error: &str| Refusal::parse(error).passes();
                    if matches!(outcome, Outcome::Failed(error) if may_succeed(error)) {
                        self.keep_unlock(operation);
                    }
                }
            }
            _ => {}
        }
    }

    /// Keeps an unlock for when the server is back.
    pub(super) fn keep_unlock(&mut self, operation: &Arc<Operation>) {
        if InjectedFault::LateUnlocksDropped.is_on() {
            return;
        }
        if operation.verb == Verb::Unlock && !matches!(self.link, Err(DownReason::Closed)) {
            keep(&mut self.late, operation);
        }
    }
}

pub(super) fn says_replica(answer: &Answer) -> bool {
    match answer {
        Answer::Rejected(refusal) => *refusal == Refusal::ReadOnly,
        Answer::Outcomes(outcomes) => outcomes
            .iter()
            .any(|outcome| matches!(outcome, Outcome::Failed(error) if Refusal::parse(error) == Refusal::ReadOnly)),
        Answer::Again(_) | Answer::Lost => false,
    }
}

/// The shortest round trip of the last one to two [`WINDOW`]s, so that it grows when the way becomes longer.
#[derive(Debug)]
pub(super) struct Shortest {
    since: Instant,
    now: Duration,
    before: Duration,
}

impl Shortest {
    fn new(since: Instant) -> Self {
        Self {
            since,
            now: Duration::MAX,
            before: Duration::MAX,
        }
    }

    fn note(&mut self, now: Instant, round_trip: Duration) {
        if now.saturating_duration_since(self.since) >= WINDOW {
            self.since = now;
            self.before = std::mem::replace(&mut self.now, Duration::MAX);
        }
        self.now = self.now.min(round_trip);
    }

    pub(super) fn get(&self) -> Duration {
        self.now.min(self.before)
    }
}

/// How many commands to one server may be unanswered: one, and one more for each 150 µs that a command takes on its way.
///
/// With one, large batches gather, which is cheapest; but the server idles while an answer travels, and who comes second
/// waits for the answer of the first. Both matter only if the way is long.
pub(super) fn commands_in_flight(round_trip: Duration) -> usize {
    const STEP: Duration = Duration::from_micros(150);
    const MOST: usize = 8;
    let more = usize::try_from(round_trip.as_micros() / STEP.as_micros()).unwrap_or(MOST);
    MOST.min(more.saturating_add(1))
}

/// Keeps an operation in place of the oldest, whose ttl is likely to end first, if there are too many.
fn keep(kept: &mut VecDeque<Arc<Operation>>, operation: &Arc<Operation>) {
    if kept.len() >= CAPACITY {
        kept.pop_front();
    }
    kept.push_back(Arc::clone(operation));
}
