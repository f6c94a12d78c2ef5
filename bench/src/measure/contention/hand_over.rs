//! How long it takes from an unlock in one process to the lock of the waiter in another.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{Contender, SERVERS, Samples, TTL, Waiting, take_one_turn, with_waiting};
use crate::{
    Result,
    args::{Plan, Role},
    clock,
    contenders::Name,
    measure::recorder::Latencies,
    process::{Parent, Process},
    servers::Servers,
};

/// What is measured.
pub const KEY: &str = "unlock to lock";

const RESOURCE: &str = "bench:handed-over";
const LONE: &str = "bench:lone";
/// There is a round for each such part of the window, and it takes what it takes.
const ROUND: Duration = Duration::from_millis(20);

/// All of them in microseconds.
pub struct Numbers {
    pub p50: f64,
    pub p99: f64,
    /// A lock on a free key, after a pause like the one before an unlock.
    pub lone_p50: f64,
    /// A lock on a free key, just after another one.
    pub busy_lone_p50: f64,
}

impl Numbers {
    pub fn p50_to_lone(&self) -> f64 {
        self.p50 / self.lone_p50
    }
}

pub async fn run(plan: &Plan) -> Result<Samples<&'static str, Numbers>> {
    let effort = plan.contention_effort();
    let rounds = (effort.window.as_micros() / ROUND.as_micros()).max(1);
    let measure = async |name, _, _| with_waiting!(name, measure(name, rounds));
    Samples::take("contention", effort, &[KEY], plan.waiting(), measure).await
}

async fn measure<C: Waiting>(name: Name, rounds: u128) -> Result<Numbers> {
    let servers = Servers::start(SERVERS)?;
    let contender = C::connect(&servers.addresses()).await?;
    let mut other = Process::start(name, servers.addresses(), Role::TakeOver).await?;
    let mut recorded = [Latencies::new(), Latencies::new(), Latencies::new()];
    for round in 0..=rounds {
        let latencies = [
            hand_over(&contender, &mut other).await?,
            lock_after_pause(&contender).await?,
            lock_alone(&contender).await?,
        ];
        // The first round loads scripts and takes memory.
        if round > 0 {
            for (recorded, latency) in recorded.iter_mut().zip(latencies) {
                recorded.record(latency, None);
            }
        }
    }
    other.end().await?;
    contender.close().await;
    let [handed_over, lone, busy_lone] = recorded;
    Ok(Numbers {
        p50: handed_over.micros(0.5),
        p99: handed_over.micros(0.99),
        lone_p50: lone.micros(0.5),
        busy_lone_p50: busy_lone.micros(0.5),
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
    let locked: Duration = other.hear().await?;
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
        Parent::tell(&locked)?;
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
