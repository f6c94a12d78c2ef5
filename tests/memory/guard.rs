//! Guards on a paused clock: to the millisecond.

use crate::{all_up, builder, connect, ms, secs, start};
use multiredlock::{EnsureError, Guard, LockError, Loss, Redlock, ReleaseError, testing::MemoryServer};
use std::{future::IntoFuture, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// How long it takes until the guard is lost, and why it is.
async fn lost(guard: &Guard) -> (Duration, Loss) {
    let start = Instant::now();
    let loss = guard.lost().await;
    assert!(!guard.is_valid());
    assert_eq!(guard.loss(), Some(loss.clone()));
    (start.elapsed(), loss)
}

fn delay(servers: &[MemoryServer], delay: Duration) {
    for server in servers {
        server.delay(delay);
    }
}

/// A guard of three seconds on three servers.
async fn guard() -> (Vec<MemoryServer>, Redlock, Guard) {
    let servers = start(3);
    let redlock = connect(&servers).await;
    let guard = redlock.acquire("r", secs(3)).await.unwrap();
    (servers, redlock, guard)
}

#[tokio::test(start_paused = true)]
async fn a_guard_is_renewed_at_a_third_of_its_ttl() {
    let (servers, _redlock, guard) = guard().await;
    for _ in 0..100 {
        sleep(ms(990)).await;
        assert!(guard.remaining() >= ms(1_900), "{:?}", guard.remaining());
    }
    assert!(servers.iter().all(|server| server.len() == 1));
}

#[tokio::test(start_paused = true)]
async fn a_guard_is_lost_at_the_end_of_its_validity_whatever_the_servers_do() {
    for fault in [MemoryServer::freeze, MemoryServer::crash] {
        let (servers, _redlock, guard) = guard().await;
        servers.iter().for_each(fault);
        let (after, loss) = lost(&guard).await;
        assert_eq!(after, ms(2_900), "the ttl less the drift");
        assert!(matches!(loss, Loss::Expired { cause: Some(_), .. }), "{loss:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_is_told_of_a_majority_that_lost_its_key() {
    let (servers, _redlock, guard) = guard().await;
    sleep(ms(500)).await;
    servers[0].forget("r");
    servers[1].forget("r");
    let (after, loss) = lost(&guard).await;
    assert!(after < ms(10), "{after:?}");
    assert!(matches!(loss, Loss::Gone { .. }), "{loss:?}");
}

#[tokio::test(start_paused = true)]
async fn a_guard_notices_at_its_renewal_what_nobody_told() {
    let (servers, _redlock, guard) = guard().await;
    sleep(ms(500)).await;
    servers.iter().for_each(MemoryServer::forget_all);
    let (after, loss) = lost(&guard).await;
    assert!(after <= ms(501), "{after:?}");
    assert!(matches!(loss, Loss::Gone { .. }), "{loss:?}");
}

#[tokio::test(start_paused = true)]
async fn a_guard_puts_a_key_back_at_once_that_a_minority_lost() {
    let (servers, _redlock, guard) = guard().await;
    sleep(ms(500)).await;
    servers[2].forget("r");
    sleep(ms(50)).await;
    assert_eq!(servers[2].get("r").as_deref(), Some(guard.lock().value()));
    assert!(guard.is_valid());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_comes_too_late_does_not_bring_a_lost_guard_back() {
    let servers = start(3);
    let redlock = builder(&servers)
        .round_timeout(secs(60))
        .heartbeat_timeout(secs(60))
        .build()
        .unwrap();
    all_up(&redlock).await;
    let guard = redlock.acquire("r", secs(3)).await.unwrap();
    delay(&servers, ms(2_500));
    lost(&guard).await;
    sleep(secs(10)).await;
    assert!(!guard.is_valid());
    delay(&servers, ms(0));
    drop(guard);
    sleep(secs(10)).await;
    assert!(servers.iter().all(MemoryServer::is_empty));
}

#[tokio::test(start_paused = true)]
async fn a_guard_survives_servers_that_are_away_for_less_than_its_validity() {
    for fault in [MemoryServer::freeze, MemoryServer::crash] {
        let (servers, _redlock, guard) = guard().await;
        servers[..2].iter().for_each(fault);
        sleep(ms(2_000)).await;
        for server in &servers[..2] {
            server.thaw();
            server.restart();
        }
        sleep(secs(10)).await;
        assert!(guard.is_valid(), "{:?}", guard.loss());
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_ensures_what_is_left_and_no_more() {
    let (servers, _redlock, guard) = guard().await;
    assert_eq!(guard.ensure(ms(2_900)), Ok(()));
    let never = guard.ensure(ms(2_901));
    assert_eq!(
        never.unwrap_err().to_string(),
        "2.901s can never be left of the ttl (3s) less the drift (100ms)"
    );
    sleep(ms(900)).await;
    assert_eq!(guard.ensure(ms(2_000)), Ok(()));
    assert_eq!(
        guard.ensure(ms(2_001)),
        Err(EnsureError::TooLittle {
            remaining: ms(2_000),
            at_least: ms(2_001)
        })
    );
    servers.iter().for_each(MemoryServer::forget_all);
    lost(&guard).await;
    assert!(matches!(guard.ensure(ms(1)), Err(EnsureError::Lost(Loss::Gone { .. }))));
}

#[tokio::test(start_paused = true)]
async fn a_guard_is_not_renewed_for_longer_than_it_may_be_held() {
    let servers = start(3);
    let redlock = connect(&servers).await;
    let guard = redlock.acquire("r", secs(3)).max_hold(ms(4_500)).await.unwrap();
    let (after, loss) = lost(&guard).await;
    // It was renewed for the last time after four seconds.
    assert!(after >= ms(6_900) && after < ms(6_950), "{after:?}");
    assert!(matches!(loss, Loss::MaxHold { max_hold, .. } if max_hold == ms(4_500)));

    let error = redlock.acquire("q", secs(3)).max_hold(ms(2_999)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "max_hold (2.999s) must not be less than the ttl (3s)"
    );
    assert!(servers.iter().all(|server| server.get("q").is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_release_tells_what_it_did() {
    let (servers, redlock, guard) = guard().await;
    // A frozen minority is not waited for.
    servers[2].freeze();
    let start = Instant::now();
    assert_eq!(guard.release().await, Ok(()));
    assert_eq!(start.elapsed(), ms(0));
    servers[2].thaw();

    let guard = redlock.acquire("r", secs(3)).await.unwrap();
    servers.iter().for_each(MemoryServer::forget_all);
    assert!(matches!(
        guard.release().await,
        Err(ReleaseError::Gone {
            removed: 0,
            servers: 3,
            needed: 2,
            ..
        })
    ));

    let guard = redlock.acquire("r", secs(3)).await.unwrap();
    servers[1..].iter().for_each(MemoryServer::crash);
    assert!(matches!(
        guard.release().await,
        Err(ReleaseError::Unknown { removed: 1, .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_renewed_after_a_release() {
    // At every moment around a renewal, which takes its time.
    for moment in 0..60 {
        let servers = start(3);
        let redlock = connect(&servers).await;
        let guard = redlock.acquire("r", secs(3)).await.unwrap();
        delay(&servers, ms(20));
        sleep(ms(970 + moment)).await;
        drop(guard);
        sleep(ms(100)).await;
        assert!(servers.iter().all(MemoryServer::is_empty), "after {moment} ms");
        sleep(secs(3)).await;
        assert!(servers.iter().all(MemoryServer::is_empty), "after {moment} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_becomes_a_lock_is_renewed_no_more() {
    let (_servers, redlock, guard) = guard().await;
    let lock = guard.into_lock();
    assert!(lock.is_valid());
    redlock.try_acquire("r", secs(3)).await.unwrap_err();
    sleep(secs(3)).await;
    assert!(!lock.is_valid());
    let _free = redlock.try_acquire("r", secs(3)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_is_not_waited_for_is_refused_at_once() {
    let (servers, _redlock, _guard) = guard().await;
    let other = connect(&servers).await;
    let refused = timeout(ms(10), other.try_acquire("r", secs(3))).await.unwrap();
    assert!(matches!(refused, Err(LockError::Held { .. })), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_guard_keeps_its_handle_alive_and_outlives_its_end_by_its_validity() {
    let (servers, redlock, guard) = guard().await;
    drop(redlock);
    sleep(secs(30)).await;
    assert!(guard.is_valid());
    drop(guard);
    sleep(ms(10)).await;
    assert!(servers.iter().all(MemoryServer::is_empty));

    let redlock = connect(&servers).await;
    let guard = redlock.acquire("r", secs(3)).await.unwrap();
    redlock.close().await;
    assert!(guard.is_valid());
    let (after, loss) = lost(&guard).await;
    assert!(after <= ms(2_901), "{after:?}");
    assert!(matches!(loss, Loss::Expired { .. }), "{loss:?}");
}

#[test]
fn a_guard_is_dropped_outside_a_runtime() {
    let servers = start(3);
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let first = runtime();
    let (redlock, guard) = first.block_on(async {
        let redlock = connect(&servers).await;
        let guard = redlock.acquire("r", secs(30)).await.unwrap();
        (redlock, guard)
    });
    drop(guard);
    first.block_on(crate::eventually("it is unlocked", async || {
        servers.iter().all(MemoryServer::is_empty)
    }));
    let guard = first.block_on(redlock.acquire("r", secs(30)).into_future()).unwrap();
    // Nobody can send anything any more, and nothing panics.
    drop(first);
    drop(guard);
    drop(redlock);
}
