//! Everything that a run has seen, as Markdown and as pictures.

mod contention;
mod frozen;
mod memory;
mod pictures;
mod spread;
mod table;
mod targets;
mod throughput;

use std::fmt;

use time::{Date, OffsetDateTime};

use self::pictures::Caption;
use crate::{
    args::{Effort, Plan},
    contenders::Name,
    machine::Machine,
    measure,
};

pub use self::pictures::Folder;

pub struct Report<'p> {
    plan: &'p Plan,
    date: Date,
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
            date: OffsetDateTime::now_utc().date(),
            machine: Machine::look(),
            throughput: Vec::new(),
            frozen: Vec::new(),
            memory: Vec::new(),
            contention: measure::contention::Contention::default(),
        }
    }

    /// What a picture of these contenders says in words.
    fn caption(&self, title: String, reading: &str, names: &[Name], effort: Effort) -> Caption {
        let who: [(&[Name], &str); 3] = [
            (
                &[Name::Fenced, Name::Guarded],
                "fenced, restart guard: multiredlock with that option",
            ),
            (&[Name::PlainFred], "plain fred: a command per operation and server"),
            (&[Name::Floor], "floor: least cost of a lock"),
        ];
        let who = who
            .into_iter()
            .filter(|(about, _)| about.iter().any(|name| names.contains(name)));
        let who: Vec<_> = who.map(|(_, who)| who).collect();
        let measured = format!(
            "Measured on {}. Machine: {}. Each number is the median of {effort}.",
            self.date, self.machine
        );
        Caption {
            title,
            notes: vec![reading.to_owned()],
            origin: vec![who.join("; "), measured],
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Measured on {}. Machine: {}.", self.date, self.machine)?;
        write!(f, "Each number is the median of {}", self.plan.effort())?;
        if let Some(effort) = self.plan.contention {
            write!(f, " (contention: {effort})")?;
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

impl fmt::Display for Effort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {:?}", plural(self.repeats, "measurement"), self.window)
    }
}

fn plural(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}
