//! What a caller notices of one server of three that has stopped answering.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{
    SERVERS, Sample, Samples, WARM_UP,
    load::{Load, Running},
    recorder::Recorder,
};
use crate::{
    Result,
    args::Plan,
    contenders::{Contender, with_contender},
    servers::Servers,
};

pub const CALLERS: usize = 64;

/// Shorter than any heartbeat: whoever looks for dead servers has not noticed this one yet.
const AT_FIRST: Duration = Duration::from_secs(1);
/// From then until the server counts as noticed. With `AT_FIRST` it is a heartbeat and its timeout, and half as much
/// again.
const NOTICING: Duration = Duration::from_secs(2);
/// When a caller gives up. Only a contender that waits for the frozen server comes near it.
const BOUND: Duration = Duration::from_secs(5);

/// How often each caller asks, the same before and after the freeze: once in this time, which leaves the machine some rest, or
/// as soon as it is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Demand(Option<Duration>);

pub const DEMANDS: [Demand; 2] = [Demand(Some(Duration::from_millis(10))), Demand(None)];

pub const HEALTHY: &str = "healthy";
pub const JUST_FROZEN: &str = "just frozen";
pub const SETTLED: &str = "settled";
/// From the freeze to the end.
pub const FROZEN: &str = "frozen, in all";
pub const PHASES: [&str; 5] = [HEALTHY, JUST_FROZEN, "being noticed", SETTLED, FROZEN];

/// Latencies of the lock, in microseconds.
#[derive(Default)]
pub struct Numbers {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
    /// The p99 as a multiple of that of the healthy phase.
    pub p99_to_healthy: f64,
    pub locks_per_second: f64,
    pub failed: u64,
}

pub async fn run(plan: &Plan) -> Result<Samples<(Demand, &'static str), Numbers>> {
    let window = plan.effort().window;
    let measured = Samples::take(
        "frozen",
        plan.effort(),
        &DEMANDS,
        plan.peers(),
        // Each server is the frozen one in turn, in case a contender does not treat all alike.
        async |name, demand, repeat| with_contender!(name, measure(window, demand, repeat % SERVERS)),
    );
    let phases = measured.await?.0.into_iter().flat_map(|sample| {
        let phases = PHASES.into_iter().zip(sample.numbers);
        phases.map(move |(phase, numbers)| Sample {
            contender: sample.contender,
            key: (sample.key, phase),
            repeat: sample.repeat,
            numbers,
        })
    });
    Ok(Samples(phases.collect()))
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("without pause"),
            Some(period) => write!(f, "every {period:?}"),
        }
    }
}

async fn measure<C: Contender>(window: Duration, Demand(pace): Demand, frozen: usize) -> Result<[Numbers; 5]> {
    let servers = Servers::start(SERVERS)?;
    let contender = Arc::new(C::connect(&servers.addresses()).await?);
    let recorder = Arc::new(Recorder::new(4, pace));
    let load = Load {
        callers: CALLERS,
        bound: Some(BOUND),
        pace,
    };
    let running = Running::start(&contender, load, &recorder);
    sleep(WARM_UP).await;

    let mut started = [Instant::now(); 5];
    let lengths = [window, AT_FIRST, NOTICING, window];
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
    let healthy_p99 = recorder.tally(0..1).lock.micros(0.99);
    Ok([0..1, 1..2, 2..3, 3..4, 1..4].map(|phases| {
        let window = started[phases.end] - started[phases.start];
        let tally = recorder.tally(phases);
        let lock = tally.lock;
        Numbers {
            p50: lock.micros(0.5),
            p90: lock.micros(0.9),
            p99: lock.micros(0.99),
            p999: lock.micros(0.999),
            max: lock.micros(1.0),
            p99_to_healthy: lock.micros(0.99) / healthy_p99,
            locks_per_second: tally.cycle.count() as f64 / window.as_secs_f64(),
            failed: tally.failed,
        }
    }))
}
