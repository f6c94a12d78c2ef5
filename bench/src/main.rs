//! Measures `multiredlock` beside its peers: all of them in one run, on the same servers, taking turns.
//!
//! `cargo run --release -p bench -- --help` lists what can be asked for; `README.md` says what is measured and why.

#[expect(unsafe_code, reason = "a global allocator cannot be written without it")]
mod alloc;
mod args;
mod clock;
mod commands;
mod contenders;
mod machine;
mod measure;
mod process;
mod report;
mod servers;
mod shard;
mod soak;
mod usage;

use std::{error::Error, process::ExitCode};

use args::{Arguments, Child, Command, Measurement, Plan, Role};
use clap::Parser as _;
use measure::{contention, frozen, memory, throughput};
use report::Report;
use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};

/// The benchmark has nobody to tell one failure from another: it stops and prints the cause.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = tokio::select! {
        outcome = run() => outcome,
        // Leaving through here drops the run, and with it every server it started.
        outcome = interrupted() => outcome,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn interrupted() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        outcome = ctrl_c() => outcome?,
        _ = terminate.recv() => {}
    }
    Err("interrupted".into())
}

async fn run() -> Result<()> {
    let Arguments { command, plan } = Arguments::parse();
    match command {
        None => {
            let folder = plan.pictures()?;
            let report = measure(&plan).await?;
            // What took so long is not lost because the pictures cannot be written, nor because nobody reads to the end.
            let drawn = folder.map_or(Ok(()), |folder| report.draw(&folder));
            print!("{report}");
            drawn
        }
        Some(Command::Soak(plan)) => {
            let is_clean = soak::run(plan).await?;
            is_clean.then_some(()).ok_or_else(|| "something did not hold".into())
        }
        Some(Command::Child { child }) => work(&child).await,
    }
}

/// What this process does if it was started by a measurement.
async fn work(child: &Child) -> Result<()> {
    match child.role {
        Role::Hold { locks } => memory::hold(child, locks).await,
        Role::Soak { generation, seed } => soak::client::work(child, generation, seed).await,
        Role::Guards { guards } => soak::scale::guards::work(child, guards).await,
        Role::Herd { process } => soak::scale::herd::work(child, process).await,
        Role::Contend { .. } | Role::TakeOver | Role::Wait { .. } => contention::work(child).await,
    }
}

async fn measure(plan: &Plan) -> Result<Report<'_>> {
    if cfg!(debug_assertions) {
        eprintln!("bench: this is a debug build, so its numbers mean nothing: use --release");
    }
    let mut report = Report::new(plan);
    if plan.measures(Measurement::Throughput) {
        report.throughput = throughput::run(plan).await?;
    }
    if plan.measures(Measurement::Frozen) {
        report.frozen = frozen::run(plan).await?;
    }
    if plan.measures(Measurement::Memory) {
        report.memory = memory::run(plan).await?;
    }
    if plan.measures(Measurement::Contention) {
        report.contention = contention::run(plan).await?;
    }
    Ok(report)
}

fn plural(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}
