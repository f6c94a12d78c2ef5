//! What is asked for on the command line.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, builder::RangedU64ValueParser};
use serde::{Deserialize, Serialize};

use crate::{Result, contenders::Name, report::Folder, soak};

/// Measures multiredlock beside its peers: all of them in one run, on the same servers, taking turns.
#[derive(Parser)]
#[command(
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = "REDIS_SERVER names the server to start; without it, it is the redis-server of the path."
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub plan: Plan,
}

#[derive(Subcommand)]
pub enum Command {
    /// No measurement: real faults for some minutes, and whether all that is promised held
    Soak(soak::Plan),
    /// What a process does that was started by one of the others
    #[command(hide = true)]
    Child {
        #[arg(value_parser = |text: &str| serde_json::from_str::<Child>(text))]
        child: Child,
    },
}

/// What to measure, and how long.
#[derive(Args)]
pub struct Plan {
    /// What to measure
    #[arg(value_enum, default_value_t = Measurement::All)]
    measurement: Measurement,
    /// Length of one measurement [default: 2; contention 10]
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<Duration>,
    /// How often each is repeated, the contenders taking turns [default: 5; contention 3]
    #[arg(long, value_name = "R", value_parser = at_least_one())]
    repeats: Option<usize>,
    /// Numbers of servers; frozen, memory and contention take 3
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_values_t = [1, 3, 5], value_parser = at_least_one())]
    pub servers: Vec<usize>,
    /// Numbers of concurrent callers
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_values_t = [1, 64, 512], value_parser = at_least_one())]
    pub callers: Vec<usize>,
    /// The clients to compare; contention knows multiredlock and rslock
    #[arg(long = "contender", value_name = "C,..", value_enum, value_delimiter = ',', default_values_t = Name::ALL)]
    pub contenders: Vec<Name>,
    /// Also draws what was measured, into this folder: throughput.svg, frozen.svg, hand-overs.svg
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measurement {
    /// Everything below
    All,
    /// Cycles of lock and unlock: rate, latency, processor time, allocations
    Throughput,
    /// Latency of a lock while one of three servers is frozen
    Frozen,
    /// Memory that 100,000 held locks take in the client
    Memory,
    /// Waiting for one resource: turns, hand-overs, commands, memory
    Contention,
}

/// How long one measurement lasts, and how often it is made.
#[derive(Clone, Copy)]
pub struct Effort {
    pub window: Duration,
    pub repeats: usize,
}

impl Plan {
    pub fn measures(&self, measurement: Measurement) -> bool {
        [measurement, Measurement::All].contains(&self.measurement)
    }

    /// What the measurements take that are not of contention.
    pub fn effort(&self) -> Effort {
        self.effort_or(2, 5)
    }

    /// A wait can be long, so contention takes more time than the others, and fewer repeats.
    pub fn contention_effort(&self) -> Effort {
        self.effort_or(10, 3)
    }

    fn effort_or(&self, seconds: u64, repeats: usize) -> Effort {
        Effort {
            window: self.seconds.unwrap_or(Duration::from_secs(seconds)),
            repeats: self.repeats.unwrap_or(repeats),
        }
    }

    /// The contenders, without what is one of the others with another setting.
    pub fn peers(&self) -> Vec<Name> {
        self.only(|name| !matches!(name, Name::Fenced | Name::Guarded))
    }

    /// The contenders that can wait for a resource.
    pub fn waiting(&self) -> Vec<Name> {
        self.only(|name| matches!(name, Name::Multiredlock | Name::Rslock))
    }

    fn only(&self, is_chosen: fn(&Name) -> bool) -> Vec<Name> {
        self.contenders.iter().copied().filter(is_chosen).collect()
    }

    /// Where pictures go, if there shall be any.
    pub fn pictures(&self) -> Result<Option<Folder>> {
        if self.svg.is_some() && self.measurement == Measurement::Memory {
            return Err("`memory` has no picture, so `--svg` does not go with it".into());
        }
        self.svg.clone().map(Folder::open).transpose()
    }
}

/// What a process that a measurement starts is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Child {
    pub contender: Name,
    pub addresses: Vec<SocketAddr>,
    pub role: Role,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Role {
    /// Holds locks, and reports their memory.
    Hold { locks: usize },
    /// Has waiters take turns at one resource for this long. They are numbered from the first one on.
    Contend { first: u32, waiters: u32, window: Duration },
    /// Takes over the lock of the process that started it, again and again.
    TakeOver,
    /// Locks, waits and cancels until the parent process ends it.
    Soak { generation: u32, seed: u64 },
    /// Acquires guards at once, and holds them until the parent process asks for their release.
    Guards { guards: usize },
    /// Waits for a resource that many processes want, holds it for a moment and ends.
    Herd { process: usize },
    /// Lets waiters wait for resources that another client holds, and reports their memory.
    Wait { first: u32, waiters: u32, resources: u32 },
}

impl Child {
    /// The words by which this program is started as this child.
    pub fn arguments(&self) -> Result<[String; 2]> {
        Ok(["child".to_owned(), serde_json::to_string(self)?])
    }
}

fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

fn seconds(text: &str) -> Result<Duration> {
    let length = Duration::try_from_secs_f64(text.parse()?)?;
    if length.is_zero() {
        return Err("it must be more than 0".into());
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn parse(words: &[&str]) -> Arguments {
        Arguments::try_parse_from([&["bench"], words].concat()).expect("it is understood")
    }

    fn refusal(words: &[&str]) -> String {
        parse(words).plan.pictures().err().expect("it is refused").to_string()
    }

    #[test]
    fn what_is_written_for_a_child_is_what_it_reads() {
        let roles = [
            Role::Hold { locks: 7 },
            Role::Contend {
                first: 5,
                waiters: 10,
                window: Duration::from_millis(250),
            },
            Role::TakeOver,
        ];
        for role in roles {
            let child = Child {
                contender: Name::PlainFred,
                addresses: vec![([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into()],
                role,
            };
            let [word, told] = child.arguments().expect("it can be written");
            let Some(Command::Child { child: read }) = parse(&[&word, &told]).command else {
                panic!("it is a child");
            };
            assert_eq!(format!("{read:?}"), format!("{child:?}"));
        }
    }

    #[test]
    fn nothing_is_measured_for_no_time_or_never() {
        for option in ["--seconds", "--repeats", "--servers", "--callers"] {
            assert!(
                Arguments::try_parse_from(["bench", "all", option, "0"]).is_err(),
                "{option}"
            );
        }
    }

    #[test]
    fn a_contender_is_written_as_it_is_printed_or_with_a_hyphen() {
        let chosen = parse(&["--contender", "plain fred,restart-guard"]).plan.contenders;
        assert_eq!(chosen, [Name::PlainFred, Name::Guarded]);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named_before_anything_is_measured() {
        let file = std::env::temp_dir().join(format!("bench-no-folder-{}", std::process::id()));
        fs::write(&file, "").expect("a file can be written");
        let path = file.to_str().expect("it is text");
        let refused = refusal(&["throughput", "--svg", path]);
        fs::remove_file(&file).expect("it is there");
        assert!(
            refused.starts_with(&format!("could not write to `{path}`: ")),
            "{refused}"
        );
    }

    #[test]
    fn a_folder_for_pictures_is_made_and_left_empty() {
        let folder = std::env::temp_dir().join(format!("bench-pictures-{}", std::process::id()));
        let nested = folder.join("of/today");
        let arguments = parse(&["all", "--svg", nested.to_str().expect("it is text")]);
        let opened = arguments.plan.pictures().expect("it can be written");
        let left = fs::read_dir(&nested).expect("it is there").count();
        fs::remove_dir_all(&folder).expect("it is there");
        assert!(opened.is_some());
        assert_eq!(left, 0);
    }

    #[test]
    fn what_has_no_picture_is_refused() {
        assert_eq!(
            refusal(&["memory", "--svg", "anywhere"]),
            "`memory` has no picture, so `--svg` does not go with it"
        );
    }
}
