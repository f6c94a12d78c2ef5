//! `multiredlock unlock`.

use crate::{connect::connect, exit::Failure, output::Output, settings::Settings};
use clap::Args;
use multiredlock::OwnerError;
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
        redlock.group_of(resource).map_err(OwnerError::from)?;
        let lock = multiredlock::Lock::from_parts(resource, self.value);
        let unlocked = redlock.unlock(&lock).await;
        redlock.close().await;
        let fact = Unlocked {
            resource,
            removed: unlocked.removed,
            not_ours: unlocked.not_ours,
            unreachable: unlocked.unreachable,
        };
        output.result(&fact, String::new)?;
        unlocked.check(resource)?;
        Ok(0)
    }
}
