//! Guards, and how they find out that their lock is lost.

use std::time::{Duration, Instant};

use multiredlock::{Drift, Guard, LockLost, Redlock, ReleaseError};
use tokio::time::sleep;

use crate::support::{
    LONG, RedisServer, Servers, Together, all_up, answers, assert_matches, connect, eventually, finishes, ms,
    servers_and_client, soon, up, watched,
};

const TTL: Duration = ms(1_200);

/// Three servers, a client, and its guard of `r`.
async fn guarded(ttl: Duration) -> (Servers, Redlock, Guard) {
    let (servers, redlock) = servers_and_client(3).await;
    let guard = redlock.acquire("r", ttl).await.unwrap();
    (servers, redlock, guard)
}

/// Waits for the loss, and returns it with the time that took.
async fn lost(guard: &Guard) -> (LockLost, Duration) {
    let start = Instant::now();
    let loss = finishes("the loss", guard.lost()).await;
    assert!(!guard.is_valid() && guard.validity().is_zero());
    (loss, start.elapsed())
}

/// Waits until a server has renewed a guard so many times more, and sees that it is valid all the time.
async fn renewed(guard: &Guard, server: &RedisServer, times: u64) {
    let before = server.calls("pexpire");
    eventually("it is renewed", async || {
        assert!(guard.is_valid(), "{:?}", guard.loss());
        server.calls("pexpire") >= before + times
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_outlives_its_ttl_many_times() {
    let (servers, _redlock, guard) = guarded(TTL).await;
    renewed(&guard, &servers[0], 9).await;
    guard.ensure_valid_for(ms(100)).unwrap();
    assert_eq!(servers.holding(&guard.lock()), 3);
    guard.release().await.unwrap();
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_is_told_when_its_key_is_deleted_on_a_majority() {
    let (servers, _redlock, guard) = guarded(LONG).await;
    watched(&servers, 1).await;
    servers[..2].command(&["DEL", "r"]);
    // The next renewal would be a third of a minute away.
    let (loss, _) = lost(&guard).await;
    assert_matches!(&loss, LockLost::Gone { .. });
    assert_matches!(guard.release().await, Err(ReleaseError::Gone { removed: 1, .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_puts_back_a_key_that_is_deleted_on_a_minority() {
    let (servers, _redlock, guard) = guarded(LONG).await;
    watched(&servers, 1).await;
    servers[1].command(&["DEL", "r"]);
    servers.all_hold(&guard.lock()).await;
    assert!(guard.is_valid());
    guard.release().await.unwrap();
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_deleted_on_one_server_after_another_is_put_back_each_time() {
    let (servers, redlock) = servers_and_client(3).await;
    // A renewal is due every 4 s, should a change not be reported.
    let guard = redlock.acquire("r", ms(12_000)).await.unwrap();
    for server in servers.iter().cycle().take(6) {
        watched(std::slice::from_ref(server), 1).await;
        server.command(&["DEL", "r"]);
        servers.all_hold(&guard.lock()).await;
    }
    assert!(guard.is_valid());
    guard.release().await.unwrap();
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_notices_a_flush_at_its_next_renewal() {
    let (servers, _redlock, guard) = guarded(TTL).await;
    servers.command(&["FLUSHALL"]);
    let (loss, _) = lost(&guard).await;
    assert_matches!(&loss, LockLost::Gone { .. });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_survives_what_happens_to_a_minority() {
    let survives = async |fault: fn(&RedisServer)| {
        let (servers, _redlock, guard) = guarded(TTL).await;
        fault(&servers[0]);
        renewed(&guard, &servers[1], 6).await;
        guard.release().await.unwrap();
    };
    let flush = |server: &RedisServer| {
        server.command(&["FLUSHALL"]);
    };
    tokio::join!(
        survives(RedisServer::crash),
        survives(RedisServer::freeze),
        survives(RedisServer::restart),
        survives(flush),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_without_a_majority_is_lost_at_the_end_of_its_validity() {
    for fault in [RedisServer::crash, RedisServer::freeze] {
        let (servers, _redlock, guard) = guarded(TTL).await;
        servers[..2].iter().for_each(fault);
        let remaining = guard.validity();
        let (loss, after) = lost(&guard).await;
        assert_matches!(&loss, LockLost::Expired { .. });
        // A renewal may still have come through before the fault.
        assert!(after < TTL, "{after:?}, {remaining:?} were left");
        assert_matches!(guard.release().await, Err(ReleaseError::Unknown { .. }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_is_renewed_after_it_was_lost_stays_lost() {
    let servers = Servers::start(3);
    let redlock = connect(servers.builder().heartbeat_timeout(LONG)).await;
    // The keys live on for long after the validity is over, so that the renewal, which comes too late, finds them.
    let ttl = 10 * TTL;
    let request = redlock
        .acquire("r", ttl)
        .drift(Drift::factor(0.8).unwrap())
        .attempt_timeout(LONG);
    let guard = request.await.unwrap();
    servers.freeze();
    let (loss, _) = lost(&guard).await;
    assert_matches!(&loss, LockLost::Expired { .. });

    servers.thaw();
    servers
        .each("it is renewed", |server| server.calls("pexpire") > 0)
        .await;
    // Its answers come before those to what is sent later.
    answers(&redlock).await;
    assert_eq!(servers.holding(&guard.lock()), 3);
    assert!(!guard.is_valid() && guard.validity().is_zero());
    assert_eq!(guard.loss(), Some(loss));
    guard.release().await.unwrap();
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_survives_a_majority_that_is_away_for_less_than_the_ttl() {
    let servers = Servers::start(3);
    let redlock = connect(servers.builder().heartbeat_timeout(LONG)).await;
    let guard = redlock.acquire("r", 3 * TTL).await.unwrap();
    servers[..2].freeze();
    eventually("half of the validity is over", async || guard.validity() < TTL * 3 / 2).await;
    servers[..2].thaw();
    renewed(&guard, &servers[0], 4).await;
    guard.release().await.unwrap();
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_survives_the_loss_of_its_connections() {
    let (servers, redlock, guard) = guarded(TTL).await;
    for _ in 0..3 {
        servers.kill_clients();
        renewed(&guard, &servers[0], 2).await;
    }
    answers(&redlock).await;
    guard.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_on_a_server_that_was_frozen_during_the_release() {
    let (servers, _redlock, guard) = guarded(LONG).await;
    servers.all_hold(&guard.lock()).await;
    servers[2].freeze();
    guard.release().await.unwrap();
    servers[2].thaw();
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_or_renewed_on_a_server_that_was_given_up_before_the_release() {
    let (servers, redlock, guard) = guarded(5 * TTL).await;
    servers.all_hold(&guard.lock()).await;
    servers[2].freeze();
    // A renewal is on its way there as well.
    renewed(&guard, &servers[0], 1).await;
    eventually("it is given up", async || up(&redlock) == 2).await;
    guard.release().await.unwrap();
    let renewals = servers[0].calls("pexpire");
    servers[2].thaw();
    servers.empty().await;
    all_up(&redlock).await;
    assert_eq!(servers[0].calls("pexpire"), renewals);
    assert!(servers[2].keys().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_guard_leaves_nothing_and_renews_no_more() {
    let (servers, redlock) = servers_and_client(3).await;
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
    let (servers, _redlock, guard) = guarded(LONG).await;
    watched(&servers, 1).await;
    // It is renewed at once, to put the key back.
    servers[0].command(&["DEL", "r"]);
    servers.all_hold(&guard.lock()).await;
    assert!(servers[1].calls("pexpire") > 0 && servers[2].calls("pexpire") > 0);

    servers[1..].command(&["DEL", "r"]);

    assert_matches!(soon("the loss", guard.lost()).await, LockLost::Gone { .. });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_minority_keeps_no_guard_from_being_renewed_in_time() {
    let servers = Servers::start(3);
    let redlock = connect(servers.builder().heartbeat_timeout(LONG)).await;
    servers[0].freeze();
    // All of its validity is shorter than it would wait for the frozen server.
    let guard = redlock.acquire("r", ms(1_000)).await.unwrap();
    renewed(&guard, &servers[1], 8).await;
    servers[0].thaw();
    guard.release().await.unwrap();
    servers.empty().await;
}
