//! What every public type and future can be used for.

use multiredlock::{
    Address, Builder, ConfigError, Drift, Guard, Lock, LockError, LockLost, Redlock, ReleaseError, RenewError, Retry,
    Server,
    error::{Closed, EnsureError, Failure, InvalidResource, OwnerError, UsingError, Vote, WaitConnectedError},
    event::{Event, Events, QuorumChanges},
    future::{AcquireRequest, LockRequest, OwnerRequest, RenewRequest, Unlocking, WaitConnected},
    status::{Holder, Ownership, ServerStatus, Survey, Unlocked},
    testing::MemoryServer,
};
use std::{collections::HashSet, fmt::Debug, time::Duration};

fn is_send_sync<T: Send + Sync + Unpin + Debug + 'static>() {}
fn is_a_future<T: Future + Send + Unpin + Debug + 'static>() {}
fn is_send<T: Send + 'static>(_: impl FnOnce() -> T) {}
fn is_send_and_borrows<T: Send>(_: impl FnOnce() -> T) {}
fn is_clone<T: Clone>() {}
fn is_error<T: std::error::Error>() {}

/// Calls a function for each of these types.
macro_rules! each {
    ($function:ident: $($of:ty),* $(,)?) => {
        $($function::<$of>();)*
    };
}

#[test]
fn every_public_type_can_be_shared_and_printed() {
    each!(is_send_sync:
        Redlock, Builder, Server, Address, Drift, Retry, Lock, Guard, Unlocking, Unlocked, Ownership, Survey, Holder, Vote, Failure, Events, Event,
        QuorumChanges, ServerStatus, MemoryServer, ConfigError, InvalidResource, LockError, RenewError, LockLost,
        EnsureError, ReleaseError, UsingError, OwnerError, WaitConnected, WaitConnectedError, Closed,
    );
}

#[test]
fn requests_can_be_sent_and_polled_by_hand() {
    each!(is_a_future: LockRequest, AcquireRequest, RenewRequest, OwnerRequest, Unlocking, WaitConnected);
}

#[test]
fn errors_can_be_cloned() {
    each!(is_error: LockLost, EnsureError, ReleaseError, UsingError, OwnerError, WaitConnectedError, Closed);
    each!(is_clone: LockLost, EnsureError, ReleaseError, UsingError, OwnerError, WaitConnectedError, Closed);
}

#[tokio::test]
async fn every_future_can_be_spawned() {
    let redlock = Redlock::builder().servers([&MemoryServer::new()]).build().unwrap();
    let lock = Lock::from_parts("r", "v");
    let ttl = Duration::from_secs(1);
    is_send(|| redlock.lock("r", ttl));
    is_send(|| redlock.renew(&lock, ttl));
    is_send(|| redlock.unlock(&lock));
    is_send(|| redlock.acquire("r", ttl));
    is_send(|| redlock.try_acquire("r", ttl));
    is_send(|| redlock.owner("r"));
    is_send(|| redlock.acquire("r", ttl).using(async |guard| guard.is_valid()));
    is_send(|| redlock.acquire("r", ttl).using(async |guard| guard.lost().await));
    is_send(|| redlock.acquire("r", ttl).using_blocking(Guard::is_valid));
    is_send_and_borrows(|| redlock.using("r", ttl, async |guard| guard.lost().await));
    redlock.wait_connected().await.unwrap();
    let guard = redlock.acquire("r", ttl).await.unwrap();
    is_send_and_borrows(|| guard.lost());
    is_send(|| guard.release());
    let clone = redlock.clone();
    is_send(|| async move { clone.close().await });
    is_send(|| redlock.wait_connected());
    is_send(|| redlock.wait_connected().timeout(ttl));
}

#[tokio::test]
async fn neither_a_password_nor_a_whole_value_is_printed() {
    let server = Server::new("localhost").username("user").password("hunter2");
    let builder = Redlock::builder().servers([server]);
    let redlock = builder.clone().build().unwrap();
    let lock = Lock::from_parts("r", "web_1421844817874_6f554e61");
    let shown = format!(
        "{builder:?} {redlock:?} {lock:?} {:?} {:?} {:?}",
        redlock.renew(&lock, Duration::from_secs(1)),
        redlock.unlock(&lock),
        redlock.acquire("r", Duration::from_secs(1)),
    );
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(!shown.contains("6f554e61"), "{shown}");
    assert!(shown.contains("web_1421844817874_6f55"), "{shown}");
}

#[tokio::test(start_paused = true)]
#[expect(
    clippy::mutable_key_type,
    reason = "what copies of a lock share has no part in its hash"
)]
async fn locks_are_equal_if_their_resources_and_their_values_are() {
    let (_servers, redlock, lock) = crate::support::locked(3, Duration::from_secs(10)).await;
    let renewed = redlock.renew(&lock, Duration::from_secs(20)).await.unwrap();
    let from_parts = Lock::from_parts(["r"], lock.value()).with_token(7.into());
    assert_ne!(renewed.validity(), from_parts.validity());
    let pair = Lock::from_parts(["a", "b"], "v");
    let same: HashSet<Lock> = [lock.clone(), renewed, from_parts, pair.clone()].into();
    assert_eq!(same.len(), 2);
    assert!(same.contains(&Lock::from_parts(["b", "a", "b"], "v")));
    for other in [
        Lock::from_parts("s", lock.value()),
        Lock::from_parts(["r", "s"], lock.value()),
        Lock::from_parts("r", "v"),
        Lock::from_parts("ab", "v"),
    ] {
        assert!(!same.contains(&other), "{other:?}");
        assert_ne!(other, lock);
        assert_ne!(other, pair);
    }
}
