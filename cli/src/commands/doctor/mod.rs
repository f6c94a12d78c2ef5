//! `multiredlock doctor`.

mod address;
mod clock;
mod facts;
mod finding;
mod gather;
mod judge;
mod words;

use crate::{
    duration::{self, millis, show},
    exit::{self, Failure},
    output::Output,
    settings::Settings,
};
use clap::Args;
use facts::Terms;
use finding::Report;
use std::time::Duration;

/// The least that has to be left of a ttl for a lock.
const SHORTEST_VALIDITY: Duration = Duration::from_millis(1);

/// Examines the servers, and says what to do about what it finds
///
/// Looks for whatever makes a quorum less trustworthy: whether the servers are reached, let us in, are masters, distinct and of
/// an odd number; whether they may forget locks when they restart or their memory is full; what their clocks do, how long they
/// take to answer, and what we may do there. For that it takes locks of its own on each server, and gives them back.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  multiredlock doctor --ttl 60s
  multiredlock doctor --json | jq -r '.findings[] | select(.level == \"unsafe\") | .server, .found, .advice'

Exit codes: 0 if all is fine, 1 if there are warnings, 2 if locks are not safe, or cannot be had.")]
pub(crate) struct Doctor {
    /// The longest ttl in use
    #[arg(long, value_parser = duration::parse, value_name = "DURATION", default_value = "30s")]
    ttl: Duration,
}

impl Doctor {
    pub(crate) async fn execute(self, settings: &Settings, output: &Output) -> Result<u8, Failure> {
        // Wrong settings are told before a ttl that does not fit them.
        let redlock = settings.redlock()?;
        let terms = self.terms(settings)?;
        let servers = gather::gather(&redlock, settings).await?;
        let report = Report::new(judge::judge(&servers, &terms), millis(self.ttl));
        output.result(&report, || words::report(&report))?;
        Ok(report.verdict.exit_code())
    }

    fn terms(&self, settings: &Settings) -> Result<Terms, Failure> {
        let (ttl, drift) = (self.ttl, settings.drift.of(self.ttl));
        if ttl.saturating_sub(drift) < SHORTEST_VALIDITY {
            let [ttl, drift, least] = [ttl, drift, SHORTEST_VALIDITY].map(show);
            let problem = format!("--ttl ({ttl}) must exceed the drift ({drift}) by at least {least}");
            return Err(Failure::new(exit::USAGE, problem));
        }
        Ok(Terms {
            ttl,
            drift,
            attempt_timeout: settings.attempt_timeout,
            restart_guard: settings.restart_guard,
            key_prefix: settings.key_prefix.clone().unwrap_or_default(),
            accepts_any_certificate: settings.tls.accepts_any_certificate,
        })
    }
}
