//! What all tests share: servers, clients that have reached them, and waiting.

use multiredlock::{
    Builder, Guard, Lock, LockError, Redlock,
    status::{ServerState, ServerStatus},
    testing::MemoryServer,
};
use std::time::Duration;
use tokio::{runtime, task::JoinHandle};

/// A request that waits in a task of its own.
pub(crate) type Waiter = JoinHandle<Result<Guard, LockError>>;

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// What happens to several servers at once.
pub(crate) trait Together {
    fn crash(&self);
    fn restart(&self);
    fn freeze(&self);
    fn thaw(&self);
    fn delay(&self, delay: Duration);
    fn forget(&self, key: &str);
    /// Without a notification.
    fn forget_all(&self);
    fn are_empty(&self) -> bool;
    /// How many of them have the lock's value for each of its resources.
    fn holding(&self, lock: &Lock) -> usize;
}

impl Together for [MemoryServer] {
    fn crash(&self) {
        self.iter().for_each(MemoryServer::crash);
    }

    fn restart(&self) {
        self.iter().for_each(MemoryServer::restart);
    }

    fn freeze(&self) {
        self.iter().for_each(MemoryServer::freeze);
    }

    fn thaw(&self) {
        self.iter().for_each(MemoryServer::thaw);
    }

    fn delay(&self, delay: Duration) {
        for server in self {
            server.delay(delay);
        }
    }

    fn forget(&self, key: &str) {
        for server in self {
            server.forget(key);
        }
    }

    fn forget_all(&self) {
        self.iter().for_each(MemoryServer::forget_all);
    }

    fn are_empty(&self) -> bool {
        self.iter().all(MemoryServer::is_empty)
    }

    fn holding(&self, lock: &Lock) -> usize {
        let has = |server: &MemoryServer, key| server.get(key).as_deref() == Some(lock.value());
        let holds = |server: &&MemoryServer| lock.resources().all(|key| has(server, key));
        self.iter().filter(holds).count()
    }
}

pub(crate) fn start(count: usize) -> Vec<MemoryServer> {
    (0..count).map(|_| MemoryServer::new()).collect()
}

pub(crate) fn builder(servers: &[MemoryServer]) -> Builder {
    Redlock::builder().servers(servers).id("here")
}

/// A client that has reached every server.
pub(crate) async fn connect(servers: &[MemoryServer]) -> Redlock {
    connected(builder(servers)).await
}

/// The same with settings of its own.
pub(crate) async fn connected(settings: Builder) -> Redlock {
    let redlock = settings.build().unwrap();
    all_up(&redlock).await;
    redlock
}

/// So many servers, and a client that has reached them.
pub(crate) async fn servers_and_client(count: usize) -> (Vec<MemoryServer>, Redlock) {
    servers_and(count, |builder| builder).await
}

/// Servers, and a client with these settings that has reached them.
pub(crate) async fn servers_and(
    count: usize,
    settings: impl FnOnce(Builder) -> Builder,
) -> (Vec<MemoryServer>, Redlock) {
    let servers = start(count);
    let redlock = connected(settings(builder(&servers))).await;
    (servers, redlock)
}

/// Servers, and two clients that have reached them.
pub(crate) async fn servers_and_two(count: usize) -> (Vec<MemoryServer>, Redlock, Redlock) {
    let (servers, redlock) = servers_and_client(count).await;
    let other = connect(&servers).await;
    (servers, redlock, other)
}

/// Servers, a client, and its lock on `r`, which each of them granted.
pub(crate) async fn locked(count: usize, ttl: Duration) -> (Vec<MemoryServer>, Redlock, Lock) {
    let (servers, redlock) = servers_and_client(count).await;
    let lock = redlock.lock("r", ttl).await.unwrap();
    (servers, redlock, lock)
}

/// Three servers, a client, and its guard of `r`.
pub(crate) async fn guarded(ttl: Duration) -> (Vec<MemoryServer>, Redlock, Guard) {
    let (servers, redlock) = servers_and_client(3).await;
    let guard = redlock.acquire("r", ttl).await.unwrap();
    (servers, redlock, guard)
}

pub(crate) fn wait(redlock: &Redlock, resource: &str) -> Waiter {
    tokio::spawn(redlock.acquire(resource, secs(60)))
}

pub(crate) async fn all_up(redlock: &Redlock) {
    up(redlock, redlock.servers().len()).await;
}

/// Waits until exactly so many servers are up.
pub(crate) async fn up(redlock: &Redlock, count: usize) {
    let is_up = |status: &ServerStatus| status.state == ServerState::Up;
    eventually(&format!("{count} servers up"), async || {
        redlock.servers().iter().filter(|s| is_up(s)).count() == count
    })
    .await;
}

/// Waits for a condition, at most for a minute of the tests' clock.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    for _ in 0..60_000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(ms(1)).await;
    }
    panic!("this never came: {what}");
}

/// Waits until no server has a key any more.
pub(crate) async fn eventually_free(servers: &[MemoryServer]) {
    eventually("no key anywhere", async || servers.are_empty()).await;
}

/// Lets every task go on until it waits for something; the clock stands still.
pub(crate) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// How many tasks the runtime has.
pub(crate) fn tasks() -> usize {
    runtime::Handle::current().metrics().num_alive_tasks()
}

/// A runtime of one thread, for a test that is no attribute's.
pub(crate) fn runtime(is_paused: bool) -> runtime::Runtime {
    let mut runtime = runtime::Builder::new_current_thread();
    runtime.enable_all().start_paused(is_paused).build().unwrap()
}
