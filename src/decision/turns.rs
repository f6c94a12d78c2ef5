//! How long a client has had keys in a row, and when it leaves them to others. Pure: the clock is passed in.
//!
//! Whoever unlocks a key can lock it again before any other client has heard of the unlock. So a client that wants a key all
//! the time pauses now and then: after a run of turns without a gap, those that had a turn let some time pass. If nobody takes a
//! turn meanwhile, again and again, the runs grow, so that a client without rivals loses little.

use crate::{fault_injection::InjectedFault, resource::Resources};
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How long a run may last before others get their turn, at least, in units.
pub(crate) const SHORTEST_RUN: u32 = 4;

/// How long a run may last, at most, if nobody else ever takes a turn. A pause after it costs some 3 %.
const LONGEST_RUN: u32 = 160;

/// How many pauses in a row that nobody used say that there are no others. On a busy machine a waiter may be too late for a few.
const MANY_PAUSES: u32 = 16;

/// How long others get for their turn, in units: a little more than a careful waiter lets pass.
pub(crate) const PAUSE: u32 = 4;

/// The shortest unit: timers have no finer steps.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// For how long a run is remembered after its last turn.
pub(crate) const KEPT: Duration = Duration::from_millis(500);

/// How many sets of keys are told apart within a run.
const MOST_SETS: usize = 16;

/// How many keys are recognized, if they do not meet in one place.
const PLACES: usize = 1024;

/// Recognizes keys that were unlocked before, by fingerprints in fixed places. Most keys are locked once, and cost no more than this.
#[derive(Debug)]
pub(crate) struct Seen(Box<[AtomicU32]>);

impl Seen {
    pub(crate) fn new() -> Self {
        Self((0..PLACES).map(|_| AtomicU32::new(0)).collect())
    }

    /// Notes a key, and returns whether it was the last in its place.
    pub(crate) fn again(&self, key: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let hash = hasher.finish();
        // Nothing is there before the first key, which is 0.
        let fingerprint = u32::try_from(hash >> 32).unwrap_or(u32::MAX).max(1);
        let place = usize::try_from(hash & 0xffff).unwrap_or(0) % PLACES;
        self.0[place].swap(fingerprint, Ordering::Relaxed) == fingerprint
    }
}

#[derive(Debug, Default)]
pub(crate) struct Turns {
    runs: HashMap<Arc<[u8]>, Run>,
    /// When to look for runs that can be forgotten.
    sweep_at: Option<Instant>,
}

/// Turns on a key of one client, without a gap in which others could have had theirs.
#[derive(Debug)]
struct Run {
    since: Instant,
    /// When the last turn ended.
    last: Instant,
    /// How long it may last, in units.
    limit: u32,
    /// How many of the last pauses nobody used, up to [`MANY_PAUSES`].
    unused: u32,
    /// Until when it leaves the key to others.
    pause: Option<Instant>,
    /// Whether others used the last pause.
    is_contested: bool,
    /// What was locked in this run: the key alone, or with others.
    sets: Vec<Resources>,
}

impl Turns {
    /// Whether no key has had turns of late.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Notes the end of a turn, and returns until when others get theirs, if it is time. `unit` is how long an attempt takes, or a
    /// [`TICK`] if that is longer. Of keys that were not locked `again` it remembers nothing new.
    pub(crate) fn ended(
        &mut self,
        keys: &Resources,
        granted: Instant,
        now: Instant,
        again: bool,
        unit: impl Fn() -> Duration,
    ) -> Option<Instant> {
        if InjectedFault::TurnsForgotten.is_on() {
            return None;
        }
        self.sweep(now);
        let mut is_long = false;
        for key in keys.as_slice() {
            let run = match self.runs.get_mut(key) {
                Some(run) => run,
                None if !again => continue,
                None => self.runs.entry(Arc::clone(key)).or_insert_with(|| Run::new(granted)),
            };
            run.turn(keys, granted, now, &unit);
            is_long |= run.is_long(now, &unit);
        }
        let until = is_long.then(|| now + unit() * PAUSE)?;
        for key in keys.as_slice() {
            if let Some(run) = self.runs.get_mut(key) {
                run.pause = Some(until);
            }
        }
        Some(until)
    }

    /// Until when these keys are left to others, if they are.
    pub(crate) fn pause(&self, keys: &Resources, now: Instant) -> Option<Instant> {
        let runs = keys.as_slice().iter().filter_map(|key| self.runs.get(key));
        let pauses = runs.filter(|run| run.had(keys)).filter_map(|run| run.pause);
        pauses.max().filter(|until| *until > now)
    }

    /// Whether others, who used the last pause of a run, may want these keys more than this client, which has had them.
    pub(crate) fn gives_way(&self, keys: &Resources, now: Instant) -> bool {
        let mut runs = keys.as_slice().iter().filter_map(|key| self.runs.get(key));
        let is_recent = |run: &Run| run.is_contested && now.saturating_duration_since(run.last) < KEPT;
        runs.any(is_recent) && !self.is_in_run(keys, now)
    }

    /// Whether these keys were unlocked just now, in a run that may go on.
    pub(crate) fn is_in_run(&self, keys: &Resources, now: Instant) -> bool {
        let runs = keys.as_slice().iter().filter_map(|key| self.runs.get(key));
        let goes_on = |run: &Run| run.pause.is_none() && now.saturating_duration_since(run.last) < TICK * PAUSE;
        runs.filter(|run| run.had(keys)).any(goes_on)
    }

    /// Notes that another has these keys. Returns whether they were left to it.
    pub(crate) fn taken(&mut self, keys: &Resources) -> bool {
        let mut were_left = false;
        for key in keys.as_slice() {
            if let Some(run) = self.runs.get_mut(key) {
                let was_left = run.pause.take().is_some();
                run.is_contested |= was_left;
                were_left |= was_left;
                run.limit = SHORTEST_RUN;
                run.unused = 0;
            }
        }
        were_left
    }

    fn sweep(&mut self, now: Instant) {
        if self.sweep_at.is_none_or(|sweep_at| now >= sweep_at) {
            self.runs
                .retain(|_, run| now.saturating_duration_since(run.last) < KEPT);
            self.sweep_at = Some(now + KEPT);
        }
    }
}

impl Run {
    fn new(granted: Instant) -> Self {
        Self {
            since: granted,
            last: granted,
            limit: SHORTEST_RUN,
            unused: 0,
            pause: None,
            is_contested: false,
            sets: Vec::new(),
        }
    }

    fn turn(&mut self, keys: &Resources, granted: Instant, now: Instant, unit: impl Fn() -> Duration) {
        let gap = granted.saturating_duration_since(self.last);
        let is_new = match self.pause.take() {
            Some(pause) if granted >= pause => {
                self.pause_was_unused();
                true
            }
            // Another set of keys had its turn in the pause.
            Some(_) => true,
            None => gap >= TICK * PAUSE && gap >= unit() * PAUSE,
        };
        if is_new {
            self.since = granted;
            self.sets.clear();
        }
        self.last = now;
        if !self.had(keys) {
            self.sets.push(keys.clone());
        }
    }

    fn is_long(&self, now: Instant, unit: impl Fn() -> Duration) -> bool {
        let lasts = now.saturating_duration_since(self.since);
        lasts >= TICK * self.limit && lasts >= unit() * self.limit
    }

    fn pause_was_unused(&mut self) {
        self.is_contested = false;
        if self.unused < MANY_PAUSES {
            self.unused += 1;
        } else {
            self.limit = LONGEST_RUN.min(2 * self.limit);
        }
    }

    /// Whether this set of keys had a turn in the run.
    fn had(&self, keys: &Resources) -> bool {
        self.sets.len() >= MOST_SETS || self.sets.contains(keys)
    }
}

#[cfg(test)]
mod tests;
