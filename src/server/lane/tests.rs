//! The lane on a connection that answers when the test says so.

use super::{
    queue::{LARGE_BATCH, LARGEST_COMMAND, commands_in_flight},
    *,
};
use crate::resource::Resources;
use crate::server::{link::Task, operation::Claim};
use std::future::Future;

/// A connection that keeps what it is sent until the test answers.
#[derive(Default)]
struct Wire(Mutex<VecDeque<Command>>);

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

impl Link for Wire {
    fn send(&self, command: Command) {
        self.0.lock().unwrap().push_back(command);
    }

    fn track(&self, _: Box<dyn FnOnce(bool) + Send>) -> bool {
        false
    }

    fn ping(&self) -> Task<Result<(), DownReason>> {
        Box::pin(async { Ok(()) })
    }

    fn end(&self) {}
}

impl Wire {
    fn next(&self) -> Command {
        self.0.lock().unwrap().pop_front().expect("a command is under way")
    }

    fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

fn lane() -> (Arc<Lane>, Arc<Wire>) {
    let (lane, script) = (Arc::new(Lane::new(0, Arc::default())), Arc::new(Wire::default()));
    lane.attach(Arc::clone(&script) as Arc<dyn Link>);
    // A short way: one command at a time.
    lane.heard(Duration::ZERO);
    (lane, script)
}

fn operation(verb: Verb, claim: &Arc<Claim>) -> Arc<Operation> {
    let now = Instant::now();
    let times = (now, now + Duration::from_secs(60));
    let keys_and_value = (Resources::One(b"r"[..].into()), "v".into());
    let ttl = Duration::from_secs(60);
    Arc::new(Operation::vote_by(
        times,
        verb,
        keys_and_value,
        Arc::clone(claim),
        ttl,
        1,
    ))
}

fn form(script: Script) -> Form {
    Form { script, declares: true }
}

fn verbs(command: &Command) -> Vec<Verb> {
    command.operations.iter().map(|operation| operation.verb).collect()
}

#[test]
fn what_gathers_while_a_command_travels_goes_as_one_behind_it() {
    let (lane, script) = lane();
    let claim = Arc::default();
    for verb in [Verb::Lock, Verb::Renew, Verb::Lock, Verb::Unlock] {
        lane.submit(&[&operation(verb, &claim)]);
    }
    let first = script.next();
    assert_eq!(verbs(&first), [Verb::Lock]);
    assert!(script.is_empty());
    first.answer(Answer::Outcomes(vec![Outcome::Done]));
    assert_eq!(verbs(&script.next()), [Verb::Renew, Verb::Lock, Verb::Unlock]);
}

#[test]
fn a_large_batch_does_not_wait_for_the_answer_to_another() {
    let (lane, script) = lane();
    for _ in 0..=LARGE_BATCH {
        lane.submit(&[&operation(Verb::Renew, &Arc::default())]);
    }
    let sizes = [script.next(), script.next()].map(|command| command.operations.len());
    assert_eq!(sizes, [1, LARGE_BATCH]);
    for _ in 0..2 * LARGE_BATCH {
        lane.submit(&[&operation(Verb::Renew, &Arc::default())]);
    }
    assert!(script.is_empty(), "two commands are enough");
}

#[test]
fn a_set_is_not_sent_once_its_claim_is_released_and_what_waits_behind_it_is() {
    for answer in [Script::Known, Script::Source].map(form) {
        let (lane, script) = lane();
        let claim = Arc::<Claim>::default();
        lane.submit(&[&operation(Verb::Lock, &claim)]);
        lane.submit(&[&operation(Verb::Lock, &claim)]);
        claim.release();
        lane.submit(&[&operation(Verb::Unlock, &claim)]);
        script.next().answer(Answer::Again(answer));
        assert_eq!(verbs(&script.next()), [Verb::Unlock]);
    }
}

#[test]
fn a_script_that_the_server_forgot_is_sent_before_what_came_later() {
    let (lane, script) = lane();
    let claim = Arc::default();
    lane.submit(&[&operation(Verb::Lock, &claim)]);
    lane.submit(&[&operation(Verb::Renew, &claim)]);
    script.next().answer(Answer::Again(form(Script::Source)));
    let again = script.next();
    assert_eq!((verbs(&again), again.form), (vec![Verb::Lock], form(Script::Source)));
    again.answer(Answer::Outcomes(vec![Outcome::Done]));
    assert_eq!(verbs(&script.next()), [Verb::Renew]);
}

#[test]
fn an_unlock_that_was_refused_is_sent_again_with_a_heartbeat() {
    let (lane, script) = lane();
    lane.submit(&[&operation(Verb::Unlock, &Arc::default())]);
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
        lane.submit(&[&operation(Verb::Unlock, &Arc::default())]);
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
    lane.submit(&[&operation(Verb::Lock, &Arc::default())]);
    let error = String::from("READONLY You can't write against a read only replica.");
    script.next().answer(Answer::Outcomes(vec![Outcome::Failed(error)]));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(std::pin::pin!(lane.demoted()).as_mut().poll(&mut cx).is_ready());
}

#[test]
fn an_answer_that_asks_for_another_form_too_late_is_a_lost_one() {
    let (lane, script) = lane();
    let set = operation(Verb::Lock, &Arc::default());
    lane.submit(&[&set]);
    let command = script.next();
    lane.detach(&DownReason::Unresponsive);
    command.answer(Answer::Again(form(Script::Source)));
    assert_eq!(set.votes_so_far(), [Vote::Unknown]);
}

#[test]
fn a_set_whose_answer_was_lost_is_undone_on_the_next_connection_if_it_has_no_owner() {
    for is_released in [false, true] {
        let (lane, script) = lane();
        let claim = Arc::<Claim>::default();
        lane.submit(&[&operation(Verb::Lock, &claim)]);
        lane.submit(&[&operation(Verb::Renew, &claim)]);
        let lost = script.next();
        lane.detach(&DownReason::Unresponsive);
        lost.answer(Answer::Lost);
        if is_released {
            claim.release();
        }
        let next = Arc::new(Wire::default());
        lane.attach(Arc::clone(&next) as Arc<dyn Link>);
        assert_eq!(next.is_empty(), !is_released);
        if is_released {
            assert_eq!(verbs(&next.next()), [Verb::Unlock]);
        }
    }
}

#[test]
fn a_loss_that_is_told_when_the_server_is_back_undoes_no_lock_that_may_have_been_renewed_there() {
    for is_released in [false, true] {
        let (lane, script) = lane();
        let claim = Arc::<Claim>::default();
        let now = Instant::now();
        // Its ttl is over already, but a renewal may have been granted by this server since.
        let keys_and_value = (Resources::One(b"r"[..].into()), "v".into());
        let times = (now, now + Duration::from_secs(60));
        let set = Operation::vote_by(times, Verb::Lock, keys_and_value, Arc::clone(&claim), Duration::ZERO, 1);
        lane.submit(&[&Arc::new(set)]);
        let lost = script.next();
        lane.detach(&DownReason::ConnectionLost);
        let next = Arc::new(Wire::default());
        lane.attach(Arc::clone(&next) as Arc<dyn Link>);
        if is_released {
            claim.release();
        }
        lost.answer(Answer::Lost);
        assert_eq!(next.is_empty(), !is_released);
    }
}

#[test]
fn an_answer_of_an_ended_connection_changes_nothing_for_the_next() {
    let (lane, script) = lane();
    lane.submit(&[&operation(Verb::Lock, &Arc::default())]);
    let old = script.next();
    lane.detach(&DownReason::ConnectionLost);
    let next = Arc::new(Wire::default());
    lane.attach(Arc::clone(&next) as Arc<dyn Link>);
    lane.heard(Duration::ZERO);
    lane.submit(&[&operation(Verb::Renew, &Arc::default())]);
    old.answer(Answer::Lost);
    lane.submit(&[&operation(Verb::Renew, &Arc::default())]);
    assert_eq!(verbs(&next.next()), [Verb::Renew]);
    assert!(next.is_empty(), "one command at a time");
}

#[test]
fn a_large_key_does_not_travel_with_others() {
    let (lane, script) = lane();
    let claim = Arc::default();
    lane.submit(&[&operation(Verb::Renew, &claim)]);
    let now = Instant::now();
    let large = (Resources::One(vec![0; LARGEST_COMMAND].into()), "v".into());
    let times = (now, now + Duration::from_secs(60));
    let large = Operation::vote_by(times, Verb::Lock, large, Arc::default(), Duration::from_secs(60), 1);
    lane.submit(&[&operation(Verb::Renew, &claim)]);
    lane.submit(&[&Arc::new(large)]);
    lane.submit(&[&operation(Verb::Unlock, &claim)]);
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
