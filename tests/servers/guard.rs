//! Guards, and how they find out that their lock is lost.

use std::time::{Duration, Instant};

use multiredlock::{Guard, Loss, ReleaseError};
use tokio::time::sleep;

use crate::support::{LONG, RedisServer, Servers, all_up, eventually, finishes, ms, soon};

const TTL: Duration = ms(1_200);

/// Waits for the loss, and returns it with the time that took.
async fn lost(guard: &Guard) -> (Loss, Duration) {
    let start = Instant::now();
    let loss = finishes("the loss", guard.lost()).await;
    assert!(!guard.is_valid() && guard.remaining().is_zero());
    (loss, start.elapsed())
}

/// Lets a guard look at its servers, after which they tell it of changes.
async fn looked(servers: &[RedisServer]) {
    eventually("the guard has looked", async || {
        servers.iter().all(|server| server.calls("get") > 0)
    })
    .await;
    sleep(ms(20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_outlives_its_ttl_many_times() {
    let servers = Servers::start(3);
    let redlock = servers.connected().await;
    let guard = redlock.acquire("r", ms(600)).await.unwrap();
    for _ in 0..20 {
        sleep(ms(100)).await;
        guard.ensure(ms(100)).unwrap();
        assert_eq!(servers.holding(&guard.lock()), 3);
    }
    guard.release().await.unwrap();
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_is_told_when_its_key_is_deleted_on_a_majority() {
    let servers = Servers::start(3);
    let redlock = servers.connected().await;
    let guard = redlock.acquire("r", LONG).await.unwrap();
    looked(&servers).await;
    for server in &servers[..2] {
        server.command(&["DEL", "r"]);
    }
    // The next renewal would be a third of a minute away.
    let (loss, _) = lost(&guard).await;
    assert!(matches!(loss, Loss::Gone { .. }), "{loss:?}");
    let gone = guard.release().await;
    assert!(matches!(gone, Err(ReleaseError::Gone { removed: 1, .. })), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_puts_back_a_key_that_is_deleted_on_a_minority() {
    let servers = Servers::start(3);
    let redlock = servers.connected().await;
    let guard = redlock.acquire("r", LONG).await.unwrap();
    looked(&servers).await;
    servers[1].command(&["DEL", "r"]);
    eventually("the key is back", async || servers.holding(&guard.lock()) == 3).await;
    assert!(guard.is_valid());
    guard.release().await.unwrap();
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_notices_a_flush_at_its_next_renewal() {
    let servers = Servers::start(3);
    let redlock = servers.connected().await;
    let guard = redlock.acquire("r", TTL).await.unwrap();
    for server in servers.iter() {
        server.command(&["FLUSHALL"]);
    }
    let (loss, _) = lost(&guard).await;
    assert!(matches!(loss, Loss::Gone { .. }), "{loss:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_survives_what_happens_to_a_minority() {
    let flush: fn(&RedisServer) = |server| {
        server.command(&["FLUSHALL"]);
    };
    for fault in [RedisServer::crash, RedisServer::freeze, RedisServer::restart, flush] {
        let servers = Servers::start(3);
        let redlock = servers.connected().await;
        let guard = redlock.acquire("r", TTL).await.unwrap();
        fault(&servers[0]);
        let start = Instant::now();
        while start.elapsed() < 2 * TTL {
            assert!(guard.is_valid(), "{:?}", guard.loss());
            sleep(ms(50)).await;
        }
        guard.release().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_without_a_majority_is_lost_at_the_end_of_its_validity() {
    for fault in [RedisServer::crash, RedisServer::freeze] {
        let servers = Servers::start(3);
        let redlock = servers.connected().await;
        let guard = redlock.acquire("r", TTL).await.unwrap();
        servers[..2].iter().for_each(fault);
        let remaining = guard.remaining();
        let (loss, after) = lost(&guard).await;
        assert!(matches!(loss, Loss::Expired { .. }), "{loss:?}");
        // A renewal may still have come through before the fault.
        assert!(after < TTL, "{after:?}, {remaining:?} were left");
        let release = guard.release().await;
        assert!(matches!(release, Err(ReleaseError::Unknown { .. })), "{release:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_survives_a_majority_that_is_away_for_less_than_the_ttl() {
    let servers = Servers::start(3);
    let redlock = servers.builder().heartbeat_timeout(LONG).build().unwrap();
    all_up(&redlock).await;
    let guard = redlock.acquire("r", 3 * TTL).await.unwrap();
    servers[..2].iter().for_each(RedisServer::freeze);
    sleep(TTL * 3 / 2).await;
    servers[..2].iter().for_each(RedisServer::thaw);
    sleep(3 * TTL).await;
    assert!(guard.is_valid(), "{:?}", guard.loss());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_survives_the_loss_of_its_connections() {
    let servers = Servers::start(3);
    let redlock = servers.connected().await;
    let guard = redlock.acquire("r", TTL).await.unwrap();
    for _ in 0..3 {
        servers.iter().for_each(RedisServer::kill_clients);
        // Long enough to notice, and to renew on new connections.
        sleep(TTL / 2).await;
    }
    assert!(guard.is_valid(), "{:?}", guard.loss());
    all_up(&redlock).await;
    guard.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_on_a_server_that_was_frozen_during_the_release() {
    let servers = Servers::start(3);
    let redlock = servers.connected().await;
    let guard = redlock.acquire("r", LONG).await.unwrap();
    eventually("every server has it", async || servers.holding(&guard.lock()) == 3).await;
    servers[2].freeze();
    guard.release().await.unwrap();
    sleep(ms(100)).await;
    servers[2].thaw();
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_guard_leaves_nothing_and_renews_no_more() {
    let servers = Servers::start(3);
    let redlock = servers.connected().await;
    for i in 0..50 {
        let guard = redlock.acquire("r", ms(150)).await.unwrap();
        // Often just while a renewal is under way.
        sleep(Duration::from_micros(i * 1_700)).await;
        drop(guard);
        let next = redlock.try_acquire("r", LONG).await.unwrap();
        next.release().await.unwrap();
    }
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_is_still_told_after_it_was_renewed() {
    let servers = Servers::start(3);
    let redlock = servers.connected().await;
    let guard = redlock.acquire("r", LONG).await.unwrap();
    looked(&servers).await;
    // It is renewed at once, to put the key back.
    servers[0].command(&["DEL", "r"]);
    eventually("the key is back", async || servers.holding(&guard.lock()) == 3).await;
    assert!(servers[1].calls("pexpire") > 0 && servers[2].calls("pexpire") > 0);

    for server in &servers[1..] {
        server.command(&["DEL", "r"]);
    }

    let loss = soon("the loss", guard.lost()).await;
    assert!(matches!(loss, Loss::Gone { .. }), "{loss:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_minority_keeps_no_guard_from_being_renewed_in_time() {
    let servers = Servers::start(3);
    let redlock = servers.builder().heartbeat_timeout(LONG).build().unwrap();
    all_up(&redlock).await;
    servers[0].freeze();
    // All of its validity is shorter than it would wait for the frozen server.
    let guard = redlock.acquire("r", ms(1_000)).await.unwrap();
    eventually("it is renewed", async || servers[1].calls("pexpire") > 8).await;
    assert!(guard.is_valid(), "{:?}", guard.loss());
    servers[0].thaw();
    guard.release().await.unwrap();
    servers.empty().await;
}
