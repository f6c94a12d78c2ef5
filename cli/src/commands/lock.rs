//! `multiredlock lock`.

use super::run::waiting::{Wait, Wanted};
use crate::{
    duration::{self, millis, show},
    exit::{self, Failure},
    facts::{short, timestamp},
    output::{Delivery, Output, is_stdout_closed},
    settings::Settings,
    signals::interrupted,
};
use clap::Args;
use serde::Serialize;
use std::time::{Duration, SystemTime};
use tokio::time::sleep;

/// Takes a lock for a script, and prints its value
///
/// The value is what `renew` and `unlock` take: keep it to yourself. Nothing renews the lock: it ends with its ttl.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  value=$(multiredlock lock backup --ttl 60s --no-wait) || exit
  trap 'multiredlock unlock backup \"$value\"' EXIT")]
pub(crate) struct Lock {
    /// What is locked
    resource: String,
    /// How long it is locked at the most, unless it is renewed
    #[arg(long, value_parser = duration::parse, default_value = "30s")]
    ttl: Duration,
    #[command(flatten)]
    wait: Wait,
    /// Asks for a fencing token too
    #[arg(long)]
    fenced: bool,
}

/// A lock that was granted.
#[derive(Serialize)]
pub(crate) struct Locked<'a> {
    resource: &'a str,
    value: &'a str,
    token: Option<u64>,
    valid_for_ms: u64,
    expires_at: String,
}

impl<'a> Locked<'a> {
    pub(crate) fn new(resource: &'a str, lock: &'a multiredlock::Lock) -> Self {
        let validity = lock.validity();
        Self {
            resource,
            value: lock.value(),
            token: lock.token().map(u64::from),
            valid_for_ms: millis(validity),
            expires_at: timestamp(SystemTime::now() + validity),
        }
    }
}

impl Lock {
    pub(crate) async fn execute(self, settings: &Settings, output: &Output) -> Result<u8, Failure> {
        if is_stdout_closed() {
            let problem = "standard output is closed (or /dev/null, open for reading too), and nobody could read the value of the lock";
            return Err(Failure::new(exit::IO, problem));
        }
        let wanted = Wanted {
            resource: &self.resource,
            ttl: self.ttl,
            fenced: self.fenced,
        };
        let waiting = self.wait.turn(wanted, settings, output).await?;
        let redlock = settings.redlock()?;
        let outcome = match waiting.acquire(&redlock).await {
            Ok((guard, _turn)) => {
                let lock = guard.into_lock();
                let printed = self.print(&lock, output).await;
                if printed.is_err() {
                    // Nobody knows the value. The unlock is on its way when this returns.
                    drop(redlock.unlock(&lock));
                }
                printed.map(|()| lock)
            }
            Err(failure) => Err(failure),
        };
        redlock.close().await;
        let lock = outcome?;
        if output.is_live() {
            let token = lock.token().map(|token| format!(", token {token}"));
            let token = token.unwrap_or_default();
            output.message(&(), || {
                let (resource, validity) = (short(&self.resource), show(lock.validity()));
                format!("`{resource}` is locked for {validity}{token}")
            });
        }
        Ok(0)
    }

    /// Prints the value, if somebody reads it while the lock is valid.
    async fn print(&self, lock: &multiredlock::Lock, output: &Output) -> Result<(), Failure> {
        let fact = Locked::new(&self.resource, lock);
        let delivered = tokio::select! {
            biased;
            interrupted = interrupted() => return Err(interrupted),
            delivered = output.deliver(&fact, || format!("{}\n", lock.value())) => delivered,
            () = sleep(lock.validity()) => Ok(Delivery::ReaderLeft),
        };
        let problem = match delivered {
            Ok(Delivery::Done) => return Ok(()),
            Ok(Delivery::ReaderLeft) => "nobody read the value".into(),
            Err(failure) => failure.message,
        };
        let resource = short(&self.resource);
        let message = format!("the lock on `{resource}` was released: {problem}");
        Err(Failure::new(exit::IO, message))
    }
}
