//! A server within the process, with the verbs of a real one and the faults of one on demand.

mod data;

use super::{
    later,
    link::{Answer, Change, Command, Connected, Ended, Facts, Link, Outcome, Task},
    operation::Operation,
};
use crate::{config::Server, decision::DownReason, token::FencingToken};
use data::Data;
#[cfg(test)]
pub(crate) use data::Replica;
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    runtime,
    sync::{broadcast, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_stream::{
    StreamExt,
    wrappers::{BroadcastStream, errors::BroadcastStreamRecvError},
};

/// How many changes of keys are kept for a connection that does not read them.
const CHANGES_KEPT: usize = 512;

/// The servers of this process by name, as long as somebody uses them.
static SERVERS: LazyLock<Mutex<HashMap<String, Weak<Shared>>>> = LazyLock::new(Mutex::default);

/// A server within the process, for trying things out and for testing code that locks without Redis.
///
/// It grants, renews and removes keys as Redis does, and it can be made to crash, freeze, and answer late. Its clock is
/// tokio's, so a test can pause it. Clients reach it by [`Server`] or by its address `memory://name`; the server lives
/// as long as a clone of this value or a client that is configured with it.
///
/// ```
/// use multiredlock::{Redlock, testing::MemoryServer};
/// # use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let servers = [MemoryServer::new(), MemoryServer::new(), MemoryServer::new()];
/// let redlock = Redlock::builder().servers(&servers).build()?;
/// redlock.wait_connected().await?;
///
/// servers[0].crash();
/// let lock = redlock.lock("console", Duration::from_secs(10)).await?;
/// assert_eq!(servers[1].get("console").as_deref(), Some(lock.value()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryServer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: String,
    state: Mutex<State>,
    /// Counts the starts; it is odd while the server runs.
    life: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    data: Data,
    /// When it was started last.
    started: Instant,
    frozen: bool,
    delay: Duration,
    /// What was sent and not carried out yet, in order.
    queue: VecDeque<Request>,
    /// When the server last thawed: nothing that waited then was carried out before.
    thawed: Instant,
    connections: u64,
}

#[derive(Debug)]
struct Request {
    due: Instant,
    operations: Arc<[Arc<Operation>]>,
    connection: u64,
    answer: oneshot::Sender<Vec<Outcome>>,
}

impl MemoryServer {
    /// Starts a server with a name of its own.
    pub fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        loop {
            let name = format!("unnamed-{}", COUNT.fetch_add(1, Ordering::Relaxed));
            let mut servers = servers();
            if !servers.contains_key(&name) {
                return Self::start(&mut servers, name);
            }
        }
    }

    /// Returns the server of this name, which it starts if the process has none: what `memory://name` stands for.
    pub fn named(name: impl Into<String>) -> Self {
        let name = name.into();
        let mut servers = servers();
        match servers.get(&name).and_then(Weak::upgrade) {
            Some(shared) => Self(shared),
            None => Self::start(&mut servers, name),
        }
    }

    fn start(servers: &mut HashMap<String, Weak<Shared>>, name: String) -> Self {
        let server = Self(Arc::new(Shared {
            name: name.clone(),
            state: Mutex::new(State {
                data: Data::new(Instant::now()),
                started: Instant::now(),
                frozen: false,
                delay: Duration::ZERO,
                queue: VecDeque::new(),
                thawed: Instant::now(),
                connections: 0,
            }),
            life: watch::Sender::new(1),
        }));
        servers.retain(|_, server| server.strong_count() > 0);
        servers.insert(name, Arc::downgrade(&server.0));
        server
    }

    /// Returns how clients reach it.
    pub fn server(&self) -> Server {
        Server::memory(&self.0.name)
    }

    /// Stops the server at once: connections end, what was sent and not carried out is gone, and new connections are
    /// refused. Its keys stay for [`restart`](Self::restart).
    pub fn crash(&self) {
        let mut state = self.state();
        state.queue.clear();
        state.data.untrack_all();
        state.frozen = false;
        self.0.life.send_modify(|life| *life += *life % 2);
    }

    /// Starts the server again with the keys it had, as one that writes each to disk. Stops it first if it runs.
    pub fn restart(&self) {
        self.crash();
        self.state().started = Instant::now();
        self.0.life.send_modify(|life| *life += 1);
    }

    /// Starts the server again without any key. Stops it first if it runs.
    pub fn restart_empty(&self) {
        self.crash();
        self.forget_all();
        self.restart();
    }

    /// Makes the server hold still, as a stopped process does: connections stay, nothing is carried out or answered.
    pub fn freeze(&self) {
        self.state().frozen = true;
    }

    /// Lets a frozen server go on: it carries out all that was sent meanwhile, in order, also by connections that have
    /// ended since.
    pub fn thaw(&self) {
        let mut state = self.state();
        state.frozen = false;
        state.thawed = Instant::now();
        state.carry_out();
    }

    /// Makes every command take this long to arrive.
    pub fn delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// Sets the server's clock ahead of that of the tests, or back to less than it was. As with a real server whose clock is
    /// set, keys expire that much sooner or later.
    pub fn set_clock_ahead(&self, by: Duration) {
        self.state().data.set_clock_ahead(by);
    }

    /// Sets a key unless it is there, as another client would, or one that crashed has left it. Without a TTL it never expires.
    /// Returns whether it was set.
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<str>, ttl: Option<Duration>) -> bool {
        let now = Instant::now();
        self.state().data.set(key.as_ref(), value.as_ref(), ttl, now)
    }

    /// Drops a key, as eviction or an operator would.
    pub fn forget(&self, key: impl AsRef<[u8]>) {
        self.state().data.forget(key.as_ref());
    }

    /// Drops every key, of which Redis tells waiters nothing that they understand.
    pub fn forget_all(&self) {
        self.state().data.forget_all();
    }

    /// Returns the value that a key holds, if it has not expired.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<String> {
        let state = self.state();
        let value = state.data.value(key.as_ref(), Instant::now());
        value.map(ToString::to_string)
    }

    /// Returns the token that was stored last for fenced locks on a key, if it is still remembered.
    pub fn token(&self, key: impl AsRef<[u8]>) -> Option<FencingToken> {
        let token = self.state().data.token(key.as_ref(), Instant::now());
        token.map(FencingToken::from)
    }

    /// Returns how many keys have not expired.
    pub fn len(&self) -> usize {
        self.state().data.len(Instant::now())
    }

    /// Returns whether every key has expired or been removed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) async fn connect(&self, limit: Duration) -> Result<Connected, DownReason> {
        #[cfg(test)]
        if let Some(process) = crate::simulation::Process::current() {
            return crate::simulation::connect(process, &self.0.name, limit).await;
        }
        let life = *self.0.life.borrow();
        if !is_running(life) {
            return Err(DownReason::ConnectionRefused);
        }
        let (tell, told) = broadcast::channel(CHANGES_KEPT);
        let id = {
            let mut state = self.state();
            state.connections += 1;
            state.connections
        };
        let link = Arc::new(MemoryLink {
            server: self.clone(),
            life,
            id,
            tell,
            runtime: runtime::Handle::current(),
            open: watch::Sender::new(true),
        });
        match timeout(limit, link.ping(false)).await {
            Ok(pong) => pong?,
            Err(_) => return Err(DownReason::ConnectTimeout),
        };
        let mut lives = self.0.life.subscribe();
        let mut open = link.open.subscribe();
        let ended = async move {
            tokio::select! {
                _ = lives.wait_for(|now| *now != life) => {}
                () = is_over(&mut open) => {}
            }
            DownReason::ConnectionLost
        };
        let feed = BroadcastStream::new(told).map(|told| match told {
            Ok(key) => Change::Keys(vec![key[..].into()]),
            Err(BroadcastStreamRecvError::Lagged(_)) => Change::Anything,
        });
        let run_id = format!("{}-{life}", self.0.name);
        Ok(Connected {
            link,
            feed: Box::pin(feed),
            facts: Facts {
                starts: Some(vec![run_id.clone()]),
                uptime: self.state().started.elapsed(),
                run_id: Some(run_id),
                ..Facts::default()
            },
            ended: Ended::new(ended),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a simulation needs, which has a network of its own.
#[cfg(test)]
impl MemoryServer {
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// Makes the server's clock go faster or slower than ours.
    pub(crate) fn set_clock_rate(&self, rate: f64) {
        self.state().data.set_clock_rate(rate);
    }

    pub(crate) fn time(&self) -> u64 {
        self.state().data.time(Instant::now())
    }

    /// Copies the data to a replica, which gets nothing more.
    pub(crate) fn replica(&self) -> Replica {
        self.state().data.replica()
    }

    /// Stops the server, and starts the replica in its place.
    pub(crate) fn promote(&self, replica: Replica) {
        self.crash();
        self.state().data.promote(replica);
        self.restart();
    }

    pub(crate) fn run(&self, operation: &Operation, connection: u64) -> Outcome {
        self.state().data.run(operation, connection, Instant::now())
    }

    /// When the first of an operation's keys expires, if all of them hold its value.
    #[cfg(test)]
    pub(crate) fn expires(&self, operation: &Operation) -> Option<Instant> {
        let keys = operation.keys.as_slice();
        self.state().data.expires(keys, &operation.value, Instant::now())
    }

    /// Tells a connection of changes.
    pub(crate) fn track(&self, connection: u64, tell: broadcast::Sender<Arc<[u8]>>) {
        self.state().data.track(connection, tell);
    }

    pub(crate) fn untrack(&self, connection: u64) {
        self.state().data.untrack(connection);
    }
}

impl Default for MemoryServer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryServer").field(&self.0.name).finish()
    }
}

impl From<MemoryServer> for Server {
    fn from(server: MemoryServer) -> Self {
        server.server()
    }
}

impl From<&MemoryServer> for Server {
    fn from(server: &MemoryServer) -> Self {
        server.server()
    }
}

fn servers() -> MutexGuard<'static, HashMap<String, Weak<Shared>>> {
    SERVERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Resolves once our end of a connection was closed.
async fn is_over(open: &mut watch::Receiver<bool>) {
    let _ = open.wait_for(|open| !open).await;
}

fn is_running(life: u64) -> bool {
    life % 2 == 1
}

impl State {
    /// Carries out what has arrived.
    fn carry_out(&mut self) {
        let now = Instant::now();
        while !self.frozen && self.queue.front().is_some_and(|request| request.due <= now) {
            let Some(request) = self.queue.pop_front() else { break };
            // Somebody may look only later than it happens.
            let then = request.due.max(self.thawed);
            let outcomes = request
                .operations
                .iter()
                .map(|operation| self.data.run(operation, request.connection, then))
                .collect();
            // Nobody listens at a connection that ended.
            let _ = request.answer.send(outcomes);
        }
    }
}

/// A connection to one life of the server.
#[derive(Debug)]
struct MemoryLink {
    server: MemoryServer,
    life: u64,
    id: u64,
    tell: broadcast::Sender<Arc<[u8]>>,
    runtime: runtime::Handle,
    open: watch::Sender<bool>,
}

impl MemoryLink {
    fn request(&self, operations: Arc<[Arc<Operation>]>) -> Task<Option<Vec<Outcome>>> {
        let (answer, answered) = oneshot::channel();
        let mut state = self.server.state();
        let now = Instant::now();
        let last = state.queue.back().map_or(now, |request| request.due);
        let due = last.max(later(now, state.delay));
        if *self.server.0.life.borrow() == self.life {
            state.queue.push_back(Request {
                due,
                operations,
                connection: self.id,
                answer,
            });
            state.carry_out();
        }
        drop(state);
        let server = self.server.clone();
        let mut open = self.open.subscribe();
        let answer = async move {
            if due > now {
                sleep_until(due).await;
                server.state().carry_out();
            }
            answered.await.ok()
        };
        Box::pin(async move {
            tokio::select! {
                biased;
                answer = answer => answer,
                () = is_over(&mut open) => None,
            }
        })
    }
}

impl Link for MemoryLink {
    fn send(&self, command: Command) {
        let request = self.request(Arc::clone(&command.operations));
        self.runtime.spawn(async move {
            let answer = request.await.map_or(Answer::Lost, Answer::Outcomes);
            command.answer(answer);
        });
    }

    fn track(&self, _: Box<dyn FnOnce(bool) + Send>) -> bool {
        self.server.state().data.track(self.id, self.tell.clone());
        true
    }

    fn ping(&self, _: bool) -> Task<Result<Vec<u64>, DownReason>> {
        let request = self.request([].into());
        let server = self.server.clone();
        Box::pin(async move {
            let answered = request.await.ok_or(DownReason::ConnectionLost);
            answered.map(|_| vec![server.state().data.time(Instant::now())])
        })
    }

    fn end(&self) {
        self.open.send_replace(false);
        self.server.state().data.untrack(self.id);
    }
}
