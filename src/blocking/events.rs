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
/// The last item is [`InsideRuntime`] if it was asked for inside a tokio runtime. No event is lost by that, and the next iteration
/// begins with the next event.
#[must_use = "iterators are lazy and do nothing unless consumed"]
#[derive(Debug)]
pub struct Events {
    events: monitor::Events,
    was_refused: bool,
}

impl Events {
    pub(super) fn new(events: monitor::Events) -> Self {
        Self {
            events,
            was_refused: false,
        }
    }

    /// Waits for the next event for at most this long.
    ///
    /// # Errors
    ///
    /// [`WaitError`]: `TimedOut` if nothing happened, `Closed` at the end of the events, `InsideRuntime` inside a tokio runtime.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Event, WaitError> {
        may_block()?;
        let next = block_on_timeout(self.events.next(), limit);
        let next = next.ok_or(WaitError::TimedOut { waited: limit })?;
        next.ok_or(WaitError::Closed)
    }
}

impl Iterator for Events {
    type Item = Result<Event, InsideRuntime>;

    fn next(&mut self) -> Option<Self::Item> {
        match may_block() {
            Ok(()) => block_on(self.events.next()).map(Ok),
            // One error is enough: `flatten` would go on for ever.
            Err(_) if std::mem::take(&mut self.was_refused) => None,
            Err(error) => {
                self.was_refused = true;
                Some(Err(error))
            }
        }
    }
}
