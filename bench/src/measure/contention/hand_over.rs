//! How long it takes from an unlock in one process to the lock of the waiter in another.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{Contender, SERVERS, TTL, Waiting, take_one_turn, with_waiting};
use crate::{
    Result,
    args::{Child, Effort, Plan, Role},
    clock,
    contenders::Name,
    measure::recorder::Latencies,
    process::{Parent, Process},
    servers::Servers,
};

const RESOURCE: &str = "bench:handed-over";
const LONE: &str = "bench:lone";
/// There is a round for each such part of the window, and it takes what it takes.
const ROUND: Duration = Duration::from_millis(20);

/// All of them in microseconds.
pub struct Sample {
    pub contender: Name,
    pub p50: f64,
    pub p99: f64,
    /// A lock on a free key, after a pause like the one before an unlock.
    pub lone_p50: f64,
    /// A lock on a free key, just after another one.
    pub busy_lone_p50: f64,
}

pub async fn run(plan: &Plan, effort: Effort) -> Result<Vec<Sample>> {
    let rounds = (effort.window.as_micros() / ROUND.as_micros()).max(1);
    let mut samples = Vec::new();
    for repeat in 0..effort.repeats {
        for contender in plan.waiting_turns(repeat) {
            eprintln!(
                "contention {}/{}: unlock to lock, {contender}",
                repeat + 1,
                effort.repeats
            );
            samples.push(with_waiting!(contender, measure(contender, rounds))?);
        }
    }
    Ok(samples)
}

async fn measure<C: Waiting>(name: Name, rounds: u128) -> Result<Sample> {
    let servers = Servers::start(SERVERS)?;
    let contender = C::connect(&servers.addresses()).await?;
    let child = Child {
        contender: name,
        addresses: servers.addresses(),
        role: Role::TakeOver,
    };
    let mut other = Process::start(&child).await?;
    let (mut handed_over, mut lone, mut busy_lone) = (Latencies::new(), Latencies::new(), Latencies::new());
    for round in 0..=rounds {
        let latencies = [
            hand_over(&contender, &mut other).await?,
            lock_after_pause(&contender).await?,
            lock_alone(&contender).await?,
        ];
        // The first round loads scripts and takes memory.
        if round > 0 {
            for (recorded, latency) in [&mut handed_over, &mut lone, &mut busy_lone].into_iter().zip(latencies) {
                recorded.record(latency, None);
            }
        }
    }
    other.end().await?;
    contender.close().await;
    let micros = |latencies: &Latencies, quantile| latencies.quantile(quantile).as_secs_f64() * 1e6;
    Ok(Sample {
        contender: name,
        p50: micros(&handed_over, 0.5),
        p99: micros(&handed_over, 0.99),
        lone_p50: micros(&lone, 0.5),
        busy_lone_p50: micros(&busy_lone, 0.5),
    })
}

async fn hand_over<C: Contender>(contender: &C, other: &mut Process) -> Result<Duration> {
    let held = contender.lock(RESOURCE, TTL).await?;
    other.say("wait").await?;
    // It says so just before it waits, and is surely in line at the end of the pause.
    other.line().await?;
    pause().await;
    let unlocked = clock::now();
    contender.unlock(held).await?;
    let locked = Duration::from_nanos(other.line().await?.parse()?);
    locked
        .checked_sub(unlocked)
        .ok_or_else(|| "the resource was locked again before it was unlocked".into())
}

/// The other process: takes the lock over as often as it is told to.
pub async fn take_over<C: Waiting>(contender: C) -> Result<()> {
    take_one_turn(&contender, RESOURCE).await?;
    let mut parent = Parent::greet()?;
    while parent.line().await?.is_some() {
        println!("waiting");
        let turn = contender.acquire(RESOURCE, TTL).await?;
        let locked = clock::now();
        contender.end_turn(turn).await?;
        // Only now, so that the next round finds the key free.
        println!("{}", clock::nanos(locked));
    }
    Ok(())
}

async fn lock_after_pause<C: Contender>(contender: &C) -> Result<Duration> {
    pause().await;
    lock_alone(contender).await
}

async fn lock_alone<C: Contender>(contender: &C) -> Result<Duration> {
    let started = Instant::now();
    let held = contender.lock(LONE, TTL).await?;
    let locked = started.elapsed();
    contender.unlock(held).await?;
    Ok(locked)
}

/// Of a random length, so that it never keeps step with somebody's timer.
async fn pause() {
    sleep(Duration::from_micros(fastrand::u64(20_000..25_000))).await;
}
