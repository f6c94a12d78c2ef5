//! What all tests share: servers, handles on them, and waiting.

mod cluster;
mod process;
mod scene;
mod turncoat;

use std::future::{Future, IntoFuture};
use std::ops::Deref;
use std::time::Duration;

use multiredlock::{Builder, DownReason, Lock, Ownership, Redlock, Retry, ServerState};

pub(crate) use cluster::RedisCluster;
pub(crate) use process::{SecondProcess, alone, memory};
pub(crate) use scene::Scene;
#[cfg(feature = "tls")]
pub(crate) use test_support::{Certificates, ClientCertificate};
pub(crate) use test_support::{
    FakeServer, Manner, Mode, Network, Proxy, RedisServer, RedisServerBuilder, Reply, Ruling, are_distrusted,
    eventually, finishes, name,
};
pub(crate) use turncoat::{Door, Malice, Then, Turncoat};

/// A ttl that outlasts every test, so that no key goes away by itself.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Rounds until something changes, a hundred a second.
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

    /// Servers that have an address and are down.
    pub(crate) fn down(count: usize) -> Self {
        (0..count).map(|_| RedisServer::builder().prepare()).collect()
    }

    /// A handle's settings, quick to notice what happens to a server.
    pub(crate) fn builder(&self) -> Builder {
        quick().servers(self.iter().map(RedisServer::url))
    }

    /// A handle that has not reached a server yet.
    pub(crate) fn redlock(&self) -> Redlock {
        self.builder().build().expect("the settings are valid")
    }

    /// A handle that has reached every server.
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

    /// Runs one command on every server.
    pub(crate) fn command(&self, words: &[&str]) {
        for server in self.iter() {
            server.command(words);
        }
    }

    /// Waits until no server has any key.
    pub(crate) async fn empty(&self) {
        eventually("no server has a key", async || {
            self.iter().all(|server| server.keys().is_empty())
        })
        .await;
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
        .round_timeout(LONG)
        .reconnect(ms(10), ms(50))
}

/// The outcome of a future that comes as soon as a server tells of a change.
///
/// Whoever was asking shortly before asks of its own accord no sooner than after two and a half seconds.
#[track_caller]
pub(crate) fn soon<F: IntoFuture>(description: &str, future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        let outcome = tokio::time::timeout(ms(2_000), future.into_future()).await;
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
