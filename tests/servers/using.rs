//! Work under a guard, and locks that are found by name.

use std::thread;

use multiredlock::{LockLost, error::UsingError};
use tokio::sync::oneshot;

use crate::support::{LONG, Servers, Together, assert_matches, connect, finishes, ms, servers_and_client};

#[tokio::test(flavor = "multi_thread")]
async fn work_is_done_under_the_lock_and_what_it_returns_comes_back() {
    let (servers, redlock) = servers_and_client(3).await;
    let result = redlock
        .using("r", LONG, async |guard| {
            servers.all_hold(&guard.lock()).await;
            Err::<(), _>("mine")
        })
        .await;
    assert_eq!(result, Ok(Err("mine")));
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_is_stopped_when_the_key_is_deleted_by_hand() {
    let (servers, redlock) = servers_and_client(3).await;
    let (begun, has_begun) = oneshot::channel();
    let work = tokio::spawn(async move {
        redlock
            .using("r", LONG, async |_| {
                begun.send(()).unwrap();
                std::future::pending::<()>().await;
            })
            .await
    });
    has_begun.await.unwrap();
    // The guard looks at its servers before they can tell it anything.
    servers.each("it looked", |server| server.calls("get") > 0).await;
    servers.command(&["DEL", "r"]);
    let result = finishes("the work", work).await.unwrap();
    assert_matches!(result, Err(UsingError::Lost(LockLost::Gone { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_sees_that_its_servers_were_killed() {
    let (servers, redlock) = servers_and_client(3).await;
    let result = redlock
        .acquire("r", ms(800))
        .using_blocking(move |guard| {
            servers[0].crash();
            servers[1].freeze();
            while guard.is_valid() {
                thread::sleep(ms(5));
            }
        })
        .await;
    assert_matches!(&result, Err(UsingError::Lost(LockLost::Expired { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_unlocked_by_its_name() {
    let servers = Servers::start(3);
    let redlock = connect(servers.builder().remember(100)).await;
    let _lock = redlock.lock("r", LONG).await.unwrap();
    let held = redlock.held("r").unwrap();
    redlock.unlock(&held);
    servers.empty().await;
    assert!(redlock.held("r").is_none());
}
