//! One server: its connections one after the other, its heartbeat, and its pipeline of operations.

mod abandoned;
mod changes;
mod heartbeat;
mod held_up;
pub(crate) mod link;
mod lock_state;
pub(crate) mod memory;
mod operation;
mod pipeline;
mod redis;
mod restart;
mod supervisor;
mod time;
mod under_way;
#[cfg(test)]
pub(crate) mod wire_double;

pub(crate) use abandoned::Abandon;
#[cfg(test)]
pub(crate) use abandoned::Running;
pub(crate) use changes::{Changes, Listener, Listening};
pub(crate) use held_up::{TimeIsUp, answer_within, was_held_up};
pub(crate) use lock_state::{LockState, Promise};
pub(crate) use operation::{Operation, Subject, Verb};
pub(crate) use pipeline::Pipeline;

#[cfg(fuzzing)]
pub(crate) use redis::fuzzing;

#[cfg(test)]
pub(crate) use redis::parse_info;
pub(crate) use restart::RestartGuard;
pub(crate) use supervisor::{Connector, Supervisor};
pub(crate) use under_way::{Ongoing, UnderWay};

use std::time::Duration;
use tokio::time::Instant;

/// The moment after a duration, or one that is far enough away if the clock does not reach that far.
pub(crate) fn later(now: Instant, after: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(86_400 * 365);
    now.checked_add(after).unwrap_or(now + FAR)
}
