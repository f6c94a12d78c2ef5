//! What a soak found, for people.

use std::{collections::BTreeMap, fmt};

use super::{
    Plan,
    check::Checker,
    scale::{Table, seconds},
};
use crate::report::write_table;

pub struct Report<'a> {
    pub plan: Plan,
    pub faults: &'a BTreeMap<&'static str, u64>,
    pub checker: &'a Checker,
    pub leaks: &'a Leaks,
    pub scale: [Table; 2],
    pub has_faketime: bool,
}

/// What was left behind.
#[derive(Debug, Default)]
pub struct Leaks(Vec<String>);

/// By how much a process may grow after it has run for a while, in KiB.
const GROWTH: u64 = 20 << 10;

impl Leaks {
    pub fn note_process(&mut self, tasks: usize, quarter: u64, end: u64) {
        if tasks > 0 {
            self.0.push(format!("{tasks} tasks of a client"));
        }
        if end > quarter + quarter / 2 + GROWTH {
            self.0
                .push(format!("memory of a client: {quarter} KiB, then {end} KiB"));
        }
    }

    pub fn note_server(&mut self, number: usize, keys: Vec<String>, connections: usize) {
        self.0
            .extend(keys.into_iter().map(|key| format!("key `{key}` on server {number}")));
        if connections > 0 {
            self.0.push(format!("{connections} connections to server {number}"));
        }
    }
}

impl Report<'_> {
    pub fn is_clean(&self) -> bool {
        self.checker.violations == 0 && self.leaks.0.is_empty()
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, checker, .. } = self;
        let minutes = plan.length.as_secs_f64() / 60.0;
        writeln!(f, "\n### Soak, {minutes:.0} minutes, seed {}\n", plan.seed)?;
        let clock = if self.has_faketime {
            "one server gains 5 ms a second"
        } else {
            "libfaketime is not installed, or does not go with this server"
        };
        writeln!(
            f,
            "3 servers, 4 client processes with 6 tasks each, 8 resources; {clock}."
        )?;
        for (title, rows) in &self.scale {
            write_rows(f, [title, ""], rows.clone())?;
        }
        let faults = self.faults.iter().map(|(fault, times)| (*fault, times.to_string()));
        write_rows(f, ["fault", "times"], faults)?;
        let rows = [
            ("locks taken", checker.granted.to_string()),
            ("waiters served", checker.served.to_string()),
            ("waiters told that their time was up", checker.timed_out.to_string()),
            ("longest wait", seconds(checker.longest_wait, 1)),
            ("overlaps that a FLUSHALL explains", checker.explained.to_string()),
            ("violations", checker.violations.to_string()),
            ("left behind", self.leaks.0.len().to_string()),
        ];
        write_rows(f, ["result", ""], rows)?;
        for line in checker.shown.iter().chain(&self.leaks.0) {
            writeln!(f, "\n- {line}")?;
        }
        Ok(())
    }
}

fn write_rows<'r>(
    f: &mut fmt::Formatter<'_>,
    heads: [&str; 2],
    rows: impl IntoIterator<Item = (&'r str, String)>,
) -> fmt::Result {
    writeln!(f)?;
    let rows = rows.into_iter();
    write_table(f, &heads, rows.map(|(what, number)| vec![what.to_owned(), number]))
}
