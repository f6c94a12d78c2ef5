//! Runs a future without a task: whoever wakes it polls it.
//!
//! A reply wakes its reader within the task that owns the socket. To read it right there saves a task for each command, and
//! the wait until that task has its turn.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
};
use tokio::{
    runtime,
    task::coop::{Unconstrained, unconstrained},
};

/// Polls the future now, and hands its output to `then` once it is ready, but never before this returns.
///
/// The future must be one whose wakers are called without a lock that it takes itself when polled, as a channel's are.
pub(super) fn when_ready<F, T>(runtime: &runtime::Handle, future: F, then: T)
where
    F: Future<Output: Send> + Send + 'static,
    T: FnOnce(F::Output) + Send + 'static,
{
    // A budget could make the future wake itself while it is polled.
    let future = Box::pin(unconstrained(future));
    let inline = Arc::new(Inline(Mutex::new(Some((future, then)))));
    if let Some((output, then)) = inline.poll() {
        runtime.spawn(async move { then(output) });
    }
}

/// The future and what follows it, until it is ready.
struct Inline<F, T>(Mutex<Option<Running<F, T>>>);

type Running<F, T> = (Pin<Box<Unconstrained<F>>>, T);

impl<F, T> Inline<F, T>
where
    F: Future<Output: Send> + Send + 'static,
    T: FnOnce(F::Output) + Send + 'static,
{
    fn poll(self: &Arc<Self>) -> Option<(F::Output, T)> {
        let waker = Waker::from(Arc::clone(self));
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (future, _) = running.as_mut()?;
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => running.take().map(|(_, then)| (output, then)),
            Poll::Pending => None,
        }
    }
}

impl<F, T> Wake for Inline<F, T>
where
    F: Future<Output: Send> + Send + 'static,
    T: FnOnce(F::Output) + Send + 'static,
{
    fn wake(self: Arc<Self>) {
        if let Some((output, then)) = self.poll() {
            then(output);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    fn run(
        future: impl Future<Output = Result<u8, oneshot::error::RecvError>> + Send + 'static,
    ) -> oneshot::Receiver<u8> {
        let (done, output) = oneshot::channel();
        when_ready(&runtime::Handle::current(), future, move |result| {
            let _ = done.send(result.unwrap_or(0));
        });
        output
    }

    #[tokio::test]
    async fn the_sender_of_a_reply_runs_what_follows() {
        let (reply, answer) = oneshot::channel();
        let mut output = run(answer);
        assert!(output.try_recv().is_err());
        reply.send(7).unwrap();
        assert_eq!(output.try_recv(), Ok(7));
    }

    #[tokio::test]
    async fn a_reply_that_will_never_come_is_told() {
        let (reply, answer) = oneshot::channel();
        let mut output = run(answer);
        drop(reply);
        assert_eq!(output.try_recv(), Ok(0));
    }

    #[tokio::test]
    async fn what_is_ready_at_once_is_not_told_before_the_call_returns() {
        let mut output = run(async { Ok(7) });
        assert!(output.try_recv().is_err());
        assert_eq!(output.await, Ok(7));
    }
}
