//! A server within the process, with the verbs of a real one and the faults of one on demand.

use super::{
    DownReason, later,
    link::{Answer, Change, Command, Connected, Ended, Facts, Link, Outcome, Task},
    operation::{Operation, Verb},
};
use crate::{clock::micros, config::Server};
use std::{
    collections::{HashMap, HashSet, VecDeque},
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

/// What the clock of a server says when it is created, in microseconds.
const FIRST_TIME: u64 = 1_000_000_000_000_000;

/// How far ahead of the server's time a lock's token may be set, in microseconds.
const FURTHEST_AHEAD: u64 = 1_000_000;

/// The servers of this process by name, as long as somebody uses them.
static SERVERS: LazyLock<Mutex<HashMap<String, Weak<Shared>>>> = LazyLock::new(Mutex::default);

/// A server within the process, for trying things out and for testing code that locks without Redis.
///
/// It grants, renews and removes keys as Redis does, and it can be made to crash, freeze, and answer late. Its clock is
/// tokio's, so a test can pause it. Handles reach it by [`Server`] or by its address `memory://name`; the server lives
/// as long as a clone of this value or a handle that is configured with it.
///
/// ```
/// use multiredlock::{Redlock, testing::MemoryServer};
/// # use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let servers = [MemoryServer::new(), MemoryServer::new(), MemoryServer::new()];
/// let redlock = Redlock::builder().servers(&servers).build()?;
/// redlock.wait_connected().await;
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
    keys: HashMap<Arc<[u8]>, Entry>,
    /// The tokens of fenced locks by the locks' keys, and when they are forgotten.
    fences: HashMap<Arc<[u8]>, (u64, Instant)>,
    /// When to look for expired keys again: whenever there are twice as many as were left the last time.
    sweep_at: usize,
    created: Instant,
    /// When it was started last.
    started: Instant,
    /// How far its clock is ahead of ours.
    ahead: Duration,
    /// How fast its clock goes compared to ours, if that is not the same.
    rate: Option<f64>,
    frozen: bool,
    delay: Duration,
    /// What was sent and not carried out yet, in order.
    queue: VecDeque<Request>,
    /// When the server last thawed: nothing that waited then was carried out before.
    thawed: Instant,
    /// The connections that want to hear of changes of the keys they read.
    trackers: HashMap<u64, Tracker>,
    connections: u64,
}

/// A connection that wants to hear of changes.
#[derive(Debug)]
struct Tracker {
    read: HashSet<Arc<[u8]>>,
    tell: broadcast::Sender<Arc<[u8]>>,
}

#[derive(Debug)]
struct Entry {
    value: Arc<str>,
    expires: Instant,
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
                keys: HashMap::new(),
                fences: HashMap::new(),
                sweep_at: 64,
                created: Instant::now(),
                started: Instant::now(),
                ahead: Duration::ZERO,
                rate: None,
                frozen: false,
                delay: Duration::ZERO,
                queue: VecDeque::new(),
                thawed: Instant::now(),
                trackers: HashMap::new(),
                connections: 0,
            }),
            life: watch::Sender::new(1),
        }));
        servers.retain(|_, server| server.strong_count() > 0);
        servers.insert(name, Arc::downgrade(&server.0));
        server
    }

    /// Returns how handles reach it.
    pub fn server(&self) -> Server {
        Server::memory(&self.0.name)
    }

    /// Stops the server at once: connections end, what was sent and not carried out is gone, and new connections are
    /// refused. Its keys stay for [`restart`](Self::restart).
    pub fn crash(&self) {
        let mut state = self.state();
        state.queue.clear();
        state.trackers.clear();
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
        let mut state = self.state();
        let before = std::mem::replace(&mut state.ahead, by);
        let (sooner, later) = (by.saturating_sub(before), before.saturating_sub(by));
        for entry in state.keys.values_mut() {
            entry.expires = super::later(entry.expires, later)
                .checked_sub(sooner)
                .unwrap_or(entry.expires);
        }
        for (_, until) in state.fences.values_mut() {
            *until = super::later(*until, later).checked_sub(sooner).unwrap_or(*until);
        }
    }

    /// Drops a key, as eviction or an operator would.
    pub fn forget(&self, key: impl AsRef<[u8]>) {
        let mut state = self.state();
        state.keys.remove(key.as_ref());
        state.tell(key.as_ref(), None);
    }

    /// Drops every key, of which Redis tells waiters nothing that they understand.
    pub fn forget_all(&self) {
        let mut state = self.state();
        state.keys.clear();
        state.fences.clear();
    }

    /// Returns the value that a key holds, if it has not expired.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<String> {
        let now = Instant::now();
        Some(self.state().live(key.as_ref(), now)?.value.to_string())
    }

    /// Returns the token that was stored last for fenced locks on a key, if it is still remembered.
    pub fn token(&self, key: impl AsRef<[u8]>) -> Option<u64> {
        let now = Instant::now();
        let state = self.state();
        let fence = state.fences.get(key.as_ref()).filter(|(_, until)| *until > now);
        fence.map(|(token, _)| *token)
    }

    /// Returns how many keys have not expired.
    pub fn len(&self) -> usize {
        let now = Instant::now();
        self.state().keys.values().filter(|entry| entry.expires > now).count()
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
        self.state().rate = Some(rate);
    }

    pub(crate) fn time(&self) -> u64 {
        self.state().time(Instant::now())
    }

    pub(crate) fn run(&self, operation: &Operation, connection: u64) -> Outcome {
        self.state().run_fenced(operation, connection, Instant::now())
    }

    /// Tells a connection of changes.
    pub(crate) fn track(&self, connection: u64, tell: broadcast::Sender<Arc<[u8]>>) {
        let read = HashSet::new();
        self.state().trackers.insert(connection, Tracker { read, tell });
    }

    pub(crate) fn untrack(&self, connection: u64) {
        self.state().trackers.remove(&connection);
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
                .map(|operation| self.run_fenced(operation, request.connection, then))
                .collect();
            // Nobody listens at a connection that ended.
            let _ = request.answer.send(outcomes);
        }
    }

    /// Does what the script of real servers does.
    fn run_fenced(&mut self, operation: &Operation, connection: u64, now: Instant) -> Outcome {
        let outcome = self.run(operation, connection, now);
        let Some(fence) = operation.fence.filter(|_| outcome == Outcome::Done) else {
            return outcome;
        };
        let keys = operation.keys.as_slice();
        let stored = keys.iter().filter_map(|key| self.fences.get(key));
        let stored = stored.filter(|(_, until)| *until > now).map(|(token, _)| *token).max();
        let is_lock = operation.verb == Verb::Lock;
        let time = self.time(now);
        let least = match fence.token {
            proposed if is_lock && !(time..=time + FURTHEST_AHEAD).contains(&proposed) => time,
            token => token,
        };
        let token = least.max(stored.map_or(0, |stored| stored + u64::from(is_lock)));
        for key in keys {
            self.fences.insert(Arc::clone(key), (token, later(now, fence.expiry)));
        }
        if is_lock { Outcome::Fenced(token) } else { outcome }
    }

    fn run(&mut self, operation: &Operation, connection: u64, now: Instant) -> Outcome {
        let keys = operation.keys.as_slice();
        let (mut ours, mut missing, mut blocked) = (Vec::new(), Vec::new(), None::<&Entry>);
        for key in keys {
            match self.live(key, now) {
                None => missing.push(key),
                Some(entry) if entry.value == operation.value && operation.verb != Verb::Lock => ours.push(key),
                Some(entry) if blocked.is_none_or(|other| entry.expires > other.expires) => blocked = Some(entry),
                Some(_) => {}
            }
        }
        let held = blocked.map(|entry| Outcome::Held {
            value: entry.value.as_bytes().to_vec(),
            pttl: i64::try_from(self.as_told_by_its(entry.expires - now).as_millis()).unwrap_or(i64::MAX),
        });
        if let Some(tracker) = self.trackers.get_mut(&connection).filter(|_| operation.watches) {
            tracker.read.extend(keys.iter().cloned());
        }
        if operation.verb == Verb::Unlock {
            for key in ours {
                self.keys.remove(key);
                self.tell(key, Some(connection));
            }
        } else if let Some(held) = held {
            return held;
        } else if operation.verb.sets_keys() || (operation.verb == Verb::Renew && missing.is_empty()) {
            let expires = now + self.as_told_by_ours(operation.ttl());
            for key in keys {
                let value = Arc::clone(&operation.value);
                self.keys.insert(Arc::clone(key), Entry { value, expires });
                self.tell(key, Some(connection));
            }
            self.sweep(now);
            return Outcome::Done;
        }
        match held {
            Some(held) => held,
            None if missing.is_empty() => Outcome::Done,
            None => Outcome::Missing,
        }
    }

    /// Tells of a change to who has read the key, once, except to who made it.
    fn tell(&mut self, key: &[u8], except: Option<u64>) {
        for (connection, tracker) in &mut self.trackers {
            if let Some(key) = tracker.read.take(key)
                && Some(*connection) != except
            {
                // Nobody listens at a connection that ended.
                let _ = tracker.tell.send(key);
            }
        }
    }

    /// What its clock says, in microseconds.
    fn time(&self, now: Instant) -> u64 {
        let since = self.as_told_by_its(now.saturating_duration_since(self.created));
        FIRST_TIME.saturating_add(micros(since + self.ahead))
    }

    fn live(&self, key: &[u8], now: Instant) -> Option<&Entry> {
        self.keys.get(key).filter(|entry| entry.expires > now)
    }

    /// How much time passes by the server's clock while this much does by ours.
    fn as_told_by_its(&self, duration: Duration) -> Duration {
        self.rate.map_or(duration, |rate| duration.mul_f64(rate))
    }

    /// How much time passes by our clock while this much does by the server's.
    fn as_told_by_ours(&self, duration: Duration) -> Duration {
        self.rate.map_or(duration, |rate| duration.div_f64(rate))
    }

    fn sweep(&mut self, now: Instant) {
        if self.keys.len() + self.fences.len() >= self.sweep_at {
            self.keys.retain(|_, entry| entry.expires > now);
            self.fences.retain(|_, (_, until)| *until > now);
            self.sweep_at = 64.max(2 * (self.keys.len() + self.fences.len()));
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
        let due = last.max(now + state.delay);
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
        let tracker = Tracker {
            read: HashSet::new(),
            tell: self.tell.clone(),
        };
        self.server.state().trackers.insert(self.id, tracker);
        true
    }

    fn ping(&self, _: bool) -> Task<Result<Vec<u64>, DownReason>> {
        let request = self.request([].into());
        let server = self.server.clone();
        Box::pin(async move {
            let answered = request.await.ok_or(DownReason::ConnectionLost);
            answered.map(|_| vec![server.state().time(Instant::now())])
        })
    }

    fn end(&self) {
        self.open.send_replace(false);
        self.server.state().trackers.remove(&self.id);
    }
}
