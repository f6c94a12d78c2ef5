//! The waiters of a handle: a line for each set of resources, first in, first out. Only the waiter at the front of a line
//! talks to the servers.

use super::{
    Ttl, Vote,
    line::{Handover, Line, POLL_TRACKED, Step, Times, Weather},
    round::Attempt,
};
use crate::{
    random,
    resource::Resources,
    sabotage::Sabotage,
    server::{Changes, Listener, Listening},
};
use rand::{Rng, rngs::SmallRng};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

#[derive(Debug)]
pub(crate) struct Room {
    servers: usize,
    changes: Arc<Changes>,
    lines: Mutex<Lines>,
    /// How many lines there are, so that nobody takes the lock for nothing.
    count: AtomicUsize,
}

#[derive(Debug)]
struct Lines {
    by_keys: HashMap<Resources, Queue>,
    rng: SmallRng,
    /// When all lines ask next. It moves on by [`POLL_TRACKED`].
    common_poll: Instant,
}

/// A line, and who stands in it.
#[derive(Debug)]
struct Queue {
    line: Line,
    waiters: BTreeMap<u64, Arc<Waiter>>,
    next_ticket: u64,
    listening: Listening,
    /// Why the front's last round failed; nothing since a waiter here was granted the resource.
    votes: Vec<Vote>,
}

/// What a waiter asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) ttl: Ttl,
    /// How long a round waits for its votes.
    pub(crate) limit: Duration,
    /// How long a server remembers the lock's token, if it is to have one.
    pub(crate) fence: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) terms: Terms,
    slot: Mutex<Slot>,
    woken: Notify,
}

#[derive(Debug)]
enum Slot {
    Empty,
    /// Whoever unlocked has asked for this waiter.
    Called(Attempt),
    /// The waiter does not wait any more.
    Left,
}

/// What to do about the line of keys that are unlocked here.
pub(crate) enum Unlocked {
    /// Ask for this waiter, behind the unlock.
    Call(Arc<Waiter>, Arc<Listener>),
    /// Its waiters know.
    Known(Arc<Listener>),
    /// It is told as every other line.
    Unknown,
}

impl Room {
    pub(crate) fn new(servers: usize, changes: Arc<Changes>) -> Self {
        let mut rng = random::for_waits();
        // So that not all handles ask at the same moment.
        let common_poll = Instant::now() + rng.gen_range(Duration::ZERO..POLL_TRACKED);
        Self {
            servers,
            changes,
            lines: Mutex::new(Lines {
                by_keys: HashMap::new(),
                rng,
                common_poll,
            }),
            count: AtomicUsize::new(0),
        }
    }

    /// Takes the last place in the line for these keys.
    pub(crate) fn join(self: &Arc<Self>, keys: &Resources, terms: Terms) -> Place {
        let waiter = Arc::new(Waiter {
            terms,
            slot: Mutex::new(Slot::Empty),
            woken: Notify::new(),
        });
        let mut lines = self.lines();
        let queue = lines.by_keys.entry(keys.clone()).or_insert_with(|| {
            self.count.fetch_add(1, Ordering::Release);
            Queue {
                line: Line::new(self.servers),
                waiters: BTreeMap::new(),
                next_ticket: 0,
                listening: self.changes.listen(keys, self.servers),
                votes: Vec::new(),
            }
        });
        let ticket = queue.next_ticket;
        queue.next_ticket += 1;
        queue.waiters.insert(ticket, Arc::clone(&waiter));
        let listener = Arc::clone(&queue.listening.listener);
        drop(lines);
        Place {
            room: Arc::clone(self),
            keys: keys.clone(),
            ticket,
            waiter,
            listener,
        }
    }

    /// Says what an unlock of these keys means for their line.
    pub(crate) fn unlocked(&self, keys: &Resources) -> Unlocked {
        if self.count.load(Ordering::Acquire) == 0 {
            return Unlocked::Unknown;
        }
        let mut lines = self.lines();
        let Some(queue) = lines.by_keys.get_mut(keys) else {
            return Unlocked::Unknown;
        };
        let Some(front) = queue.waiters.values().next() else {
            return Unlocked::Unknown;
        };
        let listener = Arc::clone(&queue.listening.listener);
        match queue.line.unlocked(Instant::now()) {
            Handover::Next => Unlocked::Call(Arc::clone(front), listener),
            Handover::Yield => {
                front.woken.notify_one();
                Unlocked::Known(listener)
            }
            Handover::Asking => Unlocked::Unknown,
        }
    }

    /// Wakes every waiter, to see that the handle is closed.
    pub(crate) fn close(&self) {
        for queue in self.lines().by_keys.values() {
            for waiter in queue.waiters.values() {
                waiter.woken.notify_one();
            }
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn times(&mut self, now: Instant) -> Times {
        let behind = (now + POLL_TRACKED / 2).saturating_duration_since(self.common_poll);
        if !behind.is_zero() {
            let steps = behind.as_millis() / POLL_TRACKED.as_millis() + 1;
            self.common_poll += POLL_TRACKED * u32::try_from(steps).unwrap_or(u32::MAX);
        }
        Times {
            now,
            common_poll: self.common_poll,
        }
    }
}

impl Waiter {
    /// Gives a waiter the round that was begun for it. If it has left meanwhile the round is undone.
    pub(crate) fn call(&self, attempt: Attempt) {
        let mut slot = self.slot();
        if matches!(*slot, Slot::Left) {
            drop(slot);
            drop(attempt);
        } else {
            *slot = Slot::Called(attempt);
            drop(slot);
            self.woken.notify_one();
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a line. Dropping it leaves the line, and undoes what was begun for it.
#[derive(Debug)]
pub(crate) struct Place {
    room: Arc<Room>,
    keys: Resources,
    ticket: u64,
    waiter: Arc<Waiter>,
    pub(crate) listener: Arc<Listener>,
}

/// What a waiter does next.
pub(crate) enum Next {
    /// Wait for the votes of the round that was begun for it.
    Called(Attempt),
    /// Begin a round.
    Ask,
}

impl Place {
    /// Waits until it is time to ask, or nothing if the handle is closed meanwhile.
    pub(crate) async fn turn(&self, is_closed: impl Fn() -> bool) -> Option<Next> {
        loop {
            if is_closed() {
                return None;
            }
            if let Slot::Called(attempt) = std::mem::replace(&mut *self.waiter.slot(), Slot::Empty) {
                return Some(Next::Called(attempt));
            }
            match self.step() {
                None | Some(Step::Stay) => self.waiter.woken.notified().await,
                Some(Step::Ask) => return Some(Next::Ask),
                // Boxed, because all others in the line get by without it.
                Some(Step::Wait(until)) => Box::pin(self.wait(until)).await,
                Some(Step::Pause(until)) => Box::pin(self.pause(until)).await,
            }
        }
    }

    async fn wait(&self, until: Instant) {
        tokio::select! {
            biased;
            () = self.waiter.woken.notified() => {}
            () = self.listener.told() => {}
            () = sleep_until(until) => {}
        }
    }

    async fn pause(&self, until: Instant) {
        tokio::select! {
            biased;
            () = self.waiter.woken.notified() => {}
            () = sleep_until(until) => {}
        }
    }

    /// What the front does now; nothing if this is not the front.
    fn step(&self) -> Option<Step> {
        self.at_queue(|lines, now| {
            let queue = lines.by_keys.get_mut(&self.keys)?;
            if queue.waiters.keys().next() != Some(&self.ticket) {
                return None;
            }
            queue.listening.listener.take(|server| queue.line.changed(server));
            Some(queue.line.step(now))
        })
    }

    /// Notes that the round was lost by these votes.
    pub(crate) fn refused(&self, votes: &[Vote], weather: Weather) {
        self.at_queue(|lines, now| {
            let times = lines.times(now);
            let Lines { by_keys, rng, .. } = lines;
            if let Some(queue) = by_keys.get_mut(&self.keys) {
                queue.line.refused(votes, times, weather, rng);
                queue.votes = votes.to_vec();
            }
        });
    }

    /// Notes that the round is to be made again, after a pause of at most this.
    pub(crate) fn ask_again(&self, pause: Duration) {
        self.at_queue(|lines, now| {
            let Lines { by_keys, rng, .. } = lines;
            if let Some(queue) = by_keys.get_mut(&self.keys) {
                queue.line.ask_again(now + rng.gen_range(Duration::ZERO..=pause));
            }
        });
    }

    /// Leaves the line with what one stood there for.
    pub(crate) fn won(self, expires: Instant, was_called: bool, weather: Weather) {
        self.at_queue(|lines, now| {
            let times = lines.times(now);
            if let Some(queue) = lines.by_keys.get_mut(&self.keys) {
                queue.line.won(expires, was_called, times, weather);
                // They tell of holders that are gone.
                queue.votes.clear();
            }
        });
    }

    /// What the servers told the front of the line last; nothing if no round failed since this handle had the resource.
    pub(crate) fn last_votes(&self) -> Vec<Vote> {
        self.at_queue(|lines, _| lines.by_keys.get(&self.keys).map(|queue| queue.votes.clone()))
            .unwrap_or_default()
    }

    fn at_queue<T>(&self, act: impl FnOnce(&mut Lines, Instant) -> T) -> T {
        act(&mut self.room.lines(), Instant::now())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let called = std::mem::replace(&mut *self.waiter.slot(), Slot::Left);
        // Its unlock goes out before the next in line is woken.
        drop(called);
        let mut lines = self.room.lines();
        let Some(queue) = lines.by_keys.get_mut(&self.keys) else {
            return;
        };
        let was_front = queue.waiters.keys().next() == Some(&self.ticket);
        queue.waiters.remove(&self.ticket);
        match queue.waiters.values().next() {
            Some(_) if Sabotage::NextNotWoken.is_on() => queue.line.left(),
            Some(next) if was_front => {
                queue.line.left();
                next.woken.notify_one();
            }
            Some(_) => {}
            None => {
                let queue = lines.by_keys.remove(&self.keys);
                self.room.count.fetch_sub(1, Ordering::Release);
                drop(lines);
                drop(queue);
            }
        }
    }
}
