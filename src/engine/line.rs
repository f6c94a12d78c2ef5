//! The line of one set of resources: when the waiter at its front asks the servers. Pure: the clock and the randomness are
//! passed in.

use super::ballot::{Vote, count, leading_holder};
use crate::quorum::majority;
use rand::Rng;
use std::time::Duration;
use tokio::time::Instant;

/// How long the waiters of one handle may hand a resource on to each other before others get their turn, at the least, in
/// units.
const SHORTEST_RUN: u32 = 4;

/// The same at the most, if nobody else ever takes a turn.
const LONGEST_RUN: u32 = 320;

/// How long others get for their turn, in units: a little more than a careful waiter lets pass.
const YIELD: u32 = 4;

/// How often the front asks anyway if the servers tell of changes. All lines of a handle ask at the same moments, so that
/// they share their commands.
pub(crate) const POLL_TRACKED: Duration = Duration::from_secs(5);

/// The same if they do not, on the average.
const POLL_UNTRACKED: Duration = Duration::from_millis(100);

/// The most a pause after a split vote grows to, in powers of two of its unit.
const LONGEST_SPLIT: u32 = 7;

/// The shortest pause: timers know no less.
const TICK: Duration = Duration::from_millis(1);

/// How many races a waiter that lost one stays careful for.
const CAREFUL: u32 = 8;

/// The longest that a careful waiter lets pass between two questions, in units. Each race that it loses makes that shorter
/// by one, so that everybody gets a turn.
const POLITE: u32 = 3;

#[derive(Debug)]
pub(crate) struct Line {
    prospects: Vec<Prospect>,
    plan: Plan,
    /// Who held the resource when it was last asked for, by a fingerprint of the value.
    holder: Option<u64>,
    run: Run,
    /// How many more races to be careful for.
    careful: u32,
    /// Races that were lost since the last turn.
    lost_races: u32,
    /// Split votes in a row.
    splits: u32,
    /// Whether the front was woken rather than asked of its own accord.
    was_woken: bool,
    /// What pauses are measured in: how long a round takes.
    unit: Duration,
}

/// Whether a server could grant the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prospect {
    Likely,
    /// Its key will have expired then.
    From(Instant),
    Unlikely,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// Ask now.
    Ask,
    /// Ask then, whatever happens until then.
    Pause(Instant),
    /// A round is under way.
    Asking,
    /// Ask when enough servers could grant it, but not before the first moment, and at the second in any case.
    Listen(Instant, Instant),
}

/// A row of turns that the waiters of this handle hand on to each other.
#[derive(Debug)]
struct Run {
    since: Option<Instant>,
    /// In units.
    limit: u32,
    /// Whether it was just ended for the sake of others.
    yielded: bool,
}

/// What the front does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Ask,
    /// Wait for a sign, or until then.
    Wait(Instant),
    /// Wait until then.
    Pause(Instant),
    /// Wait for the round that somebody else has begun for it.
    Stay,
}

/// What happens when the resource is unlocked here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handover {
    /// The front asks for it at once, behind the unlock.
    Next,
    /// The front pauses, so that others get their turn.
    Yield,
    /// The front is asking already.
    Asking,
}

/// What the servers were like in a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// How long a round takes.
    pub(crate) round_trip: Duration,
    /// Whether a majority tells of changes.
    pub(crate) is_tracked: bool,
}

/// When a round ended, and when all lines of the handle ask next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) now: Instant,
    pub(crate) common_poll: Instant,
}

impl Line {
    pub(crate) fn new(servers: usize) -> Self {
        Self {
            prospects: vec![Prospect::Likely; servers],
            plan: Plan::Ask,
            holder: None,
            run: Run {
                since: None,
                limit: SHORTEST_RUN,
                yielded: false,
            },
            careful: 0,
            lost_races: 0,
            splits: 0,
            was_woken: false,
            unit: TICK,
        }
    }

    /// Notes that a server could grant it now.
    pub(crate) fn changed(&mut self, server: usize) {
        self.prospects[server] = Prospect::Likely;
    }

    /// Says what the front does now.
    pub(crate) fn step(&mut self, now: Instant) -> Step {
        match self.plan {
            Plan::Pause(until) if now < until => return Step::Pause(until),
            Plan::Ask | Plan::Pause(_) => {}
            Plan::Asking => return Step::Stay,
            Plan::Listen(not_before, poll) => match self.free_at(now) {
                Some(free) if free <= now && now < not_before => return Step::Pause(not_before),
                Some(free) if free <= now => self.was_woken = true,
                free if now < poll => return Step::Wait(free.map_or(poll, |free| free.min(poll))),
                _ => {}
            },
        }
        self.plan = Plan::Asking;
        Step::Ask
    }

    /// Says who is next when the resource is unlocked here.
    pub(crate) fn unlocked(&mut self, now: Instant) -> Handover {
        if !matches!(self.plan, Plan::Listen(..)) {
            return Handover::Asking;
        }
        let since = *self.run.since.get_or_insert(now);
        if now - since >= self.unit * self.run.limit {
            self.plan = Plan::Pause(now + self.unit * YIELD);
            self.run.yielded = true;
            Handover::Yield
        } else {
            self.plan = Plan::Asking;
            Handover::Next
        }
    }

    /// Notes that the front was granted the resource until then.
    pub(crate) fn won(&mut self, expires: Instant, was_handed_over: bool, times: Times, weather: Weather) {
        if !was_handed_over {
            self.run.since = Some(times.now);
            self.run.limit = if std::mem::take(&mut self.run.yielded) {
                // Nobody took the turn that was left to them.
                LONGEST_RUN.min(2 * self.run.limit)
            } else {
                SHORTEST_RUN
            };
            if self.lost_races == 0 {
                self.careful = self.careful.saturating_sub(1);
            }
        }
        self.lost_races = 0;
        self.splits = 0;
        self.holder = None;
        self.was_woken = false;
        self.prospects.fill(Prospect::From(expires));
        self.plan = Plan::Listen(times.now, times.common_poll);
        self.unit = weather.round_trip.max(TICK);
    }

    /// Notes that the front was refused by these votes.
    pub(crate) fn refused(&mut self, votes: &[Vote], times: Times, weather: Weather, rng: &mut impl Rng) {
        let now = times.now;
        self.unit = weather.round_trip.max(TICK);
        let leading = leading_holder(votes);
        for (prospect, vote) in self.prospects.iter_mut().zip(votes) {
            *prospect = match vote {
                // It is undone.
                Vote::Granted => Prospect::Likely,
                // Servers that are away decided it, and nobody is known to hold it here.
                Vote::Pending if leading.is_none() => Prospect::Likely,
                Vote::Held(holder) => match holder.remaining {
                    // A little later, so that not all who know the moment ask at once.
                    Some(left) => Prospect::From(now + left + TICK + rng.gen_range(Duration::ZERO..=2 * TICK)),
                    None => Prospect::Unlikely,
                },
                _ => Prospect::Unlikely,
            };
        }
        let (holder, named) = match leading {
            Some((holder, named)) => (Some(holder.fingerprint()), named),
            None => (None, 0),
        };
        let is_another = holder.is_some() && holder != std::mem::replace(&mut self.holder, holder);
        let is_split = named > 0 && named < majority(votes.len()) && count(votes, |vote| *vote == Vote::Granted) > 0;
        let was_woken = std::mem::take(&mut self.was_woken);
        let had_yielded = std::mem::take(&mut self.run.yielded);
        self.run.limit = SHORTEST_RUN;

        if is_split && is_another {
            self.splits = LONGEST_SPLIT.min(self.splits + 1);
            self.plan = Plan::Pause(now + rng.gen_range(Duration::ZERO..=self.unit * (1 << self.splits)));
            return;
        }
        self.splits = 0;
        if was_woken && is_another && !had_yielded {
            self.careful = CAREFUL;
            self.lost_races += 1;
        }
        let is_clear = |vote: &Vote| {
            matches!(
                vote,
                Vote::Granted | Vote::Held(_) | Vote::Pending | Vote::Unreachable(_)
            )
        };
        let poll = if weather.is_tracked && votes.iter().all(is_clear) {
            times.common_poll
        } else {
            now + rng.gen_range(POLL_UNTRACKED / 2..=POLL_UNTRACKED * 3 / 2)
        };
        self.plan = Plan::Listen(now + self.polite_pause(rng), poll);
    }

    /// Notes that the front asks again soon: its round took too long, or servers had just begun to tell of changes.
    pub(crate) fn ask_again(&mut self, at: Instant) {
        self.plan = Plan::Pause(at);
    }

    /// Notes that the front is gone.
    pub(crate) fn left(&mut self) {
        if self.plan == Plan::Asking {
            self.plan = Plan::Ask;
        }
    }

    /// When enough servers could grant it, as far as is known.
    fn free_at(&self, now: Instant) -> Option<Instant> {
        let mut times: Vec<_> = self
            .prospects
            .iter()
            .filter_map(|prospect| match prospect {
                Prospect::Likely => Some(now),
                Prospect::From(then) => Some(*then),
                Prospect::Unlikely => None,
            })
            .collect();
        times.sort_unstable();
        times.get(majority(self.prospects.len()) - 1).copied()
    }

    /// How long the front waits before it races others again.
    fn polite_pause(&self, rng: &mut impl Rng) -> Duration {
        if self.careful == 0 {
            return Duration::ZERO;
        }
        let longest = self.unit * POLITE.saturating_sub(self.lost_races).max(1);
        rng.gen_range(longest / 2..=longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::Holder,
        server::{DownReason, Refusal},
    };
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::SmallRng};

    const UNIT: Duration = Duration::from_millis(10);
    const POLL: Duration = Duration::from_secs(4);
    const TRACKED: Weather = Weather {
        round_trip: UNIT,
        is_tracked: true,
    };
    const UNTRACKED: Weather = Weather {
        round_trip: UNIT,
        is_tracked: false,
    };

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn times(now: Instant) -> Times {
        Times {
            now,
            common_poll: now + POLL,
        }
    }

    fn held(value: &str, remaining: Option<u64>) -> Vote {
        Vote::Held(Holder::new(value.as_bytes(), remaining.map(ms)))
    }

    fn held_by(value: &str) -> Vec<Vote> {
        vec![held(value, None); 3]
    }

    /// A line of three servers whose front is asking.
    fn asking(now: Instant) -> Line {
        let mut line = Line::new(3);
        assert_eq!(line.step(now), Step::Ask);
        line
    }

    fn refuse(line: &mut Line, votes: &[Vote], now: Instant, weather: Weather, seed: u64) {
        line.refused(votes, times(now), weather, &mut SmallRng::seed_from_u64(seed));
    }

    /// Wins a round of its own, or one that was handed over, and leaves the next in line listening.
    fn win(line: &mut Line, was_handed_over: bool, now: Instant) {
        line.won(now + Duration::from_secs(60), was_handed_over, times(now), TRACKED);
    }

    /// Has the servers tell of a change, upon which the front asks and loses to this holder; when it may ask again.
    fn lose_race(line: &mut Line, holder: &str, now: Instant, seed: u64) -> Instant {
        line.changed(0);
        line.changed(1);
        let at = match line.step(now) {
            Step::Pause(until) => {
                assert_eq!(line.step(until), Step::Ask);
                until
            }
            step => {
                assert_eq!(step, Step::Ask);
                now
            }
        };
        refuse(line, &held_by(holder), at, TRACKED, seed);
        at
    }

    #[test]
    fn the_front_asks_once_and_then_waits_for_its_round() {
        let now = Instant::now();
        let mut line = asking(now);
        assert_eq!(line.step(now + POLL), Step::Stay);
    }

    #[test]
    fn the_next_in_line_asks_if_the_front_goes_while_it_asks() {
        let now = Instant::now();
        let mut line = asking(now);
        line.left();
        assert_eq!(line.step(now), Step::Ask);
        refuse(&mut line, &held_by("x"), now, TRACKED, 0);
        line.left();
        assert_eq!(line.step(now), Step::Wait(now + POLL), "it listens on for the next");
    }

    #[test]
    fn the_front_asks_when_a_majority_told_of_changes_or_at_the_poll() {
        let now = Instant::now();
        let mut line = asking(now);
        refuse(&mut line, &held_by("x"), now, TRACKED, 0);
        line.changed(0);
        line.changed(0);
        assert_eq!(line.step(now), Step::Wait(now + POLL));
        line.changed(2);
        assert_eq!(line.step(now), Step::Ask);
        refuse(&mut line, &held_by("x"), now, TRACKED, 0);
        assert_eq!(line.step(now + POLL - ms(1)), Step::Wait(now + POLL));
        assert_eq!(line.step(now + POLL), Step::Ask);
    }

    #[test]
    fn the_front_asks_a_little_after_a_majority_of_the_keys_has_expired() {
        for seed in 0..50 {
            let now = Instant::now();
            let mut line = asking(now);
            let votes = [held("x", Some(300)), held("x", Some(100)), held("x", Some(200))];
            refuse(&mut line, &votes, now, TRACKED, seed);
            let Step::Wait(then) = line.step(now) else {
                panic!("nothing has expired")
            };
            assert!((ms(201)..=ms(203)).contains(&(then - now)), "{:?}", then - now);
            assert_eq!(line.step(then - ms(1)), Step::Wait(then));
            assert_eq!(line.step(then), Step::Ask);
        }
    }

    #[test]
    fn the_front_asks_again_soon_where_it_would_not_be_told() {
        let (unreachable, refused) = (
            Vote::Unreachable(DownReason::ConnectionLost),
            Vote::Refused(Refusal::parse("OOM")),
        );
        for (vote, weather, is_soon) in [
            (held("x", None), UNTRACKED, true),
            (held("x", None), TRACKED, false),
            (unreachable, TRACKED, false),
            (Vote::Pending, TRACKED, false),
            (Vote::Silent, TRACKED, true),
            (Vote::Unknown, TRACKED, true),
            (refused, TRACKED, true),
        ] {
            for seed in 0..50 {
                let now = Instant::now();
                let mut line = asking(now);
                let votes = [held("x", None), vote.clone(), held("x", None)];
                refuse(&mut line, &votes, now, weather, seed);
                let Step::Wait(poll) = line.step(now) else {
                    panic!("{vote:?} is no grant")
                };
                if is_soon {
                    assert!((ms(50)..=ms(150)).contains(&(poll - now)), "{vote:?}");
                } else {
                    assert_eq!(poll, now + POLL, "{vote:?}");
                }
            }
        }
    }

    #[test]
    fn a_server_that_had_no_say_counts_as_free_only_if_no_holder_is_known() {
        let now = Instant::now();
        let away = Vote::Unreachable(DownReason::ConnectionLost);
        let mut line = asking(now);
        refuse(&mut line, &[away.clone(), away, Vote::Pending], now, TRACKED, 0);
        assert_eq!(line.step(now), Step::Wait(now + POLL));
        line.changed(0);
        assert_eq!(line.step(now), Step::Ask);

        refuse(
            &mut line,
            &[held("x", None), held("x", None), Vote::Pending],
            now,
            TRACKED,
            0,
        );
        line.changed(0);
        assert_eq!(line.step(now), Step::Wait(now + POLL));
    }

    #[test]
    fn a_grant_that_is_undone_counts_as_free() {
        let now = Instant::now();
        let mut line = asking(now);
        refuse(
            &mut line,
            &[Vote::Granted, held("x", None), held("x", None)],
            now,
            TRACKED,
            0,
        );
        // The first time it was a holder that it had not seen before.
        while let Step::Pause(until) = line.step(now) {
            assert_eq!(line.step(until), Step::Ask);
            refuse(
                &mut line,
                &[Vote::Granted, held("x", None), held("x", None)],
                now,
                TRACKED,
                0,
            );
        }
        line.changed(1);
        assert_eq!(line.step(now), Step::Ask);
    }

    #[test]
    fn a_run_is_handed_on_until_it_is_over_and_others_get_their_turn() {
        let now = Instant::now();
        let mut line = asking(now);
        win(&mut line, false, now);
        for units in 0..SHORTEST_RUN {
            let then = now + UNIT * units;
            assert_eq!(line.unlocked(then), Handover::Next);
            assert_eq!(line.step(then), Step::Stay, "whoever unlocked asks for it");
            win(&mut line, true, then);
        }
        let over = now + UNIT * SHORTEST_RUN;
        assert_eq!(line.unlocked(over), Handover::Yield);
        for server in 0..3 {
            line.changed(server);
        }
        let until = over + UNIT * YIELD;
        assert_eq!(line.step(over), Step::Pause(until), "whatever it is told");
        assert_eq!(line.unlocked(over), Handover::Asking);
        assert_eq!(line.step(until), Step::Ask);
        assert_eq!(line.unlocked(until), Handover::Asking);
    }

    /// How many units a run lasts that begins now, by the first unlock that yields.
    fn run_length(line: &mut Line, now: Instant) -> u32 {
        for units in 0.. {
            match line.unlocked(now + UNIT * units) {
                Handover::Next => win(line, true, now + UNIT * units),
                Handover::Yield => return units,
                Handover::Asking => panic!("the front listens"),
            }
        }
        unreachable!()
    }

    #[test]
    fn a_run_doubles_as_long_as_nobody_takes_a_turn_and_begins_anew_when_somebody_does() {
        let now = Instant::now();
        let mut line = asking(now);
        win(&mut line, false, now);
        let mut now = now;
        for expected in [4, 8, 16, 32, 64, 128, 256, 320, 320] {
            assert_eq!(run_length(&mut line, now), expected);
            now += Duration::from_secs(60);
            assert_eq!(line.step(now), Step::Ask);
            win(&mut line, false, now);
        }
        run_length(&mut line, now);
        now += Duration::from_secs(60);
        assert_eq!(line.step(now), Step::Ask);
        refuse(&mut line, &held_by("x"), now, TRACKED, 0);
        assert_eq!(line.step(now + POLL), Step::Ask);
        win(&mut line, false, now);
        assert_eq!(run_length(&mut line, now), 4);
    }

    #[test]
    fn whoever_lost_a_race_lets_some_time_pass_before_the_next_and_less_each_time() {
        for seed in 0..50 {
            let now = Instant::now();
            let mut line = asking(now);
            refuse(&mut line, &held_by("0"), now, TRACKED, seed);
            let mut asked = lose_race(&mut line, "1", now, seed);
            assert_eq!(asked, now, "it has lost none yet");
            for (race, (least, most)) in [(10, 20), (5, 10), (5, 10)].into_iter().enumerate() {
                let next = lose_race(&mut line, &(race + 2).to_string(), asked, seed);
                assert!(
                    (ms(least)..=ms(most)).contains(&(next - asked)),
                    "race {race}: {:?}",
                    next - asked
                );
                asked = next;
            }
        }
    }

    #[test]
    fn a_careful_waiter_is_careful_until_it_has_won_some_races_in_a_row() {
        let now = Instant::now();
        let mut line = asking(now);
        refuse(&mut line, &held_by("0"), now, TRACKED, 0);
        lose_race(&mut line, "1", now, 0);
        let mut races = 0;
        loop {
            // It waits for a holder, and is told that it may ask.
            assert_eq!(line.step(now + POLL), Step::Ask);
            refuse(&mut line, &held_by("x"), now, TRACKED, 0);
            for server in 0..3 {
                line.changed(server);
            }
            let Step::Pause(until) = line.step(now) else { break };
            assert_eq!(line.step(until), Step::Ask);
            win(&mut line, false, now);
            races += 1;
        }
        // The first only makes up for the one that was lost.
        assert_eq!(races, CAREFUL + 1);
    }

    #[test]
    fn who_yielded_its_turn_has_not_lost_a_race() {
        let now = Instant::now();
        let mut line = asking(now);
        win(&mut line, false, now);
        let now = now + UNIT * run_length(&mut line, now);
        assert_eq!(line.step(now + UNIT * YIELD), Step::Ask);
        refuse(&mut line, &held_by("x"), now, TRACKED, 0);
        assert_eq!(lose_race(&mut line, "x", now, 0), now);
        assert_eq!(
            lose_race(&mut line, "y", now, 0),
            now,
            "the holder it yielded to has it still"
        );
    }

    #[test]
    fn split_votes_are_followed_by_pauses_that_grow_to_a_limit() {
        let mut longest = [Duration::ZERO; 12];
        for seed in 0..200 {
            let now = Instant::now();
            let mut line = asking(now);
            for (round, longest) in longest.iter_mut().enumerate() {
                let (x, y) = (format!("x{round}"), format!("y{round}"));
                refuse(
                    &mut line,
                    &[Vote::Granted, held(&x, None), held(&y, None)],
                    now,
                    TRACKED,
                    seed,
                );
                for server in 0..3 {
                    line.changed(server);
                }
                let Plan::Pause(until) = line.plan else {
                    panic!("whatever it is told")
                };
                *longest = (until - now).max(*longest);
                assert_eq!(line.step(until), Step::Ask);
            }
        }
        for (round, longest) in longest.into_iter().enumerate() {
            let most = UNIT * (2 << round.min(6));
            assert!(
                longest <= most && longest > most / 2,
                "round {round}: {longest:?} of {most:?}"
            );
        }
    }

    #[test]
    fn a_vote_that_stays_split_is_waited_for() {
        let now = Instant::now();
        let mut line = asking(now);
        let votes = [Vote::Granted, held("x", None), held("y", None)];
        refuse(&mut line, &votes, now, TRACKED, 1);
        assert!(matches!(line.plan, Plan::Pause(_)));
        assert_eq!(line.step(now + POLL), Step::Ask);
        refuse(&mut line, &votes, now, TRACKED, 1);
        assert_eq!(line.step(now), Step::Wait(now + POLL), "the holders are no racers");
    }

    #[derive(Clone, Debug)]
    enum Call {
        Changed(usize),
        Step,
        Unlocked,
        Won(u64, bool),
        Refused(Vec<Vote>),
        AskAgain(u64),
        Left,
    }

    fn vote() -> impl Strategy<Value = Vote> {
        prop_oneof![
            Just(Vote::Granted),
            ("[xyz]", prop::option::of(0_u64..1 << 62)).prop_map(|(value, remaining)| held(&value, remaining)),
            ("[xyz]", 0_u64..50).prop_map(|(value, remaining)| held(&value, Some(remaining))),
            Just(Vote::Pending),
            Just(Vote::Silent),
            Just(Vote::Unknown),
            Just(Vote::Unreachable(DownReason::ConnectionLost)),
        ]
    }

    fn call(servers: usize) -> impl Strategy<Value = Call> {
        prop_oneof![
            (0..servers).prop_map(Call::Changed),
            Just(Call::Step),
            Just(Call::Unlocked),
            (0_u64..100_000, any::<bool>()).prop_map(|(ttl, was_handed_over)| Call::Won(ttl, was_handed_over)),
            prop::collection::vec(vote(), servers).prop_map(Call::Refused),
            (0_u64..50).prop_map(Call::AskAgain),
            Just(Call::Left),
        ]
    }

    type Calls = Vec<(Call, u64, u64, bool)>;

    fn calls() -> impl Strategy<Value = (usize, Calls)> {
        (1_usize..=5).prop_flat_map(|servers| {
            let one = (call(servers), 0_u64..3_000, 0_u64..100, any::<bool>());
            (Just(servers), prop::collection::vec(one, 0..60))
        })
    }

    proptest! {
        #[test]
        fn without_any_hint_the_front_asks_in_the_end((servers, calls) in calls(), seed in any::<u64>()) {
            let mut rng = SmallRng::seed_from_u64(seed);
            let (mut line, mut now) = (Line::new(servers), Instant::now());
            for (call, pause, round_trip, is_tracked) in calls {
                now += ms(pause);
                let weather = Weather { round_trip: ms(round_trip), is_tracked };
                match call {
                    Call::Changed(server) => line.changed(server),
                    Call::Step => drop(line.step(now)),
                    Call::Unlocked => drop(line.unlocked(now)),
                    Call::Won(ttl, handed_over) => line.won(now + ms(ttl), handed_over, times(now), weather),
                    Call::Refused(votes) => line.refused(&votes, times(now), weather, &mut rng),
                    Call::AskAgain(pause) => line.ask_again(now + ms(pause)),
                    Call::Left => line.left(),
                }
            }
            if line.plan == Plan::Asking {
                prop_assert_eq!(line.step(now), Step::Stay);
                line.left();
            }
            let last = now + ms(100) * (1 << LONGEST_SPLIT) + POLL;
            loop {
                let then = match line.step(now) {
                    Step::Ask => break,
                    Step::Wait(then) | Step::Pause(then) => then,
                    Step::Stay => panic!("nobody asks for it"),
                };
                prop_assert!(then > now && then <= last, "{:?} of {:?}", then - now, last - now);
                now = then;
            }
        }
    }
}
