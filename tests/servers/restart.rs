//! Real servers that are started again without their data, and the guard against that.

use multiredlock::{DownReason, LockError};

use crate::support::{Servers, all_up, eventually, ms, reason};

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
async fn a_server_that_waits_renews_and_unlocks_what_it_kept() {
    let max_ttl = ms(3_000);
    let servers: Servers = (0..3)
        .map(|_| crate::support::RedisServer::builder().keep_memory().start())
        .collect();
    let redlock = servers.builder().restart_guard(max_ttl).build().unwrap();
    all_up(&redlock).await;
    let guard = redlock.acquire("r", max_ttl).await.unwrap();
    for server in &servers[..2] {
        server.restart();
    }
    let waits = |server| matches!(reason(&redlock, server), Some(DownReason::Restarted { .. }));
    eventually("both wait", async || waits(0) && waits(1)).await;
    all_up(&redlock).await;
    assert_eq!(guard.loss(), None, "it was renewed meanwhile");
    guard.release().await.unwrap();
    servers.empty().await;
}
