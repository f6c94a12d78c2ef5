//! Waiting in line, and what wakes those who wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use multiredlock::{Guard, Lock, LockError, Redlock};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::support::{
    self, LONG, RedisServer, Servers, Together, all_up, answers, assert_matches, client, connect, eventually, finishes,
    ms, quick, servers_and_two, up, watched,
};

type Waiter = JoinHandle<Result<Guard, LockError>>;

fn waits(redlock: &Redlock) -> Waiter {
    tokio::spawn(redlock.acquire("r", LONG))
}

/// Lets another client wait for `r`, and returns once it is going to be told by every server.
async fn waiter(redlock: &Redlock, servers: &[RedisServer]) -> Waiter {
    servers
        .each("every server has the key", |server| server.get("r").is_some())
        .await;
    let waiting = waits(redlock);
    watched(servers, 1).await;
    assert!(!waiting.is_finished());
    waiting
}

/// A client's lock on `r`, and another client's waiter for it, which every server is going to tell.
async fn lock_and_waiter(ttl: Duration) -> (Servers, Redlock, Lock, Waiter) {
    let (servers, holder, other) = servers_and_two().await;
    let lock = holder.lock("r", ttl).await.unwrap();
    let waiting = waiter(&other, &servers).await;
    (servers, holder, lock, waiting)
}

/// How often the server ran a GET, which each refusal does.
fn asked(server: &RedisServer) -> u64 {
    server.calls("get")
}

/// The waiter's guard, which it gets soon after now.
async fn soon(waiting: Waiter) -> Guard {
    support::soon("the lock", waiting).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_is_told_of_an_unlock() {
    let (servers, holder, lock, waiting) = lock_and_waiter(LONG).await;
    holder.unlock(&lock);
    let guard = soon(waiting).await;
    assert!(servers.holding(&guard.lock()) >= 2);
    guard.release().await.unwrap();
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_is_told_of_a_key_that_is_deleted_by_hand_on_a_majority() {
    let (servers, _holder, _lock, waiting) = lock_and_waiter(LONG).await;
    servers[1..].command(&["DEL", "r"]);
    let _guard = soon(waiting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_gets_what_its_holder_let_expire() {
    let (_servers, _holder, _lock, waiting) = lock_and_waiter(ms(1_500)).await;
    let _guard = soon(waiting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_is_told_of_keys_that_were_set_by_hand() {
    let servers = Servers::start(3);
    let other = servers.connected().await;
    for server in servers.iter() {
        // One without a ttl never expires.
        server.command(&["SET", "r", "by hand"]);
    }
    let waiting = waiter(&other, &servers).await;
    servers.command(&["DEL", "r"]);
    let _guard = soon(waiting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_is_told_although_a_server_was_killed_or_frozen_meanwhile() {
    for fault in [RedisServer::crash, RedisServer::freeze] {
        let (servers, holder, lock, waiting) = lock_and_waiter(LONG).await;
        fault(&servers[2]);
        holder.unlock(&lock);
        let _guard = soon(waiting).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_gets_the_resource_when_servers_come_back_without_it() {
    let (servers, _holder, _lock, waiting) = lock_and_waiter(LONG).await;
    servers[0].restart();
    servers[1].restart();
    let _guard = soon(waiting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_waits_for_a_majority_to_be_reached() {
    let servers = Servers::down(3);
    let redlock = servers.redlock();
    let waiting = waits(&redlock);
    servers[0].restart();
    eventually("one is up", async || up(&redlock) == 1).await;
    assert!(!waiting.is_finished());
    servers[1].restart();
    let _guard = soon(waiting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_subscribes_again_on_a_new_connection() {
    let (servers, holder, lock, waiting) = lock_and_waiter(LONG).await;
    let before: Vec<_> = servers.iter().map(asked).collect();
    servers.kill_clients();
    eventually("it subscribed again, to a majority at least", async || {
        let has_asked = |(server, before): &(&RedisServer, u64)| asked(server) > *before;
        servers.iter().all(|server| server.listeners() == 1)
            && servers.iter().zip(before.clone()).filter(has_asked).count() >= 2
    })
    .await;
    answers(&holder).await;
    holder.unlock(&lock);
    let _guard = soon(waiting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_that_no_message_tells_of_is_noticed_by_the_poll() {
    let (servers, _holder, _lock, waiting) = lock_and_waiter(LONG).await;
    servers.command(&["FLUSHALL"]);
    let _guard = finishes("the waiter", waiting).await.unwrap().unwrap();
}

/// Without tracking a waiter asks again and again.
async fn is_served_without_tracking(servers: &Servers, user: &str) {
    let connected = async || connect(quick().servers(servers.iter().map(|server| server.url_as(user)))).await;
    let (holder, other) = (connected().await, connected().await);
    let lock = holder.lock("r", LONG).await.unwrap();
    let waiting = waits(&other);
    eventually("it asks again and again", async || {
        servers.iter().map(asked).sum::<u64>() > 3 * 3
    })
    .await;
    for server in servers.iter() {
        let tracks = |client: &String| {
            client
                .split(' ')
                .any(|field| field.starts_with("flags=") && field.contains('t'))
        };
        assert!(!server.clients().iter().any(tracks));
    }
    holder.unlock(&lock);
    let _guard = soon(waiting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_is_served_by_servers_that_speak_resp2_only() {
    let old = || {
        RedisServer::builder()
            .line("rename-command HELLO \"\"")
            .password("secret")
    };
    let servers = (0..3).map(|_| old().start()).collect();
    is_served_without_tracking(&servers, ":secret").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_is_served_without_the_permission_to_be_told() {
    let rules = "on >secret ~* +@all -client +client|id +client|kill";
    let servers = Servers::start_with(3, |server| server.user("deaf", rules));
    is_served_without_tracking(&servers, "deaf:secret").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_not_be_accessed_is_refused_and_keeps_nobody_else_from_being_served() {
    let servers = Servers::start_with(3, |server| server.user("locker", "on >secret ~r* +@all"));
    let holder = servers.connected().await;
    let urls = servers.iter().map(|server| server.url_as("locker:secret"));
    let other = client(urls);
    all_up(&other).await;

    let lock = holder.lock("r", LONG).await.unwrap();
    let waiting = waiter(&other, &servers).await;
    let refused = finishes("the refusal", other.acquire("forbidden", LONG)).await;
    assert_matches!(refused, Err(LockError::Refused { .. }));
    holder.unlock(&lock);
    let _guard = finishes("the waiter", waiting).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_served_when_more_changes_come_at_once_than_are_kept() {
    const COUNT: usize = 3_000;
    let (servers, holder, other) = servers_and_two().await;
    let mut locks = JoinSet::new();
    for i in 0..COUNT {
        let holder = holder.clone();
        locks.spawn(async move { holder.lock(format!("many:{i}"), LONG).await.unwrap() });
    }
    locks.join_all().await;
    let mut waiting = JoinSet::new();
    for i in 0..COUNT {
        let other = other.clone();
        waiting.spawn(async move {
            let guard = other.acquire(format!("many:{i}"), LONG).await.unwrap();
            guard.release().await.unwrap();
        });
    }
    watched(&servers, COUNT).await;
    for server in servers.iter() {
        let all = "for _, key in ipairs(redis.call('KEYS', 'many:*')) do redis.call('DEL', key) end";
        server.command(&["EVAL", all, "0"]);
    }
    support::soon("all of them", waiting.join_all()).await;
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_waiters_cost_the_servers_little() {
    let servers = Servers::start(3);
    let holder = servers.connected().await;
    let other = servers.builder().heartbeat_interval(LONG).build().unwrap();
    all_up(&other).await;
    let _lock = holder.lock("r", LONG).await.unwrap();
    let mut waiting = JoinSet::new();
    for _ in 0..50 {
        let other = other.clone();
        waiting.spawn(async move { other.acquire("r", LONG).await });
    }
    watched(&servers, 1).await;
    // The heartbeats of the other client are the clock, 20 a second at the most.
    let beats = servers[0].calls("time");
    eventually("some time has passed", async || servers[0].calls("time") > beats + 40).await;
    for server in servers.iter() {
        assert!(asked(server) <= 4, "it was asked {} times", asked(server));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_share_the_turns_and_nobody_is_ever_two() {
    let servers = Servers::start(3);
    let is_held = Arc::new(AtomicBool::new(false));
    let (mut turns, mut waiters) = (Vec::new(), JoinSet::new());
    let end = Instant::now() + ms(2_000);
    for _ in 0..2 {
        let redlock = servers.connected().await;
        let count = Arc::new(AtomicUsize::new(0));
        turns.push(Arc::clone(&count));
        for _ in 0..4 {
            let (redlock, is_held, count) = (redlock.clone(), Arc::clone(&is_held), Arc::clone(&count));
            waiters.spawn(async move {
                while Instant::now() < end {
                    let guard = redlock.acquire("r", LONG).await.unwrap();
                    assert!(!is_held.swap(true, Ordering::SeqCst), "somebody else has it");
                    tokio::task::yield_now().await;
                    is_held.store(false, Ordering::SeqCst);
                    count.fetch_add(1, Ordering::SeqCst);
                    drop(guard);
                }
            });
        }
    }
    finishes("all of them", waiters.join_all()).await;
    let turns: Vec<_> = turns.iter().map(|count| count.load(Ordering::SeqCst)).collect();
    let all: usize = turns.iter().sum();
    assert!(turns.iter().all(|one| one * 5 > all), "{turns:?}");
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiters_that_give_up_at_any_moment_leave_the_others_in_line_and_no_key() {
    let (servers, one, two) = servers_and_two().await;
    let mut waiters = JoinSet::new();
    for i in 0..60_u64 {
        let redlock = if i % 2 == 0 { one.clone() } else { two.clone() };
        waiters.spawn(async move {
            for turn in 0..10 {
                // Some of these are over while it stands first, or is just being handed the lock.
                let patience = Duration::from_micros(i * 977 % 5_000 + turn * 131);
                match redlock.acquire("r", LONG).timeout(patience).await {
                    Ok(guard) => drop(guard),
                    Err(LockError::TimedOut { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    finishes("all of them", waiters.join_all()).await;
    servers.empty().await;
    let guard = finishes("one more", one.acquire("r", LONG)).await.unwrap();
    guard.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn waiters_that_are_dropped_at_random_moments_keep_nobody_else_from_being_served() {
    let servers = Servers::start(3);
    let clients = [servers.connected().await, servers.connected().await];
    let (mut faithful, mut fickle) = (JoinSet::new(), JoinSet::new());
    for number in 0..20 {
        let redlock = clients[number % 2].clone();
        faithful.spawn(async move {
            for _ in 0..100 {
                drop(redlock.acquire("r", LONG).await.unwrap());
            }
        });
        let redlock = clients[number % 2].clone();
        let mut rng = SmallRng::seed_from_u64(number as u64);
        fickle.spawn(async move {
            loop {
                // Dropped with its answer, if that came just then.
                let patience = Duration::from_micros(rng.gen_range(0..10_000));
                let _ = timeout(patience, redlock.acquire("r", LONG)).await;
            }
        });
    }
    finishes("who stays is served", faithful.join_all()).await;
    finishes("who leaves is gone", fickle.shutdown()).await;
    servers.empty().await;
}
