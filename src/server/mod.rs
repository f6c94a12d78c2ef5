//! One server: its connections one after the other, its heartbeat, and its lane of operations.

mod abandoned;
mod changes;
mod claim;
pub(crate) mod fence;
mod heartbeat;
mod held_up;
mod lane;
pub(crate) mod link;
pub(crate) mod memory;
mod operation;
mod reason;
mod redis;
mod restart;
mod supervisor;
mod time;
mod under_way;

pub(crate) use abandoned::Closing;
pub(crate) use changes::{Changes, Listener, Listening};
pub(crate) use claim::{Claim, Promise};
pub(crate) use fence::Fence;
pub(crate) use held_up::{TimeIsUp, answer_within, was_held_up};
pub(crate) use lane::Lane;
pub(crate) use operation::{KeysAndValue, Operation, Verb};

#[cfg(fuzzing)]
pub(crate) use redis::fuzzing;

pub use reason::{DownReason, Refusal, Text};
#[cfg(test)]
pub(crate) use redis::parse_info;
pub(crate) use restart::RestartGuard;
pub(crate) use supervisor::{Connector, Supervisor};
pub(crate) use under_way::{Round, UnderWay};

use std::time::Duration;
use tokio::time::Instant;

/// The moment after a duration, or one that is far enough away if the clock does not reach that far.
pub(crate) fn later(now: Instant, after: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(86_400 * 365);
    now.checked_add(after).unwrap_or(now + FAR)
}
