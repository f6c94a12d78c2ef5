//! Everything that a run has seen, as Markdown.

mod contention;
mod frozen;
mod memory;
mod spread;
mod table;
mod targets;
mod throughput;

use std::fmt;

use crate::{args::Plan, machine::Machine, measure};

pub struct Report<'p> {
    plan: &'p Plan,
    machine: Machine,
    pub throughput: Vec<measure::throughput::Sample>,
    pub frozen: Vec<measure::frozen::Sample>,
    pub memory: Vec<measure::memory::Sample>,
    pub contention: measure::contention::Contention,
}

impl<'p> Report<'p> {
    /// A report in which nothing is measured yet.
    pub fn new(plan: &'p Plan) -> Self {
        Self {
            plan,
            machine: Machine::look(),
            throughput: Vec::new(),
            frozen: Vec::new(),
            memory: Vec::new(),
            contention: measure::contention::Contention::default(),
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Machine: {}.", self.machine)?;
        write!(
            f,
            "Each number is the median of {} of {:?}",
            plural(self.plan.repeats, "measurement"),
            self.plan.window
        )?;
        if let Some(effort) = self.plan.contention {
            let repeats = plural(effort.repeats, "measurement");
            write!(f, " (contention: {repeats} of {:?})", effort.window)?;
        }
        writeln!(f, ", with the least and the greatest in brackets.")?;
        if self.plan.throughput {
            self.write_throughput(f)?;
            self.write_lone(f)?;
        }
        if self.plan.frozen {
            self.write_frozen(f)?;
        }
        if self.plan.memory {
            self.write_memory(f)?;
        }
        if self.plan.contention.is_some() {
            self.write_contention(f)?;
        }
        self.write_targets(f)
    }
}

fn plural(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}
