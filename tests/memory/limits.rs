//! What ends, and what stays bounded.

use crate::support::{
    Together, builder, connect, connected, eventually, locked, ms, secs, servers_and, servers_and_client, start, tasks,
    up,
};
use multiredlock::{
    ConfigError, Lock, LockError, Redlock, ReleaseError, RenewError,
    error::{UsingError, Vote},
    status::{DownReason, ServerState},
};
use std::time::Duration;
use test_support::{assert_matches, extract};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn close_ends_every_task_and_says_closed_from_then_on() {
    let servers = start(3);
    let before = tasks();
    let redlock = connect(&servers).await;
    let lock = redlock.lock("r", secs(60)).await.unwrap();
    redlock.clone().close().await;
    eventually("no task is left", async || tasks() == before).await;
    assert_eq!(redlock.lock("s", secs(1)).await.unwrap_err(), LockError::Closed);
    assert_eq!(redlock.renew(&lock, secs(1)).await.unwrap_err(), RenewError::Closed);
    assert_eq!(redlock.unlock(&lock).counts().await.unreachable, 3);
    redlock.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_too_long_is_refused_and_never_sent_or_shown() {
    let (servers, redlock) = servers_and_client(3).await;
    let long = "x".repeat(3_000_000);
    let longest = &long[..64 << 10];
    let refused = redlock.lock(&long, secs(1)).await.unwrap_err();
    let words = "the resource with its prefix is 3000000 bytes long, 65536 is the most";
    assert_eq!(refused.to_string(), words);
    let lock = redlock.lock(longest, secs(60)).await.unwrap();
    let held = redlock.try_lock(longest, secs(1)).await.unwrap_err();
    for text in [
        held.to_string(),
        format!("{held:?}"),
        format!("{lock:?}"),
        format!("{refused:?}"),
    ] {
        assert!(text.len() < 1_500, "{} bytes", text.len());
    }
    redlock.unlock(&lock).await.unwrap();

    for elsewhere in [Lock::from_parts(&long, "v"), Lock::from_parts("r", &long)] {
        let renewed = redlock.renew(&elsewhere, secs(1)).await.unwrap_err();
        assert_matches!(&renewed, RenewError::Invalid(_) | RenewError::Lost { .. });
        let released = redlock.unlock(&elsewhere).await.unwrap_err();
        assert_matches!(&released, ReleaseError::NotSent { .. });
        assert!(format!("{released} {released:?} {elsewhere:?} {renewed:?}").len() < 3_000);
    }
    let error = builder(&servers).id(&long).build().unwrap_err();
    assert_eq!(error.to_string(), "the id is 3000000 bytes long, 1024 is the most");
}

#[tokio::test(start_paused = true)]
async fn close_sends_what_was_submitted_before() {
    let (servers, redlock, lock) = locked(3, secs(60)).await;
    servers[0].delay(ms(500));
    for _ in 0..100 {
        redlock.unlock(&lock);
    }
    redlock.close().await;
    assert!(servers.are_empty());
}

#[tokio::test(start_paused = true)]
async fn close_ends_a_round_under_way_which_undoes_what_it_did() {
    let (servers, redlock) = servers_and_client(3).await;
    servers[1..].freeze();
    let attempt = tokio::spawn(redlock.try_lock("r", secs(600)).attempt_timeout(secs(300)));
    eventually("the first server has granted it", async || !servers[0].is_empty()).await;
    redlock.close().await;
    assert_eq!(attempt.await.unwrap().unwrap_err(), LockError::Closed);
    assert!(servers[0].is_empty());
    let closed = ServerState::Down(DownReason::Closed);
    eventually("each server is down", async || {
        redlock.servers().iter().all(|server| server.state == closed)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn close_does_not_wait_for_ever_for_a_frozen_server() {
    let (servers, redlock, lock) = locked(3, secs(60)).await;
    servers[0].freeze();
    redlock.unlock(&lock);
    let before = tokio::time::Instant::now();
    redlock.close().await;
    assert!(before.elapsed() <= secs(1), "the heartbeat timeout");
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_waits_for_its_next_round_ends_when_the_client_is_closed() {
    let (_servers, redlock, _held) = locked(3, secs(60)).await;
    let patient = multiredlock::Retry::new(1_000, secs(3_600));
    let waiting = tokio::spawn(redlock.lock("r", secs(60)).retry(patient));
    tokio::time::sleep(secs(3)).await;
    let before = tokio::time::Instant::now();
    redlock.close().await;
    assert_eq!(waiting.await.unwrap().unwrap_err(), LockError::Closed);
    assert!(before.elapsed() < secs(1), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_clone_ends_every_task() {
    let servers = start(3);
    let before = tasks();
    let redlock = connect(&servers).await;
    let clone = redlock.clone();
    drop(redlock);
    tokio::time::sleep(secs(1)).await;
    assert!(clone.is_connected());
    drop(clone);
    eventually("no task is left", async || tasks() == before).await;
}

#[test]
fn the_last_clone_may_be_dropped_and_a_lock_unlocked_outside_a_runtime() {
    let servers = start(3);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (redlock, lock) = runtime.block_on(async {
        let redlock = connect(&servers).await;
        let lock = redlock.lock("r", secs(60)).await.unwrap();
        (redlock, lock)
    });
    redlock.unlock(&lock);
    // A SET that the majority did not wait for is answered by another thread, and sends the unlock behind it.
    let is_free = |_| {
        std::thread::sleep(ms(1));
        servers.are_empty()
    };
    assert!((0..10_000).any(is_free), "it was unlocked");
    drop(redlock);
    let redlock = runtime.block_on(connect(&servers));
    drop(runtime);
    redlock.unlock(&lock);
    drop(redlock);
}

#[test]
fn a_client_needs_a_runtime_to_connect_on() {
    assert_eq!(Redlock::new().unwrap_err(), ConfigError::NoRuntime);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_frozen_server_is_bounded() {
    const CAPACITY: usize = 100_000;
    let (servers, redlock) = servers_and(3, |builder| builder.heartbeat_interval(secs(3_600))).await;
    let lock = redlock.lock("r", secs(600)).await.unwrap();
    servers[0].freeze();
    // Some travel, the others wait.
    for _ in 0..CAPACITY + 3_000 {
        redlock.unlock(&lock);
    }
    servers[1].crash();
    up(&redlock, 2).await;
    let failure =
        extract!(redlock.try_lock("s", secs(600)).await.unwrap_err(), LockError::NoQuorum { failure, .. } => failure);
    assert_eq!(failure.votes[0].vote, Vote::Unreachable(DownReason::Busy));
}

#[tokio::test(start_paused = true)]
async fn a_round_that_nobody_waits_for_any_more_is_not_sent() {
    let (servers, redlock) = servers_and(1, |builder| builder.heartbeat_interval(secs(3_600))).await;
    servers[0].freeze();
    for _ in 0..1_000 {
        redlock
            .try_lock("r", secs(600))
            .attempt_timeout(ms(1))
            .await
            .unwrap_err();
    }
    servers[0].thaw();
    eventually("the key is gone", async || servers[0].is_empty()).await;
    let _lock = redlock.try_lock("r", secs(600)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_longest_durations_there_are_overflow_no_clock() {
    let servers = start(3);
    let forever = Duration::MAX;
    let redlock = connected(
        builder(&servers)
            .attempt_timeout(forever)
            .heartbeat_interval(forever)
            .heartbeat_timeout(forever)
            .reconnect(forever, forever)
            .retry(multiredlock::Retry::new(u32::MAX, forever)),
    )
    .await;
    let longest = Duration::from_millis(1 << 53);
    let lock = redlock.lock("r", longest).await.unwrap();
    assert_eq!(lock.validity(), longest.checked_sub(ms(100)).unwrap());
    let lock = redlock.renew(&lock, longest).await.unwrap();
    servers[0].crash();
    up(&redlock, 2).await;
    assert_eq!(redlock.unlock(&lock).counts().await.removed, 2);
    redlock.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_the_client_holds_for_each_acquire_that_sets_none() {
    let (servers, _holder, _held) = locked(3, secs(600)).await;
    let redlock = connected(builder(&servers).id("there").acquire_timeout(secs(3))).await;
    let acquire = || redlock.acquire("r", secs(10));
    for (request, limit) in [
        (acquire(), secs(3)),
        (acquire().timeout(ms(500)), ms(500)),
        (acquire().timeout(secs(7)), secs(7)),
        (acquire().timeout(Duration::ZERO), Duration::ZERO),
    ] {
        let before = Instant::now();
        let error = request.await.unwrap_err();
        assert_eq!(before.elapsed().as_millis(), limit.as_millis());
        assert_eq!(error.to_string(), format!("could not lock `r` within {limit:?}"));
        assert_matches!(error, LockError::TimedOut { waited, .. } if waited == limit);
    }
    let outcome = redlock.using("r", secs(10), async |_| ()).await;
    assert_matches!(outcome, Err(UsingError::Lock(LockError::TimedOut { waited, .. })) if waited == secs(3));
    // It limits the wait in line alone.
    assert_matches!(
        redlock.try_acquire("r", secs(10)).await.unwrap_err(),
        LockError::Held { .. }
    );

    let without = tokio::time::timeout(secs(60), acquire().timeout(Duration::MAX)).await;
    assert!(without.is_err(), "it still waits");
}
