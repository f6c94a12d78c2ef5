//! Two phases at scale before the faults: many guards of one process, and many processes that wait for one resource. Each
//! phase has three servers of its own, with no proxy and no clock that is too fast.

pub mod guards;
pub mod herd;

use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use test_support::RedisServer;
use tokio::time::sleep;

use super::{Plan, check::Checker, server::locks};
use crate::Result;

/// Of every lock of both phases. A guard that keeps it is renewed about once a second.
const TTL: Duration = Duration::from_secs(3);

/// Shorter than a key outlives its last renewal, which is two thirds of the TTL: a key that is gone was removed.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// A title, and what was found.
pub type Table = (String, Vec<(&'static str, String)>);

/// Returns what both phases found, and their violations.
pub async fn run(plan: Plan) -> Result<([Table; 2], Checker)> {
    allow_files()?;
    let mut checker = Checker::default();
    eprintln!("soak: {} guards of one process", plan.guards);
    let guards = guards::run(plan.guards, &mut checker).await?;
    eprintln!("soak: {} processes wait for one resource", plan.processes);
    let herd = herd::run(plan.processes, &mut checker).await?;
    Ok(([guards, herd], checker))
}

pub fn seconds(length: Duration, digits: usize) -> String {
    format!("{:.digits$} s", length.as_secs_f64())
}

/// Allows as many open files as the system lets this process have: each process of the herd takes two pipes here and a
/// connection in each server, and a server lowers its `maxclients` to the files that it inherits.
fn allow_files() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}

/// Counts the keys that no unlock removes in time.
async fn keys_left(servers: &[RedisServer], checker: &mut Checker) -> usize {
    let started = Instant::now();
    loop {
        let left = servers.iter().map(|server| locks(server).len()).sum();
        if left > 0 && started.elapsed() < GONE_WITHIN {
            sleep(Duration::from_millis(20)).await;
            continue;
        }
        if left > 0 {
            checker.violation(format!("{left} keys of released locks are left"));
        }
        return left;
    }
}
