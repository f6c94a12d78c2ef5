//! What is asked for on the command line.

mod child;

use std::{error::Error, str::FromStr, time::Duration};

use crate::{Result, contenders::Name};

pub use self::child::{Child, Role};

pub const HELP: &str = "\
usage: cargo run --release -p bench -- [MEASUREMENT] [OPTIONS]

measurements:
  all         everything below (the default)
  throughput  cycles of lock and unlock: rate, latency, processor time, allocations
  frozen      latency of a lock while one of three servers is frozen
  memory      memory that 100,000 held locks take in the client
  contention  waiting for one resource: turns, hand-overs, commands, memory

options:
  --seconds S       length of one measurement (2; contention 10)
  --repeats R       how often each is repeated, the contenders taking turns (5; contention 3)
  --servers N,..    numbers of servers (1,3,5; frozen, memory and contention take 3)
  --callers N,..    numbers of concurrent callers (1,64,512)
  --contender C,..  multiredlock, plain-fred, rslock, floor (all of them; contention knows multiredlock and rslock)

REDIS_SERVER names the server to start; without it, it is the redis-server of the path.
";

pub enum Command {
    Help,
    Measure(Plan),
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
}

/// How long one measurement of contention lasts, and how often it is made. A wait can be long, so it takes more time than
/// the others, and fewer repeats.
#[derive(Clone, Copy)]
pub struct Effort {
    pub window: Duration,
    pub repeats: usize,
}

impl Plan {
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
        Some(word @ ("all" | "throughput" | "frozen" | "memory" | "contention")) => word,
        Some(word) => return Err(format!("no measurement is called `{word}`; try --help").into()),
        None => "all",
    };
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
    };
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
            "--contender" => plan.contenders = list(&value)?,
            _ => return Err(format!("no option is called `{option}`; try --help").into()),
        }
    }
    let counts = [plan.repeats].into_iter().chain(plan.servers.iter().copied());
    if counts.chain(plan.callers.iter().copied()).any(|count| count == 0) || plan.window.is_zero() {
        return Err("repeats, servers, callers and seconds must all be more than 0".into());
    }
    plan.contention = chosen("contention").then_some(contention);
    Ok(Command::Measure(plan))
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
