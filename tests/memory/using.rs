//! Work that is done under a guard.

use crate::support::{Together, eventually, guarded, ms, secs, servers_and_client};
use multiredlock::{Guard, LockError, LockLost, Redlock, error::UsingError, testing::MemoryServer};
use std::{
    future::{Future, pending},
    panic::{AssertUnwindSafe, resume_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Waker},
};
use test_support::assert_matches;
use tokio::{
    sync::oneshot,
    task::yield_now,
    time::{Instant, advance, sleep, timeout},
};

/// Notes when it is dropped.
#[derive(Clone, Default)]
struct Dropped(Arc<AtomicBool>);

impl Dropped {
    fn is_dropped(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

struct OnDrop(Dropped);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::SeqCst);
    }
}

fn is_free(servers: &[MemoryServer]) -> bool {
    servers.are_empty()
}

#[tokio::test(start_paused = true)]
async fn what_the_work_returns_comes_back_and_the_lock_is_released() {
    let (servers, redlock) = servers_and_client(3).await;
    let ttl = secs(3);
    let worked = redlock.using("r", ttl, async |guard| {
        sleep(10 * ttl).await;
        assert_eq!(servers[0].get("r").as_deref(), Some(guard.lock().value()));
        guard.is_valid()
    });
    assert_eq!(worked.await, Ok(true));
    assert!(is_free(&servers));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_work_comes_back_untouched_also_if_the_release_fails() {
    let (servers, redlock) = servers_and_client(3).await;
    let result: Result<Result<(), &str>, UsingError> = redlock
        .using("r", secs(10), async |_| {
            servers.freeze();
            Err("the work failed")
        })
        .await;
    assert_eq!(result, Ok(Err("the work failed")));
    servers.thaw();
    eventually("no key anywhere", async || is_free(&servers)).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_lock_the_work_is_not_begun() {
    let (_servers, redlock, _guard) = guarded(secs(10)).await;
    let request = redlock.acquire("r", secs(10)).timeout(ms(100));
    let error = request.using(async |_| panic!("there is no lock")).await.unwrap_err();
    assert_matches!(error, UsingError::Lock(LockError::TimedOut { .. }));
    let request = redlock.try_acquire("r", secs(10));
    let work = |_: &Guard| panic!("there is no lock");
    let error = request.using_blocking(work).await.unwrap_err();
    assert_matches!(error, UsingError::Lock(LockError::Held { .. }));
}

#[tokio::test(start_paused = true)]
async fn work_whose_lock_is_lost_is_dropped_and_polled_no_more() {
    let (servers, redlock) = servers_and_client(3).await;
    let (dropped, steps) = (Dropped::default(), AtomicUsize::new(0));
    let before = Instant::now();
    let result = redlock.using("r", secs(3), async |_| {
        let _note = OnDrop(dropped.clone());
        servers.freeze();
        loop {
            steps.fetch_add(1, Ordering::SeqCst);
            sleep(ms(100)).await;
        }
    });
    let result: Result<(), UsingError> = timeout(secs(60), result).await.expect("it is stopped");
    assert_matches!(result, Err(UsingError::Lost(LockLost::Expired { .. })));
    assert_eq!(before.elapsed().as_millis(), 2_900);
    assert!(dropped.is_dropped());
    let made = steps.load(Ordering::SeqCst);
    assert!((29..=30).contains(&made), "{made}");
}

#[tokio::test(start_paused = true)]
async fn work_that_is_stopped_is_dropped_before_the_lock_is_released() {
    /// Looks whether the lock still stands.
    struct Look(MemoryServer, Arc<AtomicBool>);

    impl Drop for Look {
        fn drop(&mut self) {
            self.1.store(!self.0.is_empty(), Ordering::SeqCst);
        }
    }

    let (servers, redlock) = servers_and_client(3).await;
    let stood = Arc::<AtomicBool>::default();
    let work = redlock.using("r", secs(60), async |_| {
        let _look = Look(servers[0].clone(), Arc::clone(&stood));
        pending::<()>().await;
    });
    timeout(ms(500), work).await.unwrap_err();
    assert!(stood.load(Ordering::SeqCst));
    assert!(is_free(&servers));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_in_line_leaves_the_line() {
    let (servers, redlock, guard) = guarded(secs(60)).await;
    let waiting = redlock.using("r", secs(60), async |_| panic!("it is held"));
    timeout(ms(500), waiting).await.unwrap_err();
    guard.release().await.unwrap();
    sleep(ms(10)).await;
    assert!(is_free(&servers));
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_work_releases_the_lock() {
    let (servers, redlock) = servers_and_client(3).await;
    let clone = redlock.clone();
    let work = tokio::spawn(async move { clone.using("r", secs(60), async |_| panic!("on purpose")).await });
    let error = work.await.unwrap_err();
    assert!(error.is_panic());
    assert!(is_free(&servers));
    redlock.using("r", secs(60), async |_| {}).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn work_can_be_spawned_with_what_it_owns() {
    let (_servers, redlock) = servers_and_client(3).await;
    let text = String::from("owned");
    let work = tokio::spawn(async move {
        redlock
            .using("r", secs(3), async move |guard| {
                sleep(secs(5)).await;
                guard.ensure_valid_for(ms(1)).map(|()| text)
            })
            .await
    });
    assert_eq!(work.await.unwrap(), Ok(Ok("owned".into())));
}

#[tokio::test(start_paused = true)]
async fn work_can_be_spawned_with_what_it_borrows() {
    let (_servers, redlock) = servers_and_client(3).await;
    let work = tokio::spawn(async move {
        let mut counts = [1, 2];
        let by = String::from("3");
        let request = redlock.acquire("r", secs(3)).timeout(secs(1));
        let result = request.using(async |guard| {
            yield_now().await;
            counts[0] += by.len();
            guard.is_valid()
        });
        (result.await, counts, by)
    });
    assert_eq!(work.await.unwrap(), (Ok(true), [2, 2], "3".into()));
}

#[tokio::test(start_paused = true)]
async fn the_works_of_many_tasks_exclude_each_other() {
    let (_servers, redlock) = servers_and_client(3).await;
    let inside = Arc::<AtomicUsize>::default();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (redlock, inside) = (redlock.clone(), Arc::clone(&inside));
        tasks.spawn(async move {
            let work = async |_: &Guard| {
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                sleep(ms(10)).await;
                inside.fetch_sub(1, Ordering::SeqCst);
            };
            redlock.using("r", secs(3), work).await
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
}

/// A client of servers whose clock is not paused, since threads do not wait for one that is.
async fn in_real_time() -> (Vec<MemoryServer>, Redlock) {
    let (servers, redlock) = servers_and_client(3).await;
    (servers, redlock)
}

#[tokio::test]
async fn what_blocking_work_returns_comes_back_and_the_lock_is_released() {
    let (servers, redlock) = in_real_time().await;
    let seen = servers[0].clone();
    let request = redlock.acquire("r", secs(60));
    let value = request.using_blocking(move |guard| (guard.lock().value().to_owned(), seen.get("r")));
    let (value, seen) = value.await.unwrap();
    assert_eq!(seen, Some(value));
    assert!(is_free(&servers));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocking_work_sees_that_its_lock_is_lost_and_its_result_is_the_loss() {
    let (servers, redlock) = in_real_time().await;
    let stop = servers.clone();
    let request = redlock.acquire("r", ms(300));
    let result = request.using_blocking(move |guard| {
        assert!(guard.is_valid());
        for server in &stop {
            server.freeze();
        }
        while guard.is_valid() {
            std::thread::sleep(ms(1));
        }
        "done all the same"
    });
    assert_matches!(result.await, Err(UsingError::Lost(LockLost::Expired { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocking_work_keeps_its_guard_when_the_future_is_dropped() {
    let (servers, redlock) = in_real_time().await;
    let (go_on, wait) = mpsc::channel::<()>();
    let (begun, has_begun) = oneshot::channel();
    let request = redlock.acquire("r", ms(300));
    let work = tokio::spawn(request.using_blocking(move |guard| {
        begun.send(()).unwrap();
        wait.recv().unwrap();
        assert!(guard.is_valid());
    }));
    has_begun.await.unwrap();
    work.abort();
    assert!(work.await.unwrap_err().is_cancelled());
    // Longer than the ttl: it is renewed.
    sleep(ms(600)).await;
    assert_eq!(servers[0].len(), 1);
    go_on.send(()).unwrap();
    eventually("the release", async || is_free(&servers)).await;
}

#[tokio::test]
async fn a_panic_of_blocking_work_is_passed_on_and_releases_the_lock() {
    let (servers, redlock) = in_real_time().await;
    let request = redlock.acquire("r", secs(60));
    let work = |_: &Guard| resume_unwind(Box::new("on purpose"));
    let work = AssertUnwindSafe(request.using_blocking::<(), _>(work));
    let error = tokio::spawn(async move { { work }.0.await }).await.unwrap_err();
    assert_eq!(error.into_panic().downcast_ref(), Some(&"on purpose"));
    assert!(is_free(&servers));
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_lost_within_the_last_poll_of_the_work_is_lost() {
    let (_servers, redlock) = servers_and_client(3).await;
    let worked = redlock.using("r", secs(3), async |_| {
        // The thread is suspended: no other task runs, and time passes at the first poll.
        let _ = pin!(advance(secs(10))).poll(&mut Context::from_waker(Waker::noop()));
    });
    assert_matches!(worked.await, Err(UsingError::Lost(LockLost::Expired { .. })));
}
