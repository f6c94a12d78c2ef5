//! Real servers that are started again without their data, and the guard against that.

use multiredlock::{
    LockError, Redlock,
    event::{Event, Warning},
    status::DownReason,
};

use std::time::UNIX_EPOCH;

use tokio::time::timeout;
use tokio_stream::StreamExt;

use crate::support::{
    RedisServer, RedisServerBuilder, Servers, Together, all_up, connect, eventually, finishes, ms, reason,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_majority_forgets_by_restarts_is_not_granted_twice() {
    let max_ttl = ms(3_000);
    let servers = Servers::start(3);
    let builder = || servers.builder().restart_guard(max_ttl);
    let (redlock, other) = (builder().build().unwrap(), builder().build().unwrap());
    let is_restarted = |server| matches!(reason(&other, server), Some(DownReason::Restarted { .. }));
    eventually("they were just started", async || is_restarted(0)).await;
    all_up(&redlock).await;
    all_up(&other).await;

    let lock = redlock.lock("r", max_ttl).await.unwrap();
    for server in &servers[..2] {
        server.restart();
        assert_eq!(server.get("r"), None, "it keeps nothing on disk");
    }
    let mut refused = 0;
    let second = loop {
        match other.try_lock("r", max_ttl).await {
            Ok(second) => break second,
            Err(LockError::NoQuorum { .. } | LockError::Held { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(ms(10)).await;
    };
    assert!(!lock.is_valid());
    assert!(refused > 0 && second.is_valid());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_not_there_before_the_restart_waits_long_enough() {
    let max_ttl = ms(3_000);
    let servers = Servers::start(3);
    let builder = || servers.builder().restart_guard(max_ttl);
    let redlock = connect(builder()).await;
    // Servers count their uptime in whole seconds of the clock, so that it is the longer the later in one they started.
    eventually("a second is nearly over", async || (700..720).contains(&ms_of_second())).await;
    let lock = redlock.lock("r", max_ttl).await.unwrap();
    eventually("it is", async || (800..820).contains(&ms_of_second())).await;
    servers[..2].restart();
    eventually("the next began", async || ms_of_second() < 50).await;
    let other = builder().build().unwrap();
    both_wait("they were just started", &other).await;
    let mut second = other.try_lock("r", max_ttl).await;
    while second.is_err() {
        tokio::time::sleep(ms(5)).await;
        second = other.try_lock("r", max_ttl).await;
    }
    assert!(!lock.is_valid(), "two hold it");
}

/// Waits until the first two servers do not vote, since they were started a short time ago.
async fn both_wait(description: &str, redlock: &Redlock) {
    let waits = |server| matches!(reason(redlock, server), Some(DownReason::Restarted { .. }));
    eventually(description, async || waits(0) && waits(1)).await;
}

/// Whether a server says so of its replication.
fn says(server: &RedisServer, words: &str) -> bool {
    server.command(&["INFO", "replication"]).text().contains(words)
}

/// Makes the first two servers replicas of a master, and waits until they have all that it has.
async fn follow(servers: &Servers, master: &RedisServer) {
    let (host, port) = (master.address().ip().to_string(), master.address().port().to_string());
    servers[..2].command(&["REPLICAOF", &host, &port]);
    let has_all = |server: &RedisServer| says(server, "master_link_status:up");
    servers[..2].each("it has all that its master has", has_all).await;
}

fn empty_master() -> RedisServer {
    RedisServer::builder().line("repl-diskless-sync-delay 0").start()
}

fn ms_of_second() -> u128 {
    UNIX_EPOCH.elapsed().unwrap().as_millis() % 1000
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_forgot_before_it_became_a_master_is_not_granted_twice() {
    let max_ttl = ms(5_000);
    let servers = Servers::start(3);
    let builder = || servers.builder().restart_guard(max_ttl);
    let (redlock, other) = (builder().build().unwrap(), builder().build().unwrap());
    all_up(&redlock).await;
    all_up(&other).await;
    let lock = redlock.lock("r", max_ttl).await.unwrap();

    let empty = empty_master();
    follow(&servers, &empty).await;
    for server in &servers[..2] {
        assert_eq!(server.get("r"), None, "its master had nothing");
    }
    for server in &servers[..2] {
        server.command(&["REPLICAOF", "NO", "ONE"]);
        server.kill_clients();
    }
    let new = builder().build().unwrap();
    for (who, redlock) in [("who knew them", &other), ("who is new", &new)] {
        both_wait(who, redlock).await;
        assert!(redlock.try_lock("r", max_ttl).await.is_err(), "{who}");
    }
    drop(lock);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_became_a_master_and_forgot_so_waits_for_a_process_that_is_new() {
    let max_ttl = ms(2_000);
    let servers = Servers::start_with(3, |server| server.line("repl-backlog-ttl 1"));
    let master = empty_master();
    follow(&servers, &master).await;
    master.command(&["SET", "x", "y"]);
    for server in &servers[..2] {
        eventually("it has what its master has", async || server.get("x").is_some()).await;
        server.command(&["REPLICAOF", "NO", "ONE"]);
        eventually("it gives up its backlog", async || {
            says(server, "repl_backlog_active:0")
        })
        .await;
        assert!(
            says(server, &format!("master_replid2:{}", "0".repeat(40))),
            "nothing tells that it was a replica"
        );
    }
    servers
        .each("all have been up for long enough", |server| uptime(server) > 3)
        .await;
    let new = servers.builder().restart_guard(max_ttl).build().unwrap();
    let mut events = new.events();
    both_wait("they wait", &new).await;
    eventually("the third need not", async || reason(&new, 2).is_none()).await;
    // Its backlog would be given up before the guard's time is over.
    let is_expected = |warning: &Warning| {
        matches!(warning, Warning::ShortHistory { backlog_ttl, max_ttl: longest, .. }
            if (*backlog_ttl, *longest) == (ms(1_000), max_ttl))
    };
    finishes("the warning", async {
        while let Some(event) = events.next().await {
            if matches!(event, Event::Warning { warning, .. } if is_expected(&warning)) {
                break;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_replica_that_received_no_write_is_not_trusted_by_a_new_process() {
    if RedisServer::start()
        .command(&["INFO", "stats"])
        .text()
        .contains("total_net_repl_input_bytes")
    {
        promoted_without_a_write().await;
    }
    // Before Redis 7.0 nothing shows it: SAFETY.md says what is assumed then.
}

async fn promoted_without_a_write() {
    let max_ttl = ms(3_000);
    let user = "on >secret ~* &* +@all -config";
    let start = || {
        RedisServer::builder()
            .line("repl-backlog-ttl 1")
            .user("locker", user)
            .start()
    };
    let servers: Servers = (0..3).map(|_| start()).collect();
    let builder = || servers.builder().restart_guard(max_ttl);
    all_up(&builder().build().unwrap()).await;
    let master = empty_master();
    follow(&servers, &master).await;
    servers[..2].command(&["REPLICAOF", "NO", "ONE"]);
    let none = format!("master_replid2:{}", "0".repeat(40));
    for server in &servers[..2] {
        eventually("it gives up its history", async || {
            says(server, "repl_backlog_active:0") && says(server, &none)
        })
        .await;
    }
    // That is not known of a user who may not read the setting.
    let url = |server: &RedisServer| server.url_as("locker:secret");
    for (what, builder) in [
        ("it reads the setting", builder()),
        ("it may not", builder().servers(servers.iter().map(url))),
    ] {
        let new = builder.build().unwrap();
        both_wait(what, &new).await;
        assert!(new.try_lock("r", max_ttl).await.is_err(), "{what}");
    }
    // With this setting the history would have been kept for longer than the guard waits.
    servers.command(&["CONFIG", "SET", "repl-backlog-ttl", "3600"]);
    all_up_without_waiting(&builder().build().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_is_trusted_at_once_if_it_has_a_replica_and_if_its_log_counts_writes() {
    let max_ttl = ms(2_000);
    let servers = Servers::start_with(3, RedisServerBuilder::keep_memory);
    let _replica = RedisServer::builder().replica_of(&servers[0]).start();
    eventually("it has a replica", async || says(&servers[0], "state=online")).await;
    servers.command(&["SET", "a", "word"]);
    servers
        .each("all have been up for long enough", |server| uptime(server) > 3)
        .await;
    let builder = || servers.builder().restart_guard(max_ttl);
    all_up_without_waiting(&builder().build().unwrap()).await;
}

/// For how many seconds a server has been running.
fn uptime(server: &RedisServer) -> u64 {
    let info = server.command(&["INFO", "server"]).text();
    let uptime = info.lines().find_map(|line| line.strip_prefix("uptime_in_seconds:"));
    uptime.unwrap().trim().parse().unwrap()
}

/// Waits until every server is up, none of which may have been kept from voting before.
async fn all_up_without_waiting(redlock: &Redlock) {
    let mut events = redlock.events();
    all_up(redlock).await;
    while let Ok(Some(event)) = timeout(ms(1), events.next()).await {
        if let Event::ServerDown { reason, .. } = event {
            assert!(!matches!(reason, DownReason::Restarted { .. }), "{reason}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_waits_renews_and_unlocks_what_it_kept() {
    let max_ttl = ms(3_000);
    let servers: Servers = (0..3)
        .map(|_| crate::support::RedisServer::builder().keep_memory().start())
        .collect();
    let redlock = connect(servers.builder().restart_guard(max_ttl)).await;
    let guard = redlock.acquire("r", max_ttl).await.unwrap();
    servers[..2].restart();
    both_wait("both wait", &redlock).await;
    all_up(&redlock).await;
    assert_eq!(guard.loss(), None, "it was renewed meanwhile");
    guard.release().await.unwrap();
    servers.empty().await;
}
