//! The signals that this program hears, and how it ends by one.

use crate::{
    exit::{self, Failure},
    output,
};
use nix::sys::signal::Signal;
use std::{future::poll_fn, sync::OnceLock, task::Poll};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// Signals that are listened for.
///
/// One that whoever started us wanted ignored, as `nohup` does, is not, so that the command inherits that.
#[derive(Debug)]
pub(crate) struct Signals(Vec<(Signal, Stream)>);

impl Signals {
    pub(crate) fn listen(to: &[Signal]) -> Result<Self, Failure> {
        let listen = |which: &Signal| Ok::<_, std::io::Error>((*which, signal(SignalKind::from_raw(*which as i32))?));
        let heard = to.iter().filter(|which| !is_ignored(**which)).map(listen);
        heard
            .collect::<std::io::Result<Vec<_>>>()
            .map(Self)
            .map_err(|error| Failure::new(exit::SOFTWARE, format!("no signals: {error}")))
    }

    /// Waits for the next one. Dropping it loses nothing.
    pub(crate) async fn next(&mut self) -> Signal {
        poll_fn(|cx| {
            let mut streams = self.0.iter_mut();
            let heard = streams.find_map(|(which, stream)| stream.poll_recv(cx).is_ready().then_some(*which));
            heard.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Waits for the next one, which is the end. Dropping it loses nothing.
    pub(crate) async fn interrupted(&mut self) -> Failure {
        let which = self.next().await;
        Failure::new(exit::signalled(which), format!("ended by {which}"))
    }
}

/// The signals that ask this program to end.
pub(crate) fn interruptions() -> Result<Signals, Failure> {
    Signals::listen(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])
}

/// Resolves when this program is asked to end.
pub(crate) async fn interrupted() -> Failure {
    match interruptions() {
        Ok(mut signals) => signals.interrupted().await,
        Err(failure) => failure,
    }
}

/// Ends this program as SIGINT does, since a shell goes on with its script unless the program that it waited for died of that.
pub(crate) fn die_of_interrupt() {
    output::flush();
    // Whatever goes wrong, the exit code that follows says the same.
    let _ = signal_hook::low_level::emulate_default_handler(Signal::SIGINT as i32);
}

/// Whether a signal was ignored before anything listened for it.
fn is_ignored(which: Signal) -> bool {
    static IGNORED: OnceLock<u64> = OnceLock::new();
    let ignored = IGNORED.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        ignored_by(&status)
    });
    ignored & (1 << (which as i32 - 1)) != 0
}

/// The set of ignored signals that Linux tells, the first in the lowest bit; none elsewhere.
fn ignored_by(status: &str) -> u64 {
    let field = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    field
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_of_ignored_signals_is_read() {
        assert_eq!(ignored_by("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t01\n"), 0x1001);
        assert_eq!(ignored_by("Name:\tx\n"), 0);
    }
}
