//! A histogram on the terminal: a row for each range of latencies, the ranges as wide as they are long.

use super::{
    numbers::{grouped, round_latency},
    percentiles::Latencies,
};
/// No more rows than fit on a small terminal.
const MOST_ROWS: usize = 20;

/// Where the ranges begin, in hundredths of a power of ten: the finest first, each about as much longer as the one before.
const SERIES: [&[u64]; 5] = [
    &[
        100, 112, 125, 140, 160, 180, 200, 224, 250, 280, 315, 355, 400, 450, 500, 560, 630, 710, 800, 900,
    ],
    &[100, 125, 160, 200, 250, 315, 400, 500, 630, 800],
    &[100, 160, 250, 400, 630],
    &[100, 200, 500],
    &[100],
];

/// The columns beside the bars: the start of the range, the count, the share up to its end, and what is between them.
const BESIDE: usize = 9 + 2 + 1 + 11 + 10;

const SHORTEST_BAR: usize = 8;

/// Draws it in lines of at most `width` columns, unless that is less than the numbers and a short bar need. Nothing of nothing.
pub(super) fn draw(name: &str, latencies: &Latencies, width: usize) -> Vec<String> {
    let rows = rows(latencies);
    let longest = rows.iter().copied().map(Row::count).max().unwrap_or(0);
    let bar = width.saturating_sub(BESIDE).max(SHORTEST_BAR);
    let line =
        |from: &str, blocks: &str, count: &str, share: &str| format!("{from:>9}  {blocks:bar$} {count:>11}{share:>10}");
    let mut lines = Vec::new();
    if !rows.is_empty() {
        lines.push(line("from", name, "count", "up to it"));
    }
    let mut counted = 0;
    for row in rows {
        let Row::Range { from, count } = row else {
            lines.push(format!("{:>9}", "⋮"));
            continue;
        };
        counted += count;
        let (blocks, share) = (blocks(count, longest, bar), share(counted, latencies.len()));
        lines.push(line(&round_latency(from), &blocks, &grouped(count), &share));
    }
    lines
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    /// Latencies from here to where the next range begins.
    Range { from: u64, count: u64 },
    /// More than one range without any.
    Gap,
}

impl Row {
    fn count(self) -> u64 {
        match self {
            Self::Range { count, .. } => count,
            Self::Gap => 0,
        }
    }
}

/// In ranges as fine as there is room for.
fn rows(latencies: &Latencies) -> Vec<Row> {
    let mut drawn = SERIES.into_iter().map(|series| rows_of(series, latencies));
    let fits = drawn.find(|rows| rows.len() <= MOST_ROWS);
    fits.unwrap_or_else(|| rows_of(SERIES[SERIES.len() - 1], latencies))
}

fn rows_of(series: &[u64], latencies: &Latencies) -> Vec<Row> {
    let mut rows = Vec::new();
    let starts: Vec<u64> = starts(series).collect();
    let mut recorded = latencies.iter_recorded().peekable();
    for (index, from) in starts.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(u64::MAX);
        let mut count = 0;
        while let Some(value) = recorded.next_if(|value| value.value_iterated_to() < end) {
            count += value.count_at_value();
        }
        rows.push(Row::Range { from: *from, count });
    }
    let is_empty = |row: &Row| row.count() == 0;
    let Some(first) = rows.iter().position(|row| !is_empty(row)) else {
        return Vec::new();
    };
    let last = rows.iter().rposition(|row| !is_empty(row)).unwrap_or(first);
    let runs = rows[first..=last].chunk_by(|a, b| is_empty(a) && is_empty(b));
    runs.map(|run| if let [row] = run { *row } else { Row::Gap }).collect()
}

/// Where ranges begin, from nothing to the longest latency that is told apart.
fn starts(series: &[u64]) -> impl Iterator<Item = u64> {
    let powers = (0..=12).map(|exponent| 10_u64.pow(exponent));
    let starts = powers.flat_map(move |power| series.iter().map(move |hundredths| power * hundredths / 100));
    // Of the first nanoseconds not all begin one of their own.
    let mut last = None;
    std::iter::once(0)
        .chain(starts)
        .filter(move |start| last.replace(*start) != Some(*start))
}

/// A bar in eighths of a column, which is there if anything is.
fn blocks(count: u64, longest: u64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let most = width as u128 * 8;
    let eighths = u128::from(count) * most / u128::from(longest.max(1));
    let eighths = usize::try_from(eighths.max(u128::from(count > 0))).unwrap_or(width * 8);
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

/// Percents, of which there are a hundred only when nothing is left.
fn share(part: u64, whole: u64) -> String {
    let thousandths = u128::from(part) * 100_000 / u128::from(whole.max(1));
    format!("{}.{:03} %", thousandths / 1000, thousandths % 1000)
}

#[cfg(test)]
mod tests {
    use super::{super::percentiles::latencies, *};

    fn of(nanos: &[u64]) -> Latencies {
        let mut all = latencies();
        for value in nanos {
            all.saturating_record(*value);
        }
        all
    }

    #[test]
    fn nothing_has_no_rows() {
        assert_eq!(draw("lock", &latencies(), 78), [""; 0]);
    }

    #[test]
    fn a_single_latency_has_the_whole_bar() {
        assert_eq!(
            draw("lock", &of(&[71_200]), 50),
            [
                "     from  lock                    count  up to it",
                "    71 µs  █████████████████           1 100.000 %",
            ]
        );
    }

    #[test]
    fn every_latency_is_in_the_row_where_its_range_begins_and_all_are_counted() {
        let mut state = 1_u64;
        let mut all = latencies();
        for _ in 0..10_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            all.saturating_record(state >> (state % 60));
        }
        for series in SERIES {
            let rows = rows_of(series, &all);
            assert_eq!(rows.into_iter().map(Row::count).sum::<u64>(), all.len());
        }
        assert!(rows(&all).len() <= MOST_ROWS, "{:?}", rows(&all));
        let edges = rows_of(SERIES[3], &of(&[1_999, 2_000, 4_990, 5_000, 5_001]));
        let range = |from, count| Row::Range { from, count };
        assert_eq!(edges, [range(1_000, 1), range(2_000, 2), range(5_000, 2)]);
    }

    #[test]
    fn no_line_is_wider_than_it_may_be_and_the_numbers_stand_below_each_other() {
        let all = of(&[0, 1, 999, 1_000, 71_200, 71_300, 5_000_000, u64::MAX]);
        for width in [0, 50, 51, 60, 78, 200] {
            let lines = draw("unlock", &all, width);
            for line in lines.iter().filter(|line| !line.contains('⋮')) {
                assert_eq!(line.chars().count(), width.max(BESIDE + SHORTEST_BAR), "{lines:#?}");
            }
            assert!(lines.last().unwrap().ends_with(" 100.000 %"), "{lines:#?}");
        }
    }

    #[test]
    fn ranges_without_any_are_left_out_with_a_sign() {
        let lines = draw("lock", &of(&[100_000, 9_000_000]), 78);
        let start = |line: &String| line.trim_start().split("  ").next().unwrap().to_owned();
        let starts: Vec<_> = lines.iter().map(start).collect();
        assert_eq!(starts, ["from", "100 µs", "⋮", "9 ms"]);
    }

    #[test]
    fn one_among_very_many_is_seen() {
        assert_eq!(blocks(1, u64::MAX, 10), "▏");
        assert_eq!(blocks(0, u64::MAX, 10), "");
        assert_eq!(blocks(u64::MAX, u64::MAX, 10), "█".repeat(10));
        assert_eq!(share(99_999_999, 100_000_000), "99.999 %");
    }
}
