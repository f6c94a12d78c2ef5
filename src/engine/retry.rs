//! How often a lock is tried again, and how long it waits in between.

use rand::Rng;
use std::time::Duration;

/// How often a lock is tried again, and the longest wait before each retry.
///
/// Each wait is drawn at random from [0, `longest_wait`], so that callers that were refused together do not come back
/// together. A lock takes `retries + 1` rounds at the most.
///
/// # Default
///
/// 3 retries, each after at most 100 ms, as in the node library `multiredlock`: 4 rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Retry {
    retries: u32,
    longest_wait: Duration,
}

impl Retry {
    /// Tries `retries` more times, each after a wait drawn from [0, `longest_wait`].
    pub const fn new(retries: u32, longest_wait: Duration) -> Self {
        Self { retries, longest_wait }
    }

    /// Never tries again: one round decides.
    pub const fn none() -> Self {
        Self::new(0, Duration::ZERO)
    }

    /// Returns how often it tries again.
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// Returns the longest wait before a retry.
    pub fn longest_wait(&self) -> Duration {
        self.longest_wait
    }

    /// The waits between the rounds, one a retry.
    pub(crate) fn waits<R: Rng>(self, mut rng: R) -> impl Iterator<Item = Duration> {
        (0..self.retries).map(move |_| rng.gen_range(Duration::ZERO..=self.longest_wait))
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::new(3, Duration::from_millis(100))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::SmallRng};

    #[test]
    fn no_retry_means_no_wait_at_all() {
        assert_eq!(Retry::none().waits(SmallRng::seed_from_u64(1)).count(), 0);
    }

    #[test]
    fn the_waits_are_spread_over_the_whole_range() {
        let longest = Duration::from_millis(100);
        let waits: Vec<_> = Retry::new(1_000, longest).waits(SmallRng::seed_from_u64(1)).collect();
        assert!(waits.iter().any(|wait| *wait < longest / 10));
        assert!(waits.iter().any(|wait| *wait > longest * 9 / 10));
    }

    proptest! {
        #[test]
        fn there_is_one_wait_a_retry_within_its_bound(
            retries in 0_u32..100, longest in any::<Duration>(), seed in any::<u64>(),
        ) {
            let retry = Retry::new(retries, longest);
            let waits: Vec<_> = retry.waits(SmallRng::seed_from_u64(seed)).collect();
            prop_assert_eq!(waits.len(), retries as usize);
            prop_assert!(waits.iter().all(|wait| *wait <= longest));
            let again: Vec<_> = retry.waits(SmallRng::seed_from_u64(seed)).collect();
            prop_assert_eq!(waits, again);
        }
    }
}
