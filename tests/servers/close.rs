//! What is left when a client goes: nothing.

use multiredlock::{LockError, Redlock, RenewError, error::Closed};
use tokio::runtime::{Builder, Handle};
use tokio_stream::StreamExt;

use crate::support::{
    FakeServer, LONG, Manner, RedisServer, Servers, Together, assert_matches, client, eventually, finishes, lock_once,
    servers_and_client,
};

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

async fn nothing_is_left(servers: &Servers, tasks_before: usize) {
    eventually("every task has ended", async || tasks() == tasks_before).await;
    servers.left_alone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_sends_the_last_unlock_and_leaves_no_task_and_no_connection() {
    let servers = Servers::start(3);
    let before = tasks();
    let redlock = servers.connected().await;
    lock_once(&redlock).await;
    assert!(tasks() > before, "otherwise this test could not fail");
    assert!(servers.iter().all(|server| !server.clients().is_empty()));

    finishes("closing", redlock.close()).await;

    nothing_is_left(&servers, before).await;
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_does_not_wait_for_a_server_that_is_frozen_down_or_silent() {
    let servers = Servers::start(3);
    let silent = FakeServer::start(Manner::Silent).await;
    let before = tasks();
    let urls = servers.iter().map(RedisServer::url).chain([silent.url()]);
    let redlock = client(urls);
    eventually("three servers are up", async || crate::support::up(&redlock) == 3).await;
    eventually("the fourth is being connected to", async || silent.visits() > 0).await;
    servers[0].freeze();
    servers[1].crash();
    let pending = tokio::spawn(redlock.lock("console", LONG));

    finishes("closing", redlock.close()).await;

    assert!(finishes("the lock", pending).await.unwrap().is_err());
    servers[0].thaw();
    servers[1].restart();
    nothing_is_left(&servers, before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_twice_or_from_two_clones_is_closing_once() {
    let servers = Servers::start(1);
    let before = tasks();
    let redlock = servers.connected().await;
    let other = redlock.clone();
    finishes("both", async { tokio::join!(redlock.close(), other.close()) }).await;
    finishes("again", redlock.close()).await;
    nothing_is_left(&servers, before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_last_clone_sends_the_last_unlock_and_leaves_no_task_and_no_connection() {
    let servers = Servers::start(3);
    let before = tasks();
    let redlock = servers.connected().await;
    let clone = redlock.clone();
    drop(redlock);
    let lock = clone.lock("console", LONG).await.unwrap();
    clone.unlock(&lock);

    drop(clone);

    nothing_is_left(&servers, before).await;
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_be_dropped_on_a_thread_without_a_runtime() {
    let servers = Servers::start(3);
    let before = tasks();
    let redlock = servers.connected().await;
    let lock = redlock.lock("console", LONG).await.unwrap();

    std::thread::spawn(move || drop((redlock, lock))).join().unwrap();

    nothing_is_left(&servers, before).await;
}

#[test]
fn a_client_may_outlive_its_runtime() {
    let servers = Servers::start(3);
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (redlock, lock) = runtime.block_on(async {
        let redlock = servers.connected().await;
        let lock = redlock.lock("console", LONG).await.unwrap();
        (redlock, lock)
    });
    drop(runtime);

    drop(redlock.unlock(&lock));
    drop(redlock);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(nothing_is_left(&servers, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_client_says_so() {
    let (servers, redlock) = servers_and_client(1).await;
    let lock = redlock.lock("console", LONG).await.unwrap();
    finishes("closing", redlock.close()).await;

    says_that_it_is_closed(&redlock, &lock).await;
    assert_eq!(servers.holding(&lock), 1, "closing unlocks nothing");
}

async fn says_that_it_is_closed(redlock: &Redlock, lock: &multiredlock::Lock) {
    assert_matches!(redlock.lock("another", LONG).await, Err(LockError::Closed));
    assert_matches!(redlock.try_lock("another", LONG).await, Err(LockError::Closed));
    assert_matches!(redlock.renew(lock, LONG).await, Err(RenewError::Closed));
    let unlocked = finishes("the unlock", redlock.unlock(lock).counts()).await;
    assert_eq!((unlocked.removed, unlocked.unreachable), (0, 1));
    assert!(!redlock.is_connected());
    assert_eq!(finishes("waiting", redlock.wait_connected()).await, Err(Closed));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_and_waiting_ends_when_the_client_is_closed() {
    let servers = Servers::down(1);
    let redlock = servers.redlock();
    let connected = redlock.connected();
    let disconnected = redlock.disconnected();
    let events = redlock.events();
    let waiting = tokio::spawn(redlock.wait_connected());

    finishes("closing", redlock.close()).await;

    finishes("the streams", async {
        tokio::join!(
            count(connected),
            count(disconnected),
            count(events),
            count(redlock.events())
        )
    })
    .await;
    assert_eq!(finishes("waiting", waiting).await.unwrap(), Err(Closed));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_when_the_last_clone_is_dropped() {
    let servers = Servers::start(1);
    let redlock = client([servers[0].url()]);
    let connected = redlock.connected();
    let events = redlock.events();
    drop(redlock);
    finishes("the streams", async { tokio::join!(count(connected), count(events)) }).await;
}

async fn count<T>(stream: impl tokio_stream::Stream<Item = T>) -> usize {
    stream.fold(0, |seen, _| seen + 1).await
}

#[test]
fn a_client_is_closed_when_its_runtime_ends() {
    let servers = Servers::start(3);
    let [first, second] = [(); 2].map(|()| Builder::new_multi_thread().enable_all().build().unwrap());
    let (redlock, _held) = first.block_on(async {
        let redlock = servers.connected().await;
        let held = redlock.lock("console", LONG).await.unwrap();
        (redlock, held)
    });
    second.block_on(async {
        let mut waiting = tokio::spawn(redlock.acquire("console", LONG));
        let waits = tokio::time::timeout(std::time::Duration::from_millis(300), &mut waiting).await;
        assert!(waits.is_err(), "it waits for the lock");

        first.shutdown_background();

        let expected = LockError::Closed;
        assert_eq!(finishes("the waiter", waiting).await.unwrap().unwrap_err(), expected);
        eventually("it is closed", async || !redlock.is_connected()).await;
        let locked = finishes("the lock", redlock.lock("other", LONG)).await;
        assert_eq!(locked.unwrap_err(), LockError::Closed);
        finishes("closing", redlock.close()).await;
        servers.left_alone().await;
    });
}
