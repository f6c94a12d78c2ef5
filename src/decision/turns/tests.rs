//! When a client that had many turns pauses.

use super::*;
use proptest::prelude::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A client that locks again and again, as soon as it may.
struct Greedy {
    turns: Turns,
    keys: Resources,
    now: Instant,
    hold: Duration,
}

impl Greedy {
    fn new(hold: Duration) -> Self {
        Self {
            turns: Turns::default(),
            keys: Resources::from("r"),
            now: Instant::now(),
            hold,
        }
    }

    /// Has a turn, and returns for how long it has to pause after it.
    fn turn(&mut self) -> Duration {
        let granted = self.now;
        self.now += self.hold;
        self.turns.ended(&self.keys, granted, self.now, true, || TICK);
        let pause = self.turns.pause(&self.keys, self.now);
        let pause = pause.map_or(Duration::ZERO, |until| until - self.now);
        self.now += pause;
        pause
    }

    /// How long it has the key before it pauses.
    fn run(&mut self) -> Duration {
        let before = self.now;
        loop {
            let pause = self.turn();
            if !pause.is_zero() {
                return (self.now - before).saturating_sub(pause);
            }
        }
    }
}

#[test]
fn others_get_their_turn_after_a_run_however_long_each_turn_is() {
    for (hold, longest) in [(0, None), (1, Some(4)), (3, Some(6)), (50, Some(50))] {
        let mut greedy = Greedy::new(ms(hold));
        match longest {
            Some(longest) => assert_eq!(greedy.run(), ms(longest)),
            // A turn that takes no time is no run.
            None => assert!((0..100).all(|_| greedy.turn().is_zero())),
        }
    }
}

#[test]
fn runs_grow_only_if_nobody_uses_many_pauses_in_a_row() {
    let mut greedy = Greedy::new(ms(1));
    for _ in 0..=MANY_PAUSES {
        assert_eq!(greedy.run(), ms(4));
    }
    let grown: Vec<_> = (0..7).map(|_| greedy.run().as_millis()).collect();
    assert_eq!(grown, [8, 16, 32, 64, 128, 160, 160]);
    greedy.turns.taken(&greedy.keys);
    greedy.now += ms(10);
    for _ in 0..=MANY_PAUSES {
        assert_eq!(greedy.run(), ms(4));
    }
}

#[test]
fn a_client_without_rivals_pauses_for_at_most_a_twentieth_of_its_time() {
    for hold in [1, 5, 50] {
        let mut greedy = Greedy::new(ms(hold));
        let (started, mut paused) = (greedy.now, Duration::ZERO);
        while greedy.now - started < Duration::from_secs(10) {
            paused += greedy.turn();
        }
        assert!(
            paused * 20 <= greedy.now - started,
            "{paused:?} with turns of {hold} ms"
        );
    }
}

#[test]
fn what_had_no_turn_in_the_run_need_not_pause() {
    let mut turns = Turns::default();
    let (start, a, both) = (Instant::now(), Resources::from("a"), Resources::from(["a", "b"]));
    let until = turns.ended(&a, start, start + ms(10), true, || TICK).unwrap();
    assert_eq!(until, start + ms(14));
    assert_eq!(turns.pause(&a, start + ms(11)), Some(until));
    assert_eq!(turns.pause(&both, start + ms(11)), None);
    assert_eq!(turns.pause(&a, until), None);
    // It has its turn, after which a run of its own begins.
    assert_eq!(turns.ended(&both, start + ms(11), start + ms(12), true, || TICK), None);
    assert_eq!(turns.pause(&a, start + ms(12)), None);
}

#[test]
fn a_gap_in_which_others_could_have_had_their_turn_ends_a_run() {
    let (mut turns, keys, start) = (Turns::default(), Resources::from("r"), Instant::now());
    let far = || ms(20);
    for (granted, ended, pauses) in [(0, 30, false), (50, 75, false), (160, 230, false), (240, 241, true)] {
        let until = turns.ended(&keys, start + ms(granted), start + ms(ended), true, far);
        assert_eq!(until.is_some(), pauses, "{granted}");
    }
}

#[test]
fn keys_that_others_took_in_the_pause_are_theirs_first_for_a_while_unless_the_run_goes_on() {
    let mut turns = Turns::default();
    let (start, a, both) = (Instant::now(), Resources::from("a"), Resources::from(["a", "b"]));
    assert!(turns.is_empty() && !turns.gives_way(&a, start) && !turns.is_in_run(&a, start));
    let ended = start + ms(10);
    turns.ended(&a, start, ended, true, || TICK);
    assert!(!turns.is_empty() && !turns.is_in_run(&a, ended), "it pauses");
    assert!(!turns.gives_way(&a, ended + ms(9)), "nobody used the pause yet");

    assert!(turns.taken(&both), "one of them was left to it");
    assert!(turns.is_in_run(&a, ended + ms(3)) && !turns.is_in_run(&a, ended + ms(4)));
    assert!(!turns.gives_way(&a, ended + ms(3)) && turns.gives_way(&a, ended + ms(4)));
    assert!(turns.gives_way(&both, ended + ms(3)), "it had no turn in the run");
    assert!(turns.gives_way(&both, ended + KEPT - ms(1)) && !turns.gives_way(&both, ended + KEPT));
    assert!(!turns.gives_way(&Resources::from("b"), ended + ms(9)));
}

#[test]
fn a_pause_in_which_another_set_had_its_turn_lets_no_run_grow() {
    let mut turns = Turns::default();
    let (mut now, a, both) = (Instant::now(), Resources::from("a"), Resources::from(["a", "b"]));
    for _ in 0..3 * MANY_PAUSES {
        let until = turns.ended(&a, now, now + ms(10), true, || TICK);
        assert_eq!(until, Some(now + ms(14)), "a run lasts 4 ms");
        assert_eq!(turns.ended(&both, now + ms(11), now + ms(12), true, || TICK), None);
        now += ms(30);
    }
}

#[test]
fn another_that_took_its_turn_is_left_more_of_them() {
    let mut greedy = Greedy::new(ms(10));
    for _ in 0..100 {
        greedy.run();
    }
    assert_eq!(greedy.run(), ms(160));
    assert!(greedy.turns.taken(&greedy.keys), "it was left to it");
    assert!(!greedy.turns.taken(&greedy.keys));
    assert_eq!(greedy.run(), ms(10));
}

#[test]
fn runs_are_forgotten() {
    let (mut turns, start) = (Turns::default(), Instant::now());
    for number in 0..10_000_u64 {
        let now = start + ms(number);
        turns.ended(&Resources::from(number.to_string()), now, now, number % 2 == 0, || TICK);
    }
    assert!(turns.runs.len() <= 500, "{}", turns.runs.len());
}

#[test]
fn a_key_is_recognized_when_it_is_unlocked_again_also_among_some_others() {
    let seen = Seen::new();
    let others = |from: u32| {
        (from..from + 20)
            .filter(|number| seen.again(&number.to_be_bytes()))
            .count()
    };
    assert!(!seen.again(b"r"));
    assert_eq!(others(0), 0);
    assert!(seen.again(b"r"));
    assert_eq!(others(0), 20);
    // Where there are very many, they take each other's places.
    others(100);
    assert!((0..50_000).all(|number: u32| !seen.again(format!("once {number}").as_bytes())));
}

proptest! {
    #[test]
    fn nobody_has_a_key_for_longer_than_a_run_and_a_turn(holds in prop::collection::vec(0_u64..200, 1..200)) {
        let mut greedy = Greedy::new(ms(1));
        let mut since = greedy.now;
        for hold in holds {
            greedy.hold = ms(hold);
            if !greedy.turn().is_zero() {
                since = greedy.now;
            }
            prop_assert!(greedy.now - since <= ms(u64::from(LONGEST_RUN) + hold));
        }
    }
}
