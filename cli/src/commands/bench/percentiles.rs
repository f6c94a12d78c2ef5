//! Latencies in nanoseconds, and what is said of them.

use hdrhistogram::Histogram;
use serde::Serialize;

pub(super) type Latencies = Histogram<u64>;

/// One hour, in nanoseconds: no cycle takes as long.
const LONGEST: u64 = 3_600_000_000_000;

/// No latencies yet. Each is kept with three digits.
pub(super) fn latencies() -> Latencies {
    Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are a hundred octaves apart at the most")
}

/// What a row of a table is called, and what it says.
type Row = (&'static str, fn(&Latencies) -> u64);

/// The rows of a table.
pub(super) const ROWS: [Row; 6] = [
    ("p50", |latencies| latencies.value_at_quantile(0.5)),
    ("p90", |latencies| latencies.value_at_quantile(0.9)),
    ("p99", |latencies| latencies.value_at_quantile(0.99)),
    ("p99.9", |latencies| latencies.value_at_quantile(0.999)),
    ("max", Histogram::max),
    ("mean", mean),
];

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is between the least and the most"
)]
fn mean(latencies: &Latencies) -> u64 {
    latencies.mean() as u64
}

/// Latencies as numbers of microseconds.
#[derive(Debug, Serialize)]
pub(super) struct Percentiles {
    count: u64,
    mean_us: f64,
    p50_us: f64,
    p90_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
}

impl Percentiles {
    pub(super) fn new(latencies: &Latencies) -> Self {
        let at = |quantile| micros(latencies.value_at_quantile(quantile));
        Self {
            count: latencies.len(),
            mean_us: micros(mean(latencies)),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: micros(latencies.max()),
        }
    }
}

/// Microseconds with one decimal: nobody's clock is better.
#[expect(
    clippy::cast_precision_loss,
    reason = "an hour has far fewer than 2^53 tenths of a microsecond"
)]
fn micros(nanos: u64) -> f64 {
    (nanos / 100) as f64 / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_latencies() {
        let mut all = latencies();
        for micros in 1..=1000 {
            all.saturating_record(micros * 1000);
        }
        let of = Percentiles::new(&all);
        assert_eq!(of.count, 1000);
        for (is, about) in [
            (of.mean_us, 500.5),
            (of.p50_us, 500.0),
            (of.p90_us, 900.0),
            (of.p99_us, 990.0),
            (of.p999_us, 999.0),
            (of.max_us, 1000.0),
        ] {
            assert!((is - about).abs() <= about / 500.0, "{is} is not about {about}");
        }
    }

    #[test]
    fn no_latencies_and_endless_ones_have_numbers_too() {
        assert_eq!(ROWS.map(|(_, of)| of(&latencies())), [0; 6]);
        let mut all = latencies();
        all.saturating_record(u64::MAX);
        assert!(ROWS.iter().all(|(_, of)| (LONGEST..2 * LONGEST).contains(&of(&all))));
    }
}
