//! Repeated measurements of one thing.

use std::fmt;

use crate::{contenders::Name, measure::Samples};

/// The median of the repeats, and the least and the greatest of them.
#[derive(Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// Nothing comes of no measurement.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() {
            0 => return None,
            odd if odd % 2 == 1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        };
        Some(Self {
            median,
            min: values[0],
            max: values[values.len() - 1],
        })
    }
}

impl fmt::Display for Spread {
    /// Writes `12.3 (11.9–13.0)`; a precision is one of its numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(0);
        let [median, min, max] = [self.median, self.min, self.max].map(|value| grouped(value, digits));
        write!(f, "{median} ({min}–{max})")
    }
}

impl<K: Copy + PartialEq, N> Samples<K, N> {
    pub fn spread(&self, contender: Name, key: K, value: impl Fn(&N) -> f64) -> Option<Spread> {
        Spread::of(self.of(contender, key).map(|sample| value(&sample.numbers)))
    }

    /// How one compares with another. Measurements of one repeat are compared with each other, since they were made next to
    /// each other.
    pub fn ratio(&self, one: (Name, K), other: (Name, K), value: impl Fn(&N) -> f64) -> Option<Spread> {
        Spread::of(self.of(one.0, one.1).filter_map(|sample| {
            let mut beside = self.of(other.0, other.1);
            let beside = beside.find(|beside| beside.repeat == sample.repeat)?;
            Some(value(&sample.numbers) / value(&beside.numbers))
        }))
    }
}

/// Writes 1234567.8 as `1,234,567.8`.
pub(super) fn grouped(value: f64, digits: usize) -> String {
    let mut text = format!("{value:.digits$}");
    let end = text.find('.').unwrap_or(text.len());
    let second_digit = 1 + usize::from(text.starts_with('-'));
    for place in (second_digit..end).rev().filter(|place| (end - place) % 3 == 0) {
        text.insert(place, ',');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let spread = Spread::of([4.0, 1.0, 2.0, 9.0]).expect("there are values");
        assert_eq!((spread.median, spread.min, spread.max), (3.0, 1.0, 9.0));
    }

    #[test]
    fn numbers_are_grouped_by_thousands_and_keep_their_sign() {
        assert_eq!(grouped(1_234_567.84, 1), "1,234,567.8");
        assert_eq!(grouped(-123_456.0, 0), "-123,456");
        assert_eq!(grouped(999.0, 2), "999.00");
    }
}
