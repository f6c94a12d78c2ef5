//! The table of held locks.

use std::fmt;

use super::{Report, spread::Spread, table::Table};
use crate::{
    contenders::Name,
    measure::memory::{LOCKS, Sample},
};

pub(super) const MEBIBYTE: f64 = 1024.0 * 1024.0;

impl Report<'_> {
    pub(super) fn write_memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n### {LOCKS} locks held by one client\n")?;
        let mut table = Table::new(&["contender", "resident MiB", "allocated MiB", "allocated bytes/lock"]);
        for contender in self.plan.peers() {
            let cell = |factor: f64, digits: usize, value: fn(&Sample) -> f64| {
                let spread = self.memory_of(contender, value);
                spread.map_or_else(String::new, |spread| format!("{:.digits$}", spread.scaled(factor)))
            };
            table.row([
                contender.to_string(),
                cell(1.0 / MEBIBYTE, 1, |sample| sample.resident_bytes),
                cell(1.0 / MEBIBYTE, 1, |sample| sample.live_bytes),
                cell(1.0 / LOCKS as f64, 0, |sample| sample.live_bytes),
            ]);
        }
        write!(f, "{table}")
    }

    pub(super) fn memory_of(&self, contender: Name, value: fn(&Sample) -> f64) -> Option<Spread> {
        let samples = self.memory.iter();
        Spread::of(samples.filter(|sample| sample.contender == contender).map(value))
    }
}
