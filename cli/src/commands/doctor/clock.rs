//! How a server's clock compares with ours: pure, from samples of it.

use std::time::Duration;

/// What a server's clock said at some moment between a question and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// By a clock of ours that nobody sets, since any fixed moment.
    pub(super) asked: Duration,
    pub(super) answered: Duration,
    /// What our wall clock showed at the question, since 1970.
    pub(super) wall: Duration,
    /// What the server's showed, since 1970.
    pub(super) told: Duration,
}

/// A measured number and how far off it may be, in seconds, or in seconds a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) value: f64,
    pub(super) error: f64,
}

impl Measured {
    /// Of a number that lies between these.
    fn between(least: f64, most: f64) -> Self {
        Self {
            value: f64::midpoint(least, most),
            error: (most - least) / 2.0,
        }
    }

    /// How far it is from zero at the least.
    pub(super) fn least(self) -> f64 {
        (self.value.abs() - self.error).max(0.0)
    }

    /// How far it is from zero at the most.
    pub(super) fn most(self) -> f64 {
        self.value.abs() + self.error
    }

    pub(super) fn times(self, factor: f64) -> Self {
        Self {
            value: self.value * factor,
            error: self.error * factor,
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            value: self.value - other.value,
            error: self.error + other.error,
        }
    }
}

impl Sample {
    pub(super) fn round_trip(&self) -> Duration {
        self.answered.saturating_sub(self.asked)
    }
}

/// By how much the server's clock is ahead of ours: the best of the samples.
pub(super) fn offset(samples: &[Sample]) -> Option<Measured> {
    let best = samples.iter().min_by_key(|sample| sample.round_trip())?;
    let most = seconds(best.wall, best.told);
    Some(Measured::between(most - best.round_trip().as_secs_f64(), most))
}

/// By how much the server's clock goes faster than ours: the narrowest answer that any two of the samples give.
pub(super) fn rate(samples: &[Sample]) -> Option<Measured> {
    let pairs = samples
        .iter()
        .enumerate()
        .flat_map(|(i, before)| samples[i + 1..].iter().map(move |after| (before, after)));
    let rates = pairs.filter_map(|(before, after)| {
        let shortest = after.asked.checked_sub(before.answered)?.as_secs_f64();
        let longest = after.answered.checked_sub(before.asked)?.as_secs_f64();
        let passed = seconds(before.told, after.told);
        // A clock that was set back went no way at all; its rate is then far below any drift.
        (shortest > 0.0).then(|| Measured::between(passed.max(0.0) / longest - 1.0, passed.max(0.0) / shortest - 1.0))
    });
    rates.min_by(|a, b| a.error.total_cmp(&b.error))
}

/// From one moment to the other, negative if that is earlier. Their own digits would not do for microseconds.
fn seconds(from: Duration, to: Duration) -> f64 {
    match to.checked_sub(from) {
        Some(passed) => passed.as_secs_f64(),
        None => -from.saturating_sub(to).as_secs_f64(),
    }
}

/// The median of the round trips, and the longest.
pub(super) fn round_trips(samples: &[Sample]) -> Option<(Duration, Duration)> {
    let mut all: Vec<Duration> = samples.iter().map(Sample::round_trip).collect();
    all.sort_unstable();
    Some((*all.get(all.len() / 2)?, *all.last()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_700_000_000_000_000;

    /// Samples of a clock that is ahead by so many microseconds and goes by so many millionths too fast. The way there takes
    /// the first of these, in microseconds, the way back the second.
    fn samples(ahead: i64, ppm: i64, ways: &[(u64, u64)]) -> Vec<Sample> {
        let of = Duration::from_micros;
        let sample = |(i, (there, back)): (usize, &(u64, u64))| {
            let asked = i as u64 * 100_000;
            let read = asked + there;
            let gained = i64::try_from(read).unwrap() * ppm / 1_000_000;
            Sample {
                asked: of(asked),
                answered: of(read + back),
                wall: of(START + asked),
                told: of((START + read).checked_add_signed(ahead + gained).unwrap()),
            }
        };
        ways.iter().enumerate().map(sample).collect()
    }

    fn holds(measured: Measured, truth: f64, more: f64) {
        // The clocks above show whole microseconds.
        let allowed = measured.error + more + 1e-5;
        assert!((measured.value - truth).abs() <= allowed, "{measured:?} {truth}");
    }

    #[test]
    fn the_truth_is_within_the_error_whichever_way_took_longer() {
        for (ahead, ppm) in [(0, 0), (5_000_000, 0), (-250_000, 300), (40, -20_000)] {
            let there = [10, 9_000, 50, 10, 700, 900, 1, 60, 3_000, 10, 9_000];
            let back = [9_000, 10, 50, 700, 10, 1, 900, 60, 10, 3_000, 10];
            let uneven = std::array::from_fn(|i| (there[i], back[i]));
            for ways in [[(100, 100); 11], [(10, 3_000); 11], [(3_000, 10); 11], uneven] {
                let samples = samples(ahead, ppm, &ways);
                #[expect(clippy::cast_precision_loss)]
                let (ahead, ppm) = (ahead as f64 / 1e6, ppm as f64 / 1e6);
                // Over the whole second the clock gains what its rate makes of it.
                holds(offset(&samples).unwrap(), ahead, ppm.abs());
                holds(rate(&samples).unwrap(), ppm, 0.0);
            }
        }
    }

    #[test]
    fn short_ways_are_believed_rather_than_long_ones() {
        let samples = samples(0, 0, &[(9_000, 10), (20, 20), (10, 9_000), (20, 20), (9_000, 10)]);
        assert!(offset(&samples).unwrap().error < 30e-6);
        assert!(rate(&samples).unwrap().error < 300e-6);
        let long = Duration::from_micros(9_010);
        assert_eq!(round_trips(&samples), Some((long, long)));
    }

    #[test]
    fn a_clock_that_is_set_back_goes_too_slow_and_none_gives_no_rate() {
        let mut samples = samples(0, 0, &[(10, 10); 3]);
        for sample in &mut samples[1..] {
            sample.told -= Duration::from_secs(60);
        }
        assert!(rate(&samples[..2]).unwrap().value < -0.9);
        assert_eq!(rate(&samples[..1]), None);
        assert_eq!((offset(&[]), round_trips(&[])), (None, None));
    }

    #[test]
    fn what_is_known_of_a_number_is_no_more_than_its_error_allows() {
        let of = |value, error| Measured { value, error };
        let measured = of(-3.0, 1.0);
        assert_eq!((measured.least(), measured.most()), (2.0, 4.0));
        assert!(of(0.5, 1.0).least() <= 0.0);
        let difference = measured.minus(of(1.0, 0.5)).times(2.0);
        assert_eq!((difference.value, difference.error), (-8.0, 3.0));
    }
}
