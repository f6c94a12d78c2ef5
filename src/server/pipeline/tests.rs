//! The pipeline on a connection that answers when the test says so.

use super::{
    pending::{LARGEST_COMMAND, MOST_KEYS, MOST_WATCHED},
    state::{CAPACITY, LARGE_BATCH, MOST_ONE_BY_ONE, WINDOW, commands_in_flight},
    *,
};
use crate::{
    clock::Moment,
    resource::Resources,
    server::{LockState, Subject, wire_double::Wire},
};
use std::future::Future;

fn pipeline() -> (Arc<Pipeline>, Arc<Wire>) {
    pipeline_to(Wire::default())
}

/// A pipeline to a server that takes one operation a command.
fn pipeline_one_by_one() -> (Arc<Pipeline>, Arc<Wire>) {
    pipeline_to(Wire {
        takes_one_by_one: true,
        ..Wire::default()
    })
}

/// A pipeline, and the command with one operation that it has sent.
fn under_way(verb: Verb) -> (Arc<Pipeline>, Arc<Wire>, Command) {
    let (pipeline, script) = pipeline();
    pipeline.submit(&[&operation(verb, &Arc::default())]);
    let command = script.next();
    (pipeline, script, command)
}

fn pipeline_to(script: Wire) -> (Arc<Pipeline>, Arc<Wire>) {
    let (pipeline, script) = (Arc::new(Pipeline::new(0, Arc::default())), Arc::new(script));
    pipeline.attach(Arc::clone(&script) as Arc<dyn Link>, None, false);
    // A short way: one command at a time.
    pipeline.heard(Duration::ZERO);
    (pipeline, script)
}

fn operation(verb: Verb, lock_state: &Arc<LockState>) -> Arc<Operation> {
    operation_on(Resources::from(b"r"), verb, lock_state)
}

fn operation_on(keys: Resources, verb: Verb, lock_state: &Arc<LockState>) -> Arc<Operation> {
    let now = Instant::now();
    let ttl = Duration::from_secs(60);
    let subject = Subject {
        lock_state: Arc::clone(lock_state),
        ..Subject::new(keys, "v")
    };
    Arc::new(Operation::new(verb, subject, now, now + ttl, ttl, 1))
}

fn form(script: Script) -> Form {
    Form { script, declares: true }
}

fn verbs(command: &Command) -> Vec<Verb> {
    command.operations.iter().map(|operation| operation.verb).collect()
}

#[test]
fn what_gathers_while_a_command_travels_goes_as_one_behind_it() {
    let (pipeline, script) = pipeline();
    for verb in [Verb::Lock, Verb::Renew, Verb::Lock, Verb::Unlock] {
        pipeline.submit(&[&operation(verb, &Arc::default())]);
    }
    let first = script.next();
    assert_eq!(verbs(&first), [Verb::Lock]);
    assert!(script.is_empty());
    first.answer(Answer::Outcomes(vec![Outcome::Done]));
    assert_eq!(verbs(&script.next()), [Verb::Renew, Verb::Lock, Verb::Unlock]);
}

#[test]
fn a_large_batch_does_not_wait_for_the_answer_to_another() {
    let (pipeline, script) = pipeline();
    for _ in 0..=LARGE_BATCH {
        pipeline.submit(&[&operation(Verb::Renew, &Arc::default())]);
    }
    let sizes = [script.next(), script.next()].map(|command| command.operations.len());
    assert_eq!(sizes, [1, LARGE_BATCH]);
    for _ in 0..2 * LARGE_BATCH {
        pipeline.submit(&[&operation(Verb::Renew, &Arc::default())]);
    }
    assert!(script.is_empty(), "two commands are enough");
}

#[test]
fn a_set_is_not_sent_once_its_lock_is_released_and_what_waits_behind_it_is() {
    for answer in [Script::Known, Script::Source].map(form) {
        let (pipeline, script) = pipeline();
        let lock_state = Arc::<LockState>::default();
        pipeline.submit(&[&operation(Verb::Lock, &lock_state)]);
        pipeline.submit(&[&operation(Verb::Lock, &lock_state)]);
        lock_state.release();
        pipeline.submit(&[&operation(Verb::Unlock, &lock_state)]);
        script.next().answer(Answer::Again(answer));
        assert_eq!(verbs(&script.next()), [Verb::Unlock]);
    }
}

#[test]
fn a_script_that_the_server_forgot_is_sent_before_what_came_later() {
    let (pipeline, script) = pipeline();
    let lock_state = Arc::default();
    pipeline.submit(&[&operation(Verb::Lock, &lock_state)]);
    pipeline.submit(&[&operation(Verb::Renew, &lock_state)]);
    script.next().answer(Answer::Again(form(Script::Source)));
    let again = script.next();
    assert_eq!((verbs(&again), again.form), (vec![Verb::Lock], form(Script::Source)));
    again.answer(Answer::Outcomes(vec![Outcome::Done]));
    assert_eq!(verbs(&script.next()), [Verb::Renew]);
}

#[tokio::test(start_paused = true)]
async fn an_unlock_for_a_server_that_is_away_is_sent_when_it_is_back_unless_its_key_has_expired() {
    for (away, is_sent) in [(59, true), (60, false)] {
        let (pipeline, _) = pipeline();
        pipeline.detach(&DownReason::ConnectionLost);
        let unlock = operation(Verb::Unlock, &Arc::default());
        pipeline.submit(&[&unlock]);
        assert_eq!(unlock.votes_so_far(), [Vote::Unreachable(DownReason::ConnectionLost)]);
        tokio::time::advance(Duration::from_secs(away)).await;
        assert_eq!(!attach(&pipeline).is_empty(), is_sent, "after {away} s");
    }
}

fn attach(pipeline: &Arc<Pipeline>) -> Arc<Wire> {
    let next = Arc::new(Wire::default());
    pipeline.attach(Arc::clone(&next) as Arc<dyn Link>, None, false);
    next
}

#[test]
fn a_set_is_undone_on_the_next_connection_however_early_or_late_it_is_known_to_be_lost() {
    for is_early in [true, false] {
        let (pipeline, script) = pipeline();
        let lock_state = Arc::<LockState>::default();
        pipeline.submit(&[&operation(Verb::Lock, &lock_state)]);
        let lost = script.next();
        if is_early {
            // Before the connection is known to have ended.
            lost.answer(Answer::Lost);
            pipeline.detach(&DownReason::ConnectionLost);
        } else {
            // When the next one has ended, too.
            pipeline.detach(&DownReason::ConnectionLost);
            attach(&pipeline);
            pipeline.detach(&DownReason::ConnectionLost);
            lost.answer(Answer::Lost);
        }
        lock_state.release();
        assert_eq!(verbs(&attach(&pipeline).next()), [Verb::Unlock], "early: {is_early}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unlock_that_was_lost_is_sent_when_the_server_is_back_unless_its_key_has_expired() {
    for (away, is_sent) in [(59, true), (60, false)] {
        let (pipeline, _script, lost) = under_way(Verb::Unlock);
        pipeline.detach(&DownReason::ConnectionLost);
        lost.answer(Answer::Lost);
        tokio::time::advance(Duration::from_secs(away)).await;
        assert_eq!(!attach(&pipeline).is_empty(), is_sent, "after {away} s");
    }
    // If the server is back before that is known, it is sent at once.
    let (pipeline, _script, lost) = under_way(Verb::Unlock);
    pipeline.detach(&DownReason::ConnectionLost);
    let next = attach(&pipeline);
    lost.answer(Answer::Lost);
    assert_eq!(verbs(&next.next()), [Verb::Unlock]);
}

#[test]
fn unlocks_for_a_server_that_is_away_are_kept_but_no_more_than_fit() {
    for (count, kept) in [(3, 3), (CAPACITY + 2, CAPACITY)] {
        let (pipeline, _) = pipeline();
        pipeline.detach(&DownReason::ConnectionLost);
        for _ in 0..count {
            submit(&pipeline, "a", Verb::Unlock);
        }
        let next = attach(&pipeline);
        let mut sent = 0;
        while !next.is_empty() {
            let command = next.next();
            sent += command.operations.len();
            let outcomes = vec![Outcome::Done; command.operations.len()];
            command.answer(Answer::Outcomes(outcomes));
        }
        assert_eq!(sent, kept);
    }
}

#[test]
fn an_unlock_that_would_be_refused_for_ever_is_not_kept() {
    let (pipeline, script, command) = under_way(Verb::Unlock);
    command.answer(Answer::Rejected(Refusal::parse("NOPERM")));
    pipeline.deliver_late();
    assert!(script.is_empty());
}

#[test]
fn an_unlock_that_was_refused_is_sent_again_with_a_heartbeat() {
    let (pipeline, script, command) = under_way(Verb::Unlock);
    command.answer(Answer::Rejected(Refusal::Loading));
    assert!(script.is_empty());
    pipeline.deliver_late();
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
        let (pipeline, script, command) = under_way(Verb::Unlock);
        command.answer(Answer::Outcomes(vec![Outcome::Failed(error.into())]));
        pipeline.deliver_late();
        assert_eq!(script.is_empty(), !again, "{error}");
    }
}

#[test]
fn a_server_that_says_it_is_read_only_is_asked_again_what_it_is() {
    let (pipeline, _script, command) = under_way(Verb::Lock);
    let error = String::from("READONLY You can't write against a read only replica.");
    command.answer(Answer::Outcomes(vec![Outcome::Failed(error)]));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(std::pin::pin!(pipeline.demoted()).as_mut().poll(&mut cx).is_ready());
}

#[test]
fn a_command_that_is_rejected_shows_a_replica_only_if_the_server_is_read_only() {
    for (refusal, is_demoted) in [(Refusal::ReadOnly, true), (Refusal::Loading, false)] {
        let (pipeline, _script, command) = under_way(Verb::Lock);
        command.answer(Answer::Rejected(refusal));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let poll = std::pin::pin!(pipeline.demoted()).as_mut().poll(&mut cx);
        assert_eq!(poll.is_ready(), is_demoted);
    }
}

#[test]
fn an_answer_that_asks_for_another_form_too_late_is_a_lost_one() {
    let (pipeline, script) = pipeline();
    let set = operation(Verb::Lock, &Arc::default());
    pipeline.submit(&[&set]);
    let command = script.next();
    pipeline.detach(&DownReason::Unresponsive);
    command.answer(Answer::Again(form(Script::Source)));
    assert_eq!(set.votes_so_far(), [Vote::OutcomeUnknown]);
}

#[test]
fn a_set_whose_answer_was_lost_is_undone_on_the_next_connection_if_it_has_no_owner() {
    for is_released in [false, true] {
        let (pipeline, script) = pipeline();
        let lock_state = Arc::<LockState>::default();
        pipeline.submit(&[&operation(Verb::Lock, &lock_state)]);
        pipeline.submit(&[&operation(Verb::Renew, &lock_state)]);
        let lost = script.next();
        pipeline.detach(&DownReason::Unresponsive);
        lost.answer(Answer::Lost);
        if is_released {
            lock_state.release();
        }
        let next = attach(&pipeline);
        assert_eq!(next.is_empty(), !is_released);
        if is_released {
            assert_eq!(verbs(&next.next()), [Verb::Unlock]);
        }
    }
}

#[test]
fn a_loss_that_is_told_when_the_server_is_back_undoes_no_lock_that_may_have_been_renewed_there() {
    for is_released in [false, true] {
        let (pipeline, script) = pipeline();
        let lock_state = Arc::<LockState>::default();
        let now = Instant::now();
        // Its ttl is over already, but a renewal may have been granted by this server since.
        let subject = Subject {
            lock_state: Arc::clone(&lock_state),
            ..Subject::new(Resources::from(b"r"), "v")
        };
        let until = now + Duration::from_secs(60);
        let set = Operation::new(Verb::Lock, subject, now, until, Duration::ZERO, 1);
        pipeline.submit(&[&Arc::new(set)]);
        let lost = script.next();
        pipeline.detach(&DownReason::ConnectionLost);
        let next = attach(&pipeline);
        if is_released {
            lock_state.release();
        }
        lost.answer(Answer::Lost);
        assert_eq!(next.is_empty(), !is_released);
    }
}

#[test]
fn an_answer_of_an_ended_connection_changes_nothing_for_the_next() {
    let (pipeline, _script, old) = under_way(Verb::Lock);
    pipeline.detach(&DownReason::ConnectionLost);
    let next = attach(&pipeline);
    pipeline.heard(Duration::ZERO);
    pipeline.submit(&[&operation(Verb::Renew, &Arc::default())]);
    old.answer(Answer::Lost);
    pipeline.submit(&[&operation(Verb::Renew, &Arc::default())]);
    assert_eq!(verbs(&next.next()), [Verb::Renew]);
    assert!(next.is_empty(), "one command at a time");
}

#[test]
fn a_large_key_does_not_travel_with_others() {
    let (pipeline, script) = pipeline();
    let lock_state = Arc::default();
    pipeline.submit(&[&operation(Verb::Renew, &lock_state)]);
    let now = Instant::now();
    let large = Subject::new(Resources::from(vec![0; LARGEST_COMMAND]), "v");
    let ttl = Duration::from_secs(60);
    let large = Operation::new(Verb::Lock, large, now, now + ttl, ttl, 1);
    pipeline.submit(&[&operation(Verb::Renew, &lock_state)]);
    pipeline.submit(&[&Arc::new(large)]);
    pipeline.submit(&[&operation(Verb::Unlock, &lock_state)]);
    for expected in [Verb::Renew, Verb::Renew, Verb::Lock, Verb::Unlock] {
        let command = script.next();
        assert_eq!(verbs(&command), [expected]);
        command.answer(Answer::Outcomes(vec![Outcome::Done]));
    }
}

fn watching(number: usize) -> Arc<Operation> {
    let keys = Resources::from(number.to_string());
    let look = operation_on(keys, Verb::Probe, &Arc::default());
    let mut look = Arc::into_inner(look).unwrap();
    look.watches = true;
    Arc::new(look)
}

#[test]
fn few_watched_keys_travel_together_and_hold_nothing_else_up() {
    let (pipeline, script) = pipeline();
    pipeline.submit(&[&operation(Verb::Renew, &Arc::default())]);
    for number in 0..2 * MOST_WATCHED {
        pipeline.submit(&[&watching(number)]);
    }
    pipeline.submit(&[&operation(Verb::Lock, &Arc::default())]);
    script.next().answer(Answer::Outcomes(vec![Outcome::Done]));
    for locks in [1, 0] {
        let command = script.next();
        let watched = command.operations.iter().filter(|operation| operation.watches);
        assert_eq!(watched.count(), MOST_WATCHED);
        assert_eq!(command.operations.len(), MOST_WATCHED + locks);
        let outcomes = vec![Outcome::Done; command.operations.len()];
        command.answer(Answer::Outcomes(outcomes));
    }
    assert!(script.is_empty());
}

#[test]
fn a_command_has_so_many_keys_and_no_more() {
    let (pipeline, script) = pipeline();
    pipeline.submit(&[&operation(Verb::Renew, &Arc::default())]);
    let keys: Resources = (0..100_u8).map(|key| [key]).collect();
    for _ in 0..25 {
        pipeline.submit(&[&operation_on(keys.clone(), Verb::Lock, &Arc::default())]);
    }
    script.next().answer(Answer::Outcomes(vec![Outcome::Done]));
    assert_eq!(script.next().operations.len(), MOST_KEYS / 100);
}

#[test]
fn what_keeps_or_frees_a_lock_comes_before_new_locks() {
    let (pipeline, script) = pipeline();
    let (first, second) = (Arc::<LockState>::default(), Arc::<LockState>::default());
    let set = operation(Verb::Lock, &first);
    pipeline.submit(&[&operation(Verb::Renew, &Arc::default())]);
    pipeline.submit(&[&operation(Verb::Lock, &Arc::default())]);
    pipeline.submit(&[&set]);
    pipeline.submit(&[&operation(Verb::Renew, &second)]);
    // It overtakes the SET of its lock, which is not sent any more, and the next in line goes with it.
    first.release();
    pipeline.submit(&[&operation(Verb::Unlock, &first), &operation(Verb::Lock, &second)]);
    script.next().answer(Answer::Outcomes(vec![Outcome::Done]));
    assert_eq!(
        verbs(&script.next()),
        [Verb::Renew, Verb::Unlock, Verb::Lock, Verb::Lock]
    );
}

#[test]
fn new_locks_that_fill_the_queue_keep_no_renewal_out() {
    let (pipeline, _script) = pipeline();
    for _ in 0..CAPACITY + 300 {
        submit(&pipeline, "a", Verb::Lock);
    }
    let votes = |verb| {
        let operation = operation(verb, &Arc::default());
        pipeline.submit(&[&operation]);
        operation.votes_so_far()
    };
    assert_eq!(votes(Verb::Lock), [Vote::Unreachable(DownReason::Busy)]);
    for verb in [Verb::Renew, Verb::ReSet, Verb::UpdateFence, Verb::Unlock] {
        assert_eq!(votes(verb), [Vote::Pending]);
    }
}

#[test]
fn renewals_that_fill_the_queue_keep_no_unlock_out() {
    let (pipeline, _script) = pipeline();
    for _ in 0..CAPACITY + 300 {
        submit(&pipeline, "a", Verb::Renew);
    }
    for (verb, vote) in [
        (Verb::Renew, Vote::Unreachable(DownReason::Busy)),
        (Verb::Unlock, Vote::Pending),
    ] {
        let operation = operation(verb, &Arc::default());
        pipeline.submit(&[&operation]);
        assert_eq!(operation.votes_so_far(), [vote]);
    }
}

#[test]
fn the_unlock_of_a_value_that_came_from_elsewhere_overtakes_no_set() {
    let (pipeline, script) = pipeline();
    pipeline.submit(&[&operation(Verb::Renew, &Arc::default())]);
    // Both may be of one value, in two copies of a lock.
    pipeline.submit(&[&operation(Verb::Lock, &Arc::default())]);
    pipeline.submit(&[&operation(Verb::Unlock, &Arc::default())]);
    script.next().answer(Answer::Outcomes(vec![Outcome::Done]));
    assert_eq!(verbs(&script.next()), [Verb::Lock, Verb::Unlock]);
}

/// A renewal of a lock for so many seconds.
fn renewal(lock_state: &Arc<LockState>, secs: u64) -> Arc<Operation> {
    let (start, ttl) = (Moment::now(), Duration::from_secs(secs));
    let counted = lock_state.begin(start, ttl, ttl);
    let (now, until) = (start.instant(), start.instant() + Duration::from_secs(60));
    let subject = Subject {
        lock_state: Arc::clone(lock_state),
        ..Subject::new(Resources::from(b"r"), "v")
    };
    let renewal = Operation::new(Verb::Renew, subject, now, until, ttl, 1);
    Arc::new(renewal.counted(counted))
}

#[test]
fn a_renewal_for_less_is_not_sent_again_behind_a_later_one() {
    let lock_state = Arc::<LockState>::default();
    let (pipeline, script) = pipeline();
    let less = renewal(&lock_state, 1);
    pipeline.submit(&[&less]);
    let command = script.next();
    command.answer(Answer::Again(form(Script::Source)));
    let again = script.next();
    assert_eq!(verbs(&again), [Verb::Renew], "no other has come yet");
    renewal(&lock_state, 60);
    again.answer(Answer::Again(form(Script::Source)));
    assert!(script.is_empty());
    assert_eq!(less.votes_so_far(), [Vote::OutcomeUnknown]);

    let lock_state = Arc::<LockState>::default();
    let (_, more) = (renewal(&lock_state, 1), renewal(&lock_state, 60));
    pipeline.submit(&[&more]);
    renewal(&lock_state, 60);
    script.next().answer(Answer::Again(form(Script::Source)));
    assert_eq!(verbs(&script.next()), [Verb::Renew], "it shortens nothing");
}

#[test]
fn a_renewal_for_less_that_an_open_connection_may_carry_out_later_limits_what_later_ones_are_worth() {
    for (old_connection_lives, overhang) in [(false, None), (true, Some(Duration::from_secs(1)))] {
        let lock_state = Arc::<LockState>::default();
        let (pipeline, script) = pipeline();
        for secs in [1, 60] {
            pipeline.submit(&[&renewal(&lock_state, secs)]);
        }
        let lost = script.next();
        pipeline.detach(&DownReason::Unresponsive);
        lost.answer(Answer::Lost);
        let next = Arc::new(Wire::default());
        pipeline.attach(Arc::clone(&next) as Arc<dyn Link>, None, old_connection_lives);
        assert_eq!(lock_state.overhang(), overhang);
    }
}

/// One key for each letter.
fn letters(keys: &str) -> Resources {
    keys.bytes().map(|key| [key]).collect()
}

fn submit(pipeline: &Arc<Pipeline>, keys: &str, verb: Verb) {
    pipeline.submit(&[&operation_on(letters(keys), verb, &Arc::default())]);
}

fn sent(script: &Wire) -> Vec<(Verb, String)> {
    let commands = script.commands.lock().unwrap();
    let one = |command: &Command| match &command.operations[..] {
        [operation] => {
            let keys = operation.keys.as_slice().concat();
            (operation.verb, String::from_utf8(keys).unwrap())
        }
        several => panic!("{several:?}"),
    };
    commands.iter().map(one).collect()
}

#[test]
fn of_commands_that_may_overtake_each_other_no_two_have_a_key_in_common() {
    let (pipeline, script) = pipeline_one_by_one();
    for (keys, verb) in [
        ("a", Verb::Lock),
        ("a", Verb::Unlock),
        ("b", Verb::Lock),
        ("ab", Verb::Lock),
    ] {
        submit(&pipeline, keys, verb);
    }
    submit(&pipeline, "c", Verb::Renew);
    let sent = || sent(&script).into_iter().map(|(_, keys)| keys).collect::<String>();
    assert_eq!(sent(), "abc");

    script.next().answer(Answer::Outcomes(vec![Outcome::Done]));
    assert_eq!(sent(), "bca", "the unlock follows the answer to the SET");

    let (b, c) = (script.next(), script.next());
    c.answer(Answer::Outcomes(vec![Outcome::Done]));
    b.answer(Answer::Outcomes(vec![Outcome::Done]));
    assert_eq!(sent(), "a", "the last one waits for both of its keys");
    script.next().answer(Answer::Outcomes(vec![Outcome::Done]));
    assert_eq!(sent(), "ab");
}

#[test]
fn a_command_does_not_overtake_one_that_waits_for_longer() {
    let (pipeline, script) = pipeline_one_by_one();
    for keys in ["a", "ab", "bc", "c", "d"] {
        submit(&pipeline, keys, Verb::Lock);
    }
    let keys: String = sent(&script).into_iter().map(|(_, keys)| keys).collect();
    assert_eq!(keys, "ad");
}

#[test]
fn a_command_that_is_sent_again_keeps_its_place() {
    let (pipeline, script) = pipeline_one_by_one();
    submit(&pipeline, "a", Verb::Lock);
    submit(&pipeline, "a", Verb::Unlock);
    script.next().answer(Answer::Again(form(Script::Cheapest)));
    assert_eq!(sent(&script), [(Verb::Lock, "a".into())]);
    script.next().answer(Answer::Outcomes(vec![Outcome::Done]));
    assert_eq!(sent(&script), [(Verb::Unlock, "a".into())]);
}

#[test]
fn so_many_commands_of_one_operation_are_on_their_way_and_no_more() {
    let (pipeline, script) = pipeline_one_by_one();
    for number in 0..=MOST_ONE_BY_ONE {
        let keys = Resources::from(number.to_string());
        pipeline.submit(&[&operation_on(keys, Verb::Lock, &Arc::default())]);
    }
    assert_eq!(sent(&script).len(), MOST_ONE_BY_ONE);
    script.next().answer(Answer::Outcomes(vec![Outcome::Done]));
    assert_eq!(sent(&script).len(), MOST_ONE_BY_ONE);
}

#[test]
fn what_is_of_no_use_any_more_does_not_hold_up_what_is() {
    let (pipeline, script) = pipeline_one_by_one();
    let lock_state = Arc::<LockState>::default();
    submit(&pipeline, "a", Verb::Renew);
    submit(&pipeline, "a", Verb::Renew);
    pipeline.submit(&[&operation_on(letters("ab"), Verb::Lock, &lock_state)]);
    lock_state.release();
    submit(&pipeline, "b", Verb::Lock);
    assert_eq!(sent(&script).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn where_commands_go_to_several_nodes_only_a_heartbeat_is_a_sign_of_life() {
    for (one_by_one, (pipeline, script)) in [(true, pipeline_one_by_one()), (false, pipeline())] {
        let before = pipeline.last_heard();
        tokio::time::advance(Duration::from_secs(1)).await;
        submit(&pipeline, "a", Verb::Lock);
        script.next().answer(Answer::Outcomes(vec![Outcome::Done]));
        assert_eq!(pipeline.last_heard() == before, one_by_one);
        pipeline.heard(Duration::ZERO);
        assert!(pipeline.last_heard() > before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_way_that_becomes_longer_has_more_commands_on_it_after_a_while() {
    let (pipeline, script) = pipeline();
    let sent = |pipeline: &Arc<Pipeline>| {
        for _ in 0..10 {
            pipeline.submit(&[&operation(Verb::Renew, &Arc::default())]);
        }
        let commands = std::mem::take(&mut *script.commands.lock().unwrap());
        let count = commands.len();
        for command in commands {
            let outcomes = vec![Outcome::Done; command.operations.len()];
            command.answer(Answer::Outcomes(outcomes));
        }
        while !script.is_empty() {
            let command = script.next();
            let outcomes = vec![Outcome::Done; command.operations.len()];
            command.answer(Answer::Outcomes(outcomes));
        }
        count
    };
    assert_eq!(sent(&pipeline), 1);
    // It took no time so far.
    for _ in 0..3 {
        tokio::time::advance(WINDOW).await;
        pipeline.heard(Duration::from_millis(10));
    }
    assert_eq!(sent(&pipeline), 8);
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
