//! The pipeline of operations to one server: many callers, few commands, in the order in which they were submitted.
//!
//! Callers push their operation; while few enough commands are unanswered ([`State::has_room_on_the_way`]), whoever pushes sends
//! everything that has gathered as one command. An answer sends what gathered meanwhile.

mod pending;
mod state;
#[cfg(test)]
mod tests;

use super::{
    Changes,
    link::{Answer, Change, Command, Form, Link, Outcome, Script},
    operation::{Operation, Verb},
    time::Reading,
};
use crate::{
    clock::micros,
    decision::{DownReason, Holder, Refusal, Vote, tally::Decision},
    metrics,
};
use state::{Batch, State, says_replica};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// How long an operation may wait before it is sent, and clocks may differ from what they said.
const SHORT_WAIT: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(crate) struct Pipeline {
    /// The place of the server in its group, by which its votes are counted.
    server: usize,
    /// Who wants to hear of changes on this server.
    changes: Arc<Changes>,
    state: Mutex<State>,
    idle: Notify,
    demoted: Notify,
}

impl Pipeline {
    pub(crate) fn new(server: usize, changes: Arc<Changes>) -> Self {
        Self {
            server,
            changes,
            state: Mutex::new(State::new()),
            idle: Notify::new(),
            demoted: Notify::new(),
        }
    }

    /// Sends operations, now or behind those before them, and if possible as one command. If the server is down they vote so
    /// at once, and unlocks are kept until the server is back or the ttl is over.
    pub(crate) fn submit(self: &Arc<Self>, operations: &[&Arc<Operation>]) {
        let mut refused = Vec::new();
        {
            let mut state = self.state();
            for operation in operations {
                let reason = match &state.link {
                    Ok(_) if state.is_full_for(operation) => DownReason::Busy,
                    Ok(_) if state.ready_at.is_some() && operation.verb == Verb::Lock => state.restarted(),
                    Ok(_) => {
                        state.pending.push_behind(operations[0], operation);
                        continue;
                    }
                    Err(reason) => reason.clone(),
                };
                state.keep_unlock(operation);
                refused.push((operation, reason));
            }
            self.send_pending(&mut state);
        }
        for (operation, reason) in refused {
            operation.vote(self.server, Vote::Unreachable(reason));
        }
    }

    /// Opens the pipeline to a new connection, undoes SETs without an owner, and delivers the unlocks that were kept.
    /// Before `ready_at` the server is asked for no lock. If the connection before may still be open, the server may carry out
    /// later what it was sent there.
    pub(crate) fn attach(self: &Arc<Self>, link: Arc<dyn Link>, ready_at: Option<Instant>, old_connection_lives: bool) {
        {
            let mut state = self.state();
            state.open(link, old_connection_lives);
            state.ready_at = ready_at;
            if state.tracking.is_wanted {
                self.send_track(&mut state);
            }
            self.send_pending(&mut state);
        }
        self.changes.anything_changed(self.server);
    }

    /// Lets the server be asked for locks.
    pub(crate) fn open_votes(&self) {
        self.state().ready_at = None;
        self.changes.anything_changed(self.server);
    }

    /// Asks the server, on this connection and all later ones, to tell when a key changes that an operation watches.
    pub(crate) fn track(self: &Arc<Self>) {
        let mut state = self.state();
        if !std::mem::replace(&mut state.tracking.is_wanted, true) {
            self.send_track(&mut state);
        }
    }

    fn send_track(self: &Arc<Self>, state: &mut State) {
        let Ok(link) = &state.link else { return };
        let (pipeline, epoch) = (Arc::clone(self), state.epoch);
        state.tracking.is_on = link.track(Box::new(move |is_on| {
            let mut state = pipeline.state();
            if state.epoch == epoch {
                state.tracking.is_on = is_on;
            }
        }));
    }

    /// Whether the server tells of changes, as far as is known; nothing if it is down.
    pub(crate) fn is_tracked(&self) -> Option<bool> {
        let state = self.state();
        let tracking = &state.tracking;
        state.link.is_ok().then_some(tracking.is_on && tracking.may_declare)
    }

    /// Passes on what the server told.
    pub(crate) fn note(&self, change: &Change) {
        match change {
            Change::Keys(keys) => {
                for key in keys {
                    self.changes.changed(self.server, key);
                }
            }
            Change::Anything => self.changes.anything_changed(self.server),
        }
    }

    /// Delivers the unlocks that could not be carried out: the server was busy, or too many operations waited for it.
    pub(crate) fn deliver_late(self: &Arc<Self>) {
        let mut state = self.state();
        if state.link.is_ok() && !state.late.is_empty() {
            state.take_up_late(Instant::now());
            self.send_pending(&mut state);
        }
    }

    /// Closes the pipeline: what waits is answered with the reason, and unlocks are kept.
    pub(crate) fn detach(&self, reason: &DownReason) {
        let (was_up, waiting) = {
            let mut state = self.state();
            let was_up = std::mem::replace(&mut state.link, Err(reason.clone())).is_ok();
            state.round_trip = None;
            let waiting = state.pending.take_all();
            for operation in &waiting {
                state.keep_unlock(operation);
            }
            if *reason == DownReason::Closed {
                state.late.clear();
                state.unanswered.clear();
            }
            (was_up, waiting)
        };
        for operation in waiting {
            operation.vote(self.server, Vote::Unreachable(reason.clone()));
        }
        self.idle.notify_waiters();
        if was_up {
            // It tells nothing any more, and there may be no other server that can be done without.
            self.changes.anything_changed(self.server);
        }
    }

    /// Decides the attempts that wait for this server, as far as that depends on it: their callers undo what they did.
    pub(crate) fn end_rounds(&self) {
        let (waiting, unanswered) = {
            let mut state = self.state();
            let (unlocks, waiting): (Vec<_>, Vec<_>) =
                (state.pending.take_all().into_iter()).partition(|operation| operation.verb == Verb::Unlock);
            for unlock in &unlocks {
                state.pending.push(unlock);
            }
            (waiting, state.in_flight.clone())
        };
        for operation in waiting {
            operation.vote(self.server, Vote::Unreachable(DownReason::Closed));
        }
        let votes = unanswered.iter().flat_map(|(_, batch)| batch.iter());
        for operation in votes.filter(|operation| operation.verb != Verb::Unlock) {
            operation.vote(self.server, Vote::OutcomeUnknown);
        }
    }

    /// Resolves when the server said that it is a replica.
    pub(crate) async fn demoted(&self) {
        loop {
            let notified = self.demoted.notified();
            if self.state().is_demoted {
                return;
            }
            notified.await;
        }
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

    /// Notes that the server answered a heartbeat.
    pub(crate) fn heard(&self, round_trip: Duration) {
        let (mut state, now) = (self.state(), Instant::now());
        state.note_answer(now, round_trip);
        state.heard = now;
    }

    pub(crate) fn last_heard(&self) -> Instant {
        self.state().heard
    }

    /// Notes what the server's clock says.
    pub(crate) fn clock_read(&self, reading: Reading) {
        self.state().clock = Some(reading);
    }

    /// A token that is above what the server's clock says when an operation arrives there that is submitted now, as far as that
    /// can be told, and not far above.
    pub(crate) fn next_token(&self) -> Option<u64> {
        let state = self.state();
        let reading = state.clock.as_ref().filter(|_| state.link.is_ok())?;
        let on_its_way = SHORT_WAIT + 4 * state.round_trip.unwrap_or_default();
        Some(reading.latest().saturating_add(micros(on_its_way)))
    }

    /// Since when the server has left something unanswered without answering anything else.
    pub(crate) fn quiet_since(&self) -> Option<Instant> {
        self.state().quiet_since()
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.state().round_trip
    }

    /// Sends what has gathered. The lock is held until the command is queued on the connection, which is what keeps
    /// the order.
    fn send_pending(self: &Arc<Self>, state: &mut State) {
        while state.has_room_on_the_way() && !state.pending.is_empty() {
            let now = Instant::now();
            let batch = state.next_batch(now);
            if batch.is_empty() {
                break;
            }
            let form = Form {
                script: Script::Cheapest,
                declares: state.tracking.may_declare,
            };
            self.send(state, now, batch, form);
        }
    }

    fn send(self: &Arc<Self>, state: &mut State, now: Instant, batch: Batch, form: Form) {
        let Ok(link) = &state.link else { return };
        if batch.is_empty() {
            return;
        }
        metrics::batch(batch.len());
        let (pipeline, epoch) = (Arc::clone(self), state.epoch);
        let sent = Arc::clone(&batch);
        let done = move |answer| pipeline.answered(epoch, now, &sent, answer);
        link.send(Command::new(Arc::clone(&batch), form, done));
        state.in_flight.push_back((now, batch));
    }

    /// Sends what has gathered while a command travelled, and hands its votes out.
    fn answered(self: &Arc<Self>, epoch: u64, sent: Instant, batch: &Batch, mut answer: Answer) {
        let now = Instant::now();
        let mut superseded = Vec::new();
        let is_demoted;
        {
            let mut state = self.state();
            let is_current = state.epoch == epoch && state.link.is_ok();
            if matches!(answer, Answer::Again(_)) && !is_current {
                answer = Answer::Lost;
            }
            if matches!(answer, Answer::Lost) {
                state.keep_lost(epoch, batch);
            }
            if state.epoch == epoch {
                state.in_flight.retain(|(_, other)| !Arc::ptr_eq(other, batch));
                if !matches!(answer, Answer::Lost) {
                    state.note_answer(now, now - sent);
                }
                if let Answer::Again(form) = answer {
                    state.tracking.may_declare &= form.declares;
                    let (late, again): (Vec<_>, Vec<_>) = batch.iter().partition(|operation| operation.is_superseded());
                    superseded.extend(late.into_iter().cloned());
                    let again = again
                        .into_iter()
                        .filter_map(|operation| operation.to_send(now))
                        .collect();
                    self.send(&mut state, now, again, form);
                }
            }
            state.keep_refused(batch, &answer);
            is_demoted = is_current && says_replica(&answer);
            state.is_demoted |= is_demoted;
            self.send_pending(&mut state);
        }
        if is_demoted {
            self.demoted.notify_waiters();
        }
        for operation in superseded {
            operation.vote(self.server, Vote::OutcomeUnknown);
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
                    let decided = operation.vote(self.server, vote(operation, self.server, outcome));
                    if is_missing && operation.verb == Verb::Renew && decided == Some(Decision::Won) {
                        // The attempt put back what it knew to be missing when it was decided. This came later.
                        self.submit(&[&Arc::new(operation.re_set())]);
                    }
                }
                for operation in batch.iter().skip(answered) {
                    operation.vote(self.server, Vote::OutcomeUnknown);
                }
            }
            Answer::Rejected(refusal) => {
                for operation in batch {
                    operation.vote(self.server, Vote::Refused(refusal.clone()));
                }
            }
            Answer::Lost => {
                for operation in batch {
                    operation.vote(self.server, Vote::OutcomeUnknown);
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

/// Reads the outcome of an operation as the server's vote.
fn vote(operation: &Operation, server: usize, outcome: Outcome) -> Vote {
    let yields_token = operation.verb == Verb::Lock && operation.fence.is_some();
    match outcome {
        Outcome::Done if !yields_token => Vote::Granted,
        Outcome::Fenced(token) if yields_token => {
            operation.has_stored(server, token);
            Vote::Granted
        }
        Outcome::Done | Outcome::Fenced(_) => Vote::Refused(Refusal::parse("the answer is none of those expected")),
        Outcome::Missing => Vote::Missing,
        Outcome::Held { value, pttl } => {
            let remaining = u64::try_from(pttl).ok().map(Duration::from_millis);
            Vote::Held(Holder::new(&value, remaining))
        }
        Outcome::Failed(error) => Vote::Refused(Refusal::parse(&error)),
    }
}
