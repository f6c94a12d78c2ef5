//! Every key that a server granted ends in a lock or in an unlock, whatever happens on the way.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use multiredlock::{Lock, LockError, status::DownReason};

use crate::support::{
    LONG, RedisServerBuilder, Reply, Servers, Together, all_up, assert_matches, eventually, finishes, lock_and_unlock,
    locked_on_three, ms, patient, reason, servers_and_client, unhurried_on, up,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_dropped_after_any_poll_leaves_no_key() {
    let (servers, redlock) = servers_and_client(3).await;
    for (attempt, polls) in (0..4).cycle().take(100).enumerate() {
        let request = redlock.lock(format!("attempt {attempt}"), LONG);
        if let Some(outcome) = drop_after(polls, request).await {
            redlock.unlock(&outcome.unwrap());
        }
    }
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_dropped_after_any_time_leaves_no_key() {
    let (servers, redlock) = servers_and_client(3).await;
    for microseconds in (0..3_000).step_by(20) {
        let task = tokio::spawn(redlock.lock(format!("after {microseconds} µs"), LONG));
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(microseconds) {
            std::hint::spin_loop();
        }
        task.abort();
        if let Ok(outcome) = task.await {
            redlock.unlock(&outcome.unwrap());
        }
    }
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_dropped_while_it_retries_leaves_no_key_on_the_servers_that_granted_it() {
    let (servers, redlock) = servers_and_client(3).await;
    servers[..2].command(&["SET", "console", "somebody else", "PX", "60000"]);
    for polls in 0..30 {
        let dropped = drop_after(polls, redlock.lock("console", LONG).retry(patient())).await;
        assert!(dropped.is_none(), "{dropped:?}");
    }
    servers[2..].empty().await;
    for server in &servers[..2] {
        assert_eq!(server.get("console").as_deref(), Some("somebody else"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_dropped_while_its_servers_are_frozen_is_undone_when_they_thaw() {
    let (servers, redlock) = unhurried_on(3).await;
    servers.freeze();

    let request = redlock.lock("console", LONG);
    let dropped = tokio::time::timeout(ms(100), request).await;
    assert!(dropped.is_err(), "nobody can have answered: {dropped:?}");

    servers.thaw();
    lands_and_is_undone(&servers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_lands_after_its_round_is_undone() {
    let (servers, redlock) = unhurried_on(3).await;
    servers[1..].freeze();

    let refused = finishes(
        "the attempt",
        redlock.try_lock("console", LONG).attempt_timeout(ms(100)),
    )
    .await;
    assert_matches!(refused, Err(LockError::NoQuorum { .. }));

    servers[1..].thaw();
    lands_and_is_undone(&servers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_lands_after_its_connection_was_given_up_is_undone_over_the_next() {
    let (servers, redlock) = servers_and_client(3).await;
    servers[1..].freeze();

    let refused = finishes(
        "the attempt",
        redlock.try_lock("console", LONG).attempt_timeout(ms(100)),
    )
    .await;
    assert_matches!(refused, Err(LockError::NoQuorum { .. }));
    eventually("the frozen servers are given up", async || up(&redlock) == 1).await;
    assert_eq!(reason(&redlock, 1), Some(DownReason::Unresponsive));

    servers[1..].thaw();
    lands_and_is_undone(&servers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_a_paused_server_holds_back_is_undone_when_it_goes_on() {
    let (servers, redlock) = servers_and_client(3).await;
    servers[1..].command(&["CLIENT", "PAUSE", "60000", "WRITE"]);

    let refused = finishes(
        "the attempt",
        redlock.try_lock("console", LONG).attempt_timeout(ms(100)),
    )
    .await;
    assert_matches!(refused, Err(LockError::NoQuorum { .. }));

    servers[1..].command(&["CLIENT", "UNPAUSE"]);
    all_up(&redlock).await;
    servers.empty().await;
    let lock = redlock.lock("console", LONG).await.unwrap();
    eventually("every server grants again", async || servers.holding(&lock) == 3).await;
}

/// What was sent to a frozen server is carried out when it thaws; only then can it be seen to be undone.
async fn lands_and_is_undone(servers: &Servers) {
    servers
        .each("the lock was set on each server", |server| server.calls("set") > 0)
        .await;
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unlock_reaches_a_server_that_was_frozen_when_it_was_sent() {
    let (servers, redlock, lock) = locked_on_three().await;
    servers[2].freeze();
    eventually("it is down", async || up(&redlock) == 2).await;

    redlock.unlock(&lock);
    servers[2].thaw();

    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unlock_reaches_a_server_that_was_down_when_it_was_sent() {
    let servers = Servers::start_with(3, RedisServerBuilder::keep_memory);
    let redlock = servers.connected().await;
    let lock = redlock.lock("console", LONG).await.unwrap();
    servers.all_hold(&lock).await;
    servers[2].crash();
    eventually("it is down", async || up(&redlock) == 2).await;

    redlock.unlock(&lock);
    servers[2].restart();

    servers[2..].empty().await;
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_sends_nothing_to_a_server_that_is_down_not_even_later() {
    let (servers, redlock) = servers_and_client(3).await;
    servers[2].crash();
    eventually("it is down", async || up(&redlock) == 2).await;
    let lock = redlock.lock("console", LONG).await.unwrap();

    servers[2].restart();
    all_up(&redlock).await;
    // Operations reach a server in order, so what came before this lock has been seen once it is set.
    let other = redlock.lock("other", LONG).await.unwrap();
    eventually("the third server has the later lock", async || {
        servers.holding(&other) == 3
    })
    .await;

    assert_eq!(servers[2].keys(), ["other"]);
    assert_eq!(servers.holding(&lock), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_the_middle_of_many_locks_leaves_no_key() {
    let servers = Servers::start_with(3, RedisServerBuilder::keep_memory);
    let redlock = servers.connected().await;
    let tasks: Vec<_> = (0..16)
        .map(|task| tokio::spawn(lock_and_unlock(redlock.clone(), task)))
        .collect();
    for _ in 0..3 {
        servers[0].crash();
        eventually("it is down", async || up(&redlock) == 2).await;
        servers[0].restart();
        all_up(&redlock).await;
        servers[1].kill_clients();
    }
    for task in tasks {
        task.abort();
        let _ = task.await;
    }
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unlock_that_is_too_late_to_matter_removes_nobody_elses_key() {
    let (servers, redlock) = servers_and_client(3).await;
    let lock = redlock.lock("console", LONG).await.unwrap();
    servers[2].freeze();
    eventually("it is down", async || up(&redlock) == 2).await;
    redlock.unlock(&lock);
    servers[2].thaw();
    servers.empty().await;

    for server in servers.iter() {
        let expected = Reply::Text("OK".to_owned());
        assert_eq!(server.command(&["SET", "console", "somebody else"]), expected);
    }
    let unlocked = finishes("the unlock", redlock.unlock(&lock).counts()).await;
    assert_eq!((unlocked.removed, unlocked.not_ours), (0, 3));
    assert!(
        servers
            .iter()
            .all(|server| server.get("console").as_deref() == Some("somebody else"))
    );
}

/// Polls a future at most so many times, and then drops it.
async fn drop_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_whose_answer_was_lost_removes_no_lock_that_was_handed_over() {
    let servers = Servers::start(3);
    // It connects again when the TTL of its lock is over.
    let first = servers.builder().reconnect(ms(12_000), ms(12_000)).build().unwrap();
    all_up(&first).await;
    let other = servers.connected().await;
    servers[2].freeze();
    let lock = first.lock("r", ms(5_000)).await.unwrap();
    eventually("the first misses the frozen server", async || up(&first) == 2).await;
    servers[2].thaw();
    eventually("the SET lands", async || servers[2].get("r").is_some()).await;
    all_up(&other).await;
    let renewed = other.renew(&Lock::from_parts("r", lock.value()), LONG).await.unwrap();
    eventually("the first lock is over", async || lock.validity().is_zero()).await;
    all_up(&first).await;
    assert_eq!(servers.holding(&renewed), 3);
    // All that the first sent there before was carried out.
    assert!(first.renew(&lock, LONG).await.is_ok());
    assert_eq!(servers.holding(&renewed), 3);
}
