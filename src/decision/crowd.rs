//! What a client does while many others want its resource. Pure: the randomness is passed in.
//!
//! Every release notifies all waiting clients. If all of them asked at once, most attempts would fail, and undoing these would
//! notify all of them again. So in a crowd each client draws the moment of its next attempt from a window. Those that have waited
//! longest come first, as far as the values of the holders show it.

use super::value::Waited;
use crate::fault_injection::InjectedFault;
use rand::Rng;
use std::{ops::RangeInclusive, time::Duration};

/// After how many lost races in a row a resource counts as crowded.
const CROWDED: u32 = 10;

/// The first window and the longest one, in powers of two of the unit. With as many units as there are waiters, about one of them
/// asks in each unit.
pub(crate) const WINDOWS: RangeInclusive<u32> = 4..=10;

/// The longest window as a time.
const LONGEST: Duration = Duration::from_secs(5);

/// How long the last winner must have waited before a client that waited far less takes it for one of a crowd, in units.
const LONG_WAIT: u32 = 64;

/// How long that client then leaves the resource to others that may have waited for as long, at most, in units.
const DEFER: u32 = 8;

/// What one queue knows of the crowd around its resource.
#[derive(Debug)]
pub(crate) struct Crowd {
    /// Lost races and split votes since the last turn.
    lost: u32,
    /// The window, in powers of two of the unit; 0 if the resource is not crowded.
    window: u32,
    rank: Rank,
}

/// Whose wait was longer: that of the head, or that of the last winner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rank {
    /// The head's, by far: it was overtaken.
    Overdue,
    Equal,
    /// The winner's.
    Younger,
    /// The winner's, by far.
    Early,
}

impl Crowd {
    pub(crate) fn new() -> Self {
        Self {
            lost: 0,
            window: 0,
            rank: Rank::Equal,
        }
    }

    /// Whether the head probes the resource before it asks for it. In a crowd, another client has probably been faster.
    pub(crate) fn probes_first(&self) -> bool {
        self.window > 0 && self.rank != Rank::Overdue
    }

    /// How long the head waits after it was notified that the resource may be free; nothing if the crowd does not decide that.
    pub(crate) fn pause(&self, unit: Duration, rng: &mut impl Rng) -> Option<Duration> {
        match self.rank {
            Rank::Early => Some(rng.gen_range(unit * DEFER / 2..=unit * DEFER)),
            Rank::Overdue => Some(Duration::ZERO),
            Rank::Equal | Rank::Younger if self.window == 0 => None,
            Rank::Equal | Rank::Younger => Some(rng.gen_range(Duration::ZERO..=LONGEST.min(unit * (1 << self.window)))),
        }
    }

    /// Whether the last winner had waited for longer than the head.
    pub(crate) fn is_younger(&self) -> bool {
        self.rank == Rank::Younger
    }

    /// Compares how long the head has `waited` with the wait of a `winner`, if that one's value says it.
    pub(crate) fn compare(&mut self, waited: Waited, winner: Option<Waited>, unit: Duration) {
        self.rank = match winner {
            Some(winner) if waited.above(winner) >= 1 && !InjectedFault::OvertakenNotOverdue.is_on() => Rank::Overdue,
            Some(winner) if waited.above(winner) <= -2 && winner.at_least() >= unit * LONG_WAIT => Rank::Early,
            Some(winner) if waited.above(winner) < 0 => Rank::Younger,
            _ => Rank::Equal,
        };
    }

    /// Notes a lost race or a split vote. In a crowd, the window doubles.
    pub(crate) fn lost(&mut self) {
        self.lost += 1;
        // A client that is overdue asks at once, whatever the window is.
        if self.lost > CROWDED && self.rank != Rank::Overdue {
            self.window = (self.window + 1).clamp(*WINDOWS.start(), *WINDOWS.end());
        }
    }

    /// Notes a turn. If it was not handed over within the client, the window is halved.
    pub(crate) fn won(&mut self, was_handed_over: bool) {
        self.lost = 0;
        self.rank = Rank::Equal;
        if !was_handed_over {
            let half = self.window.saturating_sub(1);
            self.window = if WINDOWS.contains(&half) { half } else { 0 };
        }
    }

    /// Notes that another waiter is the head.
    pub(crate) fn has_new_head(&mut self) {
        self.rank = Rank::Equal;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::SmallRng};

    const UNIT: Duration = Duration::from_millis(1);

    fn waited(millis: u64) -> Waited {
        Waited::new(Duration::from_millis(millis))
    }

    /// A crowd with the first window.
    fn crowded() -> Crowd {
        let mut crowd = Crowd::new();
        for _ in 0..=CROWDED {
            assert_eq!((crowd.window, crowd.probes_first()), (0, false));
            crowd.lost();
        }
        crowd
    }

    fn pauses(crowd: &Crowd) -> (Duration, Duration) {
        pauses_of(crowd, UNIT)
    }

    /// The shortest and the longest of many pauses.
    fn pauses_of(crowd: &Crowd, unit: Duration) -> (Duration, Duration) {
        let mut rng = SmallRng::seed_from_u64(1);
        let pauses: Vec<_> = (0..200).filter_map(|_| crowd.pause(unit, &mut rng)).collect();
        (*pauses.iter().min().unwrap(), *pauses.iter().max().unwrap())
    }

    #[test]
    fn the_window_doubles_with_each_lost_race_and_halves_with_each_turn() {
        let mut crowd = crowded();
        for window in [4, 5, 6, 7, 8, 9, 10, 10] {
            assert_eq!(crowd.window, window);
            crowd.lost();
        }
        for window in [9, 8, 7, 6, 5, 4, 0, 0] {
            let before = crowd.window;
            crowd.won(true);
            assert_eq!(
                crowd.window, before,
                "a turn within the client says nothing of the crowd"
            );
            crowd.won(false);
            assert_eq!(crowd.window, window);
        }
    }

    #[test]
    fn a_turn_ends_a_row_of_lost_races() {
        let mut crowd = Crowd::new();
        for _ in 0..3 {
            (0..CROWDED).for_each(|_| crowd.lost());
            assert_eq!(crowd.window, 0);
            crowd.won(true);
        }
    }

    #[test]
    fn a_pause_is_drawn_from_the_whole_window() {
        assert_eq!(Crowd::new().pause(UNIT, &mut SmallRng::seed_from_u64(1)), None);
        let crowd = crowded();
        assert!(crowd.probes_first());
        let (shortest, longest) = pauses(&crowd);
        assert!(shortest < UNIT * 4 && longest > UNIT * 12 && longest <= UNIT * 16);
        let longest = pauses_of(&crowd, Duration::from_secs(3_600)).1;
        assert!(longest > LONGEST * 9 / 10 && longest <= LONGEST);
    }

    #[test]
    fn a_client_that_waited_for_longer_than_the_last_winner_asks_at_once() {
        for own in [16, 100, 60_000] {
            let mut few = Crowd::new();
            few.compare(waited(own), Some(waited(15)), UNIT);
            assert_eq!(pauses(&few), (Duration::ZERO, Duration::ZERO), "without a crowd");
            let mut crowd = crowded();
            crowd.compare(waited(own), Some(waited(15)), UNIT);
            assert_eq!(pauses(&crowd), (Duration::ZERO, Duration::ZERO), "{own} ms, and 15");
            assert!(!crowd.probes_first());
            crowd.lost();
            assert_eq!(crowd.window, 4, "it asks at once anyway");
            crowd.has_new_head();
            assert!(crowd.probes_first());
        }
        for (own, winner) in [
            (4, Some(63)),
            (4, Some(4)),
            (15, Some(8)),
            (16_000, Some(60_000)),
            (16_000, None),
        ] {
            let mut crowd = crowded();
            crowd.compare(waited(own), winner.map(waited), UNIT);
            assert!(
                crowd.probes_first() && pauses(&crowd).1 > UNIT * 12,
                "{own} and {winner:?} ms"
            );
        }
    }

    #[test]
    fn a_client_that_waited_far_less_than_the_last_winner_defers() {
        for mut crowd in [Crowd::new(), crowded()] {
            crowd.compare(waited(16), Some(waited(64)), UNIT);
            let (shortest, longest) = pauses(&crowd);
            assert!(shortest >= UNIT * DEFER / 2 && shortest < UNIT * DEFER * 5 / 8);
            assert!(longest <= UNIT * DEFER && longest > UNIT * DEFER * 7 / 8);
            crowd.won(false);
            assert_eq!(crowd.rank, Rank::Equal);
        }
    }
}
