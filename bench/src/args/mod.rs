//! What is asked for on the command line.

mod child;

use std::{error::Error, path::PathBuf, str::FromStr, time::Duration};

use crate::{Result, contenders::Name, report::Folder, soak};

pub use self::child::{Child, Role};

pub const HELP: &str = "\
usage: cargo run --release -p bench -- [MEASUREMENT] [OPTIONS]

measurements:
  all         everything below (the default)
  throughput  cycles of lock and unlock: rate, latency, processor time, allocations
  frozen      latency of a lock while one of three servers is frozen
  memory      memory that 100,000 held locks take in the client
  contention  waiting for one resource: turns, hand-overs, commands, memory
  soak        no measurement: real faults for some minutes, and whether all that is promised held

options:
  --seconds S       length of one measurement (2; contention 10)
  --repeats R       how often each is repeated, the contenders taking turns (5; contention 3)
  --servers N,..    numbers of servers (1,3,5; frozen, memory and contention take 3)
  --callers N,..    numbers of concurrent callers (1,64,512)
  --contender C,..  multiredlock, fenced, restart-guard, plain-fred, rslock, floor (all of them; contention knows
                    multiredlock and rslock)
  --svg DIR         also draws what was measured, into this folder: throughput.svg, frozen.svg, hand-overs.svg
  --minutes M       how long a soak lasts (1)
  --seed S          what a soak draws its faults from (at random)
  --guards N        how many guards one process of a soak acquires at once (5000)
  --processes N     how many processes of a soak wait for the same resource at once (200)

REDIS_SERVER names the server to start; without it, it is the redis-server of the path.
";

pub enum Command {
    Help,
    Measure(Plan),
    Soak(soak::Plan),
    Child(Child),
}

/// What to measure, and how long.
pub struct Plan {
    pub throughput: bool,
    pub frozen: bool,
    pub memory: bool,
    pub contention: Option<Effort>,
    pub window: Duration,
    pub repeats: usize,
    pub servers: Vec<usize>,
    pub callers: Vec<usize>,
    pub contenders: Vec<Name>,
    /// Where pictures go, if there shall be any.
    pub svg: Option<Folder>,
}

/// How long one measurement lasts, and how often it is made. A wait can be long, so contention takes more time than the
/// others, and fewer repeats.
#[derive(Clone, Copy)]
pub struct Effort {
    pub window: Duration,
    pub repeats: usize,
}

impl Plan {
    /// What the measurements take that are not of contention.
    pub fn effort(&self) -> Effort {
        Effort {
            window: self.window,
            repeats: self.repeats,
        }
    }

    /// The contenders in the order of one repeat. Each is first in turn, so that none always follows the same one.
    pub fn turns(&self, repeat: usize) -> Vec<Name> {
        rotated(self.contenders.clone(), repeat)
    }

    /// The same, without what is one of the others with another setting.
    pub fn peer_turns(&self, repeat: usize) -> Vec<Name> {
        rotated(self.peers(), repeat)
    }

    /// The contenders, without what is one of the others with another setting.
    pub fn peers(&self) -> Vec<Name> {
        let is_peer = |name: &Name| !matches!(name, Name::Fenced | Name::Guarded);
        self.contenders.iter().copied().filter(is_peer).collect()
    }

    /// The same, of those that can wait for a resource.
    pub fn waiting_turns(&self, repeat: usize) -> Vec<Name> {
        rotated(self.waiting(), repeat)
    }

    /// The contenders that can wait for a resource.
    pub fn waiting(&self) -> Vec<Name> {
        let waiting = |name: &Name| Name::WAITING.contains(name);
        self.contenders.iter().copied().filter(waiting).collect()
    }
}

pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Command> {
    let mut arguments = arguments.peekable();
    let word = arguments.next_if(|argument| !argument.starts_with('-'));
    if let Some(child) = word.as_deref().and_then(|word| Child::parse(word, &mut arguments)) {
        return child.map(Command::Child);
    }
    let measurement = match word.as_deref() {
        Some(word @ ("all" | "throughput" | "frozen" | "memory" | "contention" | "soak")) => word,
        Some(word) => return Err(format!("no measurement is called `{word}`; try --help").into()),
        None => "all",
    };
    if measurement == "soak" {
        return soak_plan(arguments);
    }
    let chosen = |name| measurement == name || measurement == "all";
    let mut contention = Effort {
        window: Duration::from_secs(10),
        repeats: 3,
    };
    let mut plan = Plan {
        throughput: chosen("throughput"),
        frozen: chosen("frozen"),
        memory: chosen("memory"),
        contention: None,
        window: Duration::from_secs(2),
        repeats: 5,
        servers: vec![1, 3, 5],
        callers: vec![1, 64, 512],
        contenders: Name::ALL.to_vec(),
        svg: None,
    };
    let mut svg = None;
    while let Some(option) = arguments.next() {
        if matches!(option.as_str(), "--help" | "-h") {
            return Ok(Command::Help);
        }
        let value = arguments
            .next()
            .ok_or_else(|| format!("`{option}` needs a value; try --help"))?;
        match option.as_str() {
            "--seconds" => {
                plan.window = Duration::try_from_secs_f64(value.parse()?)?;
                contention.window = plan.window;
            }
            "--repeats" => {
                plan.repeats = value.parse()?;
                contention.repeats = plan.repeats;
            }
            "--servers" => plan.servers = list(&value)?,
            "--callers" => plan.callers = list(&value)?,
            "--svg" => svg = Some(PathBuf::from(value)),
            "--contender" => plan.contenders = list(&value)?,
            _ => return Err(format!("no option is called `{option}`; try --help").into()),
        }
    }
    let counts = [plan.repeats].into_iter().chain(plan.servers.iter().copied());
    if counts.chain(plan.callers.iter().copied()).any(|count| count == 0) || plan.window.is_zero() {
        return Err("repeats, servers, callers and seconds must all be more than 0".into());
    }
    plan.contention = chosen("contention").then_some(contention);
    if svg.is_some() && measurement == "memory" {
        return Err("`memory` has no picture, so `--svg` does not go with it".into());
    }
    plan.svg = svg.map(Folder::open).transpose()?;
    Ok(Command::Measure(plan))
}

fn soak_plan(mut arguments: impl Iterator<Item = String>) -> Result<Command> {
    let mut plan = soak::Plan {
        length: Duration::from_secs(60),
        seed: fastrand::u64(..),
        guards: 5_000,
        processes: 200,
    };
    while let Some(option) = arguments.next() {
        if matches!(option.as_str(), "--help" | "-h") {
            return Ok(Command::Help);
        }
        let value = arguments
            .next()
            .ok_or_else(|| format!("`{option}` needs a value; try --help"))?;
        match option.as_str() {
            "--minutes" => plan.length = Duration::try_from_secs_f64(60.0 * value.parse::<f64>()?)?,
            "--seed" => plan.seed = value.parse()?,
            "--guards" => plan.guards = value.parse()?,
            "--processes" => plan.processes = value.parse()?,
            _ => return Err(format!("a soak has no option `{option}`; try --help").into()),
        }
    }
    Ok(Command::Soak(plan))
}

fn rotated(mut names: Vec<Name>, repeat: usize) -> Vec<Name> {
    let first = repeat.checked_rem(names.len()).unwrap_or_default();
    names.rotate_left(first);
    names
}

fn list<T>(text: &str) -> Result<Vec<T>>
where
    T: FromStr<Err: Into<Box<dyn Error + Send + Sync>>>,
{
    text.split(',').map(|item| item.parse().map_err(Into::into)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn refusal(words: &[&str]) -> String {
        let outcome = parse(words.iter().map(ToString::to_string));
        outcome.err().expect("it is refused").to_string()
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
        let words = ["all", "--svg", nested.to_str().expect("it is text")];
        let Ok(Command::Measure(plan)) = parse(words.map(str::to_owned).into_iter()) else {
            panic!("it is a plan");
        };
        let left = fs::read_dir(&nested).expect("it is there").count();
        fs::remove_dir_all(&folder).expect("it is there");
        assert!(plan.svg.is_some());
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
