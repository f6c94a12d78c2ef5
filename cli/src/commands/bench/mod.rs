//! `multiredlock bench`.

mod consent;
mod histogram;
mod measure;
mod numbers;
mod percentiles;
mod progress;
mod report;

use crate::{
    connect,
    duration::{self, show},
    exit::{self, Failure},
    output::Output,
    settings::Settings,
    signals::interrupted,
};
use clap::Args;
use measure::{Load, Measured};
use multiredlock::Redlock;
use progress::Progress;
use report::Report;
use std::{
    hash::{BuildHasher, Hasher, RandomState},
    pin::{Pin, pin},
    time::{Duration, SystemTime},
};

const DURATIONS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

const MOST_CALLERS: usize = 1024;

/// If this program is killed its keys outlive it by no more than that.
const LONGEST_TTL: Duration = Duration::from_secs(60);

/// The shortest time for which the library lets servers remember a token.
const SHORTEST_FENCE_EXPIRY: Duration = Duration::from_secs(2);

/// Measures how fast locks are on these servers
///
/// Callers lock and unlock resources of their own, each as soon as its last cycle is over: under keys that begin with
/// `{key prefix}multiredlock-bench:`, so nobody's lock is touched, and nothing is left in the end. It is a load that others
/// notice, so it asks first unless all servers are on this machine.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  multiredlock bench --callers 64 --duration 10s
  multiredlock bench --yes --json | jq '.lock.p99_us'

A lock is one attempt, which ends when a majority has granted it. An unlock ends when all servers
have answered. A warm-up goes before it, of a fifth of the duration but at most 1s, which does not
count. Ctrl-C ends it early with the results so far. A server that does not answer in the end, or
has another token with --fenced, forgets what is left within the ttl, and tokens within 2s at least.

Exit codes: 0 if it is measured, also if some locks failed; 64 if it had to ask and nobody agreed;
69 if there is no majority, or every lock failed; 128+n if signal n ended it.")]
pub(crate) struct Bench {
    /// How long it is measured, 100ms to 1m
    #[arg(long, visible_alias = "seconds", value_parser = duration::parse, value_name = "DURATION", default_value = "5s")]
    duration: Duration,
    /// How many lock and unlock at a time, at most 1024
    #[arg(long, value_name = "N", default_value_t = 16)]
    callers: usize,
    /// The ttl of the locks, at most 1m
    #[arg(long, value_parser = duration::parse, value_name = "DURATION", default_value = "10s")]
    ttl: Duration,
    /// Asks for a fencing token with each lock
    #[arg(long)]
    fenced: bool,
    /// Does not ask, also if servers are on other machines
    #[arg(long)]
    yes: bool,
}

impl Bench {
    pub(crate) async fn execute(self, settings: &Settings, output: &Output) -> Result<u8, Failure> {
        self.check()?;
        let key_prefix = key_prefix(settings.key_prefix.as_deref().unwrap_or_default());
        // What is wrong with the settings is told before anybody is asked.
        let mut builder = settings.builder()?.key_prefix(&key_prefix);
        if self.fenced {
            // Nobody is interested in these tokens for longer, and no server has to remember them.
            builder = builder.fence_expiry(self.ttl.max(SHORTEST_FENCE_EXPIRY));
        }
        if !self.yes {
            let what = format!("bench {} callers for {}", self.callers, show(self.duration));
            consent::ask(&what, settings.groups.iter().flatten())?;
        }

        let redlock = builder.build()?;
        let load = Load {
            callers: self.callers,
            ttl: self.ttl,
            fenced: self.fenced,
            duration: self.duration,
            key_prefix,
        };
        let outcome = measured(&redlock, load, output, pin!(interrupted())).await;
        redlock.close().await;
        let (report, measured) = outcome?;

        let delivered = output.deliver(&report, || report.in_words(&measured, numbers::terminal_width()));
        tokio::select! {
            biased;
            interrupted = interrupted() => return Err(interrupted),
            delivered = delivered => delivered?,
        };
        measured.ended.map_or(Ok(0), Err)
    }

    fn check(&self) -> Result<(), Failure> {
        let (shortest, longest) = DURATIONS;
        let (duration, callers, ttl) = (show(self.duration), self.callers, show(self.ttl));
        let problem = match self {
            _ if self.duration < shortest => format!("--duration ({duration}) must be at least {}", show(shortest)),
            _ if self.duration > longest => format!("--duration ({duration}) must be at most {}", show(longest)),
            _ if callers == 0 => "--callers (0) must be at least 1".into(),
            _ if callers > MOST_CALLERS => format!("--callers ({callers}) must be at most {MOST_CALLERS}"),
            _ if self.ttl > LONGEST_TTL => format!("--ttl ({ttl}) must be at most {}", show(LONGEST_TTL)),
            _ => return Ok(()),
        };
        Err(Failure::new(exit::USAGE, problem))
    }
}

async fn measured(
    redlock: &Redlock,
    load: Load,
    output: &Output,
    mut interrupted: Pin<&mut impl Future<Output = Failure>>,
) -> Result<(Report, Measured), Failure> {
    tokio::select! {
        biased;
        interrupted = &mut interrupted => return Err(interrupted),
        connected = connect::wait(redlock) => connected?,
    }
    let started = SystemTime::now();
    let quorums = redlock.quorums();
    let progress = output.is_live().then(|| Progress::new(load.duration));
    let measured = measure::measure(redlock, &load, progress.as_ref(), interrupted).await?;
    Ok((Report::new(&load, &measured, &quorums, started), measured))
}

/// What begins no other key: neither of a lock, nor of another run of this.
fn key_prefix(configured: &str) -> String {
    // The keys of a `RandomState` are random, so that its hash of nothing is.
    let random = RandomState::new().build_hasher().finish();
    format!("{configured}multiredlock-bench:{random:016x}:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_runs_have_keys_in_common() {
        let [one, other] = [key_prefix("lock:"), key_prefix("lock:")];
        let is_apart = one.starts_with("lock:multiredlock-bench:") && one.ends_with(':');
        assert!(is_apart, "{one}");
        assert_ne!(one, other);
    }
}
