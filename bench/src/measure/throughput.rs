//! Cycles of lock and unlock on resources that nobody else wants.

use std::{net::SocketAddr, sync::Arc};

use super::{
    WARM_UP,
    load::{Load, Running, Unlock},
    recorder::Recorder,
};
use crate::{
    Result,
    args::Plan,
    contenders::{Contender, Name, with_contender},
    servers::Servers,
    usage::Usage,
};

/// One measurement of one contender.
pub struct Sample {
    pub contender: Name,
    pub servers: usize,
    pub callers: usize,
    pub repeat: usize,
    pub numbers: Numbers,
}

/// Latencies and processor time in microseconds.
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

pub async fn run(plan: &Plan) -> Result<Vec<Sample>> {
    let most = plan.servers.iter().copied().max().unwrap_or_default();
    let group = Servers::start(most)?;
    let addresses = group.addresses();
    let mut samples = Vec::new();
    for repeat in 0..plan.repeats {
        for &servers in &plan.servers {
            for &callers in &plan.callers {
                for contender in plan.turns(repeat) {
                    eprintln!(
                        "throughput {}/{}: {servers} servers, {callers} callers, {contender}",
                        repeat + 1,
                        plan.repeats
                    );
                    let numbers = with_contender!(contender, measure(plan, &addresses[..servers], callers))?;
                    samples.push(Sample {
                        contender,
                        servers,
                        callers,
                        repeat,
                        numbers,
                    });
                }
            }
        }
    }
    Ok(samples)
}

async fn measure<C: Contender>(plan: &Plan, addresses: &[SocketAddr], callers: usize) -> Result<Numbers> {
    let contender = Arc::new(C::connect(addresses).await?);
    let recorder = Arc::new(Recorder::new(1, None));
    let load = Load {
        callers,
        unlock: Unlock::Awaited,
        pace: None,
    };
    let running = Running::start(&contender, load, &recorder);
    tokio::time::sleep(WARM_UP).await;

    let before = Usage::now()?;
    let started = std::time::Instant::now();
    recorder.enter(0);
    tokio::time::sleep(plan.window).await;
    recorder.pause();
    let window = started.elapsed();
    let used = Usage::now()?.since(before);

    running.stop().await?;
    if let Some(contender) = Arc::into_inner(contender) {
        contender.close().await;
    }

    let tally = recorder.tally(0..1);
    let cycles = tally.cycle.count() as f64;
    let micros = |duration: std::time::Duration| duration.as_secs_f64() * 1e6;
    Ok(Numbers {
        cycles_per_second: cycles / window.as_secs_f64(),
        cycle_p50: micros(tally.cycle.quantile(0.5)),
        cycle_p99: micros(tally.cycle.quantile(0.99)),
        lock_p50: micros(tally.lock.quantile(0.5)),
        lock_p99: micros(tally.lock.quantile(0.99)),
        cpu_per_cycle: micros(used.cpu) / cycles,
        allocations_per_cycle: used.allocations as f64 / cycles,
        failed: tally.failed,
    })
}
