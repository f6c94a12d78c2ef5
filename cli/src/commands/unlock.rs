//! `multiredlock unlock`.

use crate::{
    connect::connect,
    exit::{self, Failure},
    facts::{held_by, short},
    output::Output,
    settings::Settings,
};
use clap::Args;
use multiredlock::{
    Redlock, ReleaseError,
    error::{InvalidRequest, OwnerError},
    status::Ownership,
};
use serde::Serialize;

/// Gives a lock back
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  multiredlock unlock backup \"$value\"

Exit codes: 0 if a majority removed it, 79 if it was not there any more or the value is another's, 69 if that is not certain.")]
pub(crate) struct Unlock {
    /// What is locked
    resource: String,
    /// What `lock` has printed
    value: String,
}

#[derive(Serialize)]
struct Unlocked<'a> {
    resource: &'a str,
    removed: usize,
    not_ours: usize,
    unreachable: usize,
}

impl Unlock {
    pub(crate) async fn execute(self, settings: &Settings, output: &Output) -> Result<u8, Failure> {
        let redlock = connect(settings, &self.resource).await?;
        let resource = self.resource.as_str();
        redlock
            .group_of(resource)
            .map_err(|invalid| OwnerError::from(InvalidRequest::from(invalid)))?;
        let lock = multiredlock::Lock::from_parts(resource, self.value);
        let mut unlocking = redlock.unlock(&lock);
        let problem = match (&mut unlocking).await {
            Ok(()) => None,
            Err(error) => Some(explained(&redlock, resource, error).await),
        };
        let unlocked = unlocking.counts().await;
        redlock.close().await;
        let fact = Unlocked {
            resource,
            removed: unlocked.removed,
            not_ours: unlocked.not_ours,
            unreachable: unlocked.unreachable,
        };
        output.result(&fact, String::new)?;
        problem.map_or(Ok(0), Err)
    }
}

/// Names the holder if the lock is not there, since then the value may be wrong.
async fn explained(redlock: &Redlock, resource: &str, error: ReleaseError) -> Failure {
    if let ReleaseError::Gone {
        removed,
        servers,
        needed,
        ..
    } = error
        && let Some(holder) = holder(redlock, resource).await
    {
        let resource = short(resource);
        let message = format!(
            "could not unlock `{resource}`: {removed} of {servers} servers hold this value, {needed} required; it is {holder}"
        );
        return Failure::new(exit::LOST, message);
    }
    error.into()
}

/// The holder of the resource, in words, if a majority of the servers names it.
pub(super) async fn holder(redlock: &Redlock, resource: &str) -> Option<String> {
    match redlock.owner(resource).await {
        Ok(Ownership::Held(holder)) => Some(held_by(&holder)),
        _ => None,
    }
}
