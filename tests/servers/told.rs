//! Who waits is told, whatever happens to the servers in between, and where some of them tell nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use multiredlock::{
    Guard, Lock, LockError, Redlock, Server,
    error::{Refusal, ServerVote, Vote},
};
use tokio::task::{JoinHandle, JoinSet};

use crate::support::{
    LONG, RedisServer, RedisServerBuilder, Servers, Together, answers, connect, eventually, finishes, ms, quick,
    servers_and_two, soon, unhurried_on, up, watched,
};

type Waiter = JoinHandle<Result<Guard, LockError>>;

fn waits(redlock: &Redlock, resource: &str) -> Waiter {
    tokio::spawn(redlock.acquire(resource, LONG))
}

/// Somebody else has the console until it is deleted.
fn held_elsewhere(servers: &[RedisServer]) {
    servers.command(&["SET", "console", "somebody else"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_tell_each_other_turn_by_turn() {
    let (servers, one, other) = servers_and_two().await;
    let mut held = one.acquire("console", LONG).await.unwrap();
    for redlock in [&other, &one].into_iter().cycle().take(10) {
        let waiter = waits(redlock, "console");
        watched(&servers, 1).await;
        held.release().await.unwrap();
        held = soon("the lock", waiter).await.unwrap().unwrap();
    }
    drop(held);
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_is_told_after_one_server_after_another_was_restarted_without_its_keys() {
    let (servers, one, other) = servers_and_two().await;
    let held = one.acquire("console", LONG).await.unwrap();
    let waiter = waits(&other, "console");
    for server in servers.iter() {
        servers.all_hold(&held.lock()).await;
        server.restart();
    }
    eventually("it is put back", async || servers.holding(&held.lock()) == 3).await;
    assert!(!waiter.is_finished() && held.is_valid());
    held.release().await.unwrap();
    drop(soon("the lock", waiter).await.unwrap().unwrap());
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_is_told_after_every_server_was_restarted_with_its_keys() {
    let servers = Servers::start_with(3, RedisServerBuilder::keep_memory);
    let (one, other) = (servers.connected().await, servers.connected().await);
    let held = one.lock("console", LONG).await.unwrap();
    servers.all_hold(&held).await;
    let waiter = waits(&other, "console");
    watched(&servers, 1).await;
    servers.crash();
    servers.restart();
    watched(&servers, 1).await;
    answers(&one).await;
    one.unlock(&held);
    drop(soon("the lock", waiter).await.unwrap().unwrap());
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_is_told_of_any_bytes_with_a_prefix_in_another_database() {
    let resource = b"\x00\xff\xc3\r\n{\"";
    let servers = Servers::start(3);
    let connected = async || {
        let third = |server: &RedisServer| Server::parse(&server.url()).unwrap().database(3);
        let servers = servers.iter().map(third);
        connect(quick().key_prefix("locks:").servers(servers)).await
    };
    let (one, other) = (connected().await, connected().await);
    let held = one.lock(resource, LONG).await.unwrap();
    eventually("every server has the key", async || {
        let keys = |server: &RedisServer| server.command(&["INFO", "keyspace"]).text();
        servers.iter().all(|server| keys(server).contains("db3:keys=1"))
    })
    .await;
    let waiter = tokio::spawn(other.acquire(resource, LONG));
    watched(&servers, 1).await;
    one.unlock(&held);
    drop(soon("the lock", waiter).await.unwrap().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_too_slow_to_be_asked_is_asked_to_tell_all_the_same() {
    let (servers, redlock) = unhurried_on(3).await;
    held_elsewhere(&servers);
    servers[2].freeze();
    let others = with_all_commands_on_their_way(&redlock).await;
    let waiter = waits(&redlock, "console");
    watched(&servers[..2], 1).await;
    servers[2].thaw();
    soon("it is asked to tell", watched(&servers[2..], 1)).await;

    servers[1..].command(&["DEL", "console"]);

    drop(soon("the lock", waiter).await.unwrap().unwrap());
    servers[0].command(&["DEL", "console"]);
    for lock in &others {
        redlock.unlock(lock);
    }
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_answer_came_too_late_may_be_free_when_another_is_down() {
    let (servers, redlock) = unhurried_on(3).await;
    servers[0].crash();
    eventually("it is down", async || up(&redlock) == 2).await;
    held_elsewhere(&servers[1..2]);
    servers[2].freeze();
    let waiter = waits(&redlock, "console");
    watched(&servers[1..2], 1).await;
    servers[2].thaw();

    servers[1].command(&["DEL", "console"]);

    drop(soon("the lock", waiter).await.unwrap().unwrap());
    servers[0].restart();
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_share_the_turns_while_a_minority_is_away() {
    for fault in [RedisServer::crash, RedisServer::freeze] {
        let servers = Servers::start(3);
        let clients = [servers.connected().await, servers.connected().await];
        fault(&servers[0]);
        let (end, is_held) = (Instant::now() + ms(2_000), Arc::new(AtomicBool::new(false)));
        let mut workers = JoinSet::new();
        for (number, redlock) in [0, 1].into_iter().zip(&clients).cycle().take(8) {
            let (redlock, is_held) = (redlock.clone(), Arc::clone(&is_held));
            workers.spawn(async move {
                let mut turns = 0;
                while Instant::now() < end {
                    let guard = redlock.acquire("console", LONG).await.unwrap();
                    assert!(!is_held.swap(true, Ordering::SeqCst), "somebody else has it");
                    tokio::task::yield_now().await;
                    is_held.store(false, Ordering::SeqCst);
                    turns += 1;
                    drop(guard);
                }
                (number, turns)
            });
        }
        let mut turns = [0, 0];
        for (number, count) in finishes("every worker", workers.join_all()).await {
            turns[number] += count;
        }
        let all: usize = turns.iter().sum();
        assert!(turns.iter().all(|one| one * 10 > all), "{turns:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_tells_nothing_is_made_up_for_when_another_goes_down() {
    let (servers, redlock, waiter) = waiter_of_two_that_tell().await;

    servers[0].crash();
    eventually("it is down", async || up(&redlock) == 2).await;
    servers[1..].command(&["DEL", "console"]);

    drop(soon("the lock", waiter).await.unwrap().unwrap());
    servers[0].restart();
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_does_not_count_among_those_that_tell() {
    let (servers, redlock, waiter) = waiter_of_two_that_tell().await;
    servers[0].crash();
    eventually("it is down", async || up(&redlock) == 2).await;
    let asked = servers[1].calls("get");
    servers[1].command(&["SET", "console", "somebody else"]);
    eventually("the waiter asked again", async || servers[1].calls("get") > asked).await;

    servers[1..].command(&["DEL", "console"]);

    drop(soon("the lock", waiter).await.unwrap().unwrap());
    servers[0].restart();
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_becomes_forbidden_refuses_its_waiter_and_no_other() {
    let user = || RedisServer::builder().user("locker", "on >secret ~* &* +@all");
    let servers: Servers = (0..3).map(|_| user().start()).collect();
    let urls = servers.iter().map(|server| server.url_as("locker:secret"));
    let redlock = connect(quick().servers(urls)).await;
    let names = (0..20).flat_map(|number| [format!("allowed {number}"), format!("forbidden {number}")]);
    let names: Vec<_> = names.collect();
    let mut keys = vec!["MSET", "allowed last", "somebody else"];
    keys.extend(names.iter().flat_map(|name| [name, "somebody else"]));
    servers.command(&keys);
    let mut waiters = JoinSet::new();
    for name in &names {
        let (waiter, is_allowed) = (redlock.acquire(name, LONG), name.starts_with("allowed"));
        waiters.spawn(async move { (is_allowed, waiter.await) });
    }
    let last = waits(&redlock, "allowed last");
    watched(&servers, 41).await;

    servers.command(&["ACL", "SETUSER", "locker", "resetkeys", "~allowed*"]);
    let mut keys = vec!["DEL"];
    keys.extend(names.iter().map(String::as_str));
    servers.command(&keys);

    let mut guards = Vec::new();
    for (is_allowed, outcome) in soon("every outcome", waiters.join_all()).await {
        match outcome {
            Ok(guard) if is_allowed => guards.push(guard),
            Err(LockError::Refused { failure, .. }) if !is_allowed => {
                let is_forbidden = |vote: &&ServerVote| vote.vote == Vote::Refused(Refusal::NoPermission);
                assert!(failure.votes.iter().filter(is_forbidden).count() >= 2, "{failure:?}");
            }
            other => panic!("allowed: {is_allowed}, {other:?}"),
        }
    }
    assert!(!last.is_finished());
    servers.command(&["DEL", "allowed last"]);
    guards.push(soon("the last lock", last).await.unwrap().unwrap());
    drop(guards);
    servers.empty().await;
}

/// So many commands are never unanswered: to a server that is frozen nothing more is sent.
async fn with_all_commands_on_their_way(redlock: &Redlock) -> Vec<Lock> {
    let mut locks = Vec::new();
    for number in 0..10 {
        locks.push(redlock.lock(format!("another {number}"), LONG).await.unwrap());
    }
    locks
}

/// Three servers, the last of which tells nothing, and a waiter for the console that somebody else has.
async fn waiter_of_two_that_tell() -> (Servers, Redlock, Waiter) {
    let without_hello = RedisServer::builder().line("rename-command HELLO \"\"").start();
    let servers: Servers = [RedisServer::start(), RedisServer::start(), without_hello]
        .into_iter()
        .collect();
    let redlock = servers.connected().await;
    held_elsewhere(&servers);
    let waiter = waits(&redlock, "console");
    watched(&servers[..2], 1).await;
    (servers, redlock, waiter)
}

#[tokio::test(flavor = "multi_thread")]
async fn waiters_for_resources_in_common_do_not_keep_each_other_awake() {
    let servers = Servers::start(3);
    // The heartbeats of a client that does nothing else are the clock: 20 a second at the most.
    let (redlock, _clock) = (servers.connected().await, servers.connected().await);
    held_elsewhere(&servers[..2]);
    // Each of them sets and undoes on the third server what the other waits for.
    let waiters = [
        waits(&redlock, "console"),
        tokio::spawn(redlock.acquire(["console", "another"], LONG)),
    ];
    watched(&servers[..2], 2).await;

    let (beats, asked) = (servers[0].calls("time"), servers[0].calls("evalsha"));
    eventually("a second has passed", async || servers[0].calls("time") > beats + 20).await;
    let asked = servers[0].calls("evalsha") - asked;

    assert!(asked < 10, "it was asked {asked} times");
    waiters.iter().for_each(JoinHandle::abort);
    held_elsewhere(&servers[2..]);
    servers.command(&["DEL", "console"]);
    servers.empty().await;
}
