//! What the library must reach on the machine of the run, measured against its peers and never in absolute numbers.

use std::fmt;

use self::Bound::{AtLeast, AtMost};
use super::{Report, spread::Spread, table::write_table};
use crate::{
    contenders::Name::{self, Fenced, Floor, Guarded, Multiredlock, Rslock},
    measure::{
        SERVERS,
        contention::{
            hand_over, idle,
            memory::{Resources, WAITERS},
            turns::{Crew, FOUR_PROCESSES, MANY_WAITERS, Numbers as Turns, ONE_PROCESS},
        },
        frozen::{DEMANDS, Phase},
        memory::LOCKS,
        throughput::{Numbers, Size},
    },
    usage::Memory,
};

/// What is measured, what it must reach, and what it has reached, if it was measured.
struct Target(String, Bound, Option<Spread>);

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Report<'_> {
    pub fn write_targets(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n### What multiredlock must reach, {SERVERS} servers\n")?;
        let targets = [
            self.throughput_targets(),
            self.frozen_targets(),
            self.turns_targets(),
            self.waiting_targets(),
        ];
        let rows = targets.into_iter().flatten().map(|Target(target, bound, measured)| {
            let shown = measured.map_or_else(|| "–".to_owned(), |measured| format!("{measured:.2}"));
            vec![target, bound.to_string(), shown, bound.verdict(measured).to_owned()]
        });
        write_table(f, &["target", "bound", "measured", "verdict"], rows)
    }

    fn throughput_targets(&self) -> Vec<Target> {
        let target = |text: &str, bound, callers, one: Name, other: Name, value: fn(&Numbers) -> f64| {
            let size = Size {
                servers: SERVERS,
                callers,
            };
            let measured = self.throughput.ratio((one, size), (other, size), value);
            Target(text.to_owned(), bound, measured)
        };
        let rate = |numbers: &Numbers| numbers.cycles_per_second;
        let p50 = |numbers: &Numbers| numbers.lock_p50;
        let (rate_512, lone) = ("cycles/s of 512 callers", "lock p50 of a lone caller");
        let guard = "with a restart guard / without";
        vec![
            target(
                &format!("{rate_512} / rslock"),
                AtLeast(3.0),
                512,
                Multiredlock,
                Rslock,
                rate,
            ),
            target(
                "cycles/s of 64 callers / rslock",
                AtLeast(2.5),
                64,
                Multiredlock,
                Rslock,
                rate,
            ),
            target(
                &format!("{rate_512} / floor"),
                AtLeast(0.75),
                512,
                Multiredlock,
                Floor,
                rate,
            ),
            target(&format!("{lone} / floor"), AtMost(1.3), 1, Multiredlock, Floor, p50),
            target(
                &format!("{lone}, fenced / not"),
                AtMost(1.3),
                1,
                Fenced,
                Multiredlock,
                p50,
            ),
            target(
                &format!("{rate_512}, fenced / not"),
                AtLeast(0.6),
                512,
                Fenced,
                Multiredlock,
                rate,
            ),
            target(
                &format!("{rate_512}, {guard}"),
                AtLeast(0.95),
                512,
                Guarded,
                Multiredlock,
                rate,
            ),
            target(&format!("{lone}, {guard}"), AtMost(1.05), 1, Guarded, Multiredlock, p50),
        ]
    }

    fn frozen_targets(&self) -> Vec<Target> {
        let phases = [
            ("just frozen", Phase::JustFrozen),
            ("frozen and settled", Phase::Settled),
        ];
        let targets = DEMANDS.iter().flat_map(|&demand| {
            phases.map(|(name, phase)| {
                let text = format!("lock p99, one server {name} / healthy, asked {demand}");
                let key = (demand, phase);
                Target(
                    text,
                    AtMost(1.5),
                    self.frozen.spread(Multiredlock, key, |numbers| numbers.p99_to_healthy),
                )
            })
        });
        let mut targets: Vec<_> = targets.collect();
        targets.push(Target(
            format!("resident MiB of {LOCKS} held locks"),
            AtMost(64.0),
            self.memory.spread(Multiredlock, "held locks", Memory::resident_mib),
        ));
        targets
    }

    fn turns_targets(&self) -> Vec<Target> {
        let turns = &self.contention.turns;
        let hand_overs = |numbers: &Turns| numbers.hand_overs_per_second;
        let longest_wait = |numbers: &Turns| numbers.longest_wait;
        let against = |crew: Crew, name: &str, bound, value: fn(&Turns) -> f64| {
            let measured = turns.ratio((Multiredlock, crew), (Rslock, crew), value);
            Target(format!("{name} of {crew} / {Rslock}"), bound, measured)
        };
        let share = |name: &str, bound, value: fn(&Turns) -> f64| {
            let text = format!("{name} share of the turns, {FOUR_PROCESSES}, %");
            Target(text, bound, turns.spread(Multiredlock, FOUR_PROCESSES, value))
        };
        let (many, few) = ((Multiredlock, MANY_WAITERS), (Multiredlock, FOUR_PROCESSES));
        vec![
            against(ONE_PROCESS, "hand-overs/s", AtLeast(50.0), hand_overs),
            against(ONE_PROCESS, "turns/s", AtLeast(1.2), |numbers| numbers.turns_per_second),
            against(ONE_PROCESS, "longest wait", AtMost(0.05), longest_wait),
            against(FOUR_PROCESSES, "hand-overs/s", AtLeast(20.0), hand_overs),
            share("a process's least", AtLeast(15.0), |numbers| numbers.least_share),
            share("a process's greatest", AtMost(35.0), |numbers| numbers.greatest_share),
            against(FOUR_PROCESSES, "longest wait", AtMost(0.1), longest_wait),
            Target(
                format!("hand-overs/s of {MANY_WAITERS} / {FOUR_PROCESSES}"),
                AtLeast(0.5),
                turns.ratio(many, few, hand_overs),
            ),
        ]
    }

    fn waiting_targets(&self) -> Vec<Target> {
        let contention = &self.contention;
        let hand_over = contention
            .hand_over
            .spread(Multiredlock, "unlock to lock", hand_over::Numbers::p50_to_lone);
        let memory = contention
            .memory
            .spread(Multiredlock, Resources(1), Memory::resident_mib);
        let sent = |wanted| {
            let text = format!("commands/s sent for {} waiters, {wanted}", idle::WAITERS);
            Target(
                text,
                AtMost(50.0),
                contention
                    .idle
                    .spread(Multiredlock, wanted, |numbers| numbers.waiting.sent),
            )
        };
        let [one, each] = idle::VARIANTS.map(sent);
        vec![
            Target(
                "unlock to lock in another process, p50 / lone lock p50".to_owned(),
                AtMost(3.0),
                hand_over,
            ),
            one,
            each,
            Target(
                format!("resident MiB of {WAITERS} waiters for one resource"),
                AtMost(200.0),
                memory,
            ),
        ]
    }
}

impl Bound {
    /// The median decides: a single repeat that something else on the machine disturbed does not.
    fn verdict(self, measured: Option<Spread>) -> &'static str {
        let is_reached = measured.map(|measured| match self {
            AtLeast(bound) => measured.median >= bound,
            AtMost(bound) => measured.median <= bound,
        });
        match is_reached {
            None => "not measured",
            Some(true) => "reached",
            Some(false) => "not reached",
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AtLeast(bound) => write!(f, "≥ {bound}"),
            AtMost(bound) => write!(f, "≤ {bound}"),
        }
    }
}
