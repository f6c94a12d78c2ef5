//! The table and the picture of one frozen server.

use std::fmt;

use super::{
    Report,
    pictures::{PERCENTILES, Panel, Percentiles, Row},
    spread::Spread,
    table::Table,
};
use crate::{
    contenders::Name,
    measure::frozen::{CALLERS, DEMANDS, Demand, Phase, SERVERS, Sample},
};

pub(super) type ChoosePhase = fn(&Sample) -> &Phase;

const PHASES: [(ChoosePhase, &str); 5] = [
    (|sample| &sample.healthy, "healthy"),
    (|sample| &sample.just_frozen, "just frozen"),
    (|sample| &sample.noticing, "being noticed"),
    (|sample| &sample.settled, "settled"),
    (|sample| &sample.frozen, "frozen, in all"),
];

impl Report<'_> {
    pub(super) fn write_frozen(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n### One of {SERVERS} servers frozen, {CALLERS} callers: latency of the lock in µs\n"
        )?;
        let mut table = Table::new(&[
            "contender",
            "each caller asks",
            "phase",
            "locks/s",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "longest",
            "p99 / healthy p99",
            "failed",
        ]);
        for demand in DEMANDS {
            for contender in self.plan.peers() {
                for (phase, name) in PHASES {
                    self.frozen_row(&mut table, contender, demand, (phase, name));
                }
            }
        }
        write!(f, "{table}")
    }

    fn frozen_row(&self, table: &mut Table, contender: Name, demand: Demand, (phase, name): (ChoosePhase, &str)) {
        let samples = || self.frozen_of(contender, demand);
        let cell = |value: fn(&Phase) -> f64| {
            let spread = Spread::of(samples().map(|sample| value(phase(sample))));
            spread.map_or_else(String::new, |spread| format!("{spread:.0}"))
        };
        let ratio = self.frozen_ratio(contender, demand, phase);
        table.row([
            contender.to_string(),
            demand.to_string(),
            name.to_owned(),
            cell(|phase| phase.locks_per_second),
            cell(|phase| phase.p50),
            cell(|phase| phase.p90),
            cell(|phase| phase.p99),
            cell(|phase| phase.p999),
            cell(|phase| phase.max),
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            samples().map(|sample| phase(sample).failed).sum::<u64>().to_string(),
        ]);
    }

    pub(super) fn frozen_picture(&self) -> Percentiles {
        let row = |demand: Demand| Row {
            name: format!("each caller asks {demand}"),
            panels: self
                .plan
                .peers()
                .into_iter()
                .map(|name| self.panel(name, demand))
                .collect(),
        };
        Percentiles {
            caption: self.caption(
                format!("One of {SERVERS} servers frozen: latency of a lock, {CALLERS} callers"),
                "Lower is better. The scale is logarithmic.",
                &self.plan.peers(),
                self.plan.effort(),
            ),
            healthy: "all servers healthy",
            frozen: "one server frozen, counted from its first moment",
            rows: DEMANDS.map(row).into(),
        }
    }

    fn panel(&self, contender: Name, demand: Demand) -> Panel {
        let latencies = |phase: ChoosePhase| {
            let latency = |value: fn(&Phase) -> f64| {
                let micros = self.frozen_of(contender, demand).map(|sample| value(phase(sample)));
                Some(Spread::of(micros)?.median / 1e3)
            };
            let values: [fn(&Phase) -> f64; PERCENTILES.len()] = [
                |phase| phase.p50,
                |phase| phase.p90,
                |phase| phase.p99,
                |phase| phase.p999,
                |phase| phase.max,
            ];
            values.map(latency)
        };
        Panel {
            contender,
            healthy: latencies(|sample| &sample.healthy),
            frozen: latencies(|sample| &sample.frozen),
        }
    }

    fn frozen_of(&self, contender: Name, demand: Demand) -> impl Iterator<Item = &Sample> {
        self.frozen
            .iter()
            .filter(move |sample| (sample.contender, sample.demand) == (contender, demand))
    }

    pub(super) fn frozen_ratio(&self, contender: Name, demand: Demand, phase: ChoosePhase) -> Option<Spread> {
        let samples = self.frozen_of(contender, demand);
        Spread::of(samples.map(|sample| phase(sample).p99 / sample.healthy.p99))
    }
}
