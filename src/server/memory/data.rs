//! What a server within the process stores, by its own clock.

use crate::{
    clock::micros,
    fence::{FURTHEST_AHEAD, LARGEST_TOKEN, NO_TOKEN},
    server::{
        later,
        link::Outcome,
        operation::{Operation, Verb},
    },
};
use rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::broadcast, time::Instant};

/// What the clock of a server says when it is created, in microseconds.
const FIRST_TIME: u64 = 1_000_000_000_000_000;

/// A key that lives this long never expires.
const FOREVER: Duration = Duration::from_secs(1_000_000_000);

#[derive(Debug)]
pub(super) struct Data {
    keys: HashMap<Arc<[u8]>, Entry>,
    /// The tokens of fenced locks by the locks' keys, and when they are forgotten.
    fences: HashMap<Arc<[u8]>, (u64, Instant)>,
    /// When to look for expired keys again: whenever there are twice as many as were left the last time.
    sweep_at: usize,
    created: Instant,
    /// How far its clock is ahead of ours.
    ahead: Duration,
    /// How fast its clock goes compared to ours, if that is not the same.
    rate: Option<f64>,
    /// The connections that want to hear of changes of the keys they read.
    trackers: BTreeMap<u64, Tracker>,
    /// In which order they are told.
    order: SmallRng,
}

/// A connection that wants to hear of changes.
#[derive(Debug)]
struct Tracker {
    read: HashSet<Arc<[u8]>>,
    tell: broadcast::Sender<Arc<[u8]>>,
}

/// What a replica has of a server's data.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Replica {
    keys: HashMap<Arc<[u8]>, Entry>,
    fences: HashMap<Arc<[u8]>, (u64, Instant)>,
}

#[derive(Clone, Debug)]
struct Entry {
    value: Arc<str>,
    expires: Instant,
}

impl Data {
    pub(super) fn new(created: Instant) -> Self {
        Self {
            keys: HashMap::new(),
            fences: HashMap::new(),
            sweep_at: 64,
            created,
            ahead: Duration::ZERO,
            rate: None,
            trackers: BTreeMap::new(),
            order: SmallRng::seed_from_u64(0),
        }
    }

    pub(super) fn value(&self, key: &[u8], now: Instant) -> Option<&Arc<str>> {
        self.live(key, now).map(|entry| &entry.value)
    }

    pub(super) fn token(&self, key: &[u8], now: Instant) -> Option<u64> {
        let fence = self.fences.get(key).filter(|(_, until)| *until > now);
        fence.map(|(token, _)| *token)
    }

    pub(super) fn len(&self, now: Instant) -> usize {
        self.keys.values().filter(|entry| entry.expires > now).count()
    }

    pub(super) fn forget(&mut self, key: &[u8]) {
        self.keys.remove(key);
        self.tell(key, None);
    }

    pub(super) fn forget_all(&mut self) {
        self.keys.clear();
        self.fences.clear();
    }

    #[cfg(test)]
    pub(super) fn replica(&self) -> Replica {
        Replica {
            keys: self.keys.clone(),
            fences: self.fences.clone(),
        }
    }

    /// Replaces the data by those of a replica.
    #[cfg(test)]
    pub(super) fn promote(&mut self, replica: Replica) {
        (self.keys, self.fences) = (replica.keys, replica.fences);
    }

    pub(super) fn track(&mut self, connection: u64, tell: broadcast::Sender<Arc<[u8]>>) {
        let read = HashSet::new();
        self.trackers.insert(connection, Tracker { read, tell });
    }

    pub(super) fn untrack(&mut self, connection: u64) {
        self.trackers.remove(&connection);
    }

    pub(super) fn untrack_all(&mut self) {
        self.trackers.clear();
    }

    pub(super) fn set_clock_ahead(&mut self, by: Duration) {
        let before = std::mem::replace(&mut self.ahead, by);
        let (sooner, longer) = (by.saturating_sub(before), before.saturating_sub(by));
        let moved = |then: Instant| later(then, longer).checked_sub(sooner).unwrap_or(then);
        for entry in self.keys.values_mut() {
            entry.expires = moved(entry.expires);
        }
        for (_, until) in self.fences.values_mut() {
            *until = moved(*until);
        }
    }

    #[cfg(test)]
    pub(super) fn set_clock_rate(&mut self, rate: f64) {
        self.rate = Some(rate);
    }

    /// Sets a key as another library would, unless it is there. Without a TTL it never expires.
    pub(super) fn set(&mut self, key: &[u8], value: &str, ttl: Option<Duration>, now: Instant) -> bool {
        let is_free = self.live(key, now).is_none();
        if is_free {
            let entry = Entry {
                value: value.into(),
                expires: later(now, ttl.map_or(FOREVER, |ttl| self.as_told_by_ours(ttl))),
            };
            self.keys.insert(key.into(), entry);
            self.tell(key, None);
        }
        is_free
    }

    /// When the first of these keys expires, if all of them hold this value.
    #[cfg(test)]
    pub(super) fn expires(&self, keys: &[Arc<[u8]>], value: &str, now: Instant) -> Option<Instant> {
        let mut first = None;
        for key in keys {
            let entry = self.live(key, now).filter(|entry| &*entry.value == value)?;
            first = Some(first.map_or(entry.expires, |first: Instant| first.min(entry.expires)));
        }
        first
    }

    /// Does what the script of real servers does.
    pub(super) fn run(&mut self, operation: &Operation, connection: u64, now: Instant) -> Outcome {
        let outcome = self.run_plain(operation, connection, now);
        let Some(fence) = operation.fence.filter(|_| outcome == Outcome::Done) else {
            return outcome;
        };
        let token = self.next_token(operation, fence.token, now);
        if let Some(token) = token {
            let until = later(now, fence.expiry);
            for key in operation.keys.as_slice() {
                self.fences.insert(Arc::clone(key), (token, until));
            }
        }
        match (token, operation.verb) {
            (Some(token), Verb::Lock) => Outcome::Fenced(token),
            (None, Verb::Lock) => {
                for key in operation.keys.as_slice() {
                    self.keys.remove(key);
                    self.tell(key, Some(connection));
                }
                Outcome::Failed(NO_TOKEN.into())
            }
            (None, Verb::UpdateFence) => Outcome::Failed(NO_TOKEN.into()),
            // A key that lives on is worth more than its token.
            _ => outcome,
        }
    }

    /// The token that a fenced operation stores for its keys, if it can be counted up to.
    fn next_token(&self, operation: &Operation, proposed: u64, now: Instant) -> Option<u64> {
        let stored = operation.keys.as_slice().iter().filter_map(|key| self.token(key, now));
        let stored = stored.max().unwrap_or(0);
        if stored >= LARGEST_TOKEN {
            return None;
        }
        let token = if operation.verb == Verb::Lock {
            let time = self.time(now);
            let furthest = time.saturating_add(micros(FURTHEST_AHEAD));
            let is_taken = (time..=furthest).contains(&proposed);
            if is_taken { proposed } else { time }.max(stored + 1)
        } else {
            proposed.max(stored)
        };
        (token <= LARGEST_TOKEN).then_some(token)
    }

    fn run_plain(&mut self, operation: &Operation, connection: u64, now: Instant) -> Outcome {
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
            pttl: self.pttl(entry, now),
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
            let ends = now + self.as_told_by_ours(operation.ttl());
            for key in keys {
                // Another may have renewed it for longer.
                let stays = self.live(key, now).filter(|_| !operation.shortens());
                let expires = stays.map_or(ends, |entry| entry.expires.max(ends));
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
    ///
    /// Which of several is told first is as good as chance, as on a network.
    fn tell(&mut self, key: &[u8], except: Option<u64>) {
        let mut trackers: Vec<_> = self.trackers.iter_mut().collect();
        trackers.shuffle(&mut self.order);
        for (connection, tracker) in trackers {
            if let Some(key) = tracker.read.take(key)
                && Some(*connection) != except
            {
                // Nobody listens at a connection that ended.
                let _ = tracker.tell.send(key);
            }
        }
    }

    /// What its clock says, in microseconds.
    pub(super) fn time(&self, now: Instant) -> u64 {
        let since = self.as_told_by_its(now.saturating_duration_since(self.created));
        FIRST_TIME.saturating_add(micros(since.saturating_add(self.ahead)))
    }

    fn live(&self, key: &[u8], now: Instant) -> Option<&Entry> {
        self.keys.get(key).filter(|entry| entry.expires > now)
    }

    /// For how many milliseconds a key stays, as Redis says it: -1 if it never expires.
    fn pttl(&self, entry: &Entry, now: Instant) -> i64 {
        let left = entry.expires - now;
        if left > FOREVER / 2 {
            return -1;
        }
        i64::try_from(self.as_told_by_its(left).as_millis()).unwrap_or(i64::MAX)
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
