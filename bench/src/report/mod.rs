//! Everything that a run has seen, as Markdown and as pictures.

mod pictures;
mod spread;
mod table;
mod tables;
mod targets;

use std::fmt;

use time::{Date, OffsetDateTime};

use crate::{
    args::{Effort, Measurement, Plan},
    machine::Machine,
    measure::{Samples, contention::Contention, frozen, throughput},
    plural,
    usage::Memory,
};

pub use self::{pictures::Folder, table::write_table};

pub struct Report<'p> {
    plan: &'p Plan,
    date: Date,
    machine: Machine,
    pub throughput: Samples<throughput::Size, throughput::Numbers>,
    pub frozen: Samples<(frozen::Demand, &'static str), frozen::Numbers>,
    pub memory: Samples<&'static str, Memory>,
    pub contention: Contention,
}

impl<'p> Report<'p> {
    /// A report in which nothing is measured yet.
    pub fn new(plan: &'p Plan) -> Self {
        Self {
            plan,
            date: OffsetDateTime::now_utc().date(),
            machine: Machine::look(),
            throughput: Samples::default(),
            frozen: Samples::default(),
            memory: Samples::default(),
            contention: Contention::default(),
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Measured on {}. Machine: {}.", self.date, self.machine)?;
        write!(f, "Each number is the median of {}", self.plan.effort())?;
        if self.plan.measures(Measurement::Contention) {
            write!(f, " (contention: {})", self.plan.contention_effort())?;
        }
        writeln!(f, ", with the least and the greatest in brackets.")?;
        self.write_throughput(f)?;
        self.write_lone(f)?;
        self.write_frozen(f)?;
        self.write_memory(f)?;
        self.write_turns(f)?;
        self.write_hand_over(f)?;
        self.write_idle(f)?;
        self.write_waiters_memory(f)?;
        self.write_targets(f)
    }
}

impl fmt::Display for Effort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {:?}", plural(self.repeats, "measurement"), self.window)
    }
}
