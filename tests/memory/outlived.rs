//! A client that outlives the runtime that it was built in.

use crate::support::{Together, builder, connect, eventually, ms, runtime, secs, start};
use multiredlock::{
    LockError, RenewError,
    error::{Closed, OwnerError},
    event::Event,
    status::{DownReason, ServerState},
};
use tokio::time::timeout;
use tokio_stream::StreamExt;

#[test]
fn a_client_is_closed_when_its_runtime_ends() {
    let servers = start(3);
    let (first, second) = (runtime(false), runtime(false));
    let (redlock, lock, guard) = first.block_on(async {
        let redlock = connect(&servers).await;
        let lock = redlock.lock("r", secs(60)).await.unwrap();
        let guard = redlock.acquire("g", ms(500)).await.unwrap();
        (redlock, lock, guard)
    });
    let events = redlock.events();
    drop(first);

    assert!(!redlock.is_connected());
    let closed = ServerState::Down(DownReason::Closed);
    assert!(redlock.servers().iter().all(|server| server.state == closed));
    second.block_on(async {
        let all = async {
            assert_eq!(redlock.wait_connected().await, Err(Closed));
            assert_eq!(redlock.lock("s", secs(1)).await.unwrap_err(), LockError::Closed);
            assert_eq!(redlock.acquire("s", secs(1)).await.unwrap_err(), LockError::Closed);
            assert_eq!(redlock.renew(&lock, secs(1)).await.unwrap_err(), RenewError::Closed);
            assert_eq!(redlock.owner("s").await.unwrap_err(), OwnerError::Closed);
            assert_eq!(redlock.unlock(&lock).counts().await.unreachable, 3);
            guard.lost().await;
            let told: Vec<Event> = events.collect().await;
            let is_closed =
                |event: &&Event| matches!(event, Event::ServerDown { reason, .. } if *reason == DownReason::Closed);
            let downs = told.iter().filter(is_closed);
            assert_eq!(downs.count(), 3, "{told:?}");
            assert!(
                told.iter().any(|event| matches!(event, Event::Disconnected(_))),
                "{told:?}"
            );
            redlock.close().await;
        };
        timeout(secs(10), all).await.expect("nothing hangs");
    });
}

#[test]
fn a_client_is_closed_although_its_runtime_ended_before_it_began() {
    let servers = start(1);
    let (first, second) = (runtime(false), runtime(false));
    let redlock = first.block_on(async { builder(&servers).build().unwrap() });
    drop(first);
    let waited = second.block_on(async { timeout(secs(10), redlock.wait_connected()).await });
    assert_eq!(waited, Ok(Err(Closed)));
}

#[test]
fn an_attempt_in_another_runtime_whose_answers_are_on_their_way_ends() {
    let servers = start(3);
    let (first, second) = (runtime(false), runtime(false));
    let redlock = first.block_on(connect(&servers));
    servers.freeze();
    second.block_on(async {
        let request = redlock.lock("r", secs(600)).attempt_timeout(secs(300));
        let locking = tokio::spawn(request);
        tokio::task::yield_now().await;
        tokio::task::spawn_blocking(move || drop(first)).await.unwrap();
        let ended = timeout(secs(10), locking).await.expect("it does not hang").unwrap();
        assert_eq!(ended.unwrap_err(), LockError::Closed);
    });
}

#[test]
fn a_waiter_in_another_runtime_is_told() {
    let servers = start(3);
    let (first, second) = (runtime(false), runtime(false));
    let redlock = first.block_on(connect(&servers));
    let _held = first.block_on(redlock.lock("r", secs(600))).unwrap();
    second.block_on(async {
        let waiting = tokio::spawn(redlock.acquire("r", secs(60)));
        eventually("it waits", async || waiting.is_finished() || redlock.is_connected()).await;
        tokio::task::yield_now().await;
        tokio::task::spawn_blocking(move || drop(first)).await.unwrap();
        let waited = timeout(secs(10), waiting).await.expect("it does not hang").unwrap();
        assert_eq!(waited.unwrap_err(), LockError::Closed);
    });
}
