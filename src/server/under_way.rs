//! The rounds under way, whose unlocks have to go out before the connections of a handle are closed.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(crate) struct UnderWay {
    rounds: AtomicUsize,
    over: Notify,
}

impl UnderWay {
    /// Notes a round, until the value is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Round {
        self.rounds.fetch_add(1, Ordering::Relaxed);
        Round(Arc::clone(self))
    }

    /// Resolves when no round is under way.
    pub(crate) async fn are_over(&self) {
        loop {
            let over = self.over.notified();
            if self.rounds.load(Ordering::Acquire) == 0 {
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
        if self.0.rounds.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.over.notify_waiters();
        }
    }
}
