//! A line for each event.

use super::transitions::Transitions;
use crate::{
    exit::Failure,
    facts::{self, EventFact},
    output::{
        Delivery, Output,
        style::{self, paint},
    },
    signals::interrupted,
};
use multiredlock::Redlock;
use std::time::SystemTime;

/// Prints until nobody reads it any more, or it is interrupted.
pub(super) async fn print(redlock: &Redlock, output: &Output) -> Result<u8, Failure> {
    let mut events = Transitions::of(redlock);
    let mut interrupted = std::pin::pin!(interrupted());
    loop {
        let event = tokio::select! {
            biased;
            _ = &mut interrupted => return Ok(0),
            event = events.next() => event,
        };
        let Some(event) = event else { return Ok(0) };
        let now = SystemTime::now();
        let fact = EventFact::new(now, &event);
        let delivered = output.deliver(&fact, || {
            let (style, words) = facts::event(&event);
            format!(
                "{} {}\n",
                paint(style::FAINT, facts::timestamp(now)),
                paint(style, words)
            )
        });
        let delivered = tokio::select! {
            biased;
            _ = &mut interrupted => return Ok(0),
            delivered = delivered => delivered?,
        };
        if delivered == Delivery::ReaderLeft {
            return Ok(0);
        }
    }
}
