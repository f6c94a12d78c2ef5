//! A process: tasks that lock, renew, wait, cancel and reopen their clients, and say what they hold.

use std::{
    cell::Cell,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;
use multiredlock::{FencingToken, LockError, Redlock, error::UsingError, event::Event};
use tokio::{
    runtime::Handle,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{MAX_TTL, between, now, record::Record};
use crate::{
    Result, args::Child, clock::nanos, contenders::builder, measure::eventually, process::Parent, usage::resident_bytes,
};

const TASKS: u64 = 6;
const RESOURCES: usize = 8;

/// What the tasks of the process share.
struct Process {
    generation: u32,
    locks: AtomicU64,
    redlock: Mutex<Redlock>,
    is_over: AtomicBool,
}

/// Runs until the parent closes this process's input.
pub async fn work(child: &Child, generation: u32, seed: u64) -> Result<()> {
    let mut parent = Parent::greet()?;
    let before = Handle::current().metrics().num_alive_tasks();
    let quarter = Cell::new(0);
    let process = Arc::new(Process {
        generation,
        locks: AtomicU64::new(0),
        redlock: Mutex::new(open(child)?),
        is_over: AtomicBool::new(false),
    });
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let rng = Rng::with_seed(seed ^ u64::from(generation) << 32 ^ task);
        tasks.spawn(take_turns(Arc::clone(&process), rng));
    }
    let reopening = reopen(&process, child, Rng::with_seed(!seed ^ u64::from(generation)));
    let measuring = async {
        // Until caches and pools have their size.
        sleep(Duration::from_secs(20)).await;
        quarter.set(resident_bytes().unwrap_or_default() / 1024);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        line = parent.line() => drop(line?),
        ended = reopening => ended?,
        () = measuring => {}
    }
    process.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    process.redlock().close().await;
    let left = || Handle::current().metrics().num_alive_tasks().saturating_sub(before);
    // What is left is said below, also if the time is up.
    let _ = timeout(Duration::from_secs(3), eventually("no task is left", || left() == 0)).await;
    let end = resident_bytes()? / 1024;
    let quarter = match quarter.get() {
        // It has not run for long enough to tell.
        0 => end,
        quarter => quarter,
    };
    say(&Record::Ended {
        tasks: left(),
        quarter,
        end,
    });
    Ok(())
}

fn open(child: &Child) -> Result<Redlock> {
    let redlock = builder(&child.addresses)
        .restart_guard(MAX_TTL)
        .fenced()
        .fence_expiry(Duration::from_secs(600))
        .heartbeat_interval(Duration::from_millis(300))
        .heartbeat_timeout(Duration::from_millis(500))
        .reconnect(Duration::from_millis(20), Duration::from_millis(500))
        .build()?;
    tokio::spawn(listen(redlock.events()));
    Ok(redlock)
}

/// Connected and disconnected have to take turns.
async fn listen(mut events: multiredlock::event::Events) {
    let mut connected = None;
    while let Some(event) = events.recv().await {
        let (Event::Connected(quorum) | Event::Disconnected(quorum)) = event else {
            continue;
        };
        let is_connected = matches!(event, Event::Connected(_));
        if quorum.is_reached() != is_connected {
            say(&Record::Wrong(format!("{event:?} does not fit its numbers")));
        }
        if connected.replace(is_connected) == Some(is_connected) {
            say(&Record::Wrong(format!("told twice in a row: {event:?}")));
        }
    }
}

/// Takes a new client now and then, and closes or drops the old one.
async fn reopen(process: &Process, child: &Child, mut rng: Rng) -> Result<()> {
    loop {
        sleep(between(&mut rng, 4_000, 15_000)).await;
        let new = open(child)?;
        let old = std::mem::replace(
            &mut *process.redlock.lock().unwrap_or_else(PoisonError::into_inner),
            new,
        );
        if rng.bool() {
            old.close().await;
        }
    }
}

impl Process {
    fn redlock(&self) -> Redlock {
        self.redlock.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

async fn take_turns(process: Arc<Process>, rng: Rng) {
    let mut task = Task { process, rng };
    while !task.process.is_over() {
        match task.rng.u8(..6) {
            0 | 1 => task.lock().await,
            2 | 3 => task.wait().await,
            4 => task.cancel().await,
            _ => task.using().await,
        }
        sleep(between(&mut task.rng, 0, 50)).await;
    }
}

struct Task {
    process: Arc<Process>,
    rng: Rng,
}

impl Task {
    fn ttl(&mut self) -> Duration {
        between(&mut self.rng, 1_000, 3_000)
    }

    /// One resource, or two.
    fn resources(&mut self) -> Vec<String> {
        let count = 1 + usize::from(self.rng.u8(..5) == 0);
        let mut all: Vec<_> = (0..RESOURCES).map(|number| format!("r{number}")).collect();
        self.rng.shuffle(&mut all);
        all.truncate(count);
        all
    }

    /// Locks by hand, renews perhaps, and unlocks or forgets it.
    async fn lock(&mut self) {
        let (redlock, resources, ttl) = (self.process.redlock(), self.resources(), self.ttl());
        let asked = now();
        let request = if self.rng.bool() {
            redlock.lock(&resources, ttl)
        } else {
            redlock.try_lock(&resources, ttl)
        };
        let Ok(mut lock) = request.await else {
            return;
        };
        let (first, second) = (self.hold_for(ttl), self.hold_for(ttl));
        let Some(held) = self.granted(&resources, asked, lock.token(), || lock.is_valid()) else {
            return;
        };
        held.watch(first, || lock.is_valid()).await;
        if self.rng.bool()
            && let Ok(renewed) = redlock.renew(&lock, ttl).await
        {
            lock = renewed;
            held.watch(second, || lock.is_valid()).await;
        }
        drop(held);
        if self.rng.u8(..4) > 0 {
            let unlocking = redlock.unlock(&lock);
            if self.rng.bool() {
                let _ = unlocking.await;
            }
        }
    }

    /// Waits in line for a guard, and releases or drops it.
    async fn wait(&mut self) {
        let (redlock, resources, ttl) = (self.process.redlock(), self.resources(), self.ttl());
        let within = between(&mut self.rng, 2_000, 6_000);
        let asked = now();
        let guard = redlock.acquire(&resources, ttl).timeout(within).await;
        waited(asked, within, guard.as_ref().err());
        let Ok(guard) = guard else {
            return;
        };
        let hold = self.hold_for(2 * ttl);
        if let Some(held) = self.granted(&resources, asked, guard.token(), || guard.is_valid()) {
            held.watch(hold, || guard.is_valid()).await;
        }
        if self.rng.bool() {
            // Whatever it says of a lock that may be lost.
            let _ = guard.release().await;
        }
    }

    /// Gives up asking at any moment.
    async fn cancel(&mut self) {
        let (redlock, resources, ttl) = (self.process.redlock(), self.resources(), self.ttl());
        let patience = between(&mut self.rng, 0, 20);
        if self.rng.bool() {
            if let Ok(Ok(lock)) = timeout(patience, redlock.lock(&resources, ttl)).await {
                redlock.unlock(&lock);
            }
        } else {
            drop(timeout(patience, redlock.acquire(&resources, ttl)).await);
        }
    }

    async fn using(&mut self) {
        let (redlock, resources, ttl) = (self.process.redlock(), self.resources(), self.ttl());
        let within = between(&mut self.rng, 2_000, 6_000);
        let hold = self.hold_for(ttl);
        let asked = now();
        let request = redlock.acquire(&resources, ttl).timeout(within);
        let used = request
            .using(async |guard| {
                waited(asked, within, None);
                if let Some(held) = self.granted(&resources, asked, guard.token(), || guard.is_valid()) {
                    held.watch(hold, || guard.is_valid()).await;
                }
            })
            .await;
        if let Err(UsingError::Lock(error)) = used {
            waited(asked, within, Some(&error));
        }
    }

    fn hold_for(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        // Most are held for a short time.
        let most = if self.rng.u8(..4) == 0 { most } else { most / 8 };
        between(&mut self.rng, 0, most)
    }

    /// Says that a lock was granted, if it is still valid.
    fn granted(
        &self,
        resources: &[String],
        asked: u64,
        token: Option<FencingToken>,
        is_valid: impl Fn() -> bool,
    ) -> Option<Held> {
        let number = self.process.locks.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}:{number}", self.process.generation);
        granted(id, resources, asked, token, is_valid)
    }
}

/// Says that a lock was granted, if it is still valid.
pub(super) fn granted(
    id: String,
    resources: &[String],
    asked: u64,
    token: Option<FencingToken>,
    is_valid: impl Fn() -> bool,
) -> Option<Held> {
    let granted = now();
    if !is_valid() {
        return None;
    }
    say(&Record::Granted {
        id: id.clone(),
        resources: resources.to_vec(),
        asked,
        granted,
        token: token.map_or(0, u64::from),
    });
    Some(Held {
        id,
        until: AtomicU64::new(granted),
    })
}

/// A lock that was said to be granted. When this is dropped, also because the work under it was stopped, it is said when it was
/// found valid for the last time.
pub(super) struct Held {
    id: String,
    until: AtomicU64,
}

impl Held {
    /// Looks again and again whether it is valid, until it is not, or for so long.
    pub(super) async fn watch(&self, length: Duration, is_valid: impl Fn() -> bool) {
        let end = now() + nanos(length);
        while now() < end {
            let looked = now();
            if !is_valid() {
                break;
            }
            self.until.store(looked, Ordering::Relaxed);
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        say(&Record::Held {
            id: std::mem::take(&mut self.id),
            until: self.until.load(Ordering::Relaxed),
        });
    }
}

pub(super) fn waited(asked: u64, within: Duration, error: Option<&LockError>) {
    // Of a client that was closed nobody waits on.
    if matches!(error, Some(LockError::Closed)) {
        return;
    }
    say(&Record::Waited {
        asked,
        within: nanos(within),
        told: now(),
        served: error.is_none(),
    });
}

fn say(record: &Record) {
    println!("{record}");
}
