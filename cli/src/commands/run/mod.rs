//! `multiredlock run`.

mod descendants;
mod group;
mod program;
mod supervise;
mod terminal;
pub(crate) mod waiting;
pub(crate) mod watchdog;

use crate::{
    duration::{self, millis, show},
    exit::{self, Failure},
    facts::timestamp,
    output::Output,
    settings::Settings,
    signals::{Signals, die_of_interrupt},
};
use clap::Args;
use group::{End, Group};
use multiredlock::{Guard, ReleaseError};
use nix::sys::signal::Signal;
use serde::Serialize;
use std::{
    ffi::OsString,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use supervise::{Held, Trouble, supervise};
use tokio::time::Instant;
use waiting::{Wait, Wanted};
use watchdog::Watchdog;

/// The signals that are handed on to the command.
const HANDED_ON: [Signal; 6] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// The shortest ttl that leaves time to end a command.
const SHORTEST_TTL: Duration = Duration::from_secs(1);

/// How long the command has to end by itself, unless a third of the ttl is less.
const GRACE: Duration = Duration::from_secs(5);

/// Runs a command under a lock
///
/// Waits for the lock, runs the command, renews the lock for as long as it runs, and gives it back then. When the lock is
/// lost, or cannot be renewed in time, the command and its children are ended before somebody else can have it: by SIGTERM, and
/// after a grace by SIGKILL.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  multiredlock run backup -- pg_dump -f /backup/today.sql db
  multiredlock run nightly --no-wait --ttl 1m -- sh -c 'import && report'
  multiredlock run report --fenced -- sh -c './publish --token $MULTIREDLOCK_TOKEN'

The command gets MULTIREDLOCK_RESOURCE, _VALUE, _EXPIRES_AT (Unix time in seconds, as it was at the start; renewals move
it), and with --fenced _TOKEN. Its standard streams and its terminal are ours. If this program crashes, is killed, or is
stopped for too long, the command and all in its process group are killed too. What it leaves running when it ends by
itself goes on without the lock.

Exit codes: that of the command; 75 if somebody else holds it (--conflict-exit-code), 69 if no majority can be reached (with
--wait or --no-wait; otherwise that is waited for too), 79 if the lock was lost, 77 if it was and a process of the command goes
on that this user may not end (as with sudo), 126 or 127 if there is no such command.")]
pub(crate) struct Run {
    /// What is locked
    resource: String,
    /// How long the others wait at the most if this machine dies; at least 1s
    #[arg(long, value_parser = duration::parse, value_name = "DURATION", default_value = "30s")]
    ttl: Duration,
    #[command(flatten)]
    wait: Wait,
    /// How long the command has to end by itself if the lock is lost, at most a third of the ttl [default: 5s, or that]
    #[arg(long, value_parser = duration::parse, value_name = "DURATION")]
    grace: Option<Duration>,
    /// Asks for a fencing token too, for `MULTIREDLOCK_TOKEN`
    #[arg(long)]
    fenced: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What is told to programs, on standard error.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Told<'a> {
    Locked {
        resource: &'a str,
        token: Option<u64>,
        valid_for_ms: u64,
        expires_at: String,
    },
    Ending {
        resource: &'a str,
        reason: String,
    },
    Ended {
        resource: &'a str,
        exit_code: u8,
    },
    /// A signal that was to be handed on to the command.
    NotSent {
        signal: &'a str,
        reason: &'a str,
    },
}

/// When a command has to be asked to end, and when it is killed, before the validity of its lock is over.
#[derive(Clone, Copy, Debug)]
struct Margins {
    /// From the request to the kill.
    grace: Duration,
    /// From the kill to the end of the validity.
    kill: Duration,
}

impl Run {
    pub(crate) async fn execute(self, settings: &Settings, output: &Output) -> Result<u8, Failure> {
        let margins = self.margins(settings)?;
        let program = &self.command[0];
        if program.is_empty() {
            return Err(Failure::new(exit::USAGE, "the command is empty"));
        }
        program::find(program)?;
        descendants::check()?;
        let wanted = Wanted {
            resource: &self.resource,
            ttl: self.ttl,
            fenced: self.fenced,
        };
        let waiting = self.wait.turn(wanted, settings, output).await?;
        // Not before: of many that queue only one has a second process, and connections.
        let redlock = settings.redlock()?;
        let watchdog = Watchdog::start()?;
        let outcome = match waiting.acquire(&redlock).await {
            Ok((guard, turn)) => {
                let held = Held {
                    redlock: &redlock,
                    guard,
                    turn,
                };
                self.hold(held, margins, watchdog, output).await
            }
            Err(failure) => {
                watchdog.done();
                Err(failure)
            }
        };
        redlock.close().await;
        if let Ok(End::Signalled(Signal::SIGINT)) = outcome {
            die_of_interrupt();
        }
        outcome.map(End::code)
    }

    fn margins(&self, settings: &Settings) -> Result<Margins, Failure> {
        let (ttl, longest, ttl_shown) = (self.ttl, self.ttl / 3, show(self.ttl));
        let refused = |problem| Err(Failure::new(exit::USAGE, problem));
        if ttl < SHORTEST_TTL {
            let least = show(SHORTEST_TTL);
            return refused(format!(
                "--ttl ({ttl_shown}) must be at least {least}, so that there is time to end the command"
            ));
        }
        let grace = self.grace.unwrap_or(GRACE.min(longest));
        let grace_shown = show(grace);
        if grace > longest {
            return refused(format!(
                "--grace ({grace_shown}) must not exceed a third of --ttl ({ttl_shown})"
            ));
        }
        let margins = Margins {
            grace,
            kill: Duration::from_millis(250).min(ttl / 10),
        };
        // Right before a renewal two thirds of the ttl are left, less the drift.
        let drift = settings.drift.of(ttl);
        if margins.notice() + drift >= ttl * 2 / 3 {
            let drift = show(drift);
            return refused(format!(
                "--grace ({grace_shown}) and the drift ({drift}) leave no time to renew a lock of --ttl ({ttl_shown})"
            ));
        }
        Ok(margins)
    }

    /// Runs the command while the lock is held, and returns how it ended.
    async fn hold(
        &self,
        held: Held<'_>,
        margins: Margins,
        watchdog: Watchdog,
        output: &Output,
    ) -> Result<End, Failure> {
        let ended = self.protect(&held, margins, watchdog, output).await;
        if output.json
            && let Ok(end) = &ended
        {
            let (resource, exit_code) = (self.resource.as_str(), end.code());
            output.message(&Told::Ended { resource, exit_code }, String::new);
        }
        let Held { guard, turn, .. } = held;
        let end = match ended {
            Ok(end) => end,
            Err(failure) => {
                if failure.code == exit::NOT_PERMITTED {
                    // What goes on is a reason to leave what is left of the lock in place, and none to release it.
                    let _ = guard.into_lock();
                }
                return Err(failure);
            }
        };
        if let Some(loss) = guard.loss() {
            return Err(end.without_lock(&(&loss).into()));
        }
        let released = guard.release().await;
        // The next process of this machine finds the resource free.
        drop(turn);
        match released {
            Err(error @ ReleaseError::Gone { .. }) => Err(end.without_lock(&error.into())),
            // Whoever does not know yet hears of it when it is back, or sees the ttl run out.
            Ok(()) | Err(_) => Ok(end),
        }
    }

    /// Runs the command, and ends it if the lock does.
    async fn protect(
        &self,
        held: &Held<'_>,
        margins: Margins,
        mut watchdog: Watchdog,
        output: &Output,
    ) -> Result<End, Failure> {
        let guard = &held.guard;
        let resource = self.resource.as_str();
        let mut signals = Signals::listen(&HANDED_ON)?;
        if guard.validity() <= margins.notice() {
            let problem = "the lock was granted so late that there is no time to run the command";
            return Err(Failure::new(exit::LOST, problem));
        }
        watchdog.allow_start(guard.validity().saturating_sub(margins.kill / 2));
        let mut group = match Group::start(&self.command, &self.variables(guard), watchdog.id()) {
            Ok(group) => group,
            Err(failure) => {
                watchdog.done();
                return Err(failure);
            }
        };
        #[cfg(debug_assertions)]
        if std::env::var_os("MULTIREDLOCK_TEST_STOP").is_some() {
            let _ = nix::sys::signal::raise(Signal::SIGSTOP);
        }
        watchdog.allow(group.id(), guard.validity().saturating_sub(margins.kill / 2));
        if output.json {
            let validity = guard.validity();
            let told = Told::Locked {
                resource,
                token: guard.token().map(u64::from),
                valid_for_ms: millis(validity),
                expires_at: timestamp(SystemTime::now() + validity),
            };
            output.message(&told, String::new);
        }
        let supervised = supervise(held, resource, &mut group, &mut signals, margins, &mut watchdog, output).await;
        let ended = match supervised {
            Ok(end) => Ok(end),
            Err(Trouble { reason, kill_at }) => {
                let grace = kill_at.saturating_duration_since(Instant::now());
                let told = Told::Ending {
                    resource,
                    reason: reason.message.clone(),
                };
                output.message(&told, || {
                    let grace = show(grace);
                    format!("{}; the command is being ended within {grace}", reason.message)
                });
                let failure = match group.end(kill_at).await {
                    Ok(()) => Failure::new(exit::LOST, format!("the command was ended: {}", reason.message)),
                    Err(left) => {
                        let problem = format!("{}: {}", watchdog::not_ended(&left), reason.message);
                        Failure::new(exit::NOT_PERMITTED, problem)
                    }
                };
                Err(failure)
            }
        };
        // Before the release, for which servers that are frozen may take longer than the lock is valid.
        watchdog.done();
        ended
    }

    fn variables(&self, guard: &Guard) -> [(&'static str, Option<String>); 4] {
        let expires_at = SystemTime::now() + guard.validity();
        let seconds = expires_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        [
            ("MULTIREDLOCK_RESOURCE", Some(self.resource.clone())),
            ("MULTIREDLOCK_VALUE", Some(guard.lock().value().into())),
            ("MULTIREDLOCK_TOKEN", guard.token().map(|token| token.to_string())),
            ("MULTIREDLOCK_EXPIRES_AT", Some(seconds.to_string())),
        ]
    }
}

impl Margins {
    /// How long before the end of the validity the command is asked to end.
    fn notice(self) -> Duration {
        self.grace + self.kill
    }

    /// How often the watchdog hears until when the command may run.
    fn tick(self) -> Duration {
        self.kill
    }
}
