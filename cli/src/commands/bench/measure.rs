//! Callers that lock and unlock in closed loops, and what they saw.

use super::{
    percentiles::{Latencies, latencies},
    progress::Progress,
};
use crate::{
    connect::no_quorum,
    exit::{self, Failure},
    fence,
};
use multiredlock::{Lock, LockError, Redlock, event::QuorumChanges};
use serde::Serialize;
use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{interval, sleep, timeout},
};

/// How long a caller rests whose lock failed: most failures come at once, and so would the next.
const REST: Duration = Duration::from_millis(10);

/// How long the cycles have to end that were begun.
const LAST_CYCLES: Duration = Duration::from_secs(2);

const LONGEST_WARM_UP: Duration = Duration::from_secs(1);

/// How often the progress is shown.
const TICK: Duration = Duration::from_millis(100);

/// What is asked of the servers.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) callers: usize,
    pub(super) ttl: Duration,
    pub(super) fenced: bool,
    /// Without the warm-up.
    pub(super) duration: Duration,
    /// The client's.
    pub(super) key_prefix: String,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Measured {
    /// Of each cycle that was begun within the time.
    pub(super) record: Record,
    /// How long it was measured.
    pub(super) elapsed: Duration,
    /// How many cycles ended within that time.
    pub(super) cycles: u64,
    /// Why it was ended early, if it was.
    pub(super) ended: Option<Failure>,
}

/// What the callers saw.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) lock: Latencies,
    pub(super) unlock: Latencies,
    pub(super) failed: Failed,
    /// How many unlocks some server did not answer.
    pub(super) unanswered_unlocks: u64,
    last_error: Option<LockError>,
}

/// How many locks failed, and why.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Failed {
    pub(super) held: u64,
    pub(super) refused: u64,
    pub(super) no_quorum: u64,
    pub(super) expired: u64,
    /// Cycles that had not ended some time after the end.
    pub(super) unfinished: u64,
    pub(super) other: u64,
}

/// Lets callers lock and unlock, first for a warm-up, then for as long as it is measured, unless there is no majority or
/// somebody interrupts it.
///
/// # Errors
///
/// The cause if no lock was granted.
pub(super) async fn measure(
    redlock: &Redlock,
    load: &Load,
    progress: Option<&Progress>,
    interrupted: Pin<&mut impl Future<Output = Failure>>,
) -> Result<Measured, Failure> {
    let warm_up = Arc::<Mutex<Record>>::default();
    let record = Arc::<Mutex<Record>>::default();
    let (phase, callers) = start(redlock, load, &warm_up);
    let mut end = End {
        redlock,
        disconnected: redlock.disconnected(),
        interrupted,
    };

    let mut ended = end.within((load.duration / 5).min(LONGEST_WARM_UP), |_| {}).await;
    let has_failed = {
        let warm_up = lock(&warm_up);
        warm_up.lock.is_empty() && warm_up.last_error.is_some()
    };
    let measuring = ended.is_none() && !has_failed;
    let started = Instant::now();
    if measuring {
        phase.send_replace(Some(Arc::clone(&record)));
        let show = |elapsed| {
            if let Some(progress) = progress {
                progress.show(elapsed, &lock(&record));
            }
        };
        ended = end.within(load.duration, show).await;
    }
    let elapsed = started.elapsed();
    let cycles = lock(&record).unlock.len();
    let unfinished = stop(redlock, load, phase, callers).await;

    let mut record = std::mem::take(&mut *lock(if measuring { &record } else { &warm_up }));
    record.failed.unfinished = unfinished;
    if measuring && !record.lock.is_empty() {
        return Ok(Measured {
            record,
            elapsed,
            cycles,
            ended,
        });
    }
    Err(match (ended, record.last_error) {
        (Some(ended), _) => ended,
        (None, Some(error)) => error.into(),
        (None, None) => Failure::new(exit::UNAVAILABLE, "no lock was granted in time"),
    })
}

/// What the callers write to, nothing when they are to end.
type Phase = Option<Arc<Mutex<Record>>>;

fn start(redlock: &Redlock, load: &Load, record: &Arc<Mutex<Record>>) -> (watch::Sender<Phase>, Callers) {
    let (phase, receiver) = watch::channel(Some(Arc::clone(record)));
    let mut callers = JoinSet::new();
    for number in 0..load.callers {
        callers.spawn(call(redlock.clone(), load.clone(), number, receiver.clone()));
    }
    (phase, callers)
}

/// Each ends with its last lock if that has a token.
type Callers = JoinSet<Option<Lock>>;

/// Locks and unlocks until the end.
async fn call(redlock: Redlock, load: Load, number: usize, phase: watch::Receiver<Phase>) -> Option<Lock> {
    let resource = resource(number);
    let mut last = None;
    loop {
        let current = phase.borrow().clone();
        let Some(record) = current else {
            return last;
        };
        let request = redlock.try_lock(&resource, load.ttl);
        let request = if load.fenced { request.fenced() } else { request };
        let started = Instant::now();
        match request.await {
            Ok(granted) => {
                let locked = Instant::now();
                let unlocked = redlock.unlock(&granted).counts().await;
                lock(&record).cycle(locked - started, locked.elapsed(), unlocked.unreachable);
                last = granted.token().map(|_| granted);
            }
            Err(error) => {
                lock(&record).failure(error);
                sleep(REST).await;
            }
        }
    }
}

/// The braces keep what is stored beside the key in the same slot of a cluster and in the same group.
fn resource(number: usize) -> String {
    format!("{{{number}}}")
}

/// Ends the callers, removes what is left of them, and tells how many had to be ended amid a cycle. Their locks go too: a
/// lock that is dropped unasked is unlocked by the library.
async fn stop(redlock: &Redlock, load: &Load, phase: watch::Sender<Phase>, mut callers: Callers) -> u64 {
    phase.send_replace(None);
    let mut unlocks = Vec::new();
    let ends = async {
        while let Some(ended) = callers.join_next().await {
            if let Ok(Some(last)) = ended {
                let fence = fence::of(&last, &load.key_prefix);
                unlocks.extend(fence.map(|fence| redlock.unlock(&fence)));
            }
        }
    };
    // Whoever has not ended by then waits for a server that does not answer.
    let _ = timeout(LAST_CYCLES, ends).await;
    let unfinished = callers.len();
    callers.shutdown().await;
    for unlock in unlocks {
        let _ = unlock.await;
    }
    u64::try_from(unfinished).unwrap_or(u64::MAX)
}

/// What ends it early.
struct End<'a, F> {
    redlock: &'a Redlock,
    disconnected: QuorumChanges,
    interrupted: Pin<&'a mut F>,
}

impl<F: Future<Output = Failure>> End<'_, F> {
    /// Waits for a time, and says why if it ended before.
    async fn within(&mut self, time: Duration, mut show: impl FnMut(Duration)) -> Option<Failure> {
        let started = Instant::now();
        let mut ticks = interval(TICK);
        let end = sleep(time);
        tokio::pin!(end);
        loop {
            tokio::select! {
                biased;
                interrupted = &mut self.interrupted => return Some(interrupted),
                _ = self.disconnected.recv() => return Some(no_quorum(&self.redlock.servers())),
                () = &mut end => return None,
                _ = ticks.tick() => show(started.elapsed()),
            }
        }
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Record {
    fn default() -> Self {
        Self {
            lock: latencies(),
            unlock: latencies(),
            failed: Failed::default(),
            unanswered_unlocks: 0,
            last_error: None,
        }
    }
}

impl Record {
    fn cycle(&mut self, lock: Duration, unlock: Duration, unanswered: usize) {
        let nanos = |took: Duration| u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.lock.saturating_record(nanos(lock));
        self.unlock.saturating_record(nanos(unlock));
        self.unanswered_unlocks += u64::from(unanswered > 0);
    }

    fn failure(&mut self, error: LockError) {
        let count = match &error {
            LockError::Held { .. } => &mut self.failed.held,
            LockError::Refused { .. } => &mut self.failed.refused,
            LockError::NoQuorum { .. } => &mut self.failed.no_quorum,
            LockError::Expired { .. } => &mut self.failed.expired,
            _ => &mut self.failed.other,
        };
        *count += 1;
        self.last_error = Some(error);
    }
}

impl Failed {
    /// Each kind by its name, in words.
    pub(super) fn kinds(&self) -> [(&'static str, u64); 6] {
        [
            ("held", self.held),
            ("refused", self.refused),
            ("no quorum", self.no_quorum),
            ("too late", self.expired),
            ("not ended", self.unfinished),
            ("other", self.other),
        ]
    }

    pub(super) fn total(&self) -> u64 {
        self.kinds().iter().map(|(_, count)| count).sum()
    }
}
