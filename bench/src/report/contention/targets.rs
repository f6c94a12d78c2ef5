//! What waiting must reach.

use super::super::{
    Report,
    memory::MEBIBYTE,
    spread::Spread,
    targets::{
        Bound::{AtLeast, AtMost},
        Target,
    },
};
use crate::{
    contenders::Name,
    measure::contention::{
        idle, memory,
        turns::{Crew, FOUR_PROCESSES, MANY_WAITERS, Numbers, ONE_PROCESS},
    },
};

impl Report<'_> {
    pub(in crate::report) fn contention_targets(&self) -> Vec<Target> {
        let mut targets = self.turns_targets();
        targets.push((
            "unlock to lock in another process, p50 / lone lock p50".to_owned(),
            AtMost(3.0),
            self.hand_over_of(Name::Multiredlock, |sample| sample.p50 / sample.lone_p50),
        ));
        for wanted in idle::VARIANTS {
            targets.push((
                format!("commands/s sent for {} waiters, {wanted}", idle::WAITERS),
                AtMost(50.0),
                self.idle_of(Name::Multiredlock, wanted, |sample| sample.waiting.sent),
            ));
        }
        let resident = self.waiters_memory_of(Name::Multiredlock, 1, |sample| sample.resident);
        targets.push((
            format!("resident MiB of {} waiters for one resource", memory::WAITERS),
            AtMost(200.0),
            resident.map(|bytes| bytes.scaled(1.0 / MEBIBYTE)),
        ));
        targets
    }

    fn turns_targets(&self) -> Vec<Target> {
        let hand_overs = |numbers: &Numbers| numbers.hand_overs_per_second;
        let longest_wait = |numbers: &Numbers| numbers.longest_wait;
        let against = |crew: Crew, name: &str, bound, value: fn(&Numbers) -> f64| {
            let target = format!("{name} of {crew} / {}", Name::Rslock);
            (
                target,
                bound,
                self.turns_ratio((Name::Multiredlock, crew), (Name::Rslock, crew), value),
            )
        };
        let share = |name: &str, bound, value: fn(&Numbers) -> f64| {
            let samples = self.turns_of(Name::Multiredlock, FOUR_PROCESSES);
            let target = format!("{name} share of the turns, {FOUR_PROCESSES}, %");
            (target, bound, Spread::of(samples.map(|sample| value(&sample.numbers))))
        };
        vec![
            against(ONE_PROCESS, "hand-overs/s", AtLeast(50.0), hand_overs),
            against(ONE_PROCESS, "turns/s", AtLeast(1.2), |numbers| numbers.turns_per_second),
            against(ONE_PROCESS, "longest wait", AtMost(0.05), longest_wait),
            against(FOUR_PROCESSES, "hand-overs/s", AtLeast(20.0), hand_overs),
            share("a process's least", AtLeast(15.0), |numbers| numbers.least_share),
            share("a process's greatest", AtMost(35.0), |numbers| numbers.greatest_share),
            against(FOUR_PROCESSES, "longest wait", AtMost(0.1), longest_wait),
            (
                format!("hand-overs/s of {MANY_WAITERS} / {FOUR_PROCESSES}"),
                AtLeast(0.5),
                self.turns_ratio(
                    (Name::Multiredlock, MANY_WAITERS),
                    (Name::Multiredlock, FOUR_PROCESSES),
                    hand_overs,
                ),
            ),
        ]
    }

    /// Measurements of one repeat are compared with each other, since they were made next to each other.
    fn turns_ratio(&self, one: (Name, Crew), other: (Name, Crew), value: fn(&Numbers) -> f64) -> Option<Spread> {
        Spread::of(self.turns_of(one.0, one.1).filter_map(|sample| {
            let mut beside = self.turns_of(other.0, other.1);
            let beside = beside.find(|beside| beside.repeat == sample.repeat)?;
            Some(value(&sample.numbers) / value(&beside.numbers))
        }))
    }
}
