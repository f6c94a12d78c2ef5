//! What was measured: as one value for programs, and as text.

use super::{
    histogram,
    measure::{Failed, Load, Measured},
    numbers::{grouped, latency},
    percentiles::{Percentiles, ROWS},
};
use crate::{
    duration::{micros, show},
    facts::{QuorumFact, timestamp},
    output::style::{self, paint},
};
use multiredlock::status::Quorum;
use serde::Serialize;
use std::time::{Duration, SystemTime};

/// All numbers.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    started_at: String,
    callers: usize,
    ttl_us: u64,
    fenced: bool,
    elapsed_us: u64,
    /// Why it was not as long as it should have been.
    ended_early: Option<String>,
    /// At the start.
    quorums: Vec<QuorumFact>,
    cycles_per_second: f64,
    lock: Percentiles,
    unlock: Percentiles,
    failed: Failed,
    unanswered_unlocks: u64,
    /// What it was measured on, in words.
    #[serde(skip)]
    pub(super) conditions: String,
}

impl Report {
    pub(super) fn new(load: &Load, measured: &Measured, quorums: &[Quorum], started: SystemTime) -> Self {
        let (record, elapsed, ended) = (&measured.record, measured.elapsed, measured.ended.as_ref());
        Self {
            started_at: timestamp(started),
            callers: load.callers,
            ttl_us: micros(load.ttl),
            fenced: load.fenced,
            elapsed_us: micros(elapsed),
            ended_early: ended.map(|failure| failure.message.clone()),
            quorums: quorums.iter().copied().map(Into::into).collect(),
            cycles_per_second: per_second(measured.cycles, elapsed),
            lock: Percentiles::new(&record.lock),
            unlock: Percentiles::new(&record.unlock),
            failed: record.failed,
            unanswered_unlocks: record.unanswered_unlocks,
            conditions: conditions(load, quorums, ended.map_or(load.duration, |_| elapsed)),
        }
    }

    /// How many cycles there were in a second, in words.
    pub(super) fn rate(&self) -> String {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is neither negative nor huge"
        )]
        let whole = self.cycles_per_second.round() as u64;
        format!("{} cycles of lock and unlock a second", grouped(whole))
    }

    /// A table and a histogram, in lines of at most `width` columns if that is not very few.
    pub(super) fn in_words(&self, measured: &Measured, width: usize) -> String {
        let record = &measured.record;
        let mut lines = vec![paint(style::STRONG, self.rate()), self.conditions.clone()];
        if let Some(ended) = &measured.ended {
            lines.push(format!("{}: {}", paint(style::WARN, "ended early"), ended.message));
        }
        lines.push(failures(&record.failed));
        if record.unanswered_unlocks > 0 {
            let unlocks = paint(style::WARN, count(record.unanswered_unlocks, "unlock"));
            lines.push(format!("{unlocks} not answered by all servers in time"));
        }
        lines.push(format!("\n{:9}{:>10}{:>12}", "latency", "lock", "unlock"));
        for (name, of) in ROWS {
            let [lock, unlock] = [&record.lock, &record.unlock].map(|latencies| latency(of(latencies)));
            lines.push(format!("  {name:7}{lock:>10}{unlock:>12}"));
        }
        for (name, latencies) in [("lock", &record.lock), ("unlock", &record.unlock)] {
            lines.push(String::new());
            lines.extend(histogram::draw(name, latencies, width));
        }
        lines.join("\n") + "\n"
    }
}

fn failures(failed: &Failed) -> String {
    let kinds = failed.kinds().into_iter().filter(|(_, count)| *count > 0);
    let kinds: Vec<_> = kinds
        .map(|(kind, count)| format!("{} {kind}", grouped(count)))
        .collect();
    if kinds.is_empty() {
        "no lock failed".into()
    } else {
        let words = paint(style::WARN, count(failed.total(), "lock"));
        format!("{words} failed: {}", kinds.join(", "))
    }
}

fn conditions(load: &Load, quorums: &[Quorum], elapsed: Duration) -> String {
    let sum = |of: fn(&Quorum) -> usize| quorums.iter().map(of).sum::<usize>();
    let (servers, reachable) = (sum(|quorum| quorum.servers), sum(|quorum| quorum.reachable));
    let mut parts = vec![
        count(load.callers as u64, "caller"),
        show(elapsed),
        count(servers as u64, "server"),
    ];
    if quorums.len() > 1 {
        parts.push(format!("{} groups", quorums.len()));
    }
    if reachable < servers {
        parts.push(format!("{reachable} up"));
    }
    parts.push(format!("ttl {}", show(load.ttl)));
    if load.fenced {
        parts.push("fenced".into());
    }
    parts.join(" · ")
}

fn count(number: u64, name: &str) -> String {
    format!("{} {name}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// With one decimal.
#[expect(clippy::cast_precision_loss, reason = "nothing does 2^53 cycles")]
fn per_second(cycles: u64, elapsed: Duration) -> f64 {
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 {
        (cycles as f64 / seconds * 10.0).round() / 10.0
    } else {
        0.0
    }
}
