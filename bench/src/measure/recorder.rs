//! Where callers write down what they saw, without waiting for each other.

use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hdrhistogram::Histogram;

use crate::shard::{self, Padded, SHARDS};

/// Records cycles under the phase in which they end. Allocates nothing while it records.
pub struct Recorder {
    phase: AtomicUsize,
    pace: Option<Duration>,
    shards: Vec<Padded<Mutex<Vec<Tally>>>>,
}

/// What was seen in one phase.
pub struct Tally {
    /// Latencies of the lock alone.
    pub lock: Latencies,
    /// Latencies of lock and unlock together.
    pub cycle: Latencies,
    pub failed: u64,
}

pub struct Latencies(Histogram<u64>);

/// The phase in which nothing is written down.
const OFF: usize = usize::MAX;

impl Recorder {
    /// A recorder for this many phases, that is off. Callers that keep a pace are late for their next lock after a long
    /// one; the locks that they could not ask for meanwhile are counted with the time that they would have taken.
    pub fn new(phases: usize, pace: Option<Duration>) -> Self {
        let tallies = || (0..phases).map(|_| Tally::new()).collect();
        Self {
            phase: AtomicUsize::new(OFF),
            pace,
            shards: (0..SHARDS).map(|_| Padded(Mutex::new(tallies()))).collect(),
        }
    }

    pub fn enter(&self, phase: usize) {
        self.phase.store(phase, Ordering::Relaxed);
    }

    pub fn pause(&self) {
        self.enter(OFF);
    }

    pub fn cycle(&self, lock: Duration, cycle: Duration) {
        self.with_tally(|tally| {
            tally.lock.record(lock, self.pace);
            tally.cycle.record(cycle, None);
        });
    }

    pub fn failure(&self, lock: Duration) {
        self.with_tally(|tally| {
            // A caller waited for a refusal as it would have for a lock.
            tally.lock.record(lock, self.pace);
            tally.failed += 1;
        });
    }

    /// Everything that was seen in these phases.
    pub fn tally(&self, phases: Range<usize>) -> Tally {
        let mut sum = Tally::new();
        for shard in &self.shards {
            let tallies = shard.0.lock().unwrap_or_else(PoisonError::into_inner);
            tallies[phases.clone()].iter().for_each(|tally| sum.add(tally));
        }
        sum
    }

    fn with_tally(&self, write: impl FnOnce(&mut Tally)) {
        let phase = self.phase.load(Ordering::Relaxed);
        let shard = &self.shards[shard::current()].0;
        let mut tallies = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tally) = tallies.get_mut(phase) {
            write(tally);
        }
    }
}

impl Tally {
    fn new() -> Self {
        Self {
            lock: Latencies::new(),
            cycle: Latencies::new(),
            failed: 0,
        }
    }

    fn add(&mut self, other: &Self) {
        self.lock.add(&other.lock);
        self.cycle.add(&other.cycle);
        self.failed += other.failed;
    }
}

impl Latencies {
    const LOWEST: Duration = Duration::from_nanos(100);
    const HIGHEST: Duration = Duration::from_secs(60);
    const DIGITS: u8 = 3;

    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(nanos(Self::LOWEST), nanos(Self::HIGHEST), Self::DIGITS);
        Self(histogram.expect("the bounds are in order and the digits few enough"))
    }

    /// With a pace, also the latencies that its caller could not have meanwhile.
    pub fn record(&mut self, latency: Duration, pace: Option<Duration>) {
        let latency = nanos(latency).min(nanos(Self::HIGHEST));
        let recorded = match pace {
            Some(pace) => self.0.record_correct(latency, nanos(pace)),
            None => self.0.record(latency),
        };
        recorded.expect("nothing is recorded above the highest value");
    }

    fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both have the same bounds and digits");
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// A quantile in microseconds.
    pub fn micros(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
