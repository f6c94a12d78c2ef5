//! A server that was started again votes on no new lock while it may have forgotten one that is held.

use crate::support::{Together, builder, connected, eventually, eventually_free, ms, secs, servers_and_two, start, up};
use multiredlock::{
    ConfigError, LockError, Redlock, RenewError, Retry,
    error::{InvalidRequest, InvalidTtl},
    event::Event,
    status::{DownReason, ServerState},
    testing::MemoryServer,
};
use std::time::Duration;
use test_support::{assert_matches, extract};
use tokio::time::{Instant, sleep};
use tokio_stream::StreamExt;

const MAX_TTL: Duration = Duration::from_secs(30);

/// A client on servers that have been up for long enough.
async fn guarded(servers: &[MemoryServer]) -> Redlock {
    sleep(MAX_TTL).await;
    let redlock = builder(servers).restart_guard(MAX_TTL).build().unwrap();
    up(&redlock, servers.len()).await;
    redlock
}

/// For how much longer a server does not vote.
fn waits(redlock: &Redlock, server: usize) -> Option<Duration> {
    match redlock.servers()[server].state {
        ServerState::Down(DownReason::Restarted { ready_in, .. }) => Some(ready_in),
        _ => None,
    }
}

async fn restarted(redlock: &Redlock, server: usize) {
    eventually("it is connected to again", async || waits(redlock, server).is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_majority_forgets_by_restarts_is_not_granted_twice() {
    let servers = start(3);
    let redlock = guarded(&servers).await;
    let other = connected(builder(&servers).restart_guard(MAX_TTL)).await;
    let lock = redlock.lock("r", MAX_TTL).await.unwrap();
    for server in &servers[..2] {
        server.restart_empty();
    }
    for server in 0..2 {
        restarted(&other, server).await;
    }
    while lock.is_valid() {
        let error = other.try_lock("r", MAX_TTL).await.unwrap_err();
        assert_matches!(error, LockError::NoQuorum { reachable: 1, .. });
        sleep(ms(500)).await;
    }
    up(&other, 3).await;
    let _lock = other.lock("r", MAX_TTL).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_waiter_is_woken_when_a_restarted_server_may_vote_again() {
    let servers = start(3);
    let redlock = guarded(&servers).await;
    servers[0].crash();
    servers[1].restart();
    restarted(&redlock, 1).await;
    let waiter = tokio::spawn(redlock.acquire("r", secs(10)));
    sleep(waits(&redlock, 1).unwrap().saturating_sub(ms(1))).await;
    assert!(!waiter.is_finished());
    let before = Instant::now();
    let _guard = waiter.await.unwrap().unwrap();
    assert!(before.elapsed() <= ms(5), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn without_the_guard_it_is() {
    let (servers, redlock, other) = servers_and_two(3).await;
    let lock = redlock.lock("r", MAX_TTL).await.unwrap();
    for server in &servers[..2] {
        server.restart_empty();
    }
    // It has to connect again first.
    let patient = Retry::new(100, ms(100));
    let second = other.lock("r", MAX_TTL).retry(patient).await.unwrap();
    assert!(lock.is_valid() && second.is_valid());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_waits_is_told_with_the_time_that_is_left() {
    let servers = start(3);
    let redlock = guarded(&servers).await;
    let mut events = redlock.events();
    for _ in 0..4 {
        events.next().await;
    }
    servers[0].restart();
    let before = Instant::now();
    let told = events.next().await;
    assert_matches!(
        told,
        Some(Event::ServerDown {
            reason: DownReason::ConnectionLost,
            ..
        })
    );
    let told = events.next().await;
    assert_matches!(
        told,
        Some(Event::ServerDown {
            reason: DownReason::Restarted { ready_in: MAX_TTL, .. },
            ..
        })
    );
    sleep(secs(10)).await;
    let left = waits(&redlock, 0).unwrap();
    assert!(left <= secs(20) && left > secs(19), "{left:?}");
    let late = redlock.events().next().await;
    assert_matches!(late, Some(Event::ServerDown { reason: DownReason::Restarted { ready_in, .. }, .. }) if ready_in == left);
    assert_matches!(events.next().await, Some(Event::ServerUp { .. }));
    assert!(before.elapsed() >= MAX_TTL);
}

#[tokio::test(start_paused = true)]
async fn a_majority_that_waits_is_no_majority() {
    let servers = start(3);
    let redlock = guarded(&servers).await;
    servers[..2].restart();
    restarted(&redlock, 0).await;
    restarted(&redlock, 1).await;
    assert!(!redlock.is_connected());
    let before = Instant::now();
    let guard = redlock.acquire("r", secs(10)).await.unwrap();
    assert!(before.elapsed() > secs(29), "it waits for them");
    assert!(redlock.is_connected());
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn renewals_and_unlocks_go_on_at_a_server_that_waits() {
    let servers = start(3);
    let redlock = guarded(&servers).await;
    let lock = redlock.lock("r", secs(30)).await.unwrap();
    servers[..2].restart();
    restarted(&redlock, 0).await;
    restarted(&redlock, 1).await;
    servers[2].crash();
    up(&redlock, 0).await;
    let lock = redlock.renew(&lock, secs(30)).await.unwrap();
    assert_eq!(redlock.unlock(&lock).counts().await.removed, 2);
    servers[2].restart();
    eventually_free(&servers).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_up_for_long_votes_at_once_after_a_mere_loss_of_the_connection() {
    let servers = start(1);
    let redlock = guarded(&servers).await;
    servers[0].freeze();
    up(&redlock, 0).await;
    servers[0].thaw();
    up(&redlock, 1).await;
    assert_eq!(waits(&redlock, 0), None);
    let _lock = redlock.lock("r", secs(10)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_new_client_waits_for_servers_that_were_started_a_moment_ago() {
    let servers = start(3);
    sleep(secs(12)).await;
    let redlock = builder(&servers).restart_guard(MAX_TTL).build().unwrap();
    restarted(&redlock, 0).await;
    let left = waits(&redlock, 0).unwrap();
    assert!(left <= secs(18) && left > secs(17), "{left:?}");
    assert_eq!(redlock.wait_connected().await, Ok(()));
    let _lock = redlock.lock("r", secs(10)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_ttl_beyond_the_guards_is_refused_by_both_names() {
    let servers = start(1);
    let redlock = guarded(&servers).await;
    let error = redlock.lock("r", secs(31)).await.unwrap_err();
    let words = "ttl (31s) must not exceed the longest that the restart guard is for (30s)";
    assert_eq!(error.to_string(), words);
    let is_expected = |ttl: Duration, max_ttl: Duration| (ttl, max_ttl) == (secs(31), MAX_TTL);
    let invalid = extract!(error, LockError::Invalid(InvalidRequest::Ttl(invalid)) => invalid);
    assert_matches!(&invalid, InvalidTtl::OutlivesRestartGuard { ttl, max_ttl, .. } if is_expected(*ttl, *max_ttl));
    let error = redlock.acquire("r", secs(31)).await.unwrap_err();
    assert_eq!(error, LockError::Invalid(InvalidRequest::Ttl(invalid.clone())));
    let lock = redlock.lock("r", MAX_TTL).await.unwrap();
    let error = redlock.renew(&lock, secs(31)).await.unwrap_err();
    assert_eq!(error, RenewError::Invalid(InvalidRequest::Ttl(invalid)));
    let error = builder(&servers).restart_guard(secs(0)).build().unwrap_err();
    assert_matches!(
        error,
        ConfigError::Zero {
            name: "restart_guard",
            ..
        }
    );
}
