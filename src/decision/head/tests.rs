//! When the head of a wait queue asks.

use super::*;
use crate::decision::{DownReason, Refusal, fresh};
use proptest::prelude::*;
use rand::{SeedableRng, rngs::SmallRng};

const LATER: Duration = Duration::from_secs(5);
const TRACKED: Conditions = Conditions {
    round_trip: Duration::ZERO,
    is_tracked: true,
};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn rng() -> SmallRng {
    SmallRng::seed_from_u64(1)
}

fn times(now: Instant) -> Times {
    Times {
        now,
        waited: Waited::default(),
        common_poll: now + LATER,
    }
}

fn held(value: &str, left: Option<u64>) -> Vote {
    Vote::Held(Holder::new(value.as_bytes(), left.map(ms)))
}

/// A queue whose head asks.
fn asking(now: Instant) -> Head {
    let mut head = Head::new(3);
    assert_eq!(head.step(now, &mut rng()), Step::Ask);
    head
}

/// Answers the question of the head, which has not got the resource.
fn refuse(head: &mut Head, votes: &[Vote], now: Instant) {
    head.refused(votes, false, times(now), TRACKED, &mut rng());
}

/// A queue whose head asked, and was told that somebody holds the resource for a minute.
fn refused(now: Instant) -> Head {
    let mut head = asking(now);
    let vote = held("other", Some(60_000));
    refuse(&mut head, &[vote.clone(), vote, Vote::Pending], now);
    head
}

/// A queue whose head has the resource, by asking for it.
fn won(now: Instant) -> Head {
    let mut head = asking(now);
    head.won(now + LATER, false, times(now), TRACKED);
    head
}

#[test]
fn the_first_asks_at_once_and_one_at_a_time() {
    let now = Instant::now();
    let mut head = Head::new(3);
    assert_eq!(head.step(now, &mut rng()), Step::Ask);
    assert_eq!(head.step(now, &mut rng()), Step::Stay);
    head.left();
    assert_eq!(head.step(now, &mut rng()), Step::Ask);
}

#[test]
fn it_asks_again_when_so_many_servers_changed_that_a_majority_may_be_free() {
    let now = Instant::now();
    let mut head = refused(now);
    assert_eq!(head.step(now, &mut rng()), Step::Wait(now + LATER));
    head.changed(2);
    assert_eq!(head.step(now, &mut rng()), Step::Wait(now + LATER));
    head.changed(0);
    assert_eq!(head.step(now, &mut rng()), Step::Ask);
}

#[test]
fn a_server_that_was_not_needed_to_lose_is_not_counted_as_free() {
    let now = Instant::now();
    let mut head = refused(now);
    head.changed(0);
    assert_eq!(head.step(now, &mut rng()), Step::Wait(now + LATER));
}

#[test]
fn a_majority_for_another_is_no_split_vote() {
    let now = Instant::now();
    let mut head = asking(now);
    let vote = held("other", Some(60_000));
    refuse(&mut head, &[Vote::Granted, vote.clone(), vote], now);
    assert_eq!(head.step(now, &mut rng()), Step::Wait(now + LATER));
}

#[test]
fn a_grant_that_comes_late_is_followed_by_a_pause_as_a_split_vote_is() {
    let now = Instant::now();
    let paused = (0..20).filter(|seed| {
        let mut rng = SmallRng::seed_from_u64(*seed);
        let mut head = refused(now);
        head.changed(0);
        head.late(2, &Vote::Granted, now, &mut rng);
        matches!(head.step(now, &mut rng), Step::Pause(until) if until <= now + 2 * TICK)
    });
    assert!(paused.count() >= 15);
}

#[test]
fn it_asks_again_when_the_ttl_of_the_holder_runs_out_on_a_majority() {
    let now = Instant::now();
    let mut head = asking(now);
    let votes = [held("a", Some(100)), held("a", Some(300)), held("a", Some(200))];
    refuse(&mut head, &votes, now);
    let Step::Wait(until) = head.step(now, &mut rng()) else {
        panic!("it waits");
    };
    assert!(until >= now + ms(201) && until <= now + ms(203), "{:?}", until - now);
    assert_eq!(head.step(until, &mut rng()), Step::Ask);
}

#[test]
fn it_asks_more_often_where_nobody_tells_of_changes() {
    let now = Instant::now();
    let mut head = asking(now);
    let votes = [held("a", None), held("a", None), Vote::Pending];
    let conditions = Conditions {
        is_tracked: false,
        ..TRACKED
    };
    head.refused(&votes, false, times(now), conditions, &mut rng());
    let Step::Wait(until) = head.step(now, &mut rng()) else {
        panic!("it waits");
    };
    assert!(until >= now + POLL_UNTRACKED / 2 && until <= now + POLL_UNTRACKED * 3 / 2);
}

#[test]
fn it_waits_for_servers_that_are_down_and_asks_when_one_completes_a_majority() {
    let now = Instant::now();
    let mut head = asking(now);
    let down = Vote::Unreachable(DownReason::ConnectionLost);
    refuse(&mut head, &[down.clone(), down, Vote::Pending], now);
    assert_eq!(head.step(now, &mut rng()), Step::Wait(now + LATER));
    head.changed(0);
    assert_eq!(head.step(now, &mut rng()), Step::Ask);
}

#[test]
fn turns_are_handed_on_until_they_are_left_to_others() {
    let now = Instant::now();
    let mut head = won(now);
    assert_eq!(head.unlocked(None), Handover::Next);
    assert_eq!(head.unlocked(None), Handover::Asking, "the next one has it not yet");
    head.won(now + LATER, true, times(now), TRACKED);
    let until = now + 4 * TICK;
    assert_eq!(head.unlocked(Some(until)), Handover::Yield);
    // Whatever it is told meanwhile.
    head.changed(0);
    head.changed(1);
    assert_eq!(head.step(now, &mut rng()), Step::Pause(until));
    assert_eq!(head.step(until, &mut rng()), Step::Ask);
}

#[test]
fn to_leave_a_resource_to_others_is_not_to_lose_a_race() {
    let now = Instant::now();
    let mut head = refused(now);
    for number in 0..3 {
        head.changed(0);
        head.changed(1);
        assert_eq!(head.step(now, &mut rng()), Step::Ask);
        let vote = held(&format!("other {number}"), Some(60_000));
        head.refused(
            &[vote.clone(), vote, Vote::Pending],
            true,
            times(now),
            TRACKED,
            &mut rng(),
        );
    }
}

#[test]
fn every_vote_that_comes_late_says_what_its_server_could_do() {
    let now = Instant::now();
    let others = |head: &mut Head| {
        head.step(now, &mut rng());
        let votes = [held("foreign", None), held("a", Some(60_000)), Vote::Pending];
        refuse(head, &votes, now);
        // The holder unlocks it on the second server.
        head.changed(1);
    };
    let late = |vote: Vote| {
        let mut head = Head::new(3);
        others(&mut head);
        head.late(2, &vote, now, &mut rng());
        head.step(now, &mut rng())
    };
    // It is undone, so that it could be had, after a pause as for every split vote.
    assert!(matches!(late(Vote::Granted), Step::Ask | Step::Pause(_)));
    assert_eq!(late(Vote::Missing), Step::Ask, "it was only looked at");
    assert!(matches!(late(held("a", Some(100))), Step::Wait(until) if until <= now + ms(103)));
    assert_eq!(late(held("a", None)), Step::Wait(now + LATER));
    let down = Vote::Unreachable(DownReason::ConnectionLost);
    assert_eq!(late(down), Step::Wait(now + LATER), "it is heard of when it is back");
    for vote in [Vote::OutcomeUnknown, Vote::Refused(Refusal::OutOfMemory)] {
        assert!(matches!(late(vote), Step::Wait(until) if until <= now + POLL_UNTRACKED * 3 / 2));
    }
}

#[test]
fn who_lost_a_race_lets_some_time_pass_before_the_next_and_less_with_each_that_it_loses() {
    let now = Instant::now();
    let mut head = refused(now);
    let mut longest = Vec::new();
    for race in 0..4 {
        head.changed(0);
        head.changed(1);
        let mut then = now;
        while let Step::Pause(until) = head.step(then, &mut rng()) {
            then = until;
        }
        longest.push(then - now);
        let vote = held(&format!("winner {race}"), Some(60_000));
        refuse(&mut head, &[vote.clone(), vote, Vote::Pending], now);
    }
    assert_eq!(longest[0], Duration::ZERO, "it had lost none");
    assert!(longest[1] >= TICK && longest[1] <= 2 * TICK, "{longest:?}");
    assert!(longest[3] >= TICK / 2 && longest[3] <= TICK, "{longest:?}");
}

/// Loses a race to another client, after a look that found the resource free if there is a crowd.
fn lose(head: &mut Head, race: u32, now: Instant) {
    head.changed(0);
    head.changed(1);
    loop {
        match head.step(now + LATER * race, &mut rng()) {
            Step::Ask => break,
            Step::Pause(_) => head.plan = Plan::Listen(now, now),
            Step::Probe => head.probed(&FREE, times(now), TRACKED, &mut rng()),
            other => panic!("{other:?}"),
        }
    }
    head.refused(
        &taken(&format!("winner {race}")),
        false,
        times(now),
        TRACKED,
        &mut rng(),
    );
}

const FREE: [Vote; 3] = [Vote::Missing, Vote::Missing, Vote::Pending];

/// The votes of servers on which this value stands for long.
fn taken(value: &str) -> [Vote; 3] {
    let vote = held(value, Some(60_000_000));
    [vote.clone(), vote, Vote::Pending]
}

/// The queue of a resource that many want.
fn crowded(now: Instant) -> Head {
    let mut head = refused(now);
    for race in 1..=100 {
        lose(&mut head, race, now);
        if head.crowd.probes_first() {
            assert!(race > 8, "few others are no crowd");
            break;
        }
    }
    head
}

#[test]
fn split_votes_make_a_crowd_as_well() {
    let now = Instant::now();
    let mut head = Head::new(3);
    for split in 0..100 {
        head.step(now + LATER * split, &mut rng());
        let votes = [Vote::Granted, held(&format!("a {split}"), None), Vote::Pending];
        refuse(&mut head, &votes, now);
    }
    assert!(head.crowd.probes_first());
}

#[test]
fn votes_are_split_also_beside_a_key_that_was_left_behind() {
    let now = Instant::now();
    let left_behind = held("left behind", None);
    for place in 0..3 {
        let mut head = Head::new(3);
        for split in 0..20 {
            head.step(now + LATER * split, &mut rng());
            let mut votes = vec![Vote::Granted, held(&format!("a {split}"), None)];
            votes.insert(place, left_behind.clone());
            refuse(&mut head, &votes, now);
            assert!(matches!(head.step(now, &mut rng()), Step::Pause(_)), "{votes:?}");
        }
        assert!(head.crowd.probes_first());
    }
}

#[test]
fn a_key_that_was_left_behind_does_not_hide_how_long_the_winner_had_waited() {
    let now = Instant::now();
    let winner = fresh("other", std::time::SystemTime::now(), Waited::new(ms(10)));
    for place in 0..3 {
        let mut head = crowded(now);
        let times = Times {
            waited: Waited::new(ms(100)),
            ..times(now)
        };
        let mut votes = vec![Vote::Pending, held(&winner, None)];
        votes.insert(place, held("left behind", None));
        head.probed(&votes, times, TRACKED, &mut rng());
        head.ask_again(now);
        assert_eq!(head.step(now, &mut rng()), Step::Ask, "the head was overtaken");
    }
}

#[test]
fn in_a_crowd_the_head_probes_before_it_asks() {
    let now = Instant::now();
    let mut head = crowded(now);
    head.changed(0);
    head.changed(1);
    let Step::Pause(until) = head.step(now, &mut rng()) else {
        panic!("it draws a moment");
    };
    assert_eq!(head.step(until, &mut rng()), Step::Probe);
    head.probed(&taken("faster"), times(now), TRACKED, &mut rng());
    assert!(matches!(head.step(now, &mut rng()), Step::Wait(_)));
    // At the poll, too.
    assert_eq!(head.step(now + LATER, &mut rng()), Step::Probe);
    head.probed(&FREE, times(now), TRACKED, &mut rng());
    assert_eq!(head.step(now, &mut rng()), Step::Ask);
}

#[test]
fn a_head_that_was_overtaken_asks_at_once_and_its_successor_does_not() {
    let now = Instant::now();
    let mut head = crowded(now);
    let winner = fresh("other", std::time::SystemTime::now(), Waited::new(ms(10)));
    let times = Times {
        waited: Waited::new(ms(100)),
        ..times(now)
    };
    head.probed(&taken(&winner), times, TRACKED, &mut rng());
    head.changed(0);
    head.changed(1);
    assert_eq!(head.step(now, &mut rng()), Step::Ask);
    head.left();
    head.ask_again(now);
    assert_eq!(head.step(now, &mut rng()), Step::Probe);
}

/// A queue whose head lost a race when it was woken, and wins the next.
fn careful(now: Instant) -> Head {
    let mut head = refused(now);
    assert!(!head.has_rivals());
    head.changed(0);
    head.changed(1);
    assert_eq!(head.step(now, &mut rng()), Step::Ask);
    let vote = held("winner", Some(60_000));
    let votes = [vote.clone(), vote, Vote::Pending];
    refuse(&mut head, &votes, now);
    head
}

#[test]
fn a_careful_waiter_lets_some_time_pass_whenever_it_is_woken() {
    let now = Instant::now();
    let mut head = careful(now);
    let woken = now + ms(1_000);
    head.changed(0);
    head.changed(1);
    let Step::Pause(until) = head.step(woken, &mut rng()) else {
        panic!("those that have waited for longer come first");
    };
    assert!(
        until >= woken + TICK && until <= woken + TICK * 3 / 2,
        "{:?}",
        until - woken
    );
    assert_eq!(head.step(until, &mut rng()), Step::Ask);
}

#[test]
fn a_waiter_is_careful_until_it_has_won_so_many_races() {
    let now = Instant::now();
    let mut head = careful(now);
    head.won(now + LATER, false, times(now), TRACKED);
    for race in 0..CAREFUL {
        assert!(head.has_rivals(), "after {race} races");
        head.won(now + LATER, true, times(now), TRACKED);
        assert!(head.has_rivals(), "what was handed over was no race");
        head.won(now + LATER, false, times(now), TRACKED);
    }
    assert!(!head.has_rivals());
}

#[test]
fn what_is_found_free_by_a_look_is_asked_for_at_once() {
    let now = Instant::now();
    let look = |votes: &[Vote]| {
        let mut head = asking(now);
        head.probed(votes, times(now), TRACKED, &mut rng());
        (head.step(now, &mut rng()), head.has_rivals())
    };
    let held = || held("other", Some(60_000));
    assert_eq!(look(&[Vote::Missing, Vote::Missing, held()]), (Step::Ask, false));
    assert_eq!(look(&[Vote::Missing, Vote::Missing, Vote::Pending]), (Step::Ask, false));
    assert_eq!(look(&[Vote::Missing, held(), held()]), (Step::Wait(now + LATER), true));
}

#[test]
fn who_had_a_turn_lets_others_come_first_also_if_its_line_was_empty() {
    let now = Instant::now();
    let mut head = refused(now);
    head.changed(0);
    head.changed(1);
    head.step(now, &mut rng());
    let vote = held("winner", Some(60_000));
    refuse(&mut head, &[vote.clone(), vote, Vote::Pending], now);
    head.won(now + LATER, false, times(now), TRACKED);
    assert!(head.has_rivals());
    head.resume(now, true, &mut rng());
    assert_eq!(head.step(now, &mut rng()), Step::Ask);
    head.won(now + LATER, false, times(now), TRACKED);
    head.resume(now, false, &mut rng());
    assert!(matches!(head.step(now, &mut rng()), Step::Pause(until) if until >= now + TICK * 3 / 2));
}

#[test]
fn a_holder_that_renews_is_no_race_lost() {
    let now = Instant::now();
    let mut head = refused(now);
    for _ in 0..3 {
        head.changed(0);
        head.changed(1);
        assert_eq!(head.step(now, &mut rng()), Step::Ask);
        let vote = held("other", Some(60_000));
        refuse(&mut head, &[vote.clone(), vote, Vote::Pending], now);
    }
}

#[test]
fn a_split_vote_is_followed_by_a_pause_unless_the_same_holder_stays() {
    let now = Instant::now();
    let mut head = Head::new(3);
    for split in 1..=10_u32 {
        head.step(now + LATER, &mut rng());
        let votes = [
            Vote::Granted,
            held(&format!("a {split}"), Some(60_000)),
            held(&format!("b {split}"), Some(60_000)),
        ];
        refuse(&mut head, &votes, now);
        match head.step(now, &mut rng()) {
            Step::Pause(until) => {
                assert!(until <= now + TICK * (1 << split.min(LONGEST_SPLIT)));
                // It does not listen while it pauses.
                head.changed(1);
                assert_eq!(head.step(now, &mut rng()), Step::Pause(until));
            }
            other => panic!("{other:?}"),
        }
    }
    // One server down, one granted, and one that somebody holds for good.
    head.step(now + LATER, &mut rng());
    let lasting = [
        Vote::Granted,
        held("c", None),
        Vote::Unreachable(DownReason::ConnectionLost),
    ];
    refuse(&mut head, &lasting, now);
    head.step(now + LATER, &mut rng());
    refuse(&mut head, &lasting, now);
    assert_eq!(head.step(now, &mut rng()), Step::Wait(now + LATER));
}

fn any_vote() -> impl Strategy<Value = Vote> {
    prop_oneof![
        Just(Vote::Granted),
        Just(Vote::Pending),
        Just(Vote::TimedOut),
        Just(Vote::OutcomeUnknown),
        Just(Vote::Unreachable(DownReason::ConnectionLost)),
        ("[ab]", prop::option::of(0_u64..100_000)).prop_map(|(value, left)| held(&value, left)),
    ]
}

proptest! {
    #[test]
    fn whatever_happened_the_head_asks_again_in_bounded_time(
        events in prop::collection::vec((0_u8..8, prop::collection::vec(any_vote(), 3), 0_u64..1_000), 0..40),
        seed: u64,
    ) {
        let (mut rng, mut now) = (SmallRng::seed_from_u64(seed), Instant::now());
        let mut head = Head::new(3);
        for (event, votes, passed) in events {
            now += ms(passed);
            match event {
                0 => head.changed([0, 1, 2][votes.iter().filter(|vote| **vote == Vote::Granted).count() % 3]),
                1 => { head.step(now, &mut rng); }
                2 => { head.unlocked((passed % 3 == 0).then(|| now + 4 * TICK)); }
                3 => head.won(now + LATER, passed % 2 == 0, times(now), TRACKED),
                4 => head.refused(&votes, passed % 2 == 0, times(now), TRACKED, &mut rng),
                5 => head.late(0, &votes[0], now, &mut rng),
                6 => head.probed(&votes, times(now), TRACKED, &mut rng),
                _ => head.left(),
            }
        }
        head.left();
        let end = now + 2 * LATER;
        loop {
            match head.step(now, &mut rng) {
                Step::Ask | Step::Probe => break,
                Step::Wait(until) | Step::Pause(until) => {
                    prop_assert!(until > now, "it goes in circles");
                    now = until;
                }
                Step::Stay => prop_assert!(false, "nobody else asks for it"),
            }
            prop_assert!(now <= end, "it waits for ever");
        }
    }
}
