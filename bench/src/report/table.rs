//! A table in Markdown.

use std::fmt;

use super::spread::Spread;
use crate::measure::Samples;

/// A column of numbers: its head, and what stands in it.
pub enum Column<N> {
    /// The spread of the repeats, with so many digits.
    Spread(&'static str, usize, fn(&N) -> f64),
    /// The sum of the repeats.
    Sum(&'static str, fn(&N) -> u64),
}

/// The first column names something, the others hold numbers.
pub fn write_table(
    f: &mut fmt::Formatter<'_>,
    heads: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> fmt::Result {
    writeln!(f, "| {} |\n|:--|{}", heads.join(" | "), "--:|".repeat(heads.len() - 1))?;
    for row in rows {
        writeln!(f, "| {} |", row.join(" | "))?;
    }
    Ok(())
}

/// A measured number, or an empty cell.
pub fn cell(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or_else(String::new, |spread| format!("{spread:.digits$}"))
}

impl<K: Copy + PartialEq, N> Samples<K, N> {
    /// Writes a row for each contender and each key that has a label here. Writes nothing if nothing was measured.
    pub fn write_table(
        &self,
        f: &mut fmt::Formatter<'_>,
        title: &str,
        head: &str,
        label: impl Fn(K) -> Option<String>,
        columns: &[Column<N>],
    ) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n### {title}\n")?;
        let numbers = columns.iter().map(|column| match column {
            Column::Spread(head, ..) | Column::Sum(head, _) => *head,
        });
        let heads: Vec<_> = ["contender", head].into_iter().chain(numbers).collect();
        let labelled = self.keys().into_iter().filter_map(|key| Some((key, label(key)?)));
        let rows = labelled.flat_map(|(key, label)| {
            self.contenders().into_iter().map(move |contender| {
                let numbers = columns.iter().map(|column| match column {
                    Column::Spread(_, digits, value) => cell(self.spread(contender, key, value), *digits),
                    Column::Sum(_, value) => {
                        let values = self.of(contender, key).map(|sample| value(&sample.numbers));
                        values.sum::<u64>().to_string()
                    }
                });
                [contender.to_string(), label.clone()]
                    .into_iter()
                    .chain(numbers)
                    .collect()
            })
        });
        write_table(f, &heads, rows)
    }
}
