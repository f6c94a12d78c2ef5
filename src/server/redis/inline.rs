//! Runs futures without a task: whoever wakes one polls it.
//!
//! A reply wakes its reader within the task that owns the socket. To read it right there saves a task for each command, and
//! the wait until that task has its turn.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll, Wake, Waker},
};
use tokio::{
    runtime,
    task::coop::{Unconstrained, unconstrained},
};

/// The replies of one connection that somebody waits for.
pub(super) struct Replies {
    runtime: runtime::Handle,
    outstanding: Mutex<Vec<Weak<dyn Cancel>>>,
}

impl Replies {
    pub(super) fn new(runtime: runtime::Handle) -> Self {
        Self {
            runtime,
            outstanding: Mutex::default(),
        }
    }

    /// Polls the reply now, and hands it to `then` once it is ready, or nothing if it is cancelled first; but never before
    /// this returns.
    ///
    /// The reply must be a future whose waker is called without a lock that it takes itself when polled, as a channel's is.
    pub(super) fn when_ready<F, T>(&self, reply: F, then: T)
    where
        F: Future<Output: Send> + Send + 'static,
        T: FnOnce(Option<F::Output>) + Send + 'static,
    {
        // A budget could make the future wake itself while it is polled.
        let reply = Box::pin(unconstrained(reply));
        let inline = Arc::new(Inline(Mutex::new(Some((reply, then)))));
        if let Some((output, then)) = inline.poll() {
            self.runtime.spawn(async move { then(Some(output)) });
            return;
        }
        let weak: Weak<Inline<F, T>> = Arc::downgrade(&inline);
        let mut outstanding = self.outstanding.lock().unwrap_or_else(PoisonError::into_inner);
        outstanding.retain(|reply| reply.strong_count() > 0);
        outstanding.push(weak);
    }

    /// Gives up on every reply that has not come: of a connection that ended, one may never be told.
    pub(super) fn cancel(&self) {
        let outstanding = std::mem::take(&mut *self.outstanding.lock().unwrap_or_else(PoisonError::into_inner));
        for reply in outstanding.iter().filter_map(Weak::upgrade) {
            reply.cancel();
        }
    }
}

/// The reply and what follows it, until either is done.
struct Inline<F, T>(Mutex<Option<Running<F, T>>>);

type Running<F, T> = (Pin<Box<Unconstrained<F>>>, T);

impl<F, T> Inline<F, T>
where
    F: Future<Output: Send> + Send + 'static,
    T: FnOnce(Option<F::Output>) + Send + 'static,
{
    fn poll(self: &Arc<Self>) -> Option<(F::Output, T)> {
        let waker = Waker::from(Arc::clone(self));
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (reply, _) = running.as_mut()?;
        match reply.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => running.take().map(|(_, then)| (output, then)),
            Poll::Pending => None,
        }
    }
}

impl<F, T> Wake for Inline<F, T>
where
    F: Future<Output: Send> + Send + 'static,
    T: FnOnce(Option<F::Output>) + Send + 'static,
{
    fn wake(self: Arc<Self>) {
        if let Some((output, then)) = self.poll() {
            then(Some(output));
        }
    }
}

trait Cancel: Send + Sync {
    fn cancel(&self);
}

impl<F, T> Cancel for Inline<F, T>
where
    F: Future<Output: Send> + Send + 'static,
    T: FnOnce(Option<F::Output>) + Send + 'static,
{
    fn cancel(&self) {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((reply, then)) = running {
            drop(reply);
            then(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    fn replies() -> Replies {
        Replies::new(runtime::Handle::current())
    }

    fn run<E: Send + 'static>(
        replies: &Replies,
        reply: impl Future<Output = Result<u8, E>> + Send + 'static,
    ) -> oneshot::Receiver<Option<u8>> {
        let (done, output) = oneshot::channel();
        replies.when_ready(reply, move |reply| {
            let _ = done.send(reply.and_then(Result::ok));
        });
        output
    }

    #[tokio::test]
    async fn the_sender_of_a_reply_runs_what_follows() {
        let (reply, answer) = oneshot::channel();
        let mut output = run(&replies(), answer);
        assert!(output.try_recv().is_err());
        reply.send(7).unwrap();
        assert_eq!(output.try_recv(), Ok(Some(7)));
    }

    #[tokio::test]
    async fn a_reply_that_will_never_come_is_told() {
        let (reply, answer) = oneshot::channel();
        let mut output = run(&replies(), answer);
        drop(reply);
        assert_eq!(output.try_recv(), Ok(None));
    }

    #[tokio::test]
    async fn what_is_ready_at_once_is_not_told_before_the_call_returns() {
        let mut output = run(&replies(), async { Ok::<_, ()>(7) });
        assert!(output.try_recv().is_err());
        assert_eq!(output.await, Ok(Some(7)));
    }

    #[tokio::test]
    async fn a_reply_that_is_cancelled_is_told_once() {
        let replies = replies();
        let (reply, answer) = oneshot::channel();
        let mut output = run(&replies, answer);
        replies.cancel();
        assert_eq!(output.try_recv(), Ok(None));
        assert!(reply.send(7).is_err(), "nobody waits for it any more");
        replies.cancel();
    }

    #[tokio::test]
    async fn replies_that_came_are_not_kept() {
        let replies = replies();
        for _ in 0..100 {
            let (reply, answer) = oneshot::channel();
            let _output = run(&replies, answer);
            reply.send(7).unwrap();
        }
        assert!(replies.outstanding.lock().unwrap().len() <= 1);
    }
}
