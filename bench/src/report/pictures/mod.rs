//! What a run has seen, as SVG.

mod bars;
mod folder;
mod percentiles;
mod sheet;

#[cfg(test)]
mod tests;

pub use self::folder::Folder;
use self::{bars::Bars, percentiles::Percentiles, sheet::Caption};
use super::Report;
use crate::{
    Result,
    args::Effort,
    contenders::Name,
    measure::{
        SERVERS,
        frozen::{CALLERS, DEMANDS, FROZEN, HEALTHY, Numbers},
        throughput::Size,
    },
};

const SETTINGS: &str = "fenced, restart guard: multiredlock with that option";
const PEERS: &str = "plain fred: a command per operation and server; floor: least cost of a lock";

impl Report<'_> {
    /// Writes a picture of everything that was measured and can be drawn.
    pub fn draw(&self, folder: &Folder) -> Result<()> {
        for (name, svg) in self.pictures()? {
            folder.write(name, &svg)?;
        }
        Ok(())
    }

    fn pictures(&self) -> Result<Vec<(&'static str, String)>> {
        let (throughput, frozen, turns) = (&self.throughput, &self.frozen, &self.contention.turns);
        let mut pictures = Vec::new();
        if !throughput.0.is_empty() {
            let title = "Lock and unlock: cycles per second, by callers and servers".to_owned();
            let rows = self.plan.callers.iter().map(|&callers| {
                let sizes = self.plan.servers.iter().map(move |&servers| Size { servers, callers });
                sizes.map(|size| Bars::of(throughput, size, |numbers| numbers.cycles_per_second))
            });
            let rows: Vec<_> = rows.map(Iterator::collect).collect();
            let caption = self.caption(title, &[bars::READING, SETTINGS, PEERS], self.plan.effort());
            pictures.push(("throughput.svg", bars::draw(&caption, &rows)?));
        }
        if !frozen.0.is_empty() {
            let title = format!("One of {SERVERS} servers frozen: latency of a lock in ms, {CALLERS} callers");
            let rows = DEMANDS.map(|demand| {
                let panel = |contender: Name| Percentiles {
                    name: format!("{contender}, {demand}"),
                    contender,
                    series: [HEALTHY, FROZEN].map(|phase| {
                        let percentile = |value: fn(&Numbers) -> f64| {
                            let spread = frozen.spread(contender, (demand, phase), value);
                            spread.map_or(0.0, |spread| spread.median / 1e3)
                        };
                        [
                            percentile(|numbers| numbers.p50),
                            percentile(|numbers| numbers.p90),
                            percentile(|numbers| numbers.p99),
                            percentile(|numbers| numbers.p999),
                            percentile(|numbers| numbers.max),
                        ]
                    }),
                };
                frozen.contenders().into_iter().map(panel).collect()
            });
            let caption = self.caption(title, &[percentiles::READING, PEERS], self.plan.effort());
            pictures.push(("frozen.svg", percentiles::draw(&caption, &rows)?));
        }
        if !turns.0.is_empty() {
            let title = format!("Waiters that want one resource: hand-overs per second, {SERVERS} servers");
            let rows = turns.keys().into_iter();
            let rows: Vec<_> = rows
                .map(|crew| vec![Bars::of(turns, crew, |numbers| numbers.hand_overs_per_second)])
                .collect();
            let effort = self.plan.contention_effort();
            let caption = self.caption(title, &[bars::READING], effort);
            pictures.push(("hand-overs.svg", bars::draw(&caption, &rows)?));
        }
        Ok(pictures)
    }

    fn caption(&self, title: String, notes: &[&str], effort: Effort) -> Caption {
        let (date, machine) = (self.date, &self.machine);
        let measured = format!("Measured on {date}. Machine: {machine}. Each number is the median of {effort}.");
        let notes = notes.iter().map(|note| (*note).to_owned());
        Caption {
            title,
            notes: notes.chain([measured]).collect(),
        }
    }
}
