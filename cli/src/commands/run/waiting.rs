//! Waiting for a lock, and telling who holds it meanwhile.

use crate::{
    connect, duration,
    exit::{self, Failure},
    facts::{self, HolderFact},
    output::Output,
    signals::interrupted,
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use multiredlock::{AcquireRequest, Guard, LockError, Ownership, Redlock};
use serde::Serialize;
use std::time::Duration;
use tokio::time::sleep;

/// How long nothing is said of waiting: most locks are there by then.
const SILENT: Duration = Duration::from_millis(200);

/// How long it takes at the most until it is said what is waited for.
const SETTLED: Duration = Duration::from_millis(500);

/// How often it is looked who holds the resource.
const LOOK: Duration = Duration::from_secs(1);

/// How long to wait for somebody else's lock, and how to end if that was not long enough.
#[derive(Args, Debug)]
pub(crate) struct Wait {
    /// Waits no longer than this, for whoever holds it or for a majority [default: as long as it takes]
    #[arg(long = "wait", value_parser = duration::parse, value_name = "DURATION", conflicts_with = "none")]
    longest: Option<Duration>,
    /// Does not wait if somebody else holds it
    #[arg(long = "no-wait")]
    none: bool,
    /// The exit code if somebody else holds it
    #[arg(long, value_name = "CODE", default_value_t = exit::HELD)]
    conflict_exit_code: u8,
}

impl Wait {
    /// Takes the lock, and tells who holds it until then. An interruption leaves nothing locked.
    pub(crate) async fn acquire(
        &self,
        redlock: &Redlock,
        (resource, ttl, fenced): (&str, Duration, bool),
        output: &Output,
    ) -> Result<Guard, Failure> {
        let acquired = async {
            if self.does_not() {
                connect::wait_for(redlock, resource).await?;
            } else {
                connect::settle(redlock, resource, SETTLED).await;
            }
            let request = self.request(redlock, resource, ttl);
            let request = if fenced { request.fenced() } else { request };
            tokio::select! {
                biased;
                guard = request => guard.map_err(|error| match error {
                    // Who is in the way says more than that nobody answered.
                    LockError::TimedOut { .. } | LockError::NoQuorum { .. } if !connect::is_reached(redlock, resource) => {
                        connect::no_quorum(&redlock.servers())
                    }
                    error => error.into(),
                }),
                () = tell(redlock, resource, output) => unreachable!("it is told for as long as it takes"),
            }
        };
        let acquired = tokio::select! {
            biased;
            interrupted = interrupted() => Err(interrupted),
            guard = acquired => guard,
        };
        acquired.map_err(|failure| match failure.code {
            exit::HELD => Failure {
                code: self.conflict_exit_code,
                ..failure
            },
            _ => failure,
        })
    }

    fn does_not(&self) -> bool {
        self.none || self.longest == Some(Duration::ZERO)
    }

    fn request(&self, redlock: &Redlock, resource: &str, ttl: Duration) -> AcquireRequest {
        match self.longest {
            _ if self.does_not() => redlock.try_acquire(resource, ttl),
            Some(longest) => redlock.acquire(resource, ttl).within(longest),
            None => redlock.acquire(resource, ttl),
        }
    }
}

/// What is told to programs.
#[derive(Serialize)]
struct Waiting<'a> {
    event: &'static str,
    resource: &'a str,
    holder: Option<HolderFact>,
}

/// Tells who holds a resource, on a terminal in a line of its own that is gone in the end, otherwise whenever it is another.
async fn tell(redlock: &Redlock, resource: &str, output: &Output) {
    sleep(SILENT).await;
    let mut line = None;
    let mut told = None;
    loop {
        let ownership = redlock.owner(resource).await;
        let (owner, words) = match &ownership {
            Ok(Ownership::Held(holder)) => (holder.owner.clone(), facts::held_by(holder)),
            _ if !connect::is_reached(redlock, resource) => (None, connect::no_quorum(&redlock.servers()).message),
            Ok(Ownership::Free) => (None, "it is free, and others wait too".into()),
            _ => (None, "several ask for it at once".into()),
        };
        let text = format!("waiting for `{resource}`: {words}");
        if output.is_live() {
            line.get_or_insert_with(Line::new).says(text);
        } else if told.as_ref() != Some(&owner) {
            let holder = match &ownership {
                Ok(Ownership::Held(holder)) => Some(holder.into()),
                _ => None,
            };
            let event = "waiting";
            output.message(
                &Waiting {
                    event,
                    resource,
                    holder,
                },
                || text,
            );
            told = Some(owner);
        }
        sleep(LOOK).await;
    }
}

/// A line that goes away when it is dropped.
struct Line(ProgressBar);

impl Line {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}").expect("the template is right");
        Self(ProgressBar::new_spinner().with_style(style))
    }

    fn says(&self, text: String) {
        self.0.set_message(text);
        self.0.enable_steady_tick(Duration::from_millis(100));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
