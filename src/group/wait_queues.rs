//! The waiters of a client: a queue for each set of resources, first in, first out. Only the waiter at the head of a queue
//! talks to the servers.

use super::{
    AttemptOptions,
    ticket::{Ticket, Waiter},
};
use crate::{
    clock::micros,
    decision::{
        Holder, Vote, Waited,
        head::{Handover, Head, POLL_TRACKED, Times},
        tally,
        turns::{KEPT, Seen, TICK, Turns},
    },
    fault_injection::InjectedFault,
    random,
    resource::Resources,
    server::{Changes, Listener, Listening, Operation},
};
use rand::{Rng, rngs::SmallRng};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct WaitQueues {
    servers: usize,
    changes: Arc<Changes>,
    queues: Mutex<Queues>,
    turns: Mutex<Turns>,
    /// Whether there are any, so that nobody takes the lock for nothing.
    has_turns: AtomicBool,
    /// Keys that are left to others, whether others use that, and since when.
    left: Mutex<HashMap<Resources, (Listening, Instant)>>,
    seen: Seen,
    /// How long an attempt takes, in microseconds, and when that was looked at, in milliseconds since `created`.
    unit: AtomicU64,
    unit_at: AtomicU64,
    /// Until when any keys are left to others, in milliseconds since `created`, so that nobody takes the lock for nothing.
    left_until: AtomicU64,
    created: Instant,
    /// How many queues there are, so that nobody takes the lock for nothing.
    pub(super) count: AtomicUsize,
}

#[derive(Debug)]
pub(super) struct Queues {
    pub(super) by_keys: HashMap<Resources, Queue>,
    /// Lines that nobody stands in any more, of resources that others want as well, and since when.
    empty: HashMap<Resources, (Head, Instant)>,
    /// When to look for those that can be forgotten.
    sweep_at: usize,
    pub(super) rng: SmallRng,
    /// When all queues ask next. It moves on by [`POLL_TRACKED`].
    common_poll: Instant,
}

/// A queue, and who stands in it.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) head: Head,
    pub(super) waiters: BTreeMap<u64, Arc<Waiter>>,
    next_number: u64,
    pub(super) listening: Listening,
    /// Why the head's last attempt failed; nothing since a waiter here was granted the resource.
    pub(super) votes: Vec<Vote>,
    /// With what the head asks, or asked last.
    pub(super) asked: Option<Arc<Operation>>,
    /// The servers that had not voted when the head's last attempt was decided.
    pub(super) late: Vec<usize>,
}

/// What to do about the waiters for keys that are unlocked here.
pub(crate) struct AfterUnlock {
    pub(crate) next: Option<Next>,
    /// Whether the keys are left to others for a while.
    pub(crate) are_left: bool,
}

/// The waiter for which the client asks at once, right behind an unlock.
pub(crate) struct Next {
    pub(crate) waiter: Arc<Waiter>,
    /// That of its queue, which does not have to hear of the unlock.
    pub(crate) listener: Arc<Listener>,
}

impl WaitQueues {
    pub(crate) fn new(servers: usize, changes: Arc<Changes>) -> Self {
        let (mut rng, created) = (random::for_waits(), Instant::now());
        // So that not all clients ask at the same moment.
        let common_poll = created + rng.gen_range(Duration::ZERO..POLL_TRACKED);
        Self {
            servers,
            changes,
            queues: Mutex::new(Queues {
                by_keys: HashMap::new(),
                empty: HashMap::new(),
                sweep_at: 64,
                rng,
                common_poll,
            }),
            turns: Mutex::default(),
            has_turns: AtomicBool::new(false),
            left: Mutex::default(),
            seen: Seen::new(),
            unit: AtomicU64::new(0),
            unit_at: AtomicU64::new(0),
            left_until: AtomicU64::new(0),
            created,
            count: AtomicUsize::new(0),
        }
    }

    /// Takes the last ticket in the queue for these keys.
    pub(crate) fn join(self: &Arc<Self>, keys: Resources, options: AttemptOptions) -> Ticket {
        let waiter = Arc::new(Waiter::new(options));
        let (now, left_until) = (Instant::now(), self.left_until(&keys));
        let mut queues = self.queues();
        let Queues {
            by_keys, empty, rng, ..
        } = &mut *queues;
        let queue = by_keys.entry(keys.clone()).or_insert_with(|| {
            self.count.fetch_add(1, Ordering::Release);
            let mut head = match empty.remove(&keys) {
                Some((mut head, since)) if now.saturating_duration_since(since) < KEPT => {
                    head.resume(now, self.turns().is_in_run(&keys, now), rng);
                    head
                }
                _ => Head::new(self.servers),
            };
            if let Some(until) = left_until {
                head.ask_again(until);
            }
            Queue {
                head,
                waiters: BTreeMap::new(),
                next_number: 0,
                listening: self.changes.listen(&keys, self.servers),
                votes: Vec::new(),
                asked: None,
                late: Vec::new(),
            }
        });
        let number = queue.next_number;
        queue.next_number += 1;
        queue.waiters.insert(number, Arc::clone(&waiter));
        let listener = Arc::clone(&queue.listening.listener);
        drop(queues);
        Ticket {
            queues: Arc::clone(self),
            keys,
            number,
            waiter,
            listener,
        }
    }

    /// Says what an unlock of these keys means for their queue. They were locked `since` then; `unit` is how long an attempt takes.
    pub(crate) fn unlocked(&self, keys: &Resources, since: Instant, unit: impl Fn() -> Duration) -> AfterUnlock {
        let left_until = self.turn_ended(keys, since, unit);
        AfterUnlock {
            next: self.next(keys, left_until),
            are_left: left_until.is_some(),
        }
    }

    /// The waiter for whom the client asks behind the unlock of these keys, if it does not leave that to the waiters.
    fn next(&self, keys: &Resources, left_until: Option<Instant>) -> Option<Next> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut queues = self.queues();
        let queue = queues.by_keys.get_mut(keys)?;
        let waiter = queue.waiters.values().next().map(Arc::clone)?;
        match queue.head.unlocked(left_until) {
            Handover::Next => Some(Next {
                waiter,
                listener: Arc::clone(&queue.listening.listener),
            }),
            Handover::Yield => {
                drop(queues);
                waiter.woken.notify_one();
                None
            }
            Handover::Asking => None,
        }
    }

    /// Listens from now on to whether others use the time for which these keys are left to them. The servers have been asked to
    /// report it.
    pub(crate) fn watch_left(&self, keys: &Resources) {
        let (now, listening) = (Instant::now(), self.changes.listen_to_others(keys, self.servers));
        let mut left = self.left();
        let is_new = |since: Instant| now.saturating_duration_since(since) < KEPT;
        let mut forgotten: Vec<_> = left.extract_if(|_, (_, since)| !is_new(*since)).collect();
        forgotten.extend(
            left.insert(keys.clone(), (listening, now))
                .map(|old| (keys.clone(), old)),
        );
        drop(left);
        drop(forgotten);
    }

    /// Whether others locked these keys, or tried to, while they were left to them.
    fn left_was_used(&self, keys: &Resources) -> bool {
        let watched = self.left().remove(keys);
        let mut is_used = false;
        if let Some((listening, _)) = watched {
            listening.listener.take(|_| is_used = true);
        }
        is_used
    }

    /// Notes the end of a turn, and returns until when others get theirs, if it is time.
    fn turn_ended(&self, keys: &Resources, since: Instant, unit: impl Fn() -> Duration) -> Option<Instant> {
        let again = keys.as_slice().iter().filter(|key| self.seen.again(key)).count();
        if again == 0 && !self.has_turns.load(Ordering::Acquire) {
            return None;
        }
        let now = Instant::now();
        let unit = || self.unit(now, &unit);
        let was_used = self.left_was_used(keys);
        let mut turns = self.turns();
        // A turn of another client may be over before this client asks again, so that no vote names it.
        if was_used {
            turns.taken(keys);
        }
        let until = turns.ended(keys, since, now, again > 0, unit);
        self.has_turns.store(!turns.is_empty(), Ordering::Release);
        drop(turns);
        if let Some(until) = until {
            self.left_until.fetch_max(self.millis(until), Ordering::Release);
        }
        until
    }

    /// How long an attempt takes, which is looked at ten times a second.
    fn unit(&self, now: Instant, look: impl Fn() -> Duration) -> Duration {
        let now = self.millis(now);
        if now >= self.unit_at.load(Ordering::Relaxed) + 100 {
            self.unit_at.store(now, Ordering::Relaxed);
            self.unit.store(micros(look()), Ordering::Relaxed);
        }
        Duration::from_micros(self.unit.load(Ordering::Relaxed)).max(TICK)
    }

    /// Until when this client leaves these keys to others, if it has had them for long.
    pub(crate) fn left_until(&self, keys: &Resources) -> Option<Instant> {
        let latest = self.left_until.load(Ordering::Acquire);
        // Most leave nothing to others, and need not look at the clock.
        if latest == 0 {
            return None;
        }
        let now = Instant::now();
        if latest <= self.millis(now) {
            return None;
        }
        self.turns().pause(keys, now)
    }

    /// These votes, without those that name a value with which the head of a queue here asks, or has just asked.
    pub(crate) fn without_own(&self, keys: &Resources, mut votes: Vec<Vote>) -> Vec<Vote> {
        let asked = self.queues().by_keys.get(keys).and_then(|queue| queue.asked.clone());
        if let Some(asked) = asked {
            let ours = Holder::new(asked.value.as_bytes(), None).fingerprint();
            for vote in &mut votes {
                if matches!(vote, Vote::Held(holder) if holder.fingerprint() == ours) {
                    *vote = Vote::Missing;
                }
            }
        }
        votes
    }

    /// Notes that these votes name another who has the keys. Returns whether they were left to it.
    pub(crate) fn taken(&self, keys: &Resources, votes: &[Vote]) -> bool {
        let is_held = tally::count(votes, |vote| matches!(vote, Vote::Held(_))) > 0;
        is_held && self.turns().taken(keys)
    }

    /// Wakes every waiter, to see that the client is closed.
    pub(crate) fn close(&self) {
        let waiting = |queues: &Queues| {
            let queues = queues.by_keys.values();
            queues.flat_map(|queue| queue.waiters.values().cloned()).collect()
        };
        let waiters: Vec<_> = waiting(&self.queues());
        for waiter in waiters {
            waiter.woken.notify_one();
        }
    }

    /// Rounded up.
    fn millis(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.created);
        u64::try_from(since.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
    }

    fn left(&self) -> MutexGuard<'_, HashMap<Resources, (Listening, Instant)>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    /// Keeps a queue that is empty now.
    pub(super) fn keep(&mut self, keys: Resources, head: Head) {
        let now = Instant::now();
        if self.empty.len() >= self.sweep_at {
            let is_new = |since: Instant| now.saturating_duration_since(since) < KEPT;
            self.empty.retain(|_, (_, since)| is_new(*since));
            self.sweep_at = 64.max(2 * self.empty.len());
        }
        self.empty.insert(keys, (head, now));
    }

    pub(super) fn times(&mut self, now: Instant, since: Instant) -> Times {
        let behind = (now + POLL_TRACKED / 2).saturating_duration_since(self.common_poll);
        if !behind.is_zero() {
            let steps = behind.as_millis() / POLL_TRACKED.as_millis() + 1;
            self.common_poll += POLL_TRACKED * u32::try_from(steps).unwrap_or(u32::MAX);
        }
        Times {
            now,
            waited: Waited::new(now.saturating_duration_since(since)),
            common_poll: self.common_poll,
        }
    }
}

impl Queue {
    /// Takes in the votes that came after the head's last attempt was decided.
    pub(super) fn take_late(&mut self, now: Instant, rng: &mut SmallRng) {
        let Self { head, asked, late, .. } = self;
        let Some(asked) = asked.as_ref().filter(|_| !InjectedFault::LateGrantForgotten.is_on()) else {
            return;
        };
        asked.with_votes(|votes| {
            late.retain(|server| {
                let vote = &votes[*server];
                let is_open = is_open(vote);
                if !is_open {
                    head.late(*server, vote, now, rng);
                }
                is_open
            });
        });
    }
}

/// Whether a server may still vote.
pub(super) fn is_open(vote: &Vote) -> bool {
    matches!(vote, Vote::Pending | Vote::TimedOut)
}
