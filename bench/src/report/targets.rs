//! What the library must reach on the machine of the run, measured against its peers and never in absolute numbers.

use std::fmt;

use self::Bound::{AtLeast, AtMost};
use super::{Report, spread::Spread, table::write_table};
use crate::{
    contenders::Name::{self, Fenced, Floor, Guarded, Multiredlock, Rslock},
    measure::{
        SERVERS,
        contention::{
            Contention, hand_over, idle,
            memory::{Resources, WAITERS},
            turns::{Crew, FOUR_PROCESSES, MANY_WAITERS, Numbers as Turns, ONE_PROCESS},
        },
        frozen::{self, DEMANDS, JUST_FROZEN, SETTLED},
        memory::{self, LOCKS},
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
            self.memory_targets(),
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
        let target = |text, callers, (one, other): (Name, Name), bound, value: fn(&Numbers) -> f64| {
            let servers = SERVERS;
            let size = Size { servers, callers };
            Target(text, bound, self.throughput.ratio((one, size), (other, size), value))
        };
        let rate = |callers, one, other, bound, what| {
            let text = format!("cycles/s of {callers} callers{what}");
            target(text, callers, (one, other), bound, |numbers| numbers.cycles_per_second)
        };
        let lone = |one, other, bound, what| {
            let text = format!("lock p50 of a lone caller{what}");
            target(text, 1, (one, other), bound, |numbers| numbers.lock_p50)
        };
        let guard = ", with a restart guard / without";
        vec![
            rate(512, Multiredlock, Rslock, AtLeast(3.0), " / rslock"),
            rate(64, Multiredlock, Rslock, AtLeast(2.5), " / rslock"),
            rate(512, Multiredlock, Floor, AtLeast(0.75), " / floor"),
            lone(Multiredlock, Floor, AtMost(1.3), " / floor"),
            lone(Fenced, Multiredlock, AtMost(1.3), ", fenced / not"),
            rate(512, Fenced, Multiredlock, AtLeast(0.6), ", fenced / not"),
            rate(512, Guarded, Multiredlock, AtLeast(0.95), guard),
            lone(Guarded, Multiredlock, AtMost(1.05), guard),
        ]
    }

    fn frozen_targets(&self) -> Vec<Target> {
        let phases = [("just frozen", JUST_FROZEN), ("frozen and settled", SETTLED)];
        let targets = DEMANDS.iter().flat_map(|&demand| {
            phases.map(|(name, phase)| {
                let ratio = |numbers: &frozen::Numbers| numbers.p99_to_healthy;
                let measured = self.frozen.spread(Multiredlock, (demand, phase), ratio);
                let text = format!("lock p99, one server {name} / healthy, asked {demand}");
                Target(text, AtMost(1.5), measured)
            })
        });
        targets.collect()
    }

    fn memory_targets(&self) -> Vec<Target> {
        let resident = self.memory.spread(Multiredlock, memory::KEY, Memory::resident_mib);
        let text = format!("resident MiB of {LOCKS} held locks");
        vec![Target(text, AtMost(64.0), resident)]
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
        let many_of_few = format!("hand-overs/s of {MANY_WAITERS} / {FOUR_PROCESSES}");
        let (many, few) = ((Multiredlock, MANY_WAITERS), (Multiredlock, FOUR_PROCESSES));
        vec![
            against(ONE_PROCESS, "hand-overs/s", AtLeast(50.0), hand_overs),
            against(ONE_PROCESS, "turns/s", AtLeast(1.2), |numbers| numbers.turns_per_second),
            against(ONE_PROCESS, "longest wait", AtMost(0.05), longest_wait),
            against(FOUR_PROCESSES, "hand-overs/s", AtLeast(20.0), hand_overs),
            share("a process's least", AtLeast(15.0), |numbers| numbers.least_share),
            share("a process's greatest", AtMost(35.0), |numbers| numbers.greatest_share),
            against(FOUR_PROCESSES, "longest wait", AtMost(0.1), longest_wait),
            Target(many_of_few, AtLeast(0.5), turns.ratio(many, few, hand_overs)),
        ]
    }

    fn waiting_targets(&self) -> Vec<Target> {
        let Contention {
            hand_over,
            idle,
            memory,
            ..
        } = &self.contention;
        let sent = |wanted| {
            let text = format!("commands/s sent for {} waiters, {wanted}", idle::WAITERS);
            let sent = idle.spread(Multiredlock, wanted, |numbers| numbers.waiting.sent);
            Target(text, AtMost(50.0), sent)
        };
        let [one, each] = idle::VARIANTS.map(sent);
        let text = "unlock to lock in another process, p50 / lone lock p50".to_owned();
        let ratio = hand_over.spread(Multiredlock, hand_over::KEY, hand_over::Numbers::p50_to_lone);
        let hand_over = Target(text, AtMost(3.0), ratio);
        let text = format!("resident MiB of {WAITERS} waiters for one resource");
        let resident = memory.spread(Multiredlock, Resources(1), Memory::resident_mib);
        vec![hand_over, one, each, Target(text, AtMost(200.0), resident)]
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
