//! The thread that runs the tasks of a client, and how other threads wait for them.

use crate::{
    config::{Builder, ConfigError},
    redlock::Redlock,
    runtime::InsideRuntime,
};
use std::{
    convert::Infallible,
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};
use tokio::{
    runtime::{self, Handle},
    sync::oneshot,
    task::consume_budget,
};

/// How long a drop may wait for the thread to end, which an unlock needs to reach the servers before a program exits.
const LONGEST_DROP: Duration = Duration::from_millis(100);

/// A thread with a runtime. It closes its client and ends when this is dropped.
#[derive(Debug)]
pub(super) struct Background {
    runtime: Handle,
    /// Dropped to end the thread.
    stop: Option<oneshot::Sender<Infallible>>,
    /// Disconnected when the thread has ended.
    ended: Mutex<mpsc::Receiver<Infallible>>,
}

impl Background {
    /// Builds a client on a thread of its own.
    pub(super) fn start(builder: Builder) -> Result<(Redlock, Self), ConfigError> {
        let (built, answer) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let (running, ended) = mpsc::channel();
        let run = move || {
            let _running = running;
            if let Err(error) = run(builder, &built, stopped) {
                let _ = built.send(Err(error));
            }
        };
        let started = thread::Builder::new().name("multiredlock".into()).spawn(run);
        started.map_err(|error| ConfigError::Thread(error.to_string()))?;
        // Without an answer the thread panicked.
        let answer = answer.recv().map_err(|_| ConfigError::Thread("it ended".into()))?;
        let (redlock, runtime) = answer?;
        let background = Self {
            runtime,
            stop: Some(stop),
            ended: Mutex::new(ended),
        };
        Ok((redlock, background))
    }

    /// Runs a future of the client to its end on this thread. Timers and connections stay with the thread of the client.
    pub(super) fn wait<F: Future>(&self, future: F) -> Result<F::Output, InsideRuntime> {
        may_block()?;
        let _context = self.runtime.enter();
        Ok(block_on(future))
    }

    /// The same, for at most this long.
    pub(super) fn wait_timeout<F: Future>(
        &self,
        future: F,
        limit: Duration,
    ) -> Result<Option<F::Output>, InsideRuntime> {
        may_block()?;
        let _context = self.runtime.enter();
        Ok(block_on_timeout(future, limit))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop = None;
        if may_block().is_ok() {
            let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
            let _ = ended.recv_timeout(LONGEST_DROP);
        }
    }
}

type Built = Result<(Redlock, Handle), ConfigError>;

fn run(
    builder: Builder,
    built: &mpsc::Sender<Built>,
    stopped: oneshot::Receiver<Infallible>,
) -> Result<(), ConfigError> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ConfigError::Thread(error.to_string()))?;
    runtime.block_on(async {
        let redlock = builder.build()?;
        let _ = built.send(Ok((redlock.clone(), Handle::current())));
        let _ = stopped.await;
        // What was submitted before is still sent.
        redlock.close().await;
        Ok(())
    })
}

/// Checks that this thread may block, since it runs no tasks of a tokio runtime at this moment.
///
/// Tokio cannot be asked directly. But each future that a runtime polls has a budget of operations, after which it yields; a thread
/// for blocking work has none, nor has one that merely entered a runtime.
pub(super) fn may_block() -> Result<(), InsideRuntime> {
    if Handle::try_current().is_err() {
        return Ok(());
    }
    let mut context = Context::from_waker(Waker::noop());
    // A budget is counted in a byte.
    let is_polled = (0..=u8::MAX).any(|_| pin!(consume_budget()).poll(&mut context).is_pending());
    if is_polled { Err(InsideRuntime) } else { Ok(()) }
}

/// Runs a future to its end on this thread.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    loop_until(future, None).expect("without a deadline only the future ends it")
}

/// Runs a future on this thread for at most this long. It is polled at least once.
pub(super) fn block_on_timeout<F: Future>(future: F, limit: Duration) -> Option<F::Output> {
    loop_until(future, Instant::now().checked_add(limit))
}

fn loop_until<F: Future>(future: F, deadline: Option<Instant>) -> Option<F::Output> {
    let signal = Arc::new(Signal {
        thread: thread::current(),
        is_woken: AtomicBool::new(false),
    });
    let waker = Waker::from(Arc::clone(&signal));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        while !signal.is_woken.swap(false, Ordering::Acquire) {
            match deadline {
                None => thread::park(),
                Some(deadline) => match deadline.saturating_duration_since(Instant::now()) {
                    Duration::ZERO => return None,
                    left => thread::park_timeout(left),
                },
            }
        }
    }
}

/// Wakes a thread that waits for a future. The flag counts, since other code may use up what `unpark` left.
struct Signal {
    thread: Thread,
    is_woken: AtomicBool,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}
