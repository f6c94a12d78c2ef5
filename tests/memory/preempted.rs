//! A thread may be suspended at any moment, and others go on meanwhile. Here it is suspended wherever it wakes a task: the task
//! goes on at once, and time passes.

use crate::support::{connect, eventually_free, ms, secs, settle, start};
use multiredlock::Redlock;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    time::{Instant, advance, sleep, timeout},
};

/// How long a thread is suspended before the task that it wakes goes on, or nothing if that task goes on later.
type Suspend = Box<dyn FnMut() -> Option<Duration> + Send>;

/// A task that goes on within the call that wakes it, until it is dropped.
struct Eager(Arc<Shared>);

struct Shared {
    future: Mutex<Pin<Box<dyn Future<Output = ()> + Send>>>,
    suspend: Mutex<Suspend>,
    is_woken: AtomicBool,
    is_done: AtomicBool,
}

impl Eager {
    fn start(
        suspend: impl FnMut() -> Option<Duration> + Send + 'static,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let eager = Self(Arc::new(Shared {
            future: Mutex::new(Box::pin(future)),
            suspend: Mutex::new(Box::new(suspend)),
            is_woken: AtomicBool::new(false),
            is_done: AtomicBool::new(false),
        }));
        eager.0.poll();
        eager
    }

    fn is_done(&self) -> bool {
        self.0.is_done()
    }
}

impl Drop for Eager {
    fn drop(&mut self) {
        // Timers have its waker, and so would own it longer than the runtime.
        let idle = Box::pin(async {});
        drop(std::mem::replace(&mut *self.0.future.lock().unwrap(), idle));
    }
}

impl Shared {
    fn poll(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::SeqCst);
        // Whoever polls it now polls it once more.
        let Ok(mut future) = self.future.try_lock() else { return };
        while !self.is_done() && self.is_woken.swap(false, Ordering::SeqCst) {
            let waker = Waker::from(Arc::clone(self));
            let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
            self.is_done.store(polled.is_ready(), Ordering::SeqCst);
        }
    }

    fn is_done(&self) -> bool {
        self.is_done.load(Ordering::SeqCst)
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        let suspended = self.suspend.lock().unwrap()();
        let Some(suspended) = suspended else {
            Handle::current().spawn(async move { self.poll() });
            return;
        };
        // The clock moves at the first poll.
        let _ = pin!(advance(suspended)).poll(&mut Context::from_waker(Waker::noop()));
        self.poll();
    }
}

/// Takes a turn, and returns how long it had to wait.
async fn turn(redlock: &Redlock, hold: Duration) -> Duration {
    let asked = Instant::now();
    let guard = redlock.acquire("r", secs(60)).await.unwrap();
    let waited = asked.elapsed();
    sleep(hold).await;
    drop(guard);
    waited
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_asks_before_the_unlock_was_sent_hears_of_it() {
    let redlock = connect(&start(3)).await;
    for suspended in [0, 3, 10] {
        // The second turn is one of a run, and lasts for so long that others get theirs.
        turn(&redlock, Duration::ZERO).await;
        let guard = redlock.acquire("r", secs(60)).await.unwrap();
        let waiter = Eager::start(move || Some(ms(suspended)), {
            let redlock = redlock.clone();
            async move {
                turn(&redlock, Duration::ZERO).await;
            }
        });
        settle().await;
        sleep(ms(100)).await;
        assert!(!waiter.is_done());
        drop(guard);
        sleep(ms(100)).await;
        assert!(waiter.is_done(), "suspended for {suspended} ms");
        sleep(secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn all_get_their_turns_wherever_threads_are_suspended() {
    const CLIENTS: usize = 2;
    const TASKS: u64 = 3;
    const TURNS: usize = 20;
    for seed in 0..60 {
        let servers = start(3);
        let longest = Arc::new(Mutex::new(Duration::ZERO));
        let mut tasks = Vec::new();
        for _ in 0..CLIENTS {
            let redlock = connect(&servers).await;
            for task in 0..TASKS {
                let mut rng = SmallRng::seed_from_u64(seed * TASKS + task);
                let suspend = move || {
                    rng.gen_bool(0.5)
                        .then(|| ms(rng.gen_range(0..=12_u64).saturating_sub(8)))
                };
                let (redlock, longest) = (redlock.clone(), Arc::clone(&longest));
                let mut gives_up = SmallRng::seed_from_u64(seed * TASKS + task);
                tasks.push(Eager::start(suspend, async move {
                    for _ in 0..TURNS {
                        if gives_up.gen_bool(0.3) {
                            let limit = ms(gives_up.gen_range(0..5));
                            drop(timeout(limit, redlock.acquire("r", secs(60))).await);
                        }
                        let waited = turn(&redlock, ms(1)).await;
                        let mut longest = longest.lock().unwrap();
                        *longest = waited.max(*longest);
                    }
                }));
            }
        }
        let started = Instant::now();
        while !tasks.iter().all(Eager::is_done) {
            assert!(started.elapsed() < secs(60), "seed {seed}: a waiter is never served");
            sleep(ms(10)).await;
        }
        let longest = *longest.lock().unwrap();
        assert!(
            longest < secs(2),
            "seed {seed}: a turn was waited for as long as {longest:?}"
        );
        eventually_free(&servers).await;
    }
}
