//! What every public type and future can be used for.

use multiredlock::{
    Address, Builder, ConfigError, Crossings, Events, Lock, LockError, LockRequest, Redlock, RenewError, RenewRequest,
    Server, Unlocking, testing::MemoryServer,
};
use std::{fmt::Debug, future::IntoFuture};

fn is_send_sync<T: Send + Sync + Debug + 'static>() {}
fn is_send<T: Send + 'static>(_: impl FnOnce() -> T) {}

#[test]
fn every_public_type_can_be_shared_and_printed() {
    is_send_sync::<Redlock>();
    is_send_sync::<Builder>();
    is_send_sync::<Server>();
    is_send_sync::<Address>();
    is_send_sync::<Lock>();
    is_send_sync::<LockRequest>();
    is_send_sync::<RenewRequest>();
    is_send_sync::<Unlocking>();
    is_send_sync::<Events>();
    is_send_sync::<Crossings>();
    is_send_sync::<MemoryServer>();
    is_send_sync::<ConfigError>();
    is_send_sync::<LockError>();
    is_send_sync::<RenewError>();
}

#[tokio::test]
async fn every_future_can_be_spawned() {
    let redlock = Redlock::builder().servers([&MemoryServer::new()]).build().unwrap();
    let lock = Lock::from_parts("r", "v");
    is_send(|| redlock.lock("r", std::time::Duration::from_secs(1)).into_future());
    is_send(|| redlock.renew(&lock, std::time::Duration::from_secs(1)).into_future());
    is_send(|| redlock.unlock(&lock));
    let clone = redlock.clone();
    is_send(|| async move { clone.close().await });
    let clone = redlock.clone();
    is_send(|| async move { clone.wait_connected().await });
}

#[tokio::test]
async fn neither_a_password_nor_a_whole_value_is_printed() {
    let server = Server::new("localhost").username("user").password("hunter2");
    let builder = Redlock::builder().servers([server]);
    let redlock = builder.clone().build().unwrap();
    let lock = Lock::from_parts("r", "web_1421844817874_6f554e61");
    let shown = format!(
        "{builder:?} {redlock:?} {lock:?} {:?} {:?}",
        redlock.renew(&lock, std::time::Duration::from_secs(1)),
        redlock.unlock(&lock)
    );
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(!shown.contains("6f554e61"), "{shown}");
    assert!(shown.contains("web_1421844817874_6f55"), "{shown}");
}
