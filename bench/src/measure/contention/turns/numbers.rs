//! What the turns of all processes come to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::waiter::Seen;
use crate::clock;

/// That a waiter got the resource. Small, since there can be a great many.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Turn {
    /// By the clock that all processes share, in nanoseconds.
    at: u64,
    waiter: u32,
}

impl Turn {
    pub fn new(at: Duration, waiter: u32) -> Self {
        Self {
            at: clock::nanos(at),
            waiter,
        }
    }
}

#[derive(Default)]
pub struct Numbers {
    pub turns_per_second: f64,
    /// Turns of another waiter than the one before.
    pub hand_overs_per_second: f64,
    /// In milliseconds.
    pub longest_wait: f64,
    /// Of all turns, in per cent, those of the process that had the fewest.
    pub least_share: f64,
    /// The same of the process that had the most.
    pub greatest_share: f64,
    pub failed: u64,
}

impl Numbers {
    /// Takes what each process has seen within a window.
    pub fn of(processes: Vec<Seen>, window: Duration) -> Self {
        let counts: Vec<_> = processes.iter().map(|seen| seen.turns.len()).collect();
        let longest_wait = processes.iter().map(|seen| seen.longest_wait).max();
        let failed = processes.iter().map(|seen| seen.failed).sum();
        let mut turns: Vec<_> = processes.into_iter().flat_map(|seen| seen.turns).collect();
        // A turn begins after the one before has begun, on the same clock, so this is their order.
        turns.sort_unstable_by_key(|turn| turn.at);
        let hand_overs = turns.windows(2).filter(|pair| pair[0].waiter != pair[1].waiter).count();
        let per_second = |count: usize| count as f64 / window.as_secs_f64();
        let share = |count: Option<usize>| 100.0 * count.unwrap_or_default() as f64 / turns.len().max(1) as f64;
        Self {
            turns_per_second: per_second(turns.len()),
            hand_overs_per_second: per_second(hand_overs),
            longest_wait: longest_wait.unwrap_or_default().as_secs_f64() * 1e3,
            least_share: share(counts.iter().copied().min()),
            greatest_share: share(counts.iter().copied().max()),
            failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(longest_wait: u64, turns: &[(u64, u32)]) -> Seen {
        let turn = |&(at, waiter)| Turn::new(Duration::from_nanos(at), waiter);
        Seen {
            turns: turns.iter().map(turn).collect(),
            longest_wait: Duration::from_millis(longest_wait),
            failed: 0,
        }
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "all of them are whole numbers")]
    fn a_turn_is_a_hand_over_if_the_one_before_was_another_waiters_in_any_process() {
        let one = seen(20, &[(1, 0), (2, 0), (5, 1)]);
        let other = seen(
            30,
            &[
                (3, 2),
                (4, 2),
                (6, 3),
                (7, 2),
                (9, 2),
                (8, 3),
                (10, 2),
                (11, 2),
                (12, 2),
            ],
        );
        let numbers = Numbers::of(vec![one, other], Duration::from_secs(2));
        assert_eq!(numbers.turns_per_second, 6.0);
        // 0 0 2 2 1 3 2 3 2 2 2 2
        assert_eq!(numbers.hand_overs_per_second, 3.0);
        assert_eq!(numbers.longest_wait, 30.0);
        assert_eq!((numbers.least_share, numbers.greatest_share), (25.0, 75.0));
    }
}
