//! Many seeds, on all cores, or the history of one. `scripts/simulate` sets what is to be run by variables of the environment.

use super::{Broken, Run, run};
use std::{
    env, iter,
    ops::Range,
    panic::catch_unwind,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Instant,
};

/// How many seeds run with the other tests.
const FEW: u64 = 200;

/// How many seeds that failed are told of.
const TOLD: usize = 10;

#[test]
fn nothing_that_must_not_be_happens_in_any_run() {
    if let Some(seed) = number("SIMULATE_SEED") {
        let run = run(seed, Broken::default());
        print!("{}", run.history);
        println!("{:#?}", run.plan);
        assert!(run.violations.is_empty(), "{}", told(seed, &run));
        return;
    }
    let first = number("SIMULATE_FROM").unwrap_or(0);
    let seeds = number("SIMULATE_SEEDS").unwrap_or(FEW);
    let started = Instant::now();
    let failures = failures(first..first + seeds);
    let took = started.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "it is rounded anyway")]
    let rate = seeds as f64 / took;
    println!(
        "{seeds} seeds in {took:.1} s, {rate:.0} a second: {} failed",
        failures.len()
    );
    for failure in failures.iter().take(TOLD) {
        println!("{failure}");
    }
    assert!(failures.is_empty(), "{} seeds failed", failures.len());
}

#[test]
fn a_seed_is_repeated_exactly() {
    for seed in 0..20 {
        let [first, second] = [0, 1].map(|_| run(seed, Broken::default()).history.to_string());
        assert!(first == second, "seed {seed}");
        assert!(first.lines().count() > 20, "seed {seed} does next to nothing");
    }
}

fn failures(seeds: Range<u64>) -> Vec<String> {
    on_all_cores(seeds, |seed| {
        let Ok(run) = catch_unwind(|| run(seed, Broken::default())) else {
            super::abandon();
            return Some(format!("seed {seed}: a panic"));
        };
        (!run.violations.is_empty()).then(|| told(seed, &run))
    })
}

/// Does something for each number, and returns what came of it in order.
pub(super) fn on_all_cores<T: Send>(numbers: Range<u64>, act: impl Fn(u64) -> Option<T> + Sync) -> Vec<T> {
    let next = AtomicU64::new(numbers.start);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let all = iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let ours = all.take_while(|number| *number < numbers.end);
        ours.filter_map(|number| Some((number, act(number)?)))
            .collect::<Vec<_>>()
    };
    let mut done: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

/// What is wrong with a run, and what happened right before.
fn told(seed: u64, run: &Run) -> String {
    use std::fmt::Write;

    let mut text = format!("seed {seed}:");
    for violation in run.violations.iter().take(3) {
        let _ = write!(text, "\n  {}: {}", violation.rule, violation.text);
    }
    if let Some(violation) = run.violations.first() {
        let from = violation.entry.saturating_sub(12);
        for entry in &run.history.entries[from..=violation.entry] {
            let _ = write!(text, "\n    {entry}");
        }
    }
    text
}

pub(super) fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}
