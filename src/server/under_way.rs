//! The attempts under way, whose unlocks have to go out before the connections of a client are closed.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use tokio::sync::Notify;

/// The lowest bit says whether the client is closed, the others count the attempts: both are read and changed as one, so that a
/// attempt is begun either before the close, which then waits for it, or not at all.
const CLOSED: usize = 1;
const ATTEMPT: usize = 2;

#[derive(Debug, Default)]
pub(crate) struct UnderWay {
    state: AtomicUsize,
    over: Notify,
}

impl UnderWay {
    /// Notes an attempt, until the value is dropped; none once the client is closed.
    pub(crate) fn begin(self: &Arc<Self>) -> Option<Ongoing> {
        let before = self.state.fetch_add(ATTEMPT, SeqCst);
        let attempt = Ongoing(Arc::clone(self));
        (before & CLOSED == 0).then_some(attempt)
    }

    pub(crate) fn close(&self) {
        self.state.fetch_or(CLOSED, SeqCst);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.load(SeqCst) & CLOSED != 0
    }

    /// Resolves when no attempt is under way.
    pub(crate) async fn are_over(&self) {
        loop {
            let over = self.over.notified();
            if self.state.load(SeqCst) < ATTEMPT {
                return;
            }
            over.await;
        }
    }
}

/// An attempt under way.
#[derive(Debug)]
pub(crate) struct Ongoing(Arc<UnderWay>);

impl Drop for Ongoing {
    fn drop(&mut self) {
        let before = self.0.state.fetch_sub(ATTEMPT, SeqCst);
        if before < 2 * ATTEMPT {
            self.0.over.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::Future, pin::pin, task};

    fn is_over(under_way: &UnderWay) -> bool {
        let mut cx = task::Context::from_waker(task::Waker::noop());
        pin!(under_way.are_over()).as_mut().poll(&mut cx).is_ready()
    }

    #[tokio::test]
    async fn a_close_waits_for_the_rounds_that_were_begun_before_and_no_other_begins() {
        let under_way = Arc::<UnderWay>::default();
        assert!(is_over(&under_way) && !under_way.is_closed());
        let (first, second) = (under_way.begin().unwrap(), under_way.begin().unwrap());
        under_way.close();
        under_way.close();
        assert!(under_way.is_closed() && under_way.begin().is_none());
        let waiting = tokio::spawn({
            let under_way = Arc::clone(&under_way);
            async move { under_way.are_over().await }
        });
        for attempt in [first, second] {
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished() && !is_over(&under_way));
            drop(attempt);
        }
        waiting.await.unwrap();
    }
}
