//! The line of one set of resources: when the waiter at its front asks the servers. Pure: the clock and the randomness are
//! passed in.

use super::ballot::{Vote, count, leading_holder};
use crate::quorum::majority;
use rand::Rng;
use std::time::Duration;
use tokio::time::Instant;

/// How long the waiters of one handle may hand a resource on to each other before others get their turn, at the least, in
/// units.
pub(crate) const SHORTEST_RUN: u32 = 4;

/// The same at the most, if nobody else ever takes a turn.
const LONGEST_RUN: u32 = 64;

/// How many turns in a row that were left to others, and not taken, say that there are none. On a busy machine who waits may be
/// too late for a few.
const MANY_YIELDS: u32 = 16;

/// How long others get for their turn, in units: a little more than a careful waiter lets pass.
pub(crate) const YIELD: u32 = 4;

/// How often the front asks anyway if the servers tell of changes. All lines of a handle ask at the same moments, so that
/// they share their commands.
pub(crate) const POLL_TRACKED: Duration = Duration::from_secs(5);

/// The same if they do not, on the average.
pub(crate) const POLL_UNTRACKED: Duration = Duration::from_millis(100);

/// The most a pause after a split vote grows to, in powers of two of its unit.
pub(crate) const LONGEST_SPLIT: u32 = 7;

/// The shortest pause: timers know no less.
const TICK: Duration = Duration::from_millis(1);

/// How many races a waiter that lost one stays careful for.
const CAREFUL: u32 = 8;

/// The longest that a careful waiter lets pass between two questions, in units. Each race that it loses makes that shorter
/// by one, so that everybody gets a turn.
pub(crate) const POLITE: u32 = 3;

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
    /// How many of the last turns that were left to others nobody took, up to [`MANY_YIELDS`].
    untaken: u32,
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
    /// Whether it is told when a majority may have become free.
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
                untaken: 0,
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
            if !std::mem::take(&mut self.run.yielded) {
                self.run.limit = SHORTEST_RUN;
                self.run.untaken = 0;
            } else if self.run.untaken < MANY_YIELDS {
                self.run.untaken += 1;
            } else {
                self.run.limit = LONGEST_RUN.min(2 * self.run.limit);
            }
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
        let known = count(votes, |vote| matches!(vote, Vote::Granted | Vote::Held(_)));
        let is_known = known >= majority(votes.len());
        for (prospect, vote) in self.prospects.iter_mut().zip(votes) {
            *prospect = match vote {
                // It is undone.
                Vote::Granted => Prospect::Likely,
                Vote::Held(holder) => match holder.remaining {
                    // A little later, so that not all who know the moment ask at once.
                    Some(left) => Prospect::From(now + left + TICK + rng.gen_range(Duration::ZERO..=2 * TICK)),
                    None => Prospect::Unlikely,
                },
                // The round was lost without it, but none can be won without it.
                Vote::Pending if !is_known => Prospect::Likely,
                _ => Prospect::Unlikely,
            };
        }
        let (holder, named) = match leading_holder(votes) {
            Some((holder, named)) => (Some(holder.fingerprint()), named),
            None => (None, 0),
        };
        let is_another = holder.is_some() && holder != std::mem::replace(&mut self.holder, holder);
        let is_split = named > 0 && named < majority(votes.len()) && count(votes, |vote| *vote == Vote::Granted) > 0;
        let was_woken = std::mem::take(&mut self.was_woken);
        let had_yielded = std::mem::take(&mut self.run.yielded);
        self.run.limit = SHORTEST_RUN;
        self.run.untaken = 0;

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
    use crate::engine::Holder;
    use crate::server::DownReason;
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::SmallRng};

    const LATER: Duration = Duration::from_secs(5);
    const TRACKED: Weather = Weather {
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
            common_poll: now + LATER,
        }
    }

    fn held(value: &str, left: Option<u64>) -> Vote {
        Vote::Held(Holder::new(value.as_bytes(), left.map(ms)))
    }

    /// A line whose front asked, and was told that somebody holds the resource for a minute.
    fn refused(now: Instant) -> Line {
        let mut line = Line::new(3);
        assert_eq!(line.step(now), Step::Ask);
        let vote = held("other", Some(60_000));
        line.refused(&[vote.clone(), vote, Vote::Pending], times(now), TRACKED, &mut rng());
        line
    }

    /// A line whose front has the resource, by asking for it.
    fn won(now: Instant) -> Line {
        let mut line = Line::new(3);
        line.step(now);
        line.won(now + LATER, false, times(now), TRACKED);
        line
    }

    #[test]
    fn the_first_asks_at_once_and_one_at_a_time() {
        let now = Instant::now();
        let mut line = Line::new(3);
        assert_eq!(line.step(now), Step::Ask);
        assert_eq!(line.step(now), Step::Stay);
        line.left();
        assert_eq!(line.step(now), Step::Ask);
    }

    #[test]
    fn it_asks_again_when_so_many_servers_changed_that_a_majority_may_be_free() {
        let now = Instant::now();
        let mut line = refused(now);
        assert_eq!(line.step(now), Step::Wait(now + LATER));
        line.changed(2);
        assert_eq!(line.step(now), Step::Wait(now + LATER));
        line.changed(0);
        assert_eq!(line.step(now), Step::Ask);
    }

    #[test]
    fn it_asks_again_when_the_ttl_of_the_holder_runs_out_on_a_majority() {
        let now = Instant::now();
        let mut line = Line::new(3);
        line.step(now);
        let votes = [held("a", Some(100)), held("a", Some(300)), held("a", Some(200))];
        line.refused(&votes, times(now), TRACKED, &mut rng());
        let Step::Wait(until) = line.step(now) else {
            panic!("it waits");
        };
        assert!(until > now + ms(200) && until <= now + ms(203), "{:?}", until - now);
        assert_eq!(line.step(until), Step::Ask);
    }

    #[test]
    fn it_asks_more_often_where_nobody_tells_of_changes() {
        let now = Instant::now();
        let mut line = Line::new(3);
        line.step(now);
        let votes = [held("a", None), held("a", None), Vote::Pending];
        let weather = Weather {
            is_tracked: false,
            ..TRACKED
        };
        line.refused(&votes, times(now), weather, &mut rng());
        let Step::Wait(until) = line.step(now) else {
            panic!("it waits");
        };
        assert!(until >= now + POLL_UNTRACKED / 2 && until <= now + POLL_UNTRACKED * 3 / 2);
    }

    #[test]
    fn it_waits_for_servers_that_are_down_and_asks_when_one_completes_a_majority() {
        let now = Instant::now();
        let mut line = Line::new(3);
        line.step(now);
        let down = Vote::Unreachable(DownReason::ConnectionLost);
        line.refused(&[down.clone(), down, Vote::Pending], times(now), TRACKED, &mut rng());
        assert_eq!(line.step(now), Step::Wait(now + LATER));
        line.changed(0);
        assert_eq!(line.step(now), Step::Ask);
    }

    #[test]
    fn turns_are_handed_on_for_the_length_of_a_run_and_then_left_to_others() {
        let now = Instant::now();
        let mut line = won(now);
        let end = now + TICK * SHORTEST_RUN;
        assert_eq!(line.unlocked(end.checked_sub(TICK).unwrap()), Handover::Next);
        assert_eq!(line.unlocked(end), Handover::Asking, "the next one has it not yet");
        line.won(end + LATER, true, times(end), TRACKED);
        assert_eq!(line.unlocked(end), Handover::Yield);
        // Whatever it is told meanwhile.
        line.changed(0);
        line.changed(1);
        assert_eq!(line.step(end), Step::Pause(end + TICK * YIELD));
        assert_eq!(line.step(end + TICK * YIELD), Step::Ask);
    }

    #[test]
    fn a_run_doubles_while_nobody_else_takes_a_turn_and_is_short_again_when_somebody_does() {
        let mut now = Instant::now();
        let mut line = won(now);
        let run = |line: &mut Line, now: &mut Instant| {
            let start = *now;
            while line.unlocked(*now) == Handover::Next {
                line.won(*now + LATER, true, times(*now), TRACKED);
                *now += TICK;
            }
            let length = *now - start;
            *now += TICK * YIELD;
            assert_eq!(line.step(*now), Step::Ask);
            length
        };
        let mut lengths = Vec::new();
        for _ in 0..MANY_YIELDS {
            assert_eq!(run(&mut line, &mut now), TICK * SHORTEST_RUN);
            line.won(now + LATER, false, times(now), TRACKED);
        }
        for _ in 0..6 {
            lengths.push(run(&mut line, &mut now).as_millis());
            line.won(now + LATER, false, times(now), TRACKED);
        }
        assert_eq!(lengths, [4, 8, 16, 32, 64, 64]);
        run(&mut line, &mut now);
        let vote = held("other", Some(60_000));
        line.refused(&[vote.clone(), vote, Vote::Pending], times(now), TRACKED, &mut rng());
        line.changed(0);
        line.changed(1);
        assert_eq!(line.step(now), Step::Ask, "to yield is not to lose a race");
        line.won(now + LATER, false, times(now), TRACKED);
        assert_eq!(run(&mut line, &mut now), TICK * SHORTEST_RUN);
    }

    #[test]
    fn who_lost_a_race_lets_some_time_pass_before_the_next_and_less_with_each_that_it_loses() {
        let now = Instant::now();
        let mut line = refused(now);
        let mut longest = Vec::new();
        for race in 0..4 {
            line.changed(0);
            line.changed(1);
            let mut then = now;
            while let Step::Pause(until) = line.step(then) {
                then = until;
            }
            longest.push(then - now);
            let vote = held(&format!("winner {race}"), Some(60_000));
            line.refused(&[vote.clone(), vote, Vote::Pending], times(now), TRACKED, &mut rng());
        }
        assert_eq!(longest[0], Duration::ZERO, "it had lost none");
        assert!(longest[1] >= TICK && longest[1] <= 2 * TICK, "{longest:?}");
        assert!(longest[3] >= TICK / 2 && longest[3] <= TICK, "{longest:?}");
    }

    #[test]
    fn a_holder_that_renews_is_no_race_lost() {
        let now = Instant::now();
        let mut line = refused(now);
        for _ in 0..3 {
            line.changed(0);
            line.changed(1);
            assert_eq!(line.step(now), Step::Ask);
            let vote = held("other", Some(60_000));
            line.refused(&[vote.clone(), vote, Vote::Pending], times(now), TRACKED, &mut rng());
        }
    }

    #[test]
    fn a_split_vote_is_followed_by_a_pause_unless_the_same_holder_stays() {
        let now = Instant::now();
        let mut line = Line::new(3);
        for split in 1..=10_u32 {
            line.step(now + LATER);
            let votes = [
                Vote::Granted,
                held(&format!("a {split}"), Some(60_000)),
                held(&format!("b {split}"), Some(60_000)),
            ];
            line.refused(&votes, times(now), TRACKED, &mut rng());
            match line.step(now) {
                Step::Pause(until) => {
                    assert!(until <= now + TICK * (1 << split.min(LONGEST_SPLIT)));
                    // It does not listen while it pauses.
                    line.changed(1);
                    assert_eq!(line.step(now), Step::Pause(until));
                }
                other => panic!("{other:?}"),
            }
        }
        // One server down, one granted, and one that somebody holds for good.
        line.step(now + LATER);
        let lasting = [
            Vote::Granted,
            held("c", None),
            Vote::Unreachable(DownReason::ConnectionLost),
        ];
        line.refused(&lasting, times(now), TRACKED, &mut rng());
        line.step(now + LATER);
        line.refused(&lasting, times(now), TRACKED, &mut rng());
        assert_eq!(line.step(now), Step::Wait(now + LATER));
    }

    fn any_vote() -> impl Strategy<Value = Vote> {
        prop_oneof![
            Just(Vote::Granted),
            Just(Vote::Pending),
            Just(Vote::Silent),
            Just(Vote::Unknown),
            Just(Vote::Unreachable(DownReason::ConnectionLost)),
            ("[ab]", prop::option::of(0_u64..100_000)).prop_map(|(value, left)| held(&value, left)),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happened_the_front_asks_again_in_bounded_time(
            events in prop::collection::vec((0_u8..6, prop::collection::vec(any_vote(), 3), 0_u64..1_000), 0..40),
            seed: u64,
        ) {
            let (mut rng, mut now) = (SmallRng::seed_from_u64(seed), Instant::now());
            let mut line = Line::new(3);
            for (event, votes, passed) in events {
                now += ms(passed);
                match event {
                    0 => line.changed([0, 1, 2][votes.iter().filter(|vote| **vote == Vote::Granted).count() % 3]),
                    1 => { line.step(now); }
                    2 => { line.unlocked(now); }
                    3 => line.won(now + LATER, passed % 2 == 0, times(now), TRACKED),
                    4 => line.refused(&votes, times(now), TRACKED, &mut rng),
                    _ => line.left(),
                }
            }
            line.left();
            let end = now + 2 * LATER;
            loop {
                match line.step(now) {
                    Step::Ask => break,
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
}
