//! The rounds under way, whose unlocks have to go out before the connections of a handle are closed.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(crate) struct UnderWay {
    rounds: AtomicUsize,
    closed: AtomicBool,
    over: Notify,
}

impl UnderWay {
    /// Notes a round, until the value is dropped; none once the handle is closed.
    pub(crate) fn begin(self: &Arc<Self>) -> Option<Round> {
        // First, so that a close that is not seen here waits for this round.
        self.rounds.fetch_add(1, SeqCst);
        let round = Round(Arc::clone(self));
        (!self.is_closed()).then_some(round)
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    /// Resolves when no round is under way.
    pub(crate) async fn are_over(&self) {
        loop {
            let over = self.over.notified();
            if self.rounds.load(SeqCst) == 0 {
                return;
            }
            over.await;
        }
    }
}

/// A round under way.
#[derive(Debug)]
pub(crate) struct Round(Arc<UnderWay>);

impl Drop for Round {
    fn drop(&mut self) {
        if self.0.rounds.fetch_sub(1, SeqCst) == 1 {
            self.0.over.notify_waiters();
        }
    }
}
