//! A guard renews its lock, and knows when it is lost.

use crate::{builder, connect, eventually, ms, secs, start, up};
use multiredlock::{EnsureError, Guard, LockError, Loss, Redlock, ReleaseError, RenewError, testing::MemoryServer};
use std::{future::IntoFuture, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// On how many servers the guard's key stands.
fn standing(servers: &[MemoryServer], guard: &Guard) -> usize {
    let lock = guard.lock();
    let stands = |server: &&MemoryServer| server.get("r").as_deref() == Some(lock.value());
    servers.iter().filter(stands).count()
}

fn freeze(servers: &[MemoryServer]) {
    for server in servers {
        server.freeze();
    }
}

fn thaw(servers: &[MemoryServer]) {
    for server in servers {
        server.thaw();
    }
}

async fn eventually_free(servers: &[MemoryServer]) {
    eventually("no key anywhere", async || servers.iter().all(MemoryServer::is_empty)).await;
}

/// Waits for the loss, and returns it with the time that took.
async fn lost(guard: &Guard) -> (Loss, Duration) {
    let before = Instant::now();
    let loss = timeout(secs(3_600), guard.lost()).await.expect("it is lost at last");
    assert_eq!(guard.loss(), Some(loss.clone()));
    assert!(!guard.is_valid() && guard.remaining().is_zero());
    (loss, before.elapsed())
}

async fn guard(servers: &[MemoryServer], ttl: Duration) -> (Redlock, Guard) {
    let redlock = connect(servers).await;
    let guard = redlock.acquire("r", ttl).await.unwrap();
    (redlock, guard)
}

#[tokio::test(start_paused = true)]
async fn a_guard_is_renewed_no_more_once_it_was_held_for_as_long_as_it_may_be() {
    let ttl = secs(3);
    for max_hold in [ms(3_000), ms(3_500), ms(4_500), ms(60_000)] {
        let servers = start(3);
        let redlock = connect(&servers).await;
        let before = Instant::now();
        let guard = redlock.acquire("r", ttl).max_hold(max_hold).await.unwrap();
        let (loss, _) = lost(&guard).await;
        let resource = "r".into();
        assert_eq!(loss, Loss::MaxHold { resource, max_hold });
        let held_for = before.elapsed();
        assert!(held_for >= max_hold, "{max_hold:?}: lost after {held_for:?}");
        assert!(
            held_for <= max_hold + ttl,
            "{max_hold:?}: renewed later, lost after {held_for:?}"
        );
        sleep(ms(101)).await;
        assert!(servers.iter().all(MemoryServer::is_empty));
    }
}
