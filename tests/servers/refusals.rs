//! Servers that are up and say no.

use std::fmt::Debug;

use multiredlock::{
    Lock, LockError,
    error::{Refusal, Vote},
    event::Event,
    status::DownReason,
};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;

use crate::support::{
    LONG, RedisServer, Reply, Servers, Together, all_up, assert_matches, client, connect, eventually, extract,
    finishes, is_down, lock_once, quick, servers_and_client,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_no_lock_refuses_and_stays() {
    let (servers, redlock) = servers_and_client(3).await;
    servers[0].command(&["RPUSH", "console", "an item"]);
    lock_once(&redlock).await;
    eventually("only the list is left", async || {
        servers[0].keys() == ["console"] && servers[1..].iter().all(|server| server.keys().is_empty())
    })
    .await;

    servers[1].command(&["RPUSH", "console", "an item"]);
    let refused = redlock.lock("console", LONG).await;

    assert_eq!(refusals(refused), [Refusal::WrongType, Refusal::WrongType]);
    for server in &servers[..2] {
        assert_eq!(server.command(&["LLEN", "console"]), Reply::Integer(1));
    }
    servers[2..].empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_write_to_its_disk_refuses_until_it_can() {
    let server = RedisServer::builder()
        .line("dbfilename in-the-way")
        .line("save 3600 1000000")
        .start();
    let directory = server.command(&["CONFIG", "GET", "dir"]).texts().remove(1);
    let in_the_way = std::path::Path::new(&directory).join("in-the-way");
    std::fs::create_dir_all(in_the_way.join("not-empty")).unwrap();
    let saved = async |status: &str| {
        let field = format!("rdb_last_bgsave_status:{status}");
        eventually("it tried to save its data", async || {
            server.command(&["BGSAVE"]);
            server.command(&["INFO", "persistence"]).text().contains(&field)
        })
        .await;
    };
    saved("err").await;
    assert_matches!(&server.command(&["PING"]), Reply::Error(words) if words.starts_with("MISCONF"));

    let redlock = client([server.url()]);
    all_up(&redlock).await;
    let [Refusal::Other(words)] = &refusals(redlock.lock("console", LONG).await)[..] else {
        panic!("the server refuses in its own words");
    };
    assert!(words.as_str().contains("MISCONF"), "{words}");

    std::fs::remove_dir_all(in_the_way).unwrap();
    saved("ok").await;
    let lock = redlock.lock("console", LONG).await.unwrap();
    assert_eq!(server.get("console").as_deref(), Some(lock.value()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_out_of_memory_refuses_and_still_unlocks() {
    let (servers, redlock) = servers_and_client(3).await;
    let held = redlock.lock("held", LONG).await.unwrap();
    servers.all_hold(&held).await;

    servers[0].command(&["CONFIG", "SET", "maxmemory", "1"]);
    let lock = redlock.lock("console", LONG).await.unwrap();
    assert_eq!(servers[0].get("console"), None);

    servers[1].command(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = redlock.lock("another", LONG).await;
    assert_eq!(refusals(refused), [Refusal::OutOfMemory, Refusal::OutOfMemory]);

    redlock.unlock(&held);
    redlock.unlock(&lock);
    servers.empty().await;
    servers[..2].command(&["CONFIG", "SET", "maxmemory", "0"]);
    let again = redlock.lock("another", LONG).await.unwrap();
    eventually("every server grants again", async || servers.holding(&again) == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_access_to_a_key_is_refused_and_other_keys_are_not() {
    let rules = "on >secret ~allowed* &* +@all";
    let servers = Servers::start_with(3, |server| server.user("locker", rules));
    let urls = servers.iter().map(|server| server.url_as("locker:secret"));
    let redlock = connect(quick().servers(urls)).await;

    let refusals = refusals(redlock.lock("forbidden", LONG).await);
    assert!(refusals.len() >= 2 && refusals.iter().all(|refusal| *refusal == Refusal::NoPermission));

    // So many at once that they travel in batches: a forbidden key spoils no vote but its own.
    let mut locks = JoinSet::new();
    for number in 0..64 {
        let (allowed, forbidden) = (format!("allowed {number}"), format!("forbidden {number}"));
        locks.spawn(redlock.try_lock(allowed, LONG));
        let refused = redlock.try_lock(forbidden, LONG);
        tokio::spawn(async move { assert!(refused.await.is_err()) });
    }
    while let Some(lock) = locks.join_next().await {
        redlock.unlock(&lock.unwrap().unwrap());
    }
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unlock_that_was_refused_is_sent_again() {
    let (servers, redlock) = servers_and_client(1).await;
    let lock = redlock.lock("console", LONG).await.unwrap();
    servers[0].command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    assert_eq!(redlock.unlock(&lock).counts().await.unreachable, 1);
    assert_eq!(servers[0].get("console").as_deref(), Some(lock.value()));
    servers[0].command(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_becomes_a_replica_no_longer_grants() {
    let servers = Servers::start(3);
    let elsewhere = RedisServer::start();
    let redlock = servers.connected().await;
    let primary = elsewhere.address();
    servers[0].command(&["REPLICAOF", &primary.ip().to_string(), &primary.port().to_string()]);

    let lock = redlock.lock("console", LONG).await.unwrap();
    let granted = servers[1..]
        .iter()
        .filter(|server| server.get("console").as_deref() == Some(lock.value()));
    assert_eq!(granted.count(), 2);

    is_down(&redlock, 0, |reason| *reason == DownReason::Replica).await;
    servers[0].command(&["REPLICAOF", "NO", "ONE"]);
    all_up(&redlock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_any_length_end_no_connection() {
    let small = || {
        RedisServer::builder()
            .line("proto-max-bulk-len 1mb")
            .line("client-query-buffer-limit 1mb")
            .start()
    };
    let servers: Servers = (0..3).map(|_| small()).collect();
    let redlock = servers.connected().await;
    let mut events = redlock.events();
    let guard = redlock.acquire("unrelated", LONG).await.unwrap();
    let elsewhere = |name: &str, value: &str| Lock::from_parts(name, value);
    let (huge, longest) = ("x".repeat(3_000_000), "y".repeat((64 << 10) - 8));

    assert!(redlock.lock(&huge, LONG).await.is_err());
    assert!(redlock.owner(&huge).await.is_err());
    for lock in [elsewhere(&huge, "v"), elsewhere("r", &huge)] {
        assert!(redlock.renew(&lock, LONG).await.is_err());
        drop(redlock.unlock(&lock));
    }
    let mut tasks = JoinSet::new();
    for number in 0..100 {
        let (redlock, name) = (redlock.clone(), format!("{number}{longest}"));
        tasks.spawn(async move {
            let lock = redlock.lock(&name, LONG).await.unwrap();
            let waiting = redlock.acquire(&name, LONG);
            let (_, guard) = tokio::join!(redlock.unlock(&lock), waiting);
            guard.unwrap().release().await.unwrap();
        });
    }
    finishes("the locks", tasks.join_all()).await;

    assert!(guard.is_valid());
    redlock.close().await;
    while let Some(event) = events.next().await {
        assert!(!matches!(event, Event::ServerDown { .. }), "{event:?}");
    }
}

/// The reasons of the servers that refused; the lock must have failed for them.
fn refusals<T: Debug>(outcome: Result<T, LockError>) -> Vec<Refusal> {
    let failure = extract!(outcome, Err(LockError::Refused { failure, .. }) => failure);
    let refused = failure.votes.into_iter().filter_map(|vote| match vote.vote {
        Vote::Refused(refusal) => Some(refusal),
        _ => None,
    });
    refused.collect()
}
