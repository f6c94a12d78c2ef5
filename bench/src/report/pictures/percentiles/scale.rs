//! An axis for latencies that differ by powers of ten.

use crate::report::spread::grouped;

/// An axis of powers of ten, as logarithms.
pub struct Scale {
    pub low: f64,
    pub high: f64,
}

impl Scale {
    /// An axis with this part of it free at both ends. Nothing comes of no values, and all of them are more than 0.
    pub fn of(values: impl Iterator<Item = f64>, air: f64) -> Option<Self> {
        let ends = values.map(f64::log10).fold(None, |ends: Option<(f64, f64)>, value| {
            let (low, high) = ends.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        });
        let (low, high) = ends?;
        // Points of one height get an axis, too.
        let (low, high) = if high - low < 1.0 {
            (low - 0.5, high + 0.5)
        } else {
            (low, high)
        };
        let air = (high - low) * air / (1.0 - 2.0 * air);
        Some(Self {
            low: low - air,
            high: high + air,
        })
    }

    /// The powers of ten, and what lies between them where they are few.
    pub fn ticks(&self) -> Vec<f64> {
        let steps: &[f64] = if self.high - self.low < 2.0 {
            &[1.0, 2.0, 5.0]
        } else {
            &[1.0]
        };
        let mut ticks = Vec::new();
        let mut power = self.low.floor();
        while power <= self.high {
            ticks.extend(steps.iter().map(|step| step * 10_f64.powf(power)));
            power += 1.0;
        }
        ticks.retain(|tick| (self.low..=self.high).contains(&tick.log10()));
        ticks
    }
}

/// A power of ten, or what lies between two.
pub fn tick(value: f64) -> String {
    match value {
        _ if !(1e-4..1e6).contains(&value) => format!("{value:.0e}"),
        _ if value < 1.0 => format!("{value}"),
        _ => grouped(value, 0),
    }
}

/// Two digits that count, and all of those before the point.
pub fn figure(value: f64) -> String {
    match value {
        _ if !(1e-4..1e6).contains(&value) => format!("{value:.0e}"),
        _ if value >= 9.95 => grouped(value, 0),
        _ if value >= 0.995 => grouped(value, 1),
        _ if value >= 0.0995 => grouped(value, 2),
        _ if value >= 0.00995 => grouped(value, 3),
        _ => grouped(value, 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_has_two_digits_that_count() {
        let values = [0.0005, 0.0234, 0.524, 0.996, 2.73, 12.2, 501.7, 5_000.0, 6e9];
        let figures = ["0.0005", "0.023", "0.52", "1.0", "2.7", "12", "502", "5,000", "6e9"];
        assert_eq!(values.map(figure), figures);
    }

    #[test]
    fn an_axis_has_ticks_whatever_is_on_it() {
        for values in [vec![3.0], vec![0.2, 0.9], vec![0.1, 500.0], vec![1e-9, 1e15]] {
            let scale = Scale::of(values.iter().copied(), 0.1).expect("there are values");
            assert!(scale.ticks().len() >= 2, "{values:?}");
        }
    }
}
