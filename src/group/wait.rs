//! Waiting in the queue until an attempt succeeds.

use super::{
    Attempt, Group,
    lease::{Failed, Locked},
    ticket::{Next, Ticket},
};
use crate::decision::{Vote, majority, tally::count};
use std::{sync::Arc, time::Duration};

/// How many attempts in a row may take so long that nothing is left of the ttl.
const MOST_LATE: u32 = 4;

/// The longest pause after such an attempt.
const PAUSE_LATE: Duration = Duration::from_millis(50);

/// Why waiting came to an end without a lock.
#[derive(Debug)]
pub(crate) enum Stopped {
    Closed,
    /// It makes no sense to wait any longer: how many attempts were made, and why the last one failed.
    Failed(u32, Failed),
}

impl Group {
    /// Waits for the head of the queue, and then for an attempt that succeeds.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped the next waiter takes over, and whatever was asked for is undone.
    pub(crate) async fn wait(&self, ticket: &Ticket) -> Result<(Locked, bool), Stopped> {
        let (mut attempts, mut late) = (0, 0);
        // Most find the resource free, and have nothing to watch.
        let mut watches = false;
        loop {
            let next = ticket
                .turn(|| self.servers.under_way.is_closed())
                .await
                .ok_or(Stopped::Closed)?;
            let was_handed_over = matches!(next, Next::HandedOver(_));
            let attempt = match next {
                Next::HandedOver(attempt) => attempt,
                Next::Ask if watches || !ticket.gives_way() => {
                    let attempt = Attempt::new(
                        &self.servers,
                        &ticket.keys,
                        ticket.options(),
                        watches,
                        Some(&ticket.listener),
                    );
                    let attempt = attempt.ok_or(Stopped::Closed)?;
                    attempt.send(None);
                    attempt
                }
                // Others want it as well, and may have it by now. To be notified of changes is enough for the moment.
                Next::Ask | Next::Probe => {
                    self.servers.track();
                    watches = true;
                    let probe = self.probe(
                        ticket.keys.clone(),
                        true,
                        ticket.options().patience.shortest(),
                        is_known,
                    );
                    // Boxed, because only the head of the queue has one.
                    ticket.probed(&Box::pin(probe).await, self.servers.conditions());
                    continue;
                }
            };
            let has_watched = watches && !was_handed_over;
            attempts += 1;
            ticket.asks(Arc::clone(attempt.set()));
            // Boxed, because only the head of the queue has one.
            match Box::pin(attempt.decide()).await {
                Ok(locked) => return Ok((locked, was_handed_over)),
                Err(failed @ Failed::Expired { .. }) => {
                    late += 1;
                    if late == MOST_LATE {
                        return Err(Stopped::Failed(attempts, failed));
                    }
                    ticket.ask_again(PAUSE_LATE);
                }
                Err(Failed::Outvoted(votes)) if is_hopeless(&votes) => {
                    return Err(Stopped::Failed(attempts, Failed::Outvoted(votes)));
                }
                Err(Failed::Outvoted(votes)) => {
                    late = 0;
                    ticket.refused(&votes, self.servers.conditions());
                    if !has_watched {
                        self.servers.track();
                        watches = true;
                        ticket.ask_again(Duration::ZERO);
                    }
                }
            }
        }
    }
}

/// Whether a majority has answered.
fn is_known(votes: &[Vote]) -> bool {
    count(votes, |vote| *vote != Vote::Pending) >= majority(votes.len())
}

/// Whether so many servers refused for a reason that does not pass that the rest is no majority.
fn is_hopeless(votes: &[Vote]) -> bool {
    let for_good = |vote: &Vote| matches!(vote, Vote::Refused(refusal) if !refusal.passes());
    count(votes, for_good) > votes.len() - majority(votes.len())
}
