//! The tables and the picture of contention.

mod targets;

use std::fmt;

use super::{
    Report,
    memory::MEBIBYTE,
    pictures::{Bars, Group},
    spread::Spread,
    table::Table,
};
use crate::{
    args::Effort,
    contenders::Name,
    measure::contention::{SERVERS, hand_over, idle, memory, turns},
};

impl Report<'_> {
    pub(super) fn write_contention(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_turns(f)?;
        self.write_hand_over(f)?;
        self.write_idle(f)?;
        self.write_waiters_memory(f)
    }

    fn write_turns(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n### Waiters that want one resource, {SERVERS} servers\n")?;
        let mut table = Table::new(&[
            "contender",
            "who waits",
            "hand-overs/s",
            "turns/s",
            "longest wait ms",
            "least share of a process %",
            "greatest %",
            "failed",
        ]);
        for crew in turns::CREWS {
            for contender in self.plan.waiting() {
                let cell = |digits: usize, value: fn(&turns::Numbers) -> f64| {
                    let values = self.turns_of(contender, crew).map(|sample| value(&sample.numbers));
                    Spread::of(values).map_or_else(String::new, |spread| format!("{spread:.digits$}"))
                };
                let failed = self.turns_of(contender, crew).map(|sample| sample.numbers.failed);
                table.row([
                    contender.to_string(),
                    crew.to_string(),
                    cell(1, |numbers| numbers.hand_overs_per_second),
                    cell(0, |numbers| numbers.turns_per_second),
                    cell(1, |numbers| numbers.longest_wait),
                    cell(1, |numbers| numbers.least_share),
                    cell(1, |numbers| numbers.greatest_share),
                    failed.sum::<u64>().to_string(),
                ]);
            }
        }
        write!(f, "{table}")
    }

    pub(super) fn hand_overs_picture(&self, effort: Effort) -> Bars {
        let hand_overs = |contender, crew| {
            let samples = self.turns_of(contender, crew);
            Spread::of(samples.map(|sample| sample.numbers.hand_overs_per_second))
        };
        let group = |crew: turns::Crew| Group {
            name: crew.to_string(),
            rows: (self.plan.waiting().into_iter())
                .map(|contender| (contender, vec![hand_overs(contender, crew)]))
                .collect(),
        };
        Bars {
            caption: self.caption(
                format!("Waiters that want one resource: hand-overs per second, {SERVERS} servers"),
                "Longer is better, and the thin line spans all repeats. Each axis has a scale of its own.",
                &self.plan.waiting(),
                effort,
            ),
            unit: "hand-overs/s, from one waiter to another",
            columns: vec![String::new()],
            groups: turns::CREWS.map(group).into(),
        }
    }

    fn turns_of(&self, contender: Name, crew: turns::Crew) -> impl Iterator<Item = &turns::Sample> {
        let samples = self.contention.turns.iter();
        samples.filter(move |sample| (sample.contender, sample.crew) == (contender, crew))
    }

    fn write_hand_over(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n### From unlock in one process to the lock in another, {SERVERS} servers, in µs\n"
        )?;
        let mut table = Table::new(&[
            "contender",
            "p50",
            "p99",
            "lone lock p50",
            "lone lock without pause p50",
            "p50 / lone lock p50",
        ]);
        for contender in self.plan.waiting() {
            let cell = |digits: usize, value: fn(&hand_over::Sample) -> f64| {
                let spread = self.hand_over_of(contender, value);
                spread.map_or_else(String::new, |spread| format!("{spread:.digits$}"))
            };
            table.row([
                contender.to_string(),
                cell(0, |sample| sample.p50),
                cell(0, |sample| sample.p99),
                cell(0, |sample| sample.lone_p50),
                cell(0, |sample| sample.busy_lone_p50),
                cell(2, |sample| sample.p50 / sample.lone_p50),
            ]);
        }
        write!(f, "{table}")
    }

    fn hand_over_of(&self, contender: Name, value: fn(&hand_over::Sample) -> f64) -> Option<Spread> {
        let samples = self.contention.hand_over.iter();
        Spread::of(samples.filter(|sample| sample.contender == contender).map(value))
    }

    fn write_idle(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n### {} waiters in {} processes while nothing changes: commands/s of {SERVERS} servers\n",
            idle::WAITERS,
            idle::PROCESSES
        )?;
        let mut table = Table::new(&[
            "contender",
            "all wait for",
            "sent",
            "sent, nobody waiting",
            "processed",
            "processed, nobody waiting",
        ]);
        for wanted in idle::VARIANTS {
            for contender in self.plan.waiting() {
                let cell = |value: fn(&idle::Sample) -> f64| {
                    let spread = self.idle_of(contender, wanted, value);
                    spread.map_or_else(String::new, |spread| format!("{spread:.1}"))
                };
                table.row([
                    contender.to_string(),
                    wanted.to_string(),
                    cell(|sample| sample.waiting.sent),
                    cell(|sample| sample.before.sent),
                    cell(|sample| sample.waiting.processed),
                    cell(|sample| sample.before.processed),
                ]);
            }
        }
        write!(f, "{table}")
    }

    fn idle_of(&self, contender: Name, wanted: idle::Wanted, value: fn(&idle::Sample) -> f64) -> Option<Spread> {
        let samples = self.contention.idle.iter();
        Spread::of(
            samples
                .filter(|sample| (sample.contender, sample.wanted) == (contender, wanted))
                .map(value),
        )
    }

    fn write_waiters_memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n### {} waiters in one process\n", memory::WAITERS)?;
        let mut table = Table::new(&[
            "contender",
            "resources",
            "resident MiB",
            "allocated MiB",
            "allocated bytes/waiter",
        ]);
        for resources in memory::RESOURCES {
            for contender in self.plan.waiting() {
                let cell = |factor: f64, digits: usize, value: fn(&memory::Sample) -> f64| {
                    let spread = self.waiters_memory_of(contender, resources, value);
                    spread.map_or_else(String::new, |spread| format!("{:.digits$}", spread.scaled(factor)))
                };
                table.row([
                    contender.to_string(),
                    resources.to_string(),
                    cell(1.0 / MEBIBYTE, 1, |sample| sample.resident),
                    cell(1.0 / MEBIBYTE, 1, |sample| sample.live),
                    cell(1.0 / f64::from(memory::WAITERS), 0, |sample| sample.live),
                ]);
            }
        }
        write!(f, "{table}")
    }

    fn waiters_memory_of(&self, contender: Name, resources: u32, value: fn(&memory::Sample) -> f64) -> Option<Spread> {
        let samples = self.contention.memory.iter();
        Spread::of(
            samples
                .filter(|sample| (sample.contender, sample.resources) == (contender, resources))
                .map(value),
        )
    }
}
