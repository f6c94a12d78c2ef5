//! `multiredlock renew`.

use super::{lock::Locked, unlock::holder};
use crate::{
    connect::connect,
    duration::{self, show},
    exit::Failure,
    facts::short,
    output::Output,
    settings::Settings,
};
use clap::Args;
use multiredlock::{FencingToken, Redlock, RenewError};
use std::time::Duration;

/// Renews a lock
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  multiredlock renew backup \"$value\" --ttl 60s || echo 'lost it'

Exit codes: 0 if it was renewed, 79 if it is lost, 69 if that is not certain.")]
pub(crate) struct Renew {
    /// What is locked
    resource: String,
    /// What `lock` has printed
    value: String,
    /// How long it is locked from now on at the most
    #[arg(long, value_parser = duration::parse, default_value = "30s")]
    ttl: Duration,
    /// The lock's fencing token, if it has one, so that servers which forgot it learn it again
    #[arg(long)]
    token: Option<FencingToken>,
}

impl Renew {
    pub(crate) async fn execute(self, settings: &Settings, output: &Output) -> Result<u8, Failure> {
        let redlock = connect(settings, &self.resource).await?;
        let mut lock = multiredlock::Lock::from_parts(&self.resource, self.value);
        if let Some(token) = self.token {
            lock = lock.with_token(token);
        }
        let renewed = redlock.renew(&lock, self.ttl).await;
        let lock = match renewed {
            Ok(lock) => Ok(lock),
            Err(error) => Err(explained(&redlock, &self.resource, error).await),
        };
        redlock.close().await;
        let lock = lock?;
        output.result(&Locked::new(&self.resource, &lock), || {
            format!(
                "`{}` is locked for another {}\n",
                short(&self.resource),
                show(lock.validity())
            )
        })?;
        Ok(0)
    }
}

/// Names the holder if the lock is lost, since then the value may be wrong.
async fn explained(redlock: &Redlock, resource: &str, error: RenewError) -> Failure {
    let is_lost = matches!(error, RenewError::Lost { .. });
    let failure = Failure::from(error);
    if !is_lost {
        return failure;
    }
    match holder(redlock, resource).await {
        Some(holder) => Failure {
            message: format!("{}; it is {holder}", failure.message),
            ..failure
        },
        None => failure,
    }
}
