//! A line for each event.

use super::transitions::Transitions;
use crate::{
    exit::Failure,
    facts::{self, EventFact},
    output::{
        Output,
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
        let printed = output.result(&EventFact::new(now, &event), || {
            let (style, words) = facts::event(&event);
            format!(
                "{} {}\n",
                paint(style::FAINT, facts::timestamp(now)),
                paint(style, words)
            )
        });
        if printed.is_err() {
            // Whoever read it has seen enough.
            return Ok(0);
        }
    }
}
