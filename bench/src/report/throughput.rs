//! The tables and the picture of lock and unlock, and of a lone caller.

use std::fmt;

use super::{
    Report,
    pictures::{Bars, Group},
    plural,
    spread::Spread,
    table::Table,
};
use crate::{
    contenders::Name,
    measure::throughput::{Numbers, Sample},
};

impl Report<'_> {
    pub(super) fn write_throughput(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &servers in &self.plan.servers {
            writeln!(f, "\n### Lock and unlock, {}\n", plural(servers, "server"))?;
            let mut table = Table::new(&[
                "contender",
                "callers",
                "cycles/s",
                "lock p50 µs",
                "lock p99 µs",
                "cycle p50 µs",
                "cycle p99 µs",
                "CPU µs/cycle",
                "allocations/cycle",
                "failed",
            ]);
            for &callers in &self.plan.callers {
                for &contender in &self.plan.contenders {
                    self.throughput_row(&mut table, contender, servers, callers);
                }
            }
            write!(f, "{table}")?;
        }
        Ok(())
    }

    fn throughput_row(&self, table: &mut Table, contender: Name, servers: usize, callers: usize) {
        let samples = || self.throughput_of(contender, servers, callers);
        let cell = |digits: usize, value: fn(&Numbers) -> f64| {
            let spread = Spread::of(samples().map(|sample| value(&sample.numbers)));
            spread.map_or_else(String::new, |spread| format!("{spread:.digits$}"))
        };
        table.row([
            contender.to_string(),
            callers.to_string(),
            cell(0, |numbers| numbers.cycles_per_second),
            cell(0, |numbers| numbers.lock_p50),
            cell(0, |numbers| numbers.lock_p99),
            cell(0, |numbers| numbers.cycle_p50),
            cell(0, |numbers| numbers.cycle_p99),
            cell(1, |numbers| numbers.cpu_per_cycle),
            cell(1, |numbers| numbers.allocations_per_cycle),
            samples().map(|sample| sample.numbers.failed).sum::<u64>().to_string(),
        ]);
    }

    pub(super) fn throughput_picture(&self) -> Bars {
        let cycles = |contender, servers, callers| {
            let samples = self.throughput_of(contender, servers, callers);
            Spread::of(samples.map(|sample| sample.numbers.cycles_per_second))
        };
        let group = |&callers: &usize| Group {
            name: plural(callers, "caller"),
            rows: (self.plan.contenders.iter())
                .map(|&name| {
                    let servers = self.plan.servers.iter();
                    (name, servers.map(|&servers| cycles(name, servers, callers)).collect())
                })
                .collect(),
        };
        Bars {
            caption: self.caption(
                "Lock and unlock: cycles per second, by callers and servers".to_owned(),
                "Longer is better, and the thin line spans all repeats. Each axis has a scale of its own.",
                &self.plan.contenders,
                self.plan.effort(),
            ),
            unit: "cycles/s",
            columns: (self.plan.servers.iter())
                .map(|&servers| plural(servers, "server"))
                .collect(),
            groups: self.plan.callers.iter().map(group).collect(),
        }
    }

    fn throughput_of(&self, contender: Name, servers: usize, callers: usize) -> impl Iterator<Item = &Sample> {
        self.throughput
            .iter()
            .filter(move |sample| (sample.contender, sample.servers, sample.callers) == (contender, servers, callers))
    }

    pub(super) fn write_lone(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n### A lone caller, as a multiple of the floor\n")?;
        let mut table = Table::new(&["contender", "servers", "lock p50", "cycle p50"]);
        for &servers in &self.plan.servers {
            for &contender in &self.plan.contenders {
                let cell = |value: fn(&Numbers) -> f64| {
                    let spread = self.throughput_ratio((contender, Name::Floor), servers, 1, value);
                    spread.map_or_else(String::new, |spread| format!("{spread:.2}"))
                };
                table.row([
                    contender.to_string(),
                    servers.to_string(),
                    cell(|numbers| numbers.lock_p50),
                    cell(|numbers| numbers.cycle_p50),
                ]);
            }
        }
        write!(f, "{table}")
    }

    /// How one contender compares with another. Measurements of one repeat are compared with each other, since they
    /// were made next to each other.
    pub(super) fn throughput_ratio(
        &self,
        (one, other): (Name, Name),
        servers: usize,
        callers: usize,
        value: fn(&Numbers) -> f64,
    ) -> Option<Spread> {
        Spread::of(self.throughput_of(one, servers, callers).filter_map(|sample| {
            let beside = self
                .throughput_of(other, servers, callers)
                .find(|beside| beside.repeat == sample.repeat)?;
            Some(value(&sample.numbers) / value(&beside.numbers))
        }))
    }
}
