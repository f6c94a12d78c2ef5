//! Work under a lock.

use crate::{connect, ms, secs, start};
use multiredlock::{Guard, LockError, Loss, Redlock, UsingError, testing::MemoryServer};
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};
use tokio::time::sleep;

/// Notes when it is dropped.
struct Noted(Arc<AtomicBool>);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

async fn is_free(redlock: &Redlock) -> bool {
    redlock.try_acquire("r", secs(1)).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn what_the_work_returns_comes_back_untouched() {
    let redlock = connect(&start(3)).await;
    let sum = redlock.using("r", secs(1), async |guard| {
        assert!(guard.is_valid());
        sleep(secs(5)).await;
        1 + 1
    });
    assert_eq!(sum.await, Ok(2));
    let error = redlock.using("r", secs(1), async |_| Err::<(), _>("mine")).await;
    assert_eq!(error, Ok(Err("mine")));
    assert!(is_free(&redlock).await);
}

#[tokio::test(start_paused = true)]
async fn its_error_is_not_masked_by_a_release_that_fails() {
    let servers = start(3);
    let redlock = connect(&servers).await;
    let result = redlock.using("r", secs(1), async |_| {
        servers.iter().for_each(MemoryServer::crash);
        Err::<(), _>("mine")
    });
    assert_eq!(result.await, Ok(Err("mine")));
}

#[tokio::test(start_paused = true)]
async fn work_is_dropped_when_the_lock_is_lost() {
    let servers = start(3);
    let redlock = connect(&servers).await;
    let is_dropped = Arc::new(AtomicBool::new(false));
    let noted = Noted(Arc::clone(&is_dropped));
    let result = redlock.using("r", secs(1), async move |_: &Guard| {
        let _noted = noted;
        servers.iter().for_each(MemoryServer::freeze);
        pending::<()>().await;
    });
    assert!(matches!(result.await, Err(UsingError::Lost(Loss::Expired { .. }))));
    assert!(is_dropped.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn work_is_not_begun_without_a_lock() {
    let servers = start(3);
    let (redlock, other) = (connect(&servers).await, connect(&servers).await);
    let _guard = other.acquire("r", secs(1)).await.unwrap();
    let result = redlock
        .acquire("r", secs(1))
        .within(secs(3))
        .using(async |_| panic!("it is not called"))
        .await;
    assert!(matches!(result, Err(UsingError::Lock(LockError::TimedOut { .. }))));
}

#[tokio::test(start_paused = true)]
async fn a_panic_or_a_dropped_future_releases_the_lock() {
    let redlock = connect(&start(3)).await;
    let panics = redlock.clone();
    let task = tokio::spawn(async move { panics.using("r", secs(60), async |_| panic!("on purpose")).await });
    assert!(task.await.unwrap_err().is_panic());
    assert!(is_free(&redlock).await);

    let waits = redlock.clone();
    let task = tokio::spawn(async move { waits.using("r", secs(60), async |_| pending::<()>().await).await });
    sleep(secs(1)).await;
    assert!(!is_free(&redlock).await);
    task.abort();
    task.await.unwrap_err();
    assert!(is_free(&redlock).await);
}

#[tokio::test(start_paused = true)]
async fn work_may_borrow_and_be_spawned() {
    let redlock = connect(&start(3)).await;
    let mut lines = vec![String::from("first")];
    redlock
        .using("r", secs(1), async |guard| {
            lines.push(format!("valid: {}", guard.is_valid()));
        })
        .await
        .unwrap();
    assert_eq!(lines, ["first", "valid: true"]);

    let owned = lines.clone();
    let task = tokio::spawn(async move {
        let count = redlock.using("r", secs(1), async |guard| {
            sleep(ms(10)).await;
            guard.ensure(ms(1)).map(|()| owned.len())
        });
        count.await
    });
    assert_eq!(task.await.unwrap(), Ok(Ok(2)));
}

#[tokio::test]
async fn a_thread_looks_at_the_guard_and_its_result_is_lost_with_the_lock() {
    let servers = start(3);
    let redlock = connect(&servers).await;
    let sum = redlock.acquire("r", secs(10)).using_blocking(|guard| {
        guard.ensure(secs(1)).unwrap();
        1 + 1
    });
    assert_eq!(sum.await, Ok(2));

    let frozen = servers.clone();
    let result = redlock.acquire("r", ms(300)).using_blocking(move |guard| {
        frozen.iter().for_each(MemoryServer::freeze);
        while guard.is_valid() {
            thread::sleep(ms(5));
        }
        "of no use"
    });
    assert!(matches!(result.await, Err(UsingError::Lost(Loss::Expired { .. }))));
}

#[tokio::test]
async fn a_thread_keeps_its_guard_when_nobody_waits_for_it_any_more() {
    let redlock = connect(&start(3)).await;
    let (begun, has_begun) = mpsc::channel();
    let (finish, may_finish) = mpsc::channel::<()>();
    let worker = redlock.clone();
    let task = tokio::spawn(async move {
        let work = move |_: &Guard| {
            begun.send(()).unwrap();
            may_finish.recv().unwrap();
        };
        worker.acquire("r", secs(10)).using_blocking(work).await
    });
    crate::eventually("it has begun", async || has_begun.try_recv().is_ok()).await;
    task.abort();
    task.await.unwrap_err();
    assert!(!is_free(&redlock).await, "it is still at work");
    finish.send(()).unwrap();
    crate::eventually("it is released", async || is_free(&redlock).await).await;
}

#[tokio::test]
#[should_panic(expected = "on purpose")]
async fn a_panic_on_the_thread_is_passed_on() {
    let redlock = connect(&start(3)).await;
    let work = |_: &Guard| -> () { panic!("on purpose") };
    let _ = redlock.acquire("r", secs(1)).using_blocking(work).await;
}
