//! Numbers as people read them.

use std::io::{self, IsTerminal};

/// The width of what is not read on a terminal, and of what is if that is wider.
const WIDTH: usize = 78;

/// How many columns there are to print results in.
pub(super) fn terminal_width() -> usize {
    let is_terminal = io::stdout().is_terminal();
    let columns = is_terminal
        .then(ratatui::crossterm::terminal::size)
        .and_then(Result::ok);
    columns.map_or(WIDTH, |(columns, _)| WIDTH.min(columns.into()))
}

/// Nanoseconds with three digits and a unit: `71.2 µs`.
pub(super) fn latency(nanos: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns")];
    // What would be rounded to 1000 of one unit is 1 of the next.
    let is_reached = |unit: u64| nanos.saturating_add(nanos / 2000) >= unit;
    let (unit, name) = UNITS
        .into_iter()
        .find(|(unit, _)| is_reached(*unit))
        .unwrap_or((1, "ns"));
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let number = nanos as f64 / unit as f64;
    let decimals = match number {
        _ if unit == 1 => 0,
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{number:.decimals$} {name}")
}

/// The same for a number that is round: `50 µs`, `1.25 ms`.
pub(super) fn round_latency(nanos: u64) -> String {
    let text = latency(nanos);
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

/// A number in groups of three digits: `61,725`.
pub(super) fn grouped(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        _ => format!("{},{:03}", grouped(number / 1_000), number % 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_has_three_digits() {
        for (nanos, text, rounded) in [
            (0, "0 ns", "0 ns"),
            (999, "999 ns", "999 ns"),
            (1_000, "1.00 µs", "1 µs"),
            (9_994, "9.99 µs", "9.99 µs"),
            (9_996, "10.0 µs", "10 µs"),
            (71_230, "71.2 µs", "71.2 µs"),
            (500_000, "500 µs", "500 µs"),
            (999_600, "1.00 ms", "1 ms"),
            (1_250_000, "1.25 ms", "1.25 ms"),
            (2_000_000_000, "2.00 s", "2 s"),
            (3_600_000_000_000, "3600 s", "3600 s"),
        ] {
            assert_eq!(
                (latency(nanos).as_str(), round_latency(nanos).as_str()),
                (text, rounded)
            );
        }
        assert!(latency(u64::MAX).ends_with(" s"));
    }

    #[test]
    fn digits_stand_in_groups() {
        assert_eq!(
            [0, 999, 1000, 61_725, 1_234_567].map(grouped),
            ["0", "999", "1,000", "61,725", "1,234,567"]
        );
    }
}
