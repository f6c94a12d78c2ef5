//! What the clocks of a server's processes say, and whether they were set.

use crate::{
    clock::{Moment, micros},
    decision::Drift,
};
use std::time::Duration;

/// What the clocks said when they were asked. Keys expire by them.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    asked: Moment,
    told: Moment,
    /// Of each process, in microseconds since 1970.
    times: Vec<u64>,
}

/// A clock was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Jump {
    Ahead(Duration),
    Back(Duration),
}

impl Reading {
    /// What was told now to a question that was asked then; nothing if it was no time.
    pub(crate) fn new(asked: Moment, times: Vec<u64>) -> Option<Self> {
        let told = Moment::now();
        (!times.is_empty()).then_some(Self { asked, told, times })
    }

    pub(crate) fn age(&self) -> Duration {
        self.told.elapsed()
    }

    /// What the furthest of the clocks says by now, at most.
    pub(crate) fn latest(&self) -> u64 {
        let furthest = self.times.iter().max().copied().unwrap_or(0);
        furthest.saturating_add(micros(self.asked.elapsed()))
    }

    /// By how much a clock went further ahead than ours since the reading before, or less far, if that is more than the drift
    /// for this time.
    pub(crate) fn jump_since(&self, before: &Self, drift: Drift) -> Option<Jump> {
        if self.times.len() != before.times.len() {
            return None;
        }
        // Each was read at some moment between the question and the answer.
        let longest = before.asked.until(&self.told);
        let shortest = before.told.until(&self.asked);
        let drift = drift.of(longest);
        let (most, least) = (longest.saturating_add(drift), shortest.saturating_sub(drift));
        let jumps = self.times.iter().zip(&before.times).filter_map(|(now, then)| {
            let passed = Duration::from_micros(now.saturating_sub(*then));
            let set_back = Duration::from_micros(then.saturating_sub(*now));
            if passed > most {
                Some(Jump::Ahead(passed.saturating_sub(longest)))
            } else if passed < least || !set_back.is_zero() {
                Some(Jump::Back(shortest.saturating_sub(passed) + set_back))
            } else {
                None
            }
        });
        jumps.max_by_key(|jump| match jump {
            Jump::Ahead(by) | Jump::Back(by) => *by,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const START: u64 = 1_700_000_000_000_000;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Asks servers whose clocks were that far off the first one's start, and which take `way` to answer.
    async fn read(times: &[u64], way: Duration) -> Reading {
        let asked = Moment::now();
        advance(way).await;
        Reading::new(asked, times.to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_goes_as_ours_does_not_jump() {
        let before = read(&[START, START + 5], ms(10)).await;
        advance(secs(1)).await;
        // It was told at any moment on the way, and then at any other.
        for passed in [990, 1_000, 1_020] {
            let times = [START + passed * 1_000, START + 5 + passed * 1_000];
            let now = read(&times, Duration::ZERO).await;
            assert_eq!(now.jump_since(&before, Drift::factor(0.01).unwrap()), None, "{passed}");
        }
        assert_eq!(before.latest(), START + 5 + 1_010_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_jumps_by_how_much_more_or_less_it_went() {
        let before = read(&[START, START], Duration::ZERO).await;
        advance(secs(1)).await;
        let drift = Drift::fixed(ms(100));
        let times_and_jump = [
            (1_101, Some(Jump::Ahead(ms(101)))),
            (1_100, None),
            (900, None),
            (899, Some(Jump::Back(ms(101)))),
            (3_601_000, Some(Jump::Ahead(secs(3_600)))),
        ];
        for (passed, jump) in times_and_jump {
            let now = read(&[START + 1_000_000, START + passed * 1_000], Duration::ZERO).await;
            assert_eq!(now.jump_since(&before, drift), jump, "{passed}");
        }
        let now = read(&[START + 1_000_000, START - 5_000_000], Duration::ZERO).await;
        assert_eq!(now.jump_since(&before, drift), Some(Jump::Back(secs(6))));
        let of_another_cluster = read(&[START + 1_000_000], Duration::ZERO).await;
        assert_eq!(of_another_cluster.jump_since(&before, drift), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_went_on_while_our_machine_slept_did_not_jump() {
        let before = read(&[START], Duration::ZERO).await;
        crate::clock::tests::sleep_for(secs(60));
        let now = read(&[START + 60_000_000], Duration::ZERO).await;
        assert_eq!(now.jump_since(&before, Drift::fixed(ms(100))), None);
    }
}
