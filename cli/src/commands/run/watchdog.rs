//! A second process that ends the command if this one cannot: if it crashed, was killed, or was stopped past the end of its lock.
//!
//! It is this program, started with [`NAME`], and hears through its standard input which process group it watches and until
//! when that may run: lines of two numbers, or [`START`] and when while there is no group yet. The end of the input without the line [`DONE`] says that we are gone.

use super::descendants;
use crate::{
    exit::{self, Failure},
    output,
};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{SigSet, Signal, kill, killpg},
    time::{ClockId, clock_gettime},
    unistd::{Pid, getpid, getppid, read},
};
use std::{
    env,
    io::{self, Write},
    os::{fd::AsFd, unix::process::CommandExt},
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
    thread::sleep,
    time::Duration,
};

/// The only argument of a process that is a watchdog. No command has a name like that.
const NAME: &str = "--watchdog--";

const DONE: &str = "done";

const START: &str = "start";

/// How long a sleep of the machine may go unnoticed: timers do not go on meanwhile.
const LOOK: Duration = Duration::from_millis(500);

/// How often it is looked whether somebody is gone.
const TICK: Duration = Duration::from_millis(1);

/// How long it may take to end once it was told to.
const ENDS: Duration = Duration::from_millis(100);

/// The process that watches.
#[derive(Debug)]
pub(super) struct Watchdog {
    input: ChildStdin,
    process: Child,
}

impl Watchdog {
    /// Starts one that watches nothing yet.
    pub(super) fn start() -> Result<Self, Failure> {
        let problem = |error: io::Error| Failure::new(exit::SOFTWARE, format!("no watchdog: {error}"));
        let mut process = Command::new(this_program().map_err(problem)?)
            .arg0("multiredlock")
            .arg(NAME)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // Out of the way of signals that are meant for us.
            .process_group(0)
            .spawn()
            .map_err(problem)?;
        let input = process.stdin.take().expect("it is piped");
        // One that was stopped and reads nothing must not stop us as well.
        fcntl(&input, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(|error| problem(error.into()))?;
        Ok(Self { input, process })
    }

    pub(super) fn id(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.process.id()).expect("process ids are positive"))
    }

    /// Lets a command start that may run for so long. We may be stopped before its group is known here.
    pub(super) fn allow_start(&mut self, remaining: Duration) {
        self.tell(&format!("{START} {}", (now() + remaining).as_millis()));
    }

    /// Lets the group run for this much longer.
    pub(super) fn allow(&mut self, group: Pid, remaining: Duration) {
        self.tell(&format!("{group} {}", (now() + remaining).as_millis()));
    }

    /// Ends it: the command is over.
    pub(super) fn done(mut self) {
        self.tell(DONE);
        drop(self.input);
        // Whoever waits for us alone is not to be left with it. It may have been collected with all other children.
        let mut left = ENDS;
        while let (Ok(None), false) = (self.process.try_wait(), left.is_zero()) {
            sleep(TICK);
            left = left.saturating_sub(TICK);
        }
        if left.is_zero() {
            // It is stopped, or so slow that it would take our end for a crash.
            let _ = self.process.kill();
        }
    }

    /// A watchdog that somebody killed hears nothing, and the command runs on with one protection less. A line is so short that
    /// it is written as a whole or not at all.
    fn tell(&mut self, line: &str) {
        let _ = self.input.write(format!("{line}\n").as_bytes());
    }
}

/// Whether this process is a watchdog: it is over then.
pub(crate) fn entered() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    if arguments.next()? != NAME || arguments.next().is_some() {
        return None;
    }
    // What is sent to all of a service, or of a terminal, is not meant to end what protects others from it.
    let _ = SigSet::all().thread_block();
    let parent = getppid();
    if let Some((group, why)) = watch() {
        let told = match end(group, parent) {
            Ok(()) => format!("the command was killed: {why}"),
            Err(left) => format!("{}: {why}", not_ended(&left)),
        };
        // There may be nobody left to tell, or no terminal.
        output::stderr().try_write(format!("multiredlock: {told}\n"));
        output::flush();
    }
    Some(ExitCode::SUCCESS)
}

/// What is said of processes that could not be ended.
pub(super) fn not_ended(names: &str) -> String {
    format!("{names} could not be ended and may go on without the lock")
}

/// Kills the group, and as long as their parent is there also those that left it. An error names those that go on.
fn end(group: Option<Pid>, parent: Pid) -> Result<(), String> {
    let mut strays = Vec::new();
    // Each may start another before it is killed.
    for _ in 0..100 {
        let is_gone = group.is_none_or(|group| killpg(group, Signal::SIGKILL) == Err(Errno::ESRCH));
        strays = if getppid() == parent {
            descendants::of(parent, getpid())
        } else {
            Vec::new()
        };
        strays.retain(|stray| Some(stray.group) != group);
        for stray in &strays {
            let _ = kill(stray.id, Signal::SIGKILL);
        }
        if is_gone && strays.is_empty() {
            return Ok(());
        }
        sleep(TICK);
    }
    // None if all were killed, and are only not collected yet.
    descendants::left(group, strays).map_or(Ok(()), |left| Err(left.names()))
}

/// What the watchdog was told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Idle,
    Watch {
        /// None while the command is being started, so that all that descend from our parent are meant.
        group: Option<Pid>,
        until: Duration,
    },
    Done,
}

impl Order {
    /// How long there is nothing to do, in whole milliseconds as timers take them, and no less.
    fn left(self) -> Duration {
        match self {
            Self::Watch { until, .. } => {
                let left = until.saturating_sub(now());
                Duration::from_millis(u64::try_from(left.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX))
            }
            Self::Idle | Self::Done => Duration::MAX,
        }
    }
}

/// Returns whom to kill, and why.
fn watch() -> Option<(Option<Pid>, &'static str)> {
    let mut order = Order::Idle;
    let mut text = Vec::new();
    loop {
        let input = io::stdin();
        let mut ready = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(order.left().min(LOOK)).unwrap_or(PollTimeout::MAX);
        match poll(&mut ready, timeout) {
            // What was said while this process did not run counts before the time is up.
            Ok(0) => match order {
                Order::Watch { group, .. } if order.left().is_zero() => {
                    let why = "its lock was not renewed in time, since multiredlock was stopped";
                    return Some((group, why));
                }
                _ => continue,
            },
            Err(Errno::EINTR | Errno::EAGAIN) => continue,
            Ok(_) | Err(_) => {}
        }
        let mut buffer = [0; 256];
        match read(input.as_fd(), &mut buffer) {
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Ok(0) | Err(_) => {
                return match order {
                    Order::Watch { group, .. } => Some((group, "multiredlock is gone")),
                    Order::Idle | Order::Done => None,
                };
            }
            Ok(length) => {
                text.extend_from_slice(&buffer[..length]);
                order = last_order(&mut text, order);
                if order == Order::Done {
                    return None;
                }
            }
        }
    }
}

/// Takes the lines that are complete.
fn last_order(text: &mut Vec<u8>, mut order: Order) -> Order {
    while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
        let line: Vec<u8> = text.drain(..=end).collect();
        let line = String::from_utf8_lossy(&line);
        let mut words = line.split_whitespace();
        let (who, until) = (words.next(), words.next().and_then(|until| until.parse().ok()));
        order = match (who, until.map(Duration::from_millis)) {
            (Some(START), Some(until)) => Order::Watch { group: None, until },
            (Some(group), Some(until)) => match group.parse() {
                // 0 and 1 are not ours to kill.
                Ok(group @ 2..) => Order::Watch {
                    group: Some(Pid::from_raw(group)),
                    until,
                },
                _ => order,
            },
            _ if line.trim() == DONE => Order::Done,
            _ => order,
        };
    }
    order
}

/// A clock that counts the time that the machine sleeps, where there is one.
fn now() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = ClockId::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::CLOCK_MONOTONIC;
    clock_gettime(clock).expect("there is such a clock").into()
}

/// Also while its file is replaced by a newer one.
fn this_program() -> io::Result<std::path::PathBuf> {
    if cfg!(target_os = "linux") {
        Ok("/proc/self/exe".into())
    } else {
        env::current_exe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_orders_when_they_are_complete() {
        let watch = |group, until| Order::Watch {
            group: Some(Pid::from_raw(group)),
            until: Duration::from_millis(until),
        };
        let mut text = b"start 5".to_vec();
        assert_eq!(last_order(&mut text, Order::Idle), Order::Idle);
        text.extend(b"000\n77 10");
        let start = Order::Watch {
            group: None,
            until: Duration::from_secs(5),
        };
        assert_eq!(last_order(&mut text, Order::Idle), start);
        text.extend(b"00\n77 2000\n77 3");
        assert_eq!(last_order(&mut text, Order::Idle), watch(77, 2000));
        assert_eq!(text, b"77 3");
        text.extend(b"\n0 5\n1 5\nodd\n");
        assert_eq!(last_order(&mut text, watch(77, 2000)), watch(77, 3));
        text.extend(b"done\n");
        assert_eq!(last_order(&mut text, watch(77, 3)), Order::Done);
    }
}
