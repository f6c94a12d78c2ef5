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
async fn a_guard_is_told_that_a_majority_forgot_its_key_before_and_after_renewals() {
    for held_for in [ms(150), secs(11), secs(41)] {
        let servers = start(3);
        let (_redlock, guard) = guard(&servers, secs(30)).await;
        sleep(held_for).await;
        for server in &servers[..2] {
            server.forget("r");
        }
        let (loss, took) = lost(&guard).await;
        assert!(matches!(loss, Loss::Gone { .. }), "{loss}");
        assert!(took < ms(100), "after {held_for:?} it took {took:?}");
        assert!(matches!(
            guard.release().await,
            Err(ReleaseError::Gone {
                removed: 1,
                servers: 3,
                needed: 2,
                ..
            })
        ));
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_a_minority_forgot_is_put_back_at_once_every_time() {
    let servers = start(3);
    let (_redlock, guard) = guard(&servers, secs(30)).await;
    for wait in [ms(150), ms(100), ms(100), secs(11), secs(1), secs(25)] {
        sleep(wait).await;
        assert_eq!(standing(&servers, &guard), 3);
        servers[1].forget("r");
        sleep(ms(100)).await;
        assert_eq!(standing(&servers, &guard), 3, "after another {wait:?}");
        assert_eq!(guard.loss(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_minority_costs_no_guard_its_lock_however_short_its_ttl() {
    for ttl in [ms(200), ms(500), secs(1), secs(3)] {
        let servers = start(3);
        let (_redlock, guard) = guard(&servers, ttl).await;
        servers[2].freeze();
        assert!(
            timeout(20 * ttl, guard.lost()).await.is_err(),
            "lost with a ttl of {ttl:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_minority_that_freezes_while_the_guard_looks_delays_no_renewal() {
    for ttl in [ms(200), ms(500), secs(1), secs(3)] {
        let servers = start(5);
        let (_redlock, guard) = guard(&servers, ttl).await;
        sleep(2 * ttl).await;
        servers[4].freeze();
        servers[0].forget("r");
        assert!(
            timeout(5 * ttl, guard.lost()).await.is_err(),
            "lost with a ttl of {ttl:?}"
        );
    }
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
