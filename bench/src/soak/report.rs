//! What a soak found, for people.

use std::{collections::BTreeMap, fmt};

use super::{
    Plan,
    check::Checker,
    scale::{guards, herd},
};

pub struct Report<'a> {
    pub plan: Plan,
    pub faults: &'a BTreeMap<&'static str, u64>,
    pub checker: &'a Checker,
    pub leaks: &'a Leaks,
    pub guards: &'a guards::Outcome,
    pub herd: &'a herd::Outcome,
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

    fn fmt_scale(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { guards, herd, .. } = self;
        writeln!(f, "| {} guards of one process | |\n|:--|--:|", guards.guards)?;
        writeln!(
            f,
            "| all granted within | {:.2} s |",
            guards.granted_within.as_secs_f64()
        )?;
        writeln!(f, "| held from then on for | {:.1} s |", guards.held.as_secs_f64())?;
        writeln!(f, "| shortest validity left | {:.2} s |", guards.shortest.as_secs_f64())?;
        writeln!(f, "| lost | {} |", guards.lost)?;
        writeln!(f, "| keys left | {} |", guards.keys_left)?;

        let (commands, scripts) = herd.per_process();
        writeln!(
            f,
            "\n| {} processes wait for one resource | |\n|:--|--:|",
            herd.processes
        )?;
        writeln!(f, "| all started within | {:.1} s |", herd.started_within.as_secs_f64())?;
        writeln!(f, "| served | {} |", herd.served)?;
        writeln!(f, "| last served after | {:.1} s |", herd.served_within.as_secs_f64())?;
        writeln!(f, "| commands per process | {commands:.0} |")?;
        writeln!(f, "| of them scripts | {scripts:.0} |")?;
        writeln!(f, "| keys left | {} |", herd.keys_left)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checker = self.checker;
        writeln!(
            f,
            "\n### Soak, {:.0} minutes, seed {}\n",
            self.plan.length.as_secs_f64() / 60.0,
            self.plan.seed
        )?;
        let clock = if self.has_faketime {
            "one server gains 5 ms a second"
        } else {
            "libfaketime is not installed, or does not go with this server"
        };
        writeln!(
            f,
            "3 servers, 4 client processes with 6 tasks each, 8 resources; {clock}.\n"
        )?;
        self.fmt_scale(f)?;
        writeln!(f, "\n| fault | times |\n|:--|--:|")?;
        for (fault, times) in self.faults {
            writeln!(f, "| {fault} | {times} |")?;
        }
        writeln!(f, "\n| result | |\n|:--|--:|")?;
        writeln!(f, "| locks taken | {} |", checker.granted)?;
        writeln!(f, "| waiters served | {} |", checker.served)?;
        writeln!(f, "| waiters told that their time was up | {} |", checker.timed_out)?;
        writeln!(f, "| longest wait | {:.1} s |", checker.longest_wait.as_secs_f64())?;
        writeln!(f, "| overlaps that a FLUSHALL explains | {} |", checker.explained)?;
        writeln!(f, "| violations | {} |", checker.violations)?;
        writeln!(f, "| left behind | {} |", self.leaks.0.len())?;
        for line in checker.shown.iter().chain(&self.leaks.0) {
            writeln!(f, "\n- {line}")?;
        }
        Ok(())
    }
}
