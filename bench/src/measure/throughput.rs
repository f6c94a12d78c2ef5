//! Cycles of lock and unlock on resources that nobody else wants.

use std::{
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{
    Samples, WARM_UP,
    load::{Load, Running},
    recorder::Recorder,
};
use crate::{
    Result,
    args::Plan,
    contenders::{Contender, with_contender},
    plural,
    servers::Servers,
    usage::Usage,
};

#[derive(Clone, Copy, PartialEq)]
pub struct Size {
    pub servers: usize,
    pub callers: usize,
}

/// Latencies and processor time in microseconds.
#[derive(Default)]
pub struct Numbers {
    pub cycles_per_second: f64,
    pub cycle_p50: f64,
    pub cycle_p99: f64,
    pub lock_p50: f64,
    pub lock_p99: f64,
    pub cpu_per_cycle: f64,
    pub allocations_per_cycle: f64,
    pub failed: u64,
}

pub async fn run(plan: &Plan) -> Result<Samples<Size, Numbers>> {
    let most = plan.servers.iter().copied().max().unwrap_or_default();
    let group = Servers::start(most)?;
    let addresses = group.addresses();
    let callers = |&servers| plan.callers.iter().map(move |&callers| Size { servers, callers });
    let sizes: Vec<_> = plan.servers.iter().flat_map(callers).collect();
    let window = plan.effort().window;
    Samples::take(
        "throughput",
        plan.effort(),
        &sizes,
        plan.contenders.clone(),
        async |name, size, _| with_contender!(name, measure(&addresses[..size.servers], size.callers, window)),
    )
    .await
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { servers, callers } = *self;
        write!(f, "{}, {}", plural(callers, "caller"), plural(servers, "server"))
    }
}

async fn measure<C: Contender>(addresses: &[SocketAddr], callers: usize, window: Duration) -> Result<Numbers> {
    let contender = Arc::new(C::connect(addresses).await?);
    let recorder = Arc::new(Recorder::new(1, None));
    let load = Load {
        callers,
        bound: None,
        pace: None,
    };
    let running = Running::start(&contender, load, &recorder);
    sleep(WARM_UP).await;

    let before = Usage::now()?;
    let started = Instant::now();
    recorder.enter(0);
    sleep(window).await;
    recorder.pause();
    let window = started.elapsed();
    let used = Usage::now()?.since(before);

    running.stop().await?;
    if let Some(contender) = Arc::into_inner(contender) {
        contender.close().await;
    }

    let tally = recorder.tally(0..1);
    let cycles = tally.cycle.count() as f64;
    Ok(Numbers {
        cycles_per_second: cycles / window.as_secs_f64(),
        cycle_p50: tally.cycle.micros(0.5),
        cycle_p99: tally.cycle.micros(0.99),
        lock_p50: tally.lock.micros(0.5),
        lock_p99: tally.lock.micros(0.99),
        cpu_per_cycle: used.cpu.as_secs_f64() * 1e6 / cycles,
        allocations_per_cycle: used.allocations as f64 / cycles,
        failed: tally.failed,
    })
}
