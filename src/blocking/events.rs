//! What happens to the servers, as an iterator.

use super::{
    WaitError,
    background::{block_on, block_on_timeout, may_block},
};
use crate::{
    monitor::{self, Event},
    runtime::InsideRuntime,
};
use std::time::Duration;
use tokio_stream::StreamExt;

/// Everything that happens to the servers, from [`Redlock::events`](super::Redlock::events): an iterator that waits for each
/// [`Event`].
///
/// Its first items, its lag and its end are those of [`event::Events`](crate::event::Events). It does not keep the client alive: it
/// ends when the client is closed or its last clone and guard are dropped.
///
/// # Errors
///
/// An item is [`InsideRuntime`] if it was asked for inside a tokio runtime. No event is lost by that.
#[must_use = "iterators are lazy and do nothing unless consumed"]
#[derive(Debug)]
pub struct Events(monitor::Events);

impl Events {
    pub(super) fn new(events: monitor::Events) -> Self {
        Self(events)
    }

    /// Waits for the next event for at most this long.
    ///
    /// # Errors
    ///
    /// [`WaitError`]: `TimedOut` if nothing happened, `Closed` at the end of the events, `InsideRuntime` inside a tokio runtime.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Event, WaitError> {
        may_block()?;
        let next = block_on_timeout(self.0.next(), limit);
        let next = next.ok_or(WaitError::TimedOut { waited: limit })?;
        next.ok_or(WaitError::Closed)
    }
}

impl Iterator for Events {
    type Item = Result<Event, InsideRuntime>;

    fn next(&mut self) -> Option<Self::Item> {
        match may_block() {
            Ok(()) => block_on(self.0.next()).map(Ok),
            Err(error) => Some(Err(error)),
        }
    }
}
