//! Callers that lock and unlock, each in a closed loop: the next cycle starts when the last one has ended.

use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{self, Interval, MissedTickBehavior},
};

use super::{TTL, recorder::Recorder};
use crate::{Result, contenders::Contender};

#[derive(Clone, Copy)]
pub struct Load {
    pub callers: usize,
    /// With it, a lock that takes longer is given up, and a cycle ends when the unlock is on its way, so that a frozen
    /// server is not waited for by definition. Without it, a cycle ends when all servers have answered the unlock.
    pub bound: Option<Duration>,
    /// Each caller starts a cycle no more often than this; without it, as soon as the last one has ended.
    pub pace: Option<Duration>,
}

/// Callers at work. Dropping it ends them at once; `stop` lets each end its cycle.
pub struct Running {
    stop: Arc<AtomicBool>,
    callers: JoinSet<()>,
}

impl Running {
    pub fn start<C: Contender>(contender: &Arc<C>, load: Load, recorder: &Arc<Recorder>) -> Self {
        // No two loads of a run share a resource, so none can meet what another has left behind.
        static LOADS: AtomicUsize = AtomicUsize::new(0);
        let number = LOADS.fetch_add(1, Ordering::Relaxed);
        let stop = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for caller in 0..load.callers {
            let caller = Caller {
                number: caller,
                contender: Arc::clone(contender),
                recorder: Arc::clone(recorder),
                stop: Arc::clone(&stop),
                prefix: format!("bench:{number}:{caller}:"),
            };
            callers.spawn(caller.run(load));
        }
        Self { stop, callers }
    }

    pub async fn stop(mut self) -> Result<()> {
        const BOUND: Duration = Duration::from_secs(30);
        self.stop.store(true, Ordering::Relaxed);
        let all_ended = async {
            while let Some(ended) = self.callers.join_next().await {
                ended?;
            }
            Ok(())
        };
        time::timeout(BOUND, all_ended)
            .await
            .map_err(|_| format!("some callers were still waiting after {BOUND:?}"))?
    }
}

struct Caller<C> {
    number: usize,
    contender: Arc<C>,
    recorder: Arc<Recorder>,
    stop: Arc<AtomicBool>,
    prefix: String,
}

impl<C: Contender> Caller<C> {
    async fn run(self, load: Load) {
        let mut pace = load.pace.map(|period| self.pace(period, load.callers));
        let mut resource = self.prefix.clone();
        for cycle in 0_u64.. {
            if let Some(interval) = &mut pace {
                interval.tick().await;
            }
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            resource.truncate(self.prefix.len());
            // Writing to a string cannot fail.
            let _ = write!(resource, "{cycle}");
            self.lock_and_unlock(&resource, load.bound).await;
        }
    }

    /// Callers start one after another, spread over a period, and a late one does not hurry to catch up.
    fn pace(&self, period: Duration, callers: usize) -> Interval {
        let first = time::Instant::now() + period.mul_f64(self.number as f64 / callers as f64);
        let mut interval = time::interval_at(first, period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    }

    async fn lock_and_unlock(&self, resource: &str, bound: Option<Duration>) {
        let started = Instant::now();
        let locking = self.contender.lock(resource, TTL);
        let held = match bound {
            Some(bound) => time::timeout(bound, locking)
                .await
                .unwrap_or_else(|late| Err(late.into())),
            None => locking.await,
        };
        let locked = started.elapsed();
        let unlocked = match held {
            Ok(held) if bound.is_some() => {
                self.contender.release(held);
                Ok(())
            }
            Ok(held) => self.contender.unlock(held).await,
            Err(error) => Err(error),
        };
        match unlocked {
            Ok(()) => self.recorder.cycle(locked, started.elapsed()),
            Err(_) => self.recorder.failure(locked),
        }
    }
}
