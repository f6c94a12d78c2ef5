//! What an operation is worth at which moment, and who hears of its votes.

use super::*;
use crate::{
    clock::Moment,
    decision::{DownReason, Holder, Refusal},
    server::Promise,
};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::Wake,
};
use tokio::time::advance;

const VERBS: [Verb; 6] = [
    Verb::Lock,
    Verb::ReSet,
    Verb::Renew,
    Verb::UpdateFence,
    Verb::Probe,
    Verb::Unlock,
];

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// An operation on three servers that matters for 10 s, on keys that live for 60.
fn operation(verb: Verb) -> Operation {
    let now = Instant::now();
    let subject = Subject::new(Resources::from("r"), "secret");
    Operation::new(verb, subject, now, now + secs(10), secs(60), 3)
}

fn held() -> Vote {
    Vote::Held(Holder::new(b"another", None))
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_sets_or_renews_keys_says_when_they_expire() {
    for verb in VERBS {
        let operation = operation(verb);
        let sets = matches!(verb, Verb::Lock | Verb::ReSet | Verb::Renew);
        let expires = sets.then(|| Instant::now() + secs(60));
        assert_eq!(operation.lock_state.expires(), expires, "{verb:?}");
        assert_eq!(operation.lock_state.is_of_this_client(), verb == Verb::Lock, "{verb:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_operation_is_not_sent_when_it_is_over_or_its_lock_is_released_unless_it_is_an_unlock() {
    for verb in VERBS {
        let (operation, now) = (operation(verb), Instant::now());
        let is_stale = |after| operation.is_stale(now + after);
        assert!(!is_stale(Duration::from_millis(9_999)), "{verb:?}");
        assert_eq!(is_stale(secs(10)), verb != Verb::Unlock, "{verb:?}");
        operation.lock_state.release();
        let is_asked_for = matches!(verb, Verb::Probe | Verb::Unlock);
        assert_eq!(is_stale(secs(0)), !is_asked_for, "{verb:?}");
        assert!(operation.is_orphaned(now), "{verb:?}");
    }
    assert!(!operation(Verb::Lock).is_orphaned(Instant::now() + secs(3_600)));
}

#[tokio::test(start_paused = true)]
async fn of_a_lost_lock_a_look_is_sent_as_long_as_its_waiter_wants_to_hear_of_changes() {
    let now = Instant::now();
    let lock = |watches| {
        let mut lock = operation(Verb::Lock);
        lock.watches = watches;
        lock.lock_state.release();
        Arc::new(lock)
    };
    assert!(lock(false).to_send(now).is_none());
    assert!(lock(true).to_send(now + secs(10)).is_none());
    let lock = lock(true);
    let probe = lock.to_send(now).unwrap();
    assert_eq!(
        (probe.verb, probe.watches, probe.until()),
        (Verb::Probe, true, lock.until())
    );
    probe.vote(1, held());
    assert_eq!(lock.votes_so_far(), [Vote::Pending, held(), Vote::Pending]);
    probe.lock_state.release();
    assert!(probe.to_send(now).is_some_and(|sent| Arc::ptr_eq(&sent, &probe)));
}

#[tokio::test(start_paused = true)]
async fn an_undo_is_of_use_until_a_key_that_appears_only_now_has_expired() {
    let lock = operation(Verb::Lock);
    advance(secs(30)).await;
    let undo = lock.undo();
    assert_eq!((undo.verb, undo.until()), (Verb::Unlock, Instant::now() + secs(60)));
    assert!(Arc::ptr_eq(&undo.lock_state, &lock.lock_state));
    assert_eq!(undo.votes_so_far().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_put_back_for_what_is_left_of_its_ttl_and_with_its_token() {
    let (mut renew, expiry) = (operation(Verb::Renew), secs(60));
    renew.fence = Some(Fence { token: 7, expiry });
    let expires = Instant::now() + secs(60);
    for (after, left) in [(20, secs(40)), (50, Duration::from_millis(1))] {
        advance(secs(after)).await;
        let re_set = renew.re_set();
        assert_eq!((re_set.verb, re_set.ttl()), (Verb::ReSet, left));
        assert_eq!((re_set.until(), re_set.fence), (expires, renew.fence));
        assert!(Arc::ptr_eq(&re_set.lock_state, &renew.lock_state));
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_raised_where_the_lock_was_granted_with_a_smaller_one_or_may_have_been() {
    let fence = Fence {
        token: 7,
        expiry: secs(60),
    };
    for (number, (vote, kept)) in [
        (Vote::Granted, None),
        (Vote::OutcomeUnknown, None),
        (held(), Some(held())),
        (Vote::TimedOut, Some(Vote::TimedOut)),
    ]
    .into_iter()
    .enumerate()
    {
        let lock = operation(Verb::Lock);
        lock.has_stored(0, 7);
        lock.vote(0, Vote::Granted);
        lock.has_stored(1, 6);
        lock.vote(1, vote);
        let update = lock.update_fence(fence, Instant::now());
        let votes = [Vote::Granted, kept.unwrap_or(Vote::Pending), Vote::Pending];
        assert_eq!(update.votes_so_far(), votes, "{number}");
        assert_eq!((update.verb, update.fence), (Verb::UpdateFence, Some(fence)));
        assert_eq!((update.until(), update.ttl()), (lock.until(), lock.ttl()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_is_woken_by_the_vote_that_decides_or_by_each_if_it_counts_them_itself() {
    for verb in VERBS {
        let (operation, woken) = (operation(verb), Arc::<Woken>::default());
        let waker = Arc::clone(&woken).into();
        let mut counts = Vec::new();
        for server in 0..3 {
            let is_decided = operation.poll_decision(&mut Context::from_waker(&waker)).is_ready();
            assert_eq!(is_decided, server == 2, "{verb:?}");
            let before = operation.vote(server, Vote::Granted);
            assert_eq!(before, (server == 2).then_some(Decision::Won));
            counts.push(woken.0.load(Ordering::Relaxed));
        }
        let counts_itself = matches!(verb, Verb::Probe | Verb::Unlock);
        assert_eq!(counts, if counts_itself { [1, 2, 2] } else { [0, 1, 1] }, "{verb:?}");
        assert!(operation.poll_complete(&mut Context::from_waker(&waker)).is_ready());
        let count = operation.poll_votes(&mut Context::from_waker(&waker), |votes| Some(votes.len()));
        assert_eq!(count, Poll::Ready(3));
    }
}

#[tokio::test(start_paused = true)]
async fn votes_decide_without_silent_servers_only_if_the_others_are_no_majority() {
    let operation = operation(Verb::Lock);
    operation.vote(0, Vote::Granted);
    assert_eq!(operation.decided_without(|server| server == 1), None);
    let votes = operation.decided_without(|server| server > 0);
    assert_eq!(votes, Some(vec![Vote::Granted, Vote::TimedOut, Vote::TimedOut]));
}

/// What is left of a lock for 60 s after a renewal for 1 s, of these keys and with these votes.
fn left_after(keys: Resources, votes: &[Vote]) -> Duration {
    let (lock_state, start) = (Arc::<LockState>::default(), Moment::now());
    lock_state.sets_until(start.instant() + secs(60));
    let renewal = lock_state.begin(start, secs(1), secs(1));
    let (now, until) = (start.instant(), start.instant() + secs(10));
    let subject = Subject {
        lock_state: Arc::clone(&lock_state),
        ..Subject::new(keys, "secret")
    };
    let renew = Operation::new(Verb::Renew, subject, now, until, secs(1), 3);
    let renew = renew.counted(renewal);
    for (server, vote) in votes.iter().enumerate() {
        renew.vote(server, vote.clone());
    }
    let (number, lasts) = (0, secs(60));
    lock_state.left(&Promise { number, start, lasts })
}

#[tokio::test(start_paused = true)]
async fn a_renewal_for_less_counts_unless_it_is_certain_that_no_server_carries_it_out() {
    let (one, two) = (|| Resources::from("r"), || Resources::from(["r", "s"]));
    let down = || Vote::Unreachable(DownReason::ConnectionLost);
    let refused = || Vote::Refused(Refusal::OutOfMemory);
    assert_eq!(left_after(one(), &[held(), Vote::Missing, down()]), secs(60));
    assert_eq!(left_after(one(), &[refused(), refused(), refused()]), secs(60));
    assert_eq!(left_after(two(), &[held(), Vote::Missing, down()]), secs(60));
    assert_eq!(
        left_after(two(), &[held(), refused(), down()]),
        secs(1),
        "one of the two may have been renewed"
    );
    for may_be in [Vote::Granted, Vote::OutcomeUnknown, Vote::TimedOut, Vote::Pending] {
        assert_eq!(
            left_after(one(), &[held(), may_be.clone(), down()]),
            secs(1),
            "{may_be:?}"
        );
    }
    assert_eq!(left_after(one(), &[held(), held()]), secs(1));
}

#[tokio::test(start_paused = true)]
async fn an_operation_prints_its_votes_but_not_its_value() {
    let printed = format!("{:?}", operation(Verb::Renew));
    assert_eq!(
        printed,
        "Operation { verb: Renew, votes: [Pending, Pending, Pending], .. }"
    );
}
