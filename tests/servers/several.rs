//! Several resources in one lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use multiredlock::{LockError, RenewError};
use tokio::task::JoinSet;

use crate::support::{
    LONG, Reply, Servers, Together, assert_matches, connect, eventually, finishes, ms, quick, servers_and_client,
};

#[tokio::test(flavor = "multi_thread")]
async fn all_resources_are_locked_renewed_and_unlocked_together() {
    let (servers, redlock) = servers_and_client(3).await;
    let names: Vec<_> = (0..128).map(|i| format!("r{i}")).collect();
    let lock = redlock.lock(&names, LONG).await.unwrap();
    servers
        .each("it has all keys", |server| server.keys().len() == 128)
        .await;
    let lock = redlock.renew(&lock, 2 * LONG).await.unwrap();
    assert!(servers[0].pttl("r127") > 100_000 || servers[1].pttl("r127") > 100_000);
    assert_matches!(redlock.try_lock("r64", LONG).await, Err(LockError::Held { .. }));
    assert_eq!(redlock.unlock(&lock).counts().await.removed, 3);
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_ever_sees_a_part_of_them() {
    let servers = Servers::start(1);
    let (redlock, is_over) = (servers.connected().await, Arc::new(AtomicBool::new(false)));
    let over = Arc::clone(&is_over);
    let turns = tokio::spawn(async move {
        for _ in 0..300 {
            let lock = redlock.lock(["a", "b", "c"], LONG).await.unwrap();
            redlock.unlock(&lock).counts().await;
        }
        over.store(true, Ordering::SeqCst);
    });
    let mut seen = 0;
    while !is_over.load(Ordering::SeqCst) {
        assert_matches!(servers[0].command(&["EXISTS", "a", "b", "c"]), Reply::Integer(0 | 3));
        seen += 1;
    }
    turns.await.unwrap();
    assert!(seen > 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_names_them_in_another_order_does_not_wait_for_ever() {
    let servers = Servers::start(3);
    let is_held = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    for order in [["a", "b"], ["b", "a"]] {
        let redlock = servers.connected().await;
        for _ in 0..3 {
            let (redlock, is_held) = (redlock.clone(), Arc::clone(&is_held));
            workers.spawn(async move {
                for _ in 0..30 {
                    let guard = redlock.acquire(order, LONG).await.unwrap();
                    assert!(!is_held.swap(true, Ordering::SeqCst));
                    tokio::task::yield_now().await;
                    is_held.store(false, Ordering::SeqCst);
                    drop(guard);
                }
            });
        }
    }
    finishes("all of them", workers.join_all()).await;
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_one_of_them_is_served_when_all_are_unlocked() {
    let (servers, redlock) = servers_and_client(3).await;
    let both = redlock.acquire(["a", "b"], LONG).await.unwrap();
    let (other, same) = (servers.connected().await, redlock.clone());
    let waiters = [other, same].map(|redlock| {
        tokio::spawn(async move {
            let guard = redlock.acquire("b", LONG).await.unwrap();
            guard.release().await
        })
    });
    eventually("both of them asked", async || servers[0].calls("get") > 3).await;
    both.release().await.unwrap();
    for waiter in waiters {
        finishes("a waiter", waiter).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_set_if_one_of_them_is_no_lock() {
    let (servers, redlock) = servers_and_client(3).await;
    servers.command(&["RPUSH", "b", "x"]);
    let refused = redlock.try_lock(["a", "b", "c"], LONG).await;
    assert_matches!(refused, Err(LockError::Refused { .. }));
    assert!(servers.iter().all(|server| server.keys() == ["b"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_if_one_of_them_may_not_be_accessed() {
    let servers = Servers::start_with(3, |server| server.user("locker", "on >secret ~a +@all"));
    let urls = servers.iter().map(|server| server.url_as("locker:secret"));
    let redlock = connect(quick().servers(urls)).await;
    assert_matches!(redlock.try_lock(["a", "b"], LONG).await, Err(LockError::Refused { .. }));
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_if_the_memory_is_full() {
    let (servers, redlock) = servers_and_client(3).await;
    servers.command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_matches!(redlock.try_lock(["a", "b"], LONG).await, Err(LockError::Refused { .. }));
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holder_that_stays_longest_says_when_to_come_back() {
    let (_servers, redlock) = servers_and_client(3).await;
    let _short = redlock.lock("a", ms(5_000)).await.unwrap();
    let _long = redlock.lock("b", LONG).await.unwrap();
    match redlock.try_lock(["a", "b"], LONG).await {
        Err(LockError::Held { retry_after, .. }) => assert!(retry_after.unwrap() > ms(30_000), "{retry_after:?}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_puts_back_what_is_missing_on_a_minority_and_is_lost_on_a_majority() {
    let (servers, redlock) = servers_and_client(3).await;
    let lock = redlock.lock(["a", "b"], LONG).await.unwrap();
    servers.each("it has both", |server| server.keys().len() == 2).await;
    servers[0].command(&["DEL", "b"]);
    let lock = redlock.renew(&lock, LONG).await.unwrap();
    eventually("the key is back", async || {
        servers[0].get("b").as_deref() == Some(lock.value())
    })
    .await;
    servers[1..].command(&["DEL", "a"]);
    assert_matches!(redlock.renew(&lock, LONG).await, Err(RenewError::Lost { .. }));
    redlock.unlock(&lock).counts().await;
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unlock_removes_what_is_ours_although_one_of_them_is_no_lock_any_more() {
    let (servers, redlock) = servers_and_client(3).await;
    let lock = redlock.lock(["a", "b", "c"], LONG).await.unwrap();
    servers.each("it has all", |server| server.keys().len() == 3).await;
    servers.command(&["DEL", "a"]);
    servers.command(&["RPUSH", "a", "an item"]);
    let unlocked = redlock.unlock(&lock).counts().await;
    assert_eq!(unlocked.removed, 0, "not all of it was there any more");
    assert!(servers.iter().all(|server| server.keys() == ["a"]));
}
