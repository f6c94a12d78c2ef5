//! The tables of all measurements.

use std::fmt;

use super::{
    Report,
    table::{
        Column::{self, Spread, Sum},
        cell, write_table,
    },
};
use crate::{
    contenders::Name,
    measure::{
        SERVERS,
        contention::{hand_over, idle, memory::WAITERS, turns},
        frozen::{self, CALLERS},
        memory::LOCKS,
        throughput::{self, Size},
    },
    plural,
    usage::Memory,
};

impl Report<'_> {
    pub fn write_throughput(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: &[Column<throughput::Numbers>] = &[
            Spread("cycles/s", 0, |numbers| numbers.cycles_per_second),
            Spread("lock p50 µs", 0, |numbers| numbers.lock_p50),
            Spread("lock p99 µs", 0, |numbers| numbers.lock_p99),
            Spread("cycle p50 µs", 0, |numbers| numbers.cycle_p50),
            Spread("cycle p99 µs", 0, |numbers| numbers.cycle_p99),
            Spread("CPU µs/cycle", 1, |numbers| numbers.cpu_per_cycle),
            Spread("allocations/cycle", 1, |numbers| numbers.allocations_per_cycle),
            Sum("failed", |numbers| numbers.failed),
        ];
        for &servers in &self.plan.servers {
            let title = format!("Lock and unlock, {}", plural(servers, "server"));
            let callers = |size: Size| (size.servers == servers).then(|| size.callers.to_string());
            self.throughput.write_table(f, &title, "callers", callers, columns)?;
        }
        Ok(())
    }

    pub fn write_lone(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let samples = &self.throughput;
        let lone: Vec<_> = samples.keys().into_iter().filter(|size| size.callers == 1).collect();
        if lone.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n### A lone caller, as a multiple of the floor\n")?;
        let rows = lone.into_iter().flat_map(|size| {
            samples.contenders().into_iter().map(move |contender| {
                let (one, floor) = ((contender, size), (Name::Floor, size));
                vec![
                    contender.to_string(),
                    size.servers.to_string(),
                    cell(samples.ratio(one, floor, |numbers| numbers.lock_p50), 2),
                    cell(samples.ratio(one, floor, |numbers| numbers.cycle_p50), 2),
                ]
            })
        });
        write_table(f, &["contender", "servers", "lock p50", "cycle p50"], rows)
    }

    pub fn write_frozen(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = format!("One of {SERVERS} servers frozen, {CALLERS} callers: latency of the lock in µs");
        let columns: &[Column<frozen::Numbers>] = &[
            Spread("locks/s", 0, |numbers| numbers.locks_per_second),
            Spread("p50", 0, |numbers| numbers.p50),
            Spread("p90", 0, |numbers| numbers.p90),
            Spread("p99", 0, |numbers| numbers.p99),
            Spread("p99.9", 0, |numbers| numbers.p999),
            Spread("longest", 0, |numbers| numbers.max),
            Spread("p99 / healthy p99", 2, |numbers| numbers.p99_to_healthy),
            Sum("failed", |numbers| numbers.failed),
        ];
        let label = |(demand, phase)| Some(format!("{demand}, {phase}"));
        let head = "each caller asks, phase";
        self.frozen.write_table(f, &title, head, label, columns)
    }

    pub fn write_memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = format!("{LOCKS} locks held by one client");
        let columns: &[Column<Memory>] = &[
            Spread("resident MiB", 1, Memory::resident_mib),
            Spread("allocated MiB", 1, Memory::live_mib),
            Spread("allocated bytes/lock", 0, |memory| memory.live as f64 / LOCKS as f64),
        ];
        let label = |what: &str| Some(what.to_owned());
        self.memory.write_table(f, &title, "what", label, columns)
    }

    pub fn write_turns(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = format!("Waiters that want one resource, {SERVERS} servers");
        let columns: &[Column<turns::Numbers>] = &[
            Spread("hand-overs/s", 1, |numbers| numbers.hand_overs_per_second),
            Spread("turns/s", 0, |numbers| numbers.turns_per_second),
            Spread("longest wait ms", 1, |numbers| numbers.longest_wait),
            Spread("least share of a process %", 1, |numbers| numbers.least_share),
            Spread("greatest %", 1, |numbers| numbers.greatest_share),
            Sum("failed", |numbers| numbers.failed),
        ];
        let samples = &self.contention.turns;
        samples.write_table(f, &title, "who waits", |crew| Some(crew.to_string()), columns)
    }

    pub fn write_hand_over(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = format!("From unlock in one process to the lock in another, {SERVERS} servers, in µs");
        let columns: &[Column<hand_over::Numbers>] = &[
            Spread("p50", 0, |numbers| numbers.p50),
            Spread("p99", 0, |numbers| numbers.p99),
            Spread("lone lock p50", 0, |numbers| numbers.lone_p50),
            Spread("lone lock without pause p50", 0, |numbers| numbers.busy_lone_p50),
            Spread("p50 / lone lock p50", 2, hand_over::Numbers::p50_to_lone),
        ];
        let samples = &self.contention.hand_over;
        samples.write_table(f, &title, "what", |what| Some(what.to_owned()), columns)
    }

    pub fn write_idle(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (waiters, processes) = (idle::WAITERS, idle::PROCESSES);
        let title = format!(
            "{waiters} waiters in {processes} processes while nothing changes: commands/s of {SERVERS} servers"
        );
        let columns: &[Column<idle::Numbers>] = &[
            Spread("sent", 1, |numbers| numbers.waiting.sent),
            Spread("sent, nobody waiting", 1, |numbers| numbers.before.sent),
            Spread("processed", 1, |numbers| numbers.waiting.processed),
            Spread("processed, nobody waiting", 1, |numbers| numbers.before.processed),
        ];
        let samples = &self.contention.idle;
        samples.write_table(f, &title, "all wait for", |wanted| Some(wanted.to_string()), columns)
    }

    pub fn write_waiters_memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = format!("{WAITERS} waiters in one process");
        let columns: &[Column<Memory>] = &[
            Spread("resident MiB", 1, Memory::resident_mib),
            Spread("allocated MiB", 1, Memory::live_mib),
            Spread("allocated bytes/waiter", 0, |memory| {
                memory.live as f64 / f64::from(WAITERS)
            }),
        ];
        let samples = &self.contention.memory;
        samples.write_table(f, &title, "resources", |resources| Some(resources.to_string()), columns)
    }
}
