//! What all tests share: servers, clients of them, and waiting.

mod cluster;
mod process;
mod scene;
mod turncoat;

use std::ops::Deref;
use std::time::Duration;

use multiredlock::{
    Builder, ConfigError, Lock, Redlock, Retry, Server,
    status::{DownReason, Ownership, ServerState},
};

pub(crate) use cluster::RedisCluster;
pub(crate) use process::{SecondProcess, alone, memory};
pub(crate) use scene::Scene;
#[cfg(feature = "tls")]
pub(crate) use test_support::{Certificates, ClientCertificate};
pub(crate) use test_support::{
    FakeServer, Manner, Mode, Network, Proxy, RedisServer, RedisServerBuilder, Reply, Ruling, are_untrusted,
    assert_matches, eventually, extract, finishes, name,
};
pub(crate) use turncoat::{Door, Malice, Then, Turncoat};

/// A ttl that outlasts every test, so that no key goes away by itself.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Attempts until something changes, a hundred a second.
pub(crate) fn patient() -> Retry {
    Retry::new(2_000, ms(20))
}

/// Several servers that know nothing of each other.
#[derive(Debug)]
pub(crate) struct Servers(Vec<RedisServer>);

impl Servers {
    pub(crate) fn start(count: usize) -> Self {
        (0..count).map(|_| RedisServer::start()).collect()
    }

    /// Servers with settings of their own.
    pub(crate) fn start_with(count: usize, settings: impl Fn(RedisServerBuilder) -> RedisServerBuilder) -> Self {
        (0..count).map(|_| settings(RedisServer::builder()).start()).collect()
    }

    /// Servers that have an address and are down.
    pub(crate) fn down(count: usize) -> Self {
        (0..count).map(|_| RedisServer::builder().prepare()).collect()
    }

    /// A client's settings, quick to notice what happens to a server.
    pub(crate) fn builder(&self) -> Builder {
        quick().servers(self.iter().map(RedisServer::url))
    }

    /// A client that has not reached a server yet.
    pub(crate) fn redlock(&self) -> Redlock {
        self.builder().build().expect("the settings are valid")
    }

    /// A client that has reached every server.
    pub(crate) async fn connected(&self) -> Redlock {
        let redlock = connect(self.builder()).await;
        self.forget_calls();
        redlock
    }

    /// Makes the servers count calls from here on. Before Redis 7.0 the probe of a connection calls what locking needs.
    pub(crate) fn forget_calls(&self) {
        self.command(&["CONFIG", "RESETSTAT"]);
    }

    /// On how many servers the resource has this lock's value.
    pub(crate) fn holding(&self, lock: &Lock) -> usize {
        let resource = std::str::from_utf8(lock.resource()).expect("the tests name resources in text");
        self.iter()
            .filter(|server| server.get(resource).as_deref() == Some(lock.value()))
            .count()
    }

    /// Waits until every server has this lock's value.
    #[track_caller]
    pub(crate) fn all_hold(&self, lock: &Lock) -> impl Future<Output = ()> {
        eventually("every server has the key", async || self.holding(lock) == self.len())
    }
}

impl FromIterator<RedisServer> for Servers {
    fn from_iter<I: IntoIterator<Item = RedisServer>>(servers: I) -> Self {
        Self(servers.into_iter().collect())
    }
}

impl Deref for Servers {
    type Target = [RedisServer];

    fn deref(&self) -> &[RedisServer] {
        &self.0
    }
}

/// What happens to several servers at once.
pub(crate) trait Together {
    fn crash(&self);
    fn restart(&self);
    fn freeze(&self);
    fn thaw(&self);
    fn kill_clients(&self);
    /// Runs one command on each.
    fn command(&self, words: &[&str]);
    /// Waits until this holds of each.
    fn each(&self, description: &str, holds: impl Fn(&RedisServer) -> bool) -> impl Future<Output = ()>;
    /// Waits until none has any key.
    fn empty(&self) -> impl Future<Output = ()>;
    /// Waits until no client is connected to any.
    fn left_alone(&self) -> impl Future<Output = ()>;
}

impl Together for [RedisServer] {
    fn crash(&self) {
        self.iter().for_each(RedisServer::crash);
    }

    fn restart(&self) {
        self.iter().for_each(RedisServer::restart);
    }

    fn freeze(&self) {
        self.iter().for_each(RedisServer::freeze);
    }

    fn thaw(&self) {
        self.iter().for_each(RedisServer::thaw);
    }

    fn kill_clients(&self) {
        self.iter().for_each(RedisServer::kill_clients);
    }

    fn command(&self, words: &[&str]) {
        for server in self {
            server.command(words);
        }
    }

    #[track_caller]
    fn each(&self, description: &str, holds: impl Fn(&RedisServer) -> bool) -> impl Future<Output = ()> {
        eventually(description, async move || self.iter().all(&holds))
    }

    #[track_caller]
    fn empty(&self) -> impl Future<Output = ()> {
        self.each("no server has a key", |server| server.keys().is_empty())
    }

    #[track_caller]
    fn left_alone(&self) -> impl Future<Output = ()> {
        self.each("every connection has ended", |server| server.clients().is_empty())
    }
}

/// Settings without servers: a frozen server is noticed in a second, a restarted one at once.
pub(crate) fn quick() -> Builder {
    Redlock::builder()
        .heartbeat_interval(ms(50))
        .heartbeat_timeout(ms(800))
        .reconnect(ms(10), ms(50))
}

/// Settings without servers under which only an answer, or a broken connection, tells anything about a server.
pub(crate) fn unhurried() -> Builder {
    Redlock::builder()
        .heartbeat_interval(LONG)
        .heartbeat_timeout(LONG)
        .attempt_timeout(LONG)
        .reconnect(ms(10), ms(50))
}

/// The outcome of a future that comes as soon as a server tells of a change.
///
/// Whoever was asking shortly before asks of its own accord no sooner than after two and a half seconds.
#[track_caller]
pub(crate) fn soon<F: Future>(description: &str, future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        let outcome = tokio::time::timeout(ms(2_000), future).await;
        outcome.unwrap_or_else(|_| panic!("not told of in time: {description} ({caller})"))
    }
}

/// Waits until each of the servers is going to tell somebody when one of so many keys changes.
pub(crate) async fn watched(servers: &[RedisServer], keys: usize) {
    eventually("each of them is asked to tell", async || {
        servers.iter().all(|server| server.watched() == keys)
    })
    .await;
}

/// Waits until a majority answers, as it does again some time after its connections were killed.
pub(crate) async fn answers(redlock: &Redlock) {
    eventually("a majority answers", async || {
        matches!(redlock.owner("nobody's").await, Ok(Ownership::Free))
    })
    .await;
}

pub(crate) fn up(redlock: &Redlock) -> usize {
    redlock
        .servers()
        .iter()
        .filter(|server| server.state == ServerState::Up)
        .count()
}

pub(crate) async fn all_up(redlock: &Redlock) {
    eventually("every server is up", async || up(redlock) == redlock.servers().len()).await;
}

/// So many servers, and a client that has reached them.
pub(crate) async fn servers_and_client(count: usize) -> (Servers, Redlock) {
    let servers = Servers::start(count);
    let redlock = servers.connected().await;
    (servers, redlock)
}

/// Three servers, and two clients that have reached them.
pub(crate) async fn servers_and_two() -> (Servers, Redlock, Redlock) {
    let (servers, redlock) = servers_and_client(3).await;
    let other = servers.connected().await;
    (servers, redlock, other)
}

/// Servers, and a client that has reached them and from then on learns only from answers and broken connections.
pub(crate) async fn unhurried_on(count: usize) -> (Servers, Redlock) {
    let servers = Servers::start(count);
    let redlock = connect(unhurried().servers(servers.iter().map(RedisServer::url))).await;
    (servers, redlock)
}

/// Three servers, a client, and its lock on `console`, which every server has granted.
pub(crate) async fn locked_on_three() -> (Servers, Redlock, Lock) {
    let (servers, redlock) = servers_and_client(3).await;
    let lock = redlock.lock("console", LONG).await.unwrap();
    servers.all_hold(&lock).await;
    (servers, redlock, lock)
}

/// A client that has not reached a server yet.
pub(crate) fn client<I>(servers: I) -> Redlock
where
    I: IntoIterator<Item: TryInto<Server, Error: Into<ConfigError>>>,
{
    quick().servers(servers).build().expect("the settings are valid")
}

/// A client that has reached every server.
pub(crate) async fn connect(settings: Builder) -> Redlock {
    let redlock = settings.build().expect("the settings are valid");
    all_up(&redlock).await;
    redlock
}

/// Why a server is down, if it is.
pub(crate) fn reason(redlock: &Redlock, server: usize) -> Option<DownReason> {
    match &redlock.servers()[server].state {
        ServerState::Down(reason) => Some(reason.clone()),
        _ => None,
    }
}

/// Waits until a server is down for a reason that is expected, and returns it.
#[track_caller]
pub(crate) fn is_down<'a>(
    redlock: &'a Redlock,
    server: usize,
    expected: impl Fn(&DownReason) -> bool + 'a,
) -> impl Future<Output = DownReason> + 'a {
    let description = "the server is down for this reason";
    let is_known = eventually(description, async move || {
        reason(redlock, server).as_ref().is_some_and(&expected)
    });
    async move {
        is_known.await;
        reason(redlock, server).expect("it was down")
    }
}

/// Waits until one of the first two addresses is found to lead to the same server as the other.
pub(crate) async fn one_is_given_twice(redlock: &Redlock, servers_up: usize) {
    eventually("one of both addresses is found out", async || {
        let found_out = [0, 1].map(|server| matches!(reason(redlock, server), Some(DownReason::Duplicate(_))));
        found_out[0] != found_out[1] && up(redlock) == servers_up
    })
    .await;
}

/// Locks and unlocks without end.
pub(crate) async fn lock_and_unlock(redlock: Redlock, task: usize) {
    loop {
        if let Ok(lock) = redlock.lock(format!("resource {task}"), LONG).await {
            redlock.unlock(&lock);
        } else {
            tokio::task::yield_now().await;
        }
    }
}

/// Locks the console and unlocks it.
pub(crate) async fn lock_once(redlock: &Redlock) {
    let lock = redlock.lock("console", LONG).await.unwrap();
    redlock.unlock(&lock);
}
