//! What a caller notices of one server of three that has stopped answering.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{
    WARM_UP,
    load::{Load, Running, Unlock},
    recorder::{Recorder, Tally},
};
use crate::{
    Result,
    args::Plan,
    contenders::{Contender, Name, with_contender},
    servers::Servers,
};

pub const SERVERS: usize = 3;
pub const CALLERS: usize = 64;

/// Shorter than any heartbeat: whoever looks for dead servers has not noticed this one yet.
const JUST_FROZEN: Duration = Duration::from_secs(1);
/// From then until the server counts as noticed. With `JUST_FROZEN` it is a heartbeat and its timeout, and half as much
/// again.
const NOTICING: Duration = Duration::from_secs(2);
/// When a caller gives up. Only a contender that waits for the frozen server comes near it.
const BOUND: Duration = Duration::from_secs(5);

/// How much is asked of a contender, the same before and after the freeze.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Every caller asks again as soon as it is answered.
    All,
    /// Every caller asks once in this time, which leaves the machine some rest.
    Every(Duration),
}

pub const DEMANDS: [Demand; 2] = [Demand::Every(Duration::from_millis(10)), Demand::All];

pub struct Sample {
    pub contender: Name,
    pub demand: Demand,
    pub healthy: Phase,
    pub just_frozen: Phase,
    pub noticing: Phase,
    pub settled: Phase,
    /// From the freeze to the end.
    pub frozen: Phase,
}

/// Latencies of the lock, in microseconds.
pub struct Phase {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
    pub locks_per_second: f64,
    pub failed: u64,
}

pub async fn run(plan: &Plan) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for repeat in 0..plan.repeats {
        for demand in DEMANDS {
            for contender in plan.peer_turns(repeat) {
                eprintln!("frozen {}/{}: {contender}, {demand}", repeat + 1, plan.repeats);
                // Each server is the frozen one in turn, in case a contender does not treat all alike.
                let frozen = repeat % SERVERS;
                let [healthy, just_frozen, noticing, settled, frozen_in_all] =
                    with_contender!(contender, measure(plan, demand, frozen))?;
                samples.push(Sample {
                    contender,
                    demand,
                    healthy,
                    just_frozen,
                    noticing,
                    settled,
                    frozen: frozen_in_all,
                });
            }
        }
    }
    Ok(samples)
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("without pause"),
            Self::Every(period) => write!(f, "every {period:?}"),
        }
    }
}

async fn measure<C: Contender>(plan: &Plan, demand: Demand, frozen: usize) -> Result<[Phase; 5]> {
    let servers = Servers::start(SERVERS)?;
    let contender = Arc::new(C::connect(&servers.addresses()).await?);
    let pace = match demand {
        Demand::All => None,
        Demand::Every(period) => Some(period),
    };
    let recorder = Arc::new(Recorder::new(4, pace));
    let load = Load {
        callers: CALLERS,
        unlock: Unlock::Sent { bound: BOUND },
        pace,
    };
    let running = Running::start(&contender, load, &recorder);
    sleep(WARM_UP).await;

    let mut started = [Instant::now(); 5];
    let lengths = [plan.window, JUST_FROZEN, NOTICING, plan.window];
    for (phase, length) in lengths.into_iter().enumerate() {
        if phase == 1 {
            servers[frozen].freeze();
        }
        started[phase] = Instant::now();
        recorder.enter(phase);
        sleep(length).await;
    }
    // Whoever still waits is counted, too: a lock that hangs must not go unseen because the time was up.
    running.stop().await?;
    started[4] = Instant::now();
    recorder.pause();
    servers[frozen].thaw();
    if let Some(contender) = Arc::into_inner(contender) {
        contender.close().await;
    }
    let phases = [0..1, 1..2, 2..3, 3..4, 1..4];
    Ok(phases.map(|phases| {
        let window = started[phases.end] - started[phases.start];
        Phase::new(&recorder.tally(phases), window)
    }))
}

impl Phase {
    fn new(tally: &Tally, window: Duration) -> Self {
        let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
        Self {
            p50: micros(tally.lock.quantile(0.5)),
            p90: micros(tally.lock.quantile(0.9)),
            p99: micros(tally.lock.quantile(0.99)),
            p999: micros(tally.lock.quantile(0.999)),
            max: micros(tally.lock.max()),
            locks_per_second: tally.cycle.count() as f64 / window.as_secs_f64(),
            failed: tally.failed,
        }
    }
}
