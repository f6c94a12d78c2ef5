//! `multiredlock unlock`.

use crate::{
    connect::connect,
    exit::{self, Failure},
    output::Output,
    settings::Settings,
};
use clap::Args;
use serde::Serialize;

/// Gives a lock back
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  multiredlock unlock backup \"$value\"

Exit codes: 0 if a majority removed it, 79 if it was not there any more, 69 if that is not certain.")]
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
        let group = redlock.group_of(resource).map_err(multiredlock::OwnerError::from)?;
        let quorum = redlock.quorums()[group];
        let unlocked = redlock
            .unlock(&multiredlock::Lock::from_parts(resource, self.value))
            .await;
        redlock.close().await;
        let multiredlock::Unlocked {
            removed,
            not_ours,
            unreachable,
            ..
        } = unlocked;
        let fact = Unlocked {
            resource,
            removed,
            not_ours,
            unreachable,
        };
        output.result(&fact, String::new)?;
        let counts = format!(
            "{removed} of {} servers removed it, it was not there on {not_ours}, {unreachable} did not answer",
            quorum.servers
        );
        if removed >= quorum.needed {
            Ok(0)
        } else if not_ours > quorum.servers - quorum.needed {
            Err(Failure::new(
                exit::LOST,
                format!("`{resource}` was not locked with this value any more: {counts}"),
            ))
        } else {
            Err(Failure::new(
                exit::UNAVAILABLE,
                format!("could not unlock `{resource}` for sure: {counts}"),
            ))
        }
    }
}
