//! Watches over a command while its lock is held.

use super::{
    Margins, Told,
    group::{Change, End, Group},
    watchdog::Watchdog,
};
use crate::{
    connect,
    exit::{self, Failure},
    facts::short,
    output::Output,
    queue::{Notice, Turn},
    signals::Signals,
};
use multiredlock::{Guard, Redlock};
use nix::sys::signal::Signal;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// If a renewal moves the end of the lock by more than this, `status` and waiting commands are shown the new end.
const SHOWN: Duration = Duration::from_millis(500);

/// A lock, and the turn of this process, for which others of this machine wait.
pub(super) struct Held<'a> {
    pub(super) redlock: &'a Redlock,
    pub(super) guard: Guard,
    pub(super) turn: Turn,
}

impl Held<'_> {
    /// What is said of a lock whose validity is nearly over.
    fn not_renewed(&self, resource: &str) -> Failure {
        let servers = self.redlock.servers();
        let group = self.redlock.group_of(resource);
        let troubles = connect::troubles(servers.iter().filter(|server| group == Ok(server.group)));
        let resource = short(resource);
        let problem = format!("the lock on `{resource}` could not be renewed in time{troubles}");
        Failure::new(exit::LOST, problem)
    }
}

/// Why a command has to end, and by when.
pub(super) struct Trouble {
    pub(super) reason: Failure,
    pub(super) kill_at: Instant,
}

/// Waits for the end of the command, unless the lock is in danger before.
pub(super) async fn supervise(
    held: &Held<'_>,
    resource: &str,
    group: &mut Group,
    signals: &mut Signals,
    margins: Margins,
    watchdog: &mut Watchdog,
    output: &Output,
) -> Result<End, Trouble> {
    let Held { guard, turn, .. } = held;
    let mut ends = Instant::now() + guard.validity();
    let mut shown = ends;
    loop {
        let loss = guard.loss();
        let remaining = guard.validity();
        if loss.is_none() {
            ends = Instant::now() + remaining;
            if ends > shown + SHOWN {
                turn.show(&Notice::ours(guard));
                shown = ends;
            }
            watchdog.allow(group.id(), remaining.saturating_sub(margins.kill / 2));
        }
        if loss.is_some() || remaining <= margins.notice() {
            // That signal is of the watchdog, if we were stopped: the lock is why the command ended.
            if let Some(end) = group.ended().filter(|end| *end != End::Signalled(Signal::SIGKILL)) {
                return Ok(end);
            }
            let reason = match &loss {
                Some(loss) => loss.into(),
                None => held.not_renewed(resource),
            };
            let now = Instant::now();
            let latest = ends.checked_sub(margins.kill).map_or(now, |latest| latest.max(now));
            return Err(Trouble {
                reason,
                kill_at: latest.min(now + margins.grace),
            });
        }
        tokio::select! {
            _ = guard.lost() => {}
            change = group.changed() => match change {
                // Whether the lock is the reason is seen above.
                Change::Ended(_) if guard.validity() <= margins.notice() => {}
                Change::Ended(end) => return Ok(end),
                // The lock may be lost by the time at which it goes on.
                Change::Stopped(by) => {
                    if group.was_stopped(by).await && guard.is_valid() {
                        group.go_on();
                    }
                }
            },
            signal = signals.next() => if let Err(error) = group.signal(signal) {
                let (signal, reason) = (signal.as_str(), error.desc());
                output.message(&Told::NotSent { signal, reason }, || {
                    format!("{signal} could not be sent to the command: {reason}")
                });
            },
            () = sleep(margins.tick().min(remaining.saturating_sub(margins.notice()))) => {}
        }
    }
}
