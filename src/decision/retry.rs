//! How often a lock is tried again, and how long it waits in between.

use rand::Rng;
use std::time::Duration;

/// How many bounds there can be before they stay the same: not even the longest duration has so many bits in nanoseconds.
const DOUBLINGS: u32 = 128;

/// How often a lock is tried again, and how long it waits before each retry.
///
/// Each wait is drawn at random from 0 up to a bound, so that callers that were refused together do not come back
/// together. The bound is [the same](Self::new) for each retry, or [doubles](Self::exponential) from one to the next. A lock
/// takes `retries + 1` attempts at the most.
///
/// # Default
///
/// 3 retries, each after at most 100 ms, as in the node library `multiredlock`: 4 attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Retry {
    retries: u32,
    /// The bound of the first wait. Each later one is twice the one before, up to `longest`.
    first: Duration,
    /// Not less than `first`.
    longest: Duration,
}

impl Retry {
    /// Tries `retries` more times, each after a wait drawn from [0, `longest_wait`].
    pub const fn new(retries: u32, longest_wait: Duration) -> Self {
        Self::exponential(retries, longest_wait, longest_wait)
    }

    /// Tries `retries` more times, the first after a wait drawn from [0, `base`], each later one after a wait whose bound is
    /// twice the one before, but never more than `max`: the k-th wait, counted from 0, is drawn from
    /// [0, min(`max`, `base` · 2^k)].
    ///
    /// Long waits spare the servers while many callers want one resource; short ones at first cost little where few do. A
    /// `base` of zero never grows, so that no retry waits.
    ///
    /// ```
    /// # use multiredlock::Retry;
    /// # use std::time::Duration;
    /// let ms = Duration::from_millis;
    /// // After at most 50, 100, 200, 400, 500, and 500 ms.
    /// let retry = Retry::exponential(6, ms(50), ms(500));
    /// assert_eq!(retry.longest_wait(), ms(500));
    /// ```
    pub const fn exponential(retries: u32, base: Duration, max: Duration) -> Self {
        Self {
            retries,
            first: if base.as_nanos() < max.as_nanos() { base } else { max },
            longest: max,
        }
    }

    /// Never tries again: one attempt decides.
    pub const fn none() -> Self {
        Self::new(0, Duration::ZERO)
    }

    /// Returns how often it tries again.
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// Returns the longest wait that there can be before a retry: the bound of the last one.
    pub fn longest_wait(&self) -> Duration {
        // Of a policy that never tries again it is the bound of the retry that is not made.
        let retries = 0..self.retries.clamp(1, DOUBLINGS);
        let last = retries.zip(self.bounds()).last();
        last.map_or(self.longest, |(_, bound)| bound)
    }

    /// The waits between the attempts, one a retry.
    pub(crate) fn waits<R: Rng>(self, mut rng: R) -> impl Iterator<Item = Duration> {
        let bounds = (0..self.retries).zip(self.bounds());
        bounds.map(move |(_, bound)| rng.gen_range(Duration::ZERO..=bound))
    }

    /// The bound of each wait, without an end.
    fn bounds(self) -> impl Iterator<Item = Duration> {
        let double = move |bound: &Duration| Some(bound.saturating_mul(2).min(self.longest));
        std::iter::successors(Some(self.first), double)
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
    fn by_default_there_are_three_retries_each_after_at_most_100_ms() {
        let retry = Retry::default();
        assert_eq!((retry.retries(), retry.longest_wait()), (3, Duration::from_millis(100)));
        assert_eq!(retry, Retry::new(3, Duration::from_millis(100)));
    }

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

    #[test]
    fn each_bound_is_twice_the_one_before_up_to_the_longest() {
        let ms = Duration::from_millis;
        let bounds = |retry: Retry| -> Vec<_> { retry.bounds().take(5).collect() };
        let retry = Retry::exponential(5, ms(50), ms(300));
        assert_eq!(bounds(retry), [50, 100, 200, 300, 300].map(ms));
        assert_eq!(bounds(Retry::new(5, ms(50))), [ms(50); 5]);
        assert_eq!(bounds(Retry::exponential(5, ms(50), ms(20))), [ms(20); 5]);
        assert_eq!(bounds(Retry::exponential(5, ms(0), ms(20))), [ms(0); 5]);
    }

    #[test]
    fn the_waits_reach_for_their_bounds() {
        let retry = Retry::exponential(12, Duration::from_millis(1), Duration::from_secs(1));
        let reached = |k: usize| {
            let seeds = (0..200).map(SmallRng::seed_from_u64);
            seeds.map(|rng| retry.waits(rng).nth(k).unwrap()).max().unwrap()
        };
        for (k, bound) in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_000, 1_000]
            .into_iter()
            .enumerate()
        {
            assert!(
                reached(k) > Duration::from_millis(bound) * 9 / 10,
                "wait {k}: {:?}",
                reached(k)
            );
        }
    }

    #[test]
    fn the_longest_wait_is_the_bound_of_the_last_retry() {
        let ms = Duration::from_millis;
        let longest = |retries| Retry::exponential(retries, ms(50), ms(300)).longest_wait();
        assert_eq!(
            [0, 1, 2, 3, 4, u32::MAX].map(longest),
            [50, 50, 100, 200, 300, 300].map(ms)
        );
        assert_eq!(Retry::exponential(u32::MAX, ms(0), ms(300)).longest_wait(), ms(0));
        let nano = Retry::exponential(u32::MAX, Duration::from_nanos(1), Duration::MAX);
        assert_eq!(nano.longest_wait(), Duration::MAX);
        assert_eq!(Retry::new(0, ms(50)).longest_wait(), ms(50));
        assert_eq!(Retry::none().longest_wait(), ms(0));
    }

    proptest! {
        #[test]
        fn a_wait_that_grows_keeps_to_its_own_bound(
            retries in 0_u32..200, base in any::<Duration>(), max in any::<Duration>(), seed in any::<u64>(),
        ) {
            let retry = Retry::exponential(retries, base, max);
            let waits: Vec<_> = retry.waits(SmallRng::seed_from_u64(seed)).collect();
            prop_assert_eq!(waits.len(), retries as usize);
            for (k, wait) in waits.iter().enumerate() {
                let bound = u32::try_from(k).ok().and_then(|k| 2_u128.checked_pow(k));
                let bound = bound.and_then(|factor| base.as_nanos().checked_mul(factor));
                let bound = bound.unwrap_or(u128::MAX).min(max.as_nanos());
                prop_assert!(wait.as_nanos() <= bound && *wait <= retry.longest_wait(), "wait {} is {:?}", k, wait);
            }
        }

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
