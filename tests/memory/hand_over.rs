//! A lock whose value was handed to another client: nothing of its first owner that lands late shortens or removes it.

use crate::support::{Together, builder, connect, ms, secs, servers_and_two, start, up};
use multiredlock::{Lock, LockError, Redlock, testing::MemoryServer};
use test_support::assert_matches;
use tokio::time::sleep;

/// Lets another client take the lock over by its value and renew it for 600 s on servers 1 and 2 alone.
async fn taken_over(other: &Redlock, servers: &[MemoryServer], lock: &Lock) -> Lock {
    servers[0].crash();
    up(other, 2).await;
    let lock = Lock::from_parts("r", lock.value());
    let lock = other.renew(&lock, secs(600)).await.unwrap();
    sleep(secs(60)).await;
    lock
}

/// Brings server 0 back, where the key of the first owner has expired, and asks for the resource as a third client.
async fn is_excluded(servers: &[MemoryServer], lock: &Lock) {
    servers[0].restart();
    let third = connect(servers).await;
    let error = third.try_lock("r", secs(10)).await.unwrap_err();
    assert!(lock.validity() > secs(500), "{lock:?}");
    assert_matches!(error, LockError::Held { .. });
}

#[tokio::test(start_paused = true)]
async fn a_set_whose_answer_was_lost_removes_no_lock_that_was_handed_over() {
    let servers = start(3);
    let (first, other) = (
        builder(&servers).reconnect(secs(50), secs(50)).build().unwrap(),
        connect(&servers).await,
    );
    up(&first, 3).await;
    servers[2].freeze();
    let lock = first.lock("r", secs(10)).await.unwrap();
    up(&first, 2).await;
    servers[2].thaw();
    let expected = Some(lock.value());
    assert_eq!(servers[2].get("r").as_deref(), expected, "the SET was in the socket");
    up(&other, 3).await;
    let renewed = taken_over(&other, &servers, &lock).await;
    up(&first, 2).await;
    sleep(ms(10)).await;
    assert_eq!(servers[2].get("r").as_deref(), Some(lock.value()));
    is_excluded(&servers, &renewed).await;
}

#[tokio::test(start_paused = true)]
async fn a_put_back_whose_answer_was_lost_removes_no_lock_that_was_handed_over() {
    let servers = start(3);
    let (first, other) = (
        builder(&servers).reconnect(secs(50), secs(50)).build().unwrap(),
        connect(&servers).await,
    );
    up(&first, 3).await;
    let lock = first.lock("r", secs(10)).await.unwrap();
    servers[2].forget("r");
    servers[2].delay(ms(10));
    let lock = first.renew(&lock, secs(10)).await.unwrap();
    // The answer that says that the key is missing has come, and the SET that puts it back is on its way.
    sleep(ms(15)).await;
    servers[2].freeze();
    up(&first, 2).await;
    servers[2].delay(ms(0));
    servers[2].thaw();
    assert_eq!(servers[2].get("r").as_deref(), Some(lock.value()), "it was put back");
    up(&other, 3).await;
    let renewed = taken_over(&other, &servers, &lock).await;
    up(&first, 2).await;
    sleep(ms(10)).await;
    is_excluded(&servers, &renewed).await;
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_lands_late_does_not_shorten_a_lock_that_was_handed_over() {
    let (servers, first, other) = servers_and_two(3).await;
    let lock = first.lock("r", secs(10)).await.unwrap();
    // The renewal travels for longer than the hand-over takes.
    servers.delay(ms(200));
    let renewal = tokio::spawn({
        let (first, lock) = (first.clone(), lock.clone());
        async move { first.renew(&lock, secs(10)).await }
    });
    sleep(ms(1)).await;
    let renewed = other
        .renew(&Lock::from_parts("r", lock.value()), secs(600))
        .await
        .unwrap();
    let late = first.renew(&lock, secs(10)).await.unwrap();
    assert!(late.is_valid() && renewal.await.unwrap().is_ok());
    servers.delay(ms(0));
    sleep(secs(60)).await;
    let third = connect(&servers).await;
    let error = third.try_lock("r", secs(10)).await.unwrap_err();
    assert!(renewed.validity() > secs(500), "{renewed:?}");
    assert_matches!(error, LockError::Held { .. });
}
