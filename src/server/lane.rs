//! The lane of operations to one server: many callers, few commands, in the order in which they were submitted.
//!
//! Callers push their operation; while few enough commands are unanswered ([`commands_in_flight`]), whoever pushes sends
//! everything that has gathered as one command. An answer sends what gathered meanwhile.

use super::{
    DownReason, Refusal,
    link::{Answer, Command, Form, Link, Outcome},
    operation::{Operation, Verb},
};
use crate::engine::{
    Owner,
    ballot::{Decision, Vote},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// The most operations in one command: a script blocks the server while it runs, some 2 µs an operation.
const LARGEST_BATCH: usize = 1024;

/// The most bytes of keys in one command, which a command exceeds only for a single key. Redis takes 512 MB.
const LARGEST_COMMAND: usize = 1 << 20;

/// The most votes that wait for one server, and the most unlocks that are kept for one that is down. Unlocks may wait
/// twice as many.
const CAPACITY: usize = 100_000;

/// Operations that travel as one command.
type Batch = Arc<[Arc<Operation>]>;

#[derive(Debug)]
pub(crate) struct Lane {
    server: usize,
    state: Mutex<State>,
    idle: Notify,
    demoted: Notify,
}

#[derive(Debug)]
struct State {
    /// The connection, or why there is none.
    link: Result<Arc<dyn Link>, DownReason>,
    /// Counts the connections, so that an answer is never taken for one of a later connection.
    epoch: u64,
    in_flight: Vec<Batch>,
    pending: VecDeque<Arc<Operation>>,
    /// Unlocks for the time the server is back.
    late: VecDeque<Arc<Operation>>,
    /// SETs whose answer was lost with a connection. A server that was stopped carries them out when it goes on.
    unanswered: VecDeque<Arc<Operation>>,
    heard: Instant,
    round_trip: Option<Duration>,
    /// The shortest of this connection: what a command takes on its way.
    shortest_round_trip: Duration,
}

impl Lane {
    pub(crate) fn new(server: usize) -> Self {
        Self {
            server,
            state: Mutex::new(State {
                link: Err(DownReason::NotYet),
                epoch: 0,
                in_flight: Vec::new(),
                pending: VecDeque::new(),
                late: VecDeque::new(),
                unanswered: VecDeque::new(),
                heard: Instant::now(),
                round_trip: None,
                shortest_round_trip: Duration::MAX,
            }),
            idle: Notify::new(),
            demoted: Notify::new(),
        }
    }

    /// Sends an operation, now or behind those before it. If the server is down it votes so at once, and an unlock is
    /// kept until the server is back or the ttl is over.
    pub(crate) fn submit(self: &Arc<Self>, operation: &Arc<Operation>) {
        let refused = {
            let mut state = self.state();
            match &state.link {
                Ok(_) if state.is_full_for(operation.verb) => {
                    state.keep_unlock(operation);
                    Some(DownReason::Busy)
                }
                Ok(_) => {
                    state.pending.push_back(Arc::clone(operation));
                    self.send_pending(&mut state);
                    None
                }
                Err(reason) => {
                    let reason = reason.clone();
                    state.keep_unlock(operation);
                    Some(reason)
                }
            }
        };
        if let Some(reason) = refused {
            operation.vote(self.server, Vote::Unreachable(reason));
        }
    }

    /// Opens the lane to a new connection, undoes SETs without an owner, and delivers the unlocks that were kept.
    pub(crate) fn attach(self: &Arc<Self>, link: Arc<dyn Link>) {
        let mut state = self.state();
        state.link = Ok(link);
        state.epoch += 1;
        state.in_flight.clear();
        state.shortest_round_trip = Duration::MAX;
        state.heard = Instant::now();
        let now = state.heard;
        let orphans = std::mem::take(&mut state.unanswered)
            .into_iter()
            .filter(|set| set.is_orphaned(now));
        state.pending.extend(orphans.map(|set| Arc::new(set.undo())));
        state.take_up_late(now);
        self.send_pending(&mut state);
    }

    /// Delivers the unlocks that could not be carried out: the server was busy, or too many operations waited for it.
    pub(crate) fn deliver_late(self: &Arc<Self>) {
        let mut state = self.state();
        if state.link.is_ok() && !state.late.is_empty() {
            state.take_up_late(Instant::now());
            self.send_pending(&mut state);
        }
    }

    /// Closes the lane: what waits is answered with the reason, and unlocks are kept.
    pub(crate) fn detach(&self, reason: &DownReason) {
        let waiting = {
            let mut state = self.state();
            state.link = Err(reason.clone());
            state.round_trip = None;
            let waiting = std::mem::take(&mut state.pending);
            for operation in &waiting {
                state.keep_unlock(operation);
            }
            if *reason == DownReason::Closed {
                state.late.clear();
                state.unanswered.clear();
            }
            waiting
        };
        for operation in waiting {
            operation.vote(self.server, Vote::Unreachable(reason.clone()));
        }
        self.idle.notify_waiters();
    }

    /// Decides the rounds that wait for this server, as far as that depends on it: their callers undo what they did.
    pub(crate) fn end_rounds(&self) {
        let (waiting, unanswered) = {
            let mut state = self.state();
            let (unlocks, waiting): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut state.pending)
                .into_iter()
                .partition(|operation| operation.verb == Verb::Unlock);
            state.pending = unlocks;
            (waiting, state.in_flight.clone())
        };
        for operation in waiting {
            operation.vote(self.server, Vote::Unreachable(DownReason::Closed));
        }
        let votes = unanswered.iter().flat_map(|batch| batch.iter());
        for operation in votes.filter(|operation| operation.verb != Verb::Unlock) {
            operation.vote(self.server, Vote::Unknown);
        }
    }

    /// Resolves when the server said that it is a replica.
    pub(crate) async fn demoted(&self) {
        self.demoted.notified().await;
    }

    /// Resolves when nothing waits and nothing is unanswered.
    pub(crate) async fn idle(&self) {
        loop {
            let notified = self.idle.notified();
            if self.state().is_idle() {
                return;
            }
            notified.await;
        }
    }

    /// Notes that the server answered something.
    pub(crate) fn heard(&self, round_trip: Duration) {
        self.state().note_answer(Instant::now(), round_trip);
    }

    pub(crate) fn last_heard(&self) -> Instant {
        self.state().heard
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.state().round_trip
    }

    /// Sends what has gathered. The lock is held until the command is queued on the connection, which is what keeps
    /// the order.
    fn send_pending(self: &Arc<Self>, state: &mut State) {
        while state.in_flight.len() < commands_in_flight(state.shortest_round_trip) && !state.pending.is_empty() {
            let now = Instant::now();
            let batch = state.next_batch(now);
            self.send(state, now, batch, Form::Cheapest);
        }
    }

    fn send(self: &Arc<Self>, state: &mut State, now: Instant, batch: Batch, form: Form) {
        let Ok(link) = &state.link else { return };
        if batch.is_empty() {
            return;
        }
        let (lane, epoch) = (Arc::clone(self), state.epoch);
        let sent = Arc::clone(&batch);
        let done = move |answer| lane.answered(epoch, now, &sent, answer);
        link.send(Command::new(Arc::clone(&batch), form, done));
        state.in_flight.push(batch);
    }

    /// Sends what has gathered while a command travelled, and hands its votes out.
    fn answered(self: &Arc<Self>, epoch: u64, sent: Instant, batch: &Batch, mut answer: Answer) {
        let now = Instant::now();
        {
            let mut state = self.state();
            let is_current = state.epoch == epoch && state.link.is_ok();
            if matches!(answer, Answer::Again(_)) && !is_current {
                answer = Answer::Lost;
            }
            if matches!(answer, Answer::Lost) {
                state.keep_lost(epoch, batch, now);
            }
            if state.epoch == epoch {
                state.in_flight.retain(|other| !Arc::ptr_eq(other, batch));
                if !matches!(answer, Answer::Lost) {
                    state.note_answer(now, now - sent);
                }
                if let Answer::Again(form) = answer {
                    let again = batch.iter().filter(|operation| !operation.is_stale(now));
                    let again = again.cloned().collect();
                    self.send(&mut state, now, again, form);
                }
            }
            state.keep_refused(batch, &answer);
            self.send_pending(&mut state);
        }
        if says_replica(&answer) {
            self.demoted.notify_one();
        }
        self.hand_out(batch, answer);
        if self.state().is_idle() {
            self.idle.notify_waiters();
        }
    }

    fn hand_out(self: &Arc<Self>, batch: &[Arc<Operation>], answer: Answer) {
        match answer {
            Answer::Outcomes(outcomes) => {
                let answered = outcomes.len();
                for (operation, outcome) in batch.iter().zip(outcomes) {
                    let is_missing = outcome == Outcome::Missing;
                    let decided = operation.vote(self.server, outcome.into());
                    if is_missing && operation.verb == Verb::Renew && decided == Some(Decision::Won) {
                        // The round put back what it knew to be missing when it was decided. This came later.
                        self.submit(&Arc::new(operation.restore()));
                    }
                }
                for operation in batch.iter().skip(answered) {
                    operation.vote(self.server, Vote::Unknown);
                }
            }
            Answer::Rejected(refusal) => {
                for operation in batch {
                    operation.vote(self.server, Vote::Refused(refusal.clone()));
                }
            }
            Answer::Lost => {
                for operation in batch {
                    operation.vote(self.server, Vote::Unknown);
                }
            }
            // They are on their way again, or nobody waits for them any more.
            Answer::Again(_) => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics between two statements that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.link.is_err() || (self.pending.is_empty() && self.in_flight.is_empty())
    }

    /// Votes give way to unlocks, without which keys would stay.
    fn is_full_for(&self, verb: Verb) -> bool {
        let most = if verb == Verb::Unlock { 2 * CAPACITY } else { CAPACITY };
        self.pending.len() >= most
    }

    /// Lets the unlocks that were kept wait for their turn again, unless their keys have expired.
    fn take_up_late(&mut self, now: Instant) {
        let late = std::mem::take(&mut self.late);
        self.pending
            .extend(late.into_iter().filter(|unlock| !unlock.is_over(now)));
    }

    /// Takes what is to be sent next, without what is of no use any more.
    fn next_batch(&mut self, now: Instant) -> Batch {
        let mut batch = Vec::with_capacity(self.pending.len().min(LARGEST_BATCH));
        let mut bytes = 0;
        while let Some(operation) = self.pending.front() {
            bytes += operation.key.len();
            if batch.len() == LARGEST_BATCH || (bytes > LARGEST_COMMAND && !batch.is_empty()) {
                break;
            }
            batch.extend(self.pending.pop_front().filter(|operation| !operation.is_stale(now)));
        }
        batch.into()
    }

    fn note_answer(&mut self, now: Instant, round_trip: Duration) {
        self.heard = now;
        self.round_trip = Some(round_trip);
        self.shortest_round_trip = self.shortest_round_trip.min(round_trip);
    }

    /// Keeps what a command of a connection that ended may have left, and the unlocks it carried.
    fn keep_lost(&mut self, epoch: u64, batch: &[Arc<Operation>], now: Instant) {
        let is_back = self.epoch != epoch && self.link.is_ok();
        for operation in batch {
            match operation.verb {
                Verb::Unlock if is_back => self.pending.push_back(Arc::clone(operation)),
                Verb::Unlock => self.keep_unlock(operation),
                Verb::Lock | Verb::Restore if !is_back => keep(&mut self.unanswered, operation),
                Verb::Lock | Verb::Restore if operation.is_orphaned(now) => {
                    self.pending.push_back(Arc::new(operation.undo()));
                }
                Verb::Lock | Verb::Restore | Verb::Renew => {}
            }
        }
    }

    /// Keeps the unlocks that the server refused for a reason that passes.
    fn keep_refused(&mut self, batch: &[Arc<Operation>], answer: &Answer) {
        match answer {
            Answer::Rejected(refusal) if refusal.passes() => {
                for operation in batch {
                    self.keep_unlock(operation);
                }
            }
            Answer::Outcomes(outcomes) => {
                for (operation, outcome) in batch.iter().zip(outcomes) {
                    if matches!(outcome, Outcome::Failed(error) if Refusal::parse(error).passes()) {
                        self.keep_unlock(operation);
                    }
                }
            }
            _ => {}
        }
    }

    /// Keeps an unlock for when the server is back.
    fn keep_unlock(&mut self, operation: &Arc<Operation>) {
        if operation.verb == Verb::Unlock && !matches!(self.link, Err(DownReason::Closed)) {
            keep(&mut self.late, operation);
        }
    }
}

fn says_replica(answer: &Answer) -> bool {
    match answer {
        Answer::Rejected(refusal) => *refusal == Refusal::ReadOnly,
        Answer::Outcomes(outcomes) => outcomes
            .iter()
            .any(|outcome| matches!(outcome, Outcome::Failed(error) if Refusal::parse(error) == Refusal::ReadOnly)),
        Answer::Again(_) | Answer::Lost => false,
    }
}

/// How many commands to one server may be unanswered: one, and one more for each 150 µs that a command takes on its way.
///
/// With one, large batches gather, which is cheapest; but the server idles while an answer travels, and who comes second
/// waits for the answer of the first. Both matter only if the way is long.
fn commands_in_flight(round_trip: Duration) -> usize {
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

impl From<Outcome> for Vote {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Granted,
            Outcome::Missing => Self::Missing,
            Outcome::Held { value, pttl } => Self::Held {
                owner: Owner::parse(&value),
                remaining: u64::try_from(pttl).ok().map(Duration::from_millis),
            },
            Outcome::Failed(error) => Self::Refused(Refusal::parse(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{link::Task, operation::Claim};
    use std::future::Future;

    /// A connection that keeps what it is sent until the test answers.
    #[derive(Default)]
    struct Script(Mutex<VecDeque<Command>>);

    impl std::fmt::Debug for Script {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Script")
        }
    }

    impl Link for Script {
        fn send(&self, command: Command) {
            self.0.lock().unwrap().push_back(command);
        }

        fn ping(&self) -> Task<Result<(), DownReason>> {
            Box::pin(async { Ok(()) })
        }

        fn end(&self) {}
    }

    impl Script {
        fn next(&self) -> Command {
            self.0.lock().unwrap().pop_front().expect("a command is under way")
        }

        fn is_empty(&self) -> bool {
            self.0.lock().unwrap().is_empty()
        }
    }

    fn lane() -> (Arc<Lane>, Arc<Script>) {
        let (lane, script) = (Arc::new(Lane::new(0)), Arc::new(Script::default()));
        lane.attach(Arc::clone(&script) as Arc<dyn Link>);
        // A short way: one command at a time.
        lane.heard(Duration::ZERO);
        (lane, script)
    }

    fn operation(verb: Verb, claim: &Arc<Claim>) -> Arc<Operation> {
        let now = Instant::now();
        let times = (now, now + Duration::from_secs(60));
        let key_and_value = (b"r"[..].into(), "v".into());
        let ttl = Duration::from_secs(60);
        Arc::new(Operation::vote_by(
            times,
            verb,
            key_and_value,
            Arc::clone(claim),
            ttl,
            1,
        ))
    }

    fn verbs(command: &Command) -> Vec<Verb> {
        command.operations.iter().map(|operation| operation.verb).collect()
    }

    #[test]
    fn what_gathers_while_a_command_travels_goes_as_one_behind_it() {
        let (lane, script) = lane();
        let claim = Arc::default();
        for verb in [Verb::Lock, Verb::Renew, Verb::Lock, Verb::Unlock] {
            lane.submit(&operation(verb, &claim));
        }
        let first = script.next();
        assert_eq!(verbs(&first), [Verb::Lock]);
        assert!(script.is_empty());
        first.answer(Answer::Outcomes(vec![Outcome::Done]));
        assert_eq!(verbs(&script.next()), [Verb::Renew, Verb::Lock, Verb::Unlock]);
    }

    #[test]
    fn a_set_is_not_sent_once_its_claim_is_released_and_what_waits_behind_it_is() {
        for answer in [Form::Script, Form::Source] {
            let (lane, script) = lane();
            let claim = Arc::<Claim>::default();
            lane.submit(&operation(Verb::Lock, &claim));
            lane.submit(&operation(Verb::Lock, &claim));
            claim.release();
            lane.submit(&operation(Verb::Unlock, &claim));
            script.next().answer(Answer::Again(answer));
            assert_eq!(verbs(&script.next()), [Verb::Unlock]);
        }
    }

    #[test]
    fn a_script_that_the_server_forgot_is_sent_before_what_came_later() {
        let (lane, script) = lane();
        let claim = Arc::default();
        lane.submit(&operation(Verb::Lock, &claim));
        lane.submit(&operation(Verb::Renew, &claim));
        script.next().answer(Answer::Again(Form::Source));
        let again = script.next();
        assert_eq!((verbs(&again), again.form), (vec![Verb::Lock], Form::Source));
        again.answer(Answer::Outcomes(vec![Outcome::Done]));
        assert_eq!(verbs(&script.next()), [Verb::Renew]);
    }

    #[test]
    fn an_unlock_that_was_refused_is_sent_again_with_a_heartbeat() {
        let (lane, script) = lane();
        lane.submit(&operation(Verb::Unlock, &Arc::default()));
        script.next().answer(Answer::Rejected(Refusal::Loading));
        assert!(script.is_empty());
        lane.deliver_late();
        assert_eq!(verbs(&script.next()), [Verb::Unlock]);
    }

    #[test]
    fn an_unlock_that_failed_is_sent_again_unless_it_would_fail_for_ever() {
        for (error, again) in [
            ("NOREPLICAS Not enough", true),
            ("WRONGTYPE", false),
            ("NOPERM", false),
            ("ERR odd", false),
        ] {
            let (lane, script) = lane();
            lane.submit(&operation(Verb::Unlock, &Arc::default()));
            script
                .next()
                .answer(Answer::Outcomes(vec![Outcome::Failed(error.into())]));
            lane.deliver_late();
            assert_eq!(script.is_empty(), !again, "{error}");
        }
    }

    #[test]
    fn a_server_that_says_it_is_read_only_is_asked_again_what_it_is() {
        let (lane, script) = lane();
        lane.submit(&operation(Verb::Lock, &Arc::default()));
        let error = String::from("READONLY You can't write against a read only replica.");
        script.next().answer(Answer::Outcomes(vec![Outcome::Failed(error)]));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(std::pin::pin!(lane.demoted()).as_mut().poll(&mut cx).is_ready());
    }

    #[test]
    fn an_answer_that_asks_for_another_form_too_late_is_a_lost_one() {
        let (lane, script) = lane();
        let set = operation(Verb::Lock, &Arc::default());
        lane.submit(&set);
        let command = script.next();
        lane.detach(&DownReason::Unresponsive);
        command.answer(Answer::Again(Form::Source));
        assert_eq!(set.votes_so_far(), [Vote::Unknown]);
    }

    #[test]
    fn a_set_whose_answer_was_lost_is_undone_on_the_next_connection_if_it_has_no_owner() {
        for is_released in [false, true] {
            let (lane, script) = lane();
            let claim = Arc::<Claim>::default();
            lane.submit(&operation(Verb::Lock, &claim));
            lane.submit(&operation(Verb::Renew, &claim));
            let lost = script.next();
            lane.detach(&DownReason::Unresponsive);
            lost.answer(Answer::Lost);
            if is_released {
                claim.release();
            }
            let next = Arc::new(Script::default());
            lane.attach(Arc::clone(&next) as Arc<dyn Link>);
            assert_eq!(next.is_empty(), !is_released);
            if is_released {
                assert_eq!(verbs(&next.next()), [Verb::Unlock]);
            }
        }
    }

    #[test]
    fn an_answer_of_an_ended_connection_changes_nothing_for_the_next() {
        let (lane, script) = lane();
        lane.submit(&operation(Verb::Lock, &Arc::default()));
        let old = script.next();
        lane.detach(&DownReason::ConnectionLost);
        let next = Arc::new(Script::default());
        lane.attach(Arc::clone(&next) as Arc<dyn Link>);
        lane.heard(Duration::ZERO);
        lane.submit(&operation(Verb::Renew, &Arc::default()));
        old.answer(Answer::Lost);
        lane.submit(&operation(Verb::Renew, &Arc::default()));
        assert_eq!(verbs(&next.next()), [Verb::Renew]);
        assert!(next.is_empty(), "one command at a time");
    }

    #[test]
    fn a_large_key_does_not_travel_with_others() {
        let (lane, script) = lane();
        let claim = Arc::default();
        lane.submit(&operation(Verb::Renew, &claim));
        let now = Instant::now();
        let large = (vec![0; LARGEST_COMMAND].into(), "v".into());
        let times = (now, now + Duration::from_secs(60));
        let large = Operation::vote_by(times, Verb::Lock, large, Arc::default(), Duration::from_secs(60), 1);
        lane.submit(&operation(Verb::Renew, &claim));
        lane.submit(&Arc::new(large));
        lane.submit(&operation(Verb::Unlock, &claim));
        for expected in [Verb::Renew, Verb::Renew, Verb::Lock, Verb::Unlock] {
            let command = script.next();
            assert_eq!(verbs(&command), [expected]);
            command.answer(Answer::Outcomes(vec![Outcome::Done]));
        }
    }

    #[test]
    fn the_longer_the_way_the_more_commands_are_on_it() {
        let commands = |micros| commands_in_flight(Duration::from_micros(micros));
        assert_eq!(
            [0, 149, 150, 500, 1_000, 1_050, 50_000].map(commands),
            [1, 1, 2, 4, 7, 8, 8]
        );
        assert_eq!(commands_in_flight(Duration::MAX), 8);
    }
}
