//! What the library must reach on the machine of the run, measured against its peers and never in absolute numbers.

use std::fmt;

use super::{Report, frozen::ChoosePhase, memory::MEBIBYTE, spread::Spread, table::Table};
use crate::{
    contenders::Name,
    measure::{
        frozen::{DEMANDS, Demand},
        memory,
        throughput::Numbers,
    },
};

const SERVERS: usize = 3;

/// What is measured, what it must reach, and what it has reached, if it was measured.
pub(super) type Target = (String, Bound, Option<Spread>);

#[derive(Clone, Copy)]
pub(super) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Report<'_> {
    pub(super) fn write_targets(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n### What multiredlock must reach, {SERVERS} servers\n")?;
        let mut table = Table::new(&["target", "bound", "measured", "verdict"]);
        for (target, bound, measured) in self.targets() {
            table.row([
                target,
                bound.to_string(),
                measured.map_or_else(|| "–".to_owned(), |measured| format!("{measured:.2}")),
                verdict(bound, measured).to_owned(),
            ]);
        }
        write!(f, "{table}")
    }

    fn targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        for (callers, peer, bound) in [
            (512, Name::Rslock, 3.0),
            (64, Name::Rslock, 2.5),
            (512, Name::Floor, 0.75),
        ] {
            targets.push((
                format!("cycles/s of {callers} callers / {peer}"),
                Bound::AtLeast(bound),
                self.against(peer, callers, |numbers| numbers.cycles_per_second),
            ));
        }
        targets.push((
            "lock p50 of a lone caller / floor".to_owned(),
            Bound::AtMost(1.3),
            self.against(Name::Floor, 1, |numbers| numbers.lock_p50),
        ));
        targets.push((
            "lock p50 of a lone caller, fenced / not".to_owned(),
            Bound::AtMost(1.3),
            self.costs(Name::Fenced, 1, |numbers| numbers.lock_p50),
        ));
        targets.push((
            "cycles/s of 512 callers, fenced / not".to_owned(),
            Bound::AtLeast(0.6),
            self.costs(Name::Fenced, 512, |numbers| numbers.cycles_per_second),
        ));
        targets.push((
            "cycles/s of 512 callers, with a restart guard / without".to_owned(),
            Bound::AtLeast(0.95),
            self.costs(Name::Guarded, 512, |numbers| numbers.cycles_per_second),
        ));
        targets.push((
            "lock p50 of a lone caller, with a restart guard / without".to_owned(),
            Bound::AtMost(1.05),
            self.costs(Name::Guarded, 1, |numbers| numbers.lock_p50),
        ));
        for demand in DEMANDS {
            targets.extend(self.frozen_targets(demand));
        }
        let resident = self.memory_of(Name::Multiredlock, |sample| sample.resident_bytes);
        targets.push((
            format!("resident MiB of {} held locks", memory::LOCKS),
            Bound::AtMost(64.0),
            resident.map(|bytes| bytes.scaled(1.0 / MEBIBYTE)),
        ));
        targets.extend(self.contention_targets());
        targets
    }

    fn against(&self, peer: Name, callers: usize, value: fn(&Numbers) -> f64) -> Option<Spread> {
        self.throughput_ratio((Name::Multiredlock, peer), SERVERS, callers, value)
    }

    fn costs(&self, setting: Name, callers: usize, value: fn(&Numbers) -> f64) -> Option<Spread> {
        self.throughput_ratio((setting, Name::Multiredlock), SERVERS, callers, value)
    }

    fn frozen_targets(&self, demand: Demand) -> [Target; 2] {
        let phases: [(&str, ChoosePhase); 2] = [
            ("just frozen", |sample| &sample.just_frozen),
            ("frozen and settled", |sample| &sample.settled),
        ];
        phases.map(|(name, phase)| {
            (
                format!("lock p99, one server {name} / healthy, asked {demand}"),
                Bound::AtMost(1.5),
                self.frozen_ratio(Name::Multiredlock, demand, phase),
            )
        })
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "≥ {bound}"),
            Self::AtMost(bound) => write!(f, "≤ {bound}"),
        }
    }
}

/// The median decides: a single repeat that something else on the machine disturbed does not.
fn verdict(bound: Bound, measured: Option<Spread>) -> &'static str {
    let reached = match (bound, measured) {
        (_, None) => return "not measured",
        (Bound::AtLeast(bound), Some(measured)) => measured.median >= bound,
        (Bound::AtMost(bound), Some(measured)) => measured.median <= bound,
    };
    if reached { "reached" } else { "not reached" }
}
