//! Processes that all wait for the same resource, each of which holds it for a moment and ends.
//!
//! Each release wakes every waiting process, and each then asks every server, so a hand-over costs time in proportion to
//! the processes and all of them together to the square of it.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, future::join_all, stream};
use multiredlock::{Guard, LockError};
use test_support::RedisServer;

use super::{Checker, TTL, Table, keys_left, seconds};
use crate::{
    Result,
    args::{Child, Role},
    contenders::{Name, builder, connected},
    process::{Parent, Process},
    servers::Servers,
    soak::{SERVERS, client, now, record::Record},
};

const HOLD: Duration = Duration::from_millis(6);
const BOUND: Duration = Duration::from_secs(45);
/// As many as keep the cores busy while some of them wait to be connected.
const STARTING: usize = 8;

pub async fn run(count: usize, checker: &mut Checker) -> Result<Table> {
    let servers = Servers::start(SERVERS)?;
    let before = Instant::now();
    let starting =
        (0..count).map(|process| Process::start(Name::Multiredlock, servers.addresses(), Role::Herd { process }));
    let mut processes: Vec<_> = stream::iter(starting).buffered(STARTING).try_collect().await?;
    let started_within = before.elapsed();
    let start = Process::begin(&mut processes).await?;
    let results = join_all(processes.into_iter().map(hear)).await;
    let mut last = start;
    for (process, (records, failure)) in results.into_iter().enumerate() {
        for record in records {
            if let Record::Waited { told, .. } = record {
                last = last.max(Duration::from_nanos(told));
            }
            checker.note(process, record);
        }
        checker.violations_of(failure.map(|error| format!("process {process} of the herd: {error}")));
        checker.killed(process);
    }
    checker.check();
    if checker.timed_out > 0 {
        checker.violation(format!(
            "{} of {count} processes were not served within {BOUND:?}",
            checker.timed_out
        ));
    }
    // Of all servers from start to end, with what scripts call.
    let commands = |server: &RedisServer| server.statistic("total_commands_processed") as f64;
    let scripts = |server: &RedisServer| (server.calls("eval") + server.calls("evalsha")) as f64;
    let per_process = |all: f64| format!("{:.0}", all / count.max(1) as f64);
    let rows = vec![
        ("all started within", seconds(started_within, 1)),
        ("served", checker.served.to_string()),
        ("last served after", seconds(last.saturating_sub(start), 1)),
        ("commands per process", per_process(servers.iter().map(commands).sum())),
        ("of them scripts", per_process(servers.iter().map(scripts).sum())),
        ("keys left", keys_left(&servers, checker).await.to_string()),
    ];
    Ok((format!("{count} processes wait for one resource"), rows))
}

/// Reads what a process says until it is done, and why that is not all it should have said.
async fn hear(mut process: Process) -> (Vec<Record>, Option<String>) {
    let mut records = Vec::new();
    let all = async {
        loop {
            let line = process.line().await?;
            let record = Record::parse(&line).ok_or_else(|| format!("it said `{line}`"))?;
            let is_last = matches!(record, Record::Held { .. } | Record::Waited { served: false, .. });
            records.push(record);
            if is_last {
                return process.end().await;
            }
        }
    };
    let failure = all.await.err().map(|error| error.to_string());
    (records, failure)
}

/// What a process of the herd does.
pub async fn work(child: &Child, process: usize) -> Result<()> {
    let mut parent = Parent::connect()?;
    // Tokens show that the locks were granted one after the other.
    let redlock = connected(builder(&child.addresses).fenced()).await?;
    Parent::ready();
    parent.begin().await?;
    let asked = now();
    let guard = tokio::select! {
        guard = redlock.acquire("herd", TTL).timeout(BOUND) => guard,
        line = parent.line() => return Err(format!("not served, but was asked for {line:?}").into()),
    };
    client::waited(asked, BOUND, guard.as_ref().err());
    let released = match guard {
        Ok(guard) => hold(guard, process, asked).await,
        // The record says that it was not served.
        Err(LockError::TimedOut { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    };
    redlock.close().await;
    released
}

async fn hold(guard: Guard, process: usize, asked: u64) -> Result<()> {
    let resources = ["herd".to_owned()];
    let held = client::granted(process.to_string(), &resources, asked, guard.token(), || {
        guard.is_valid()
    });
    let held = held.ok_or("the guard was lost at once")?;
    held.watch(HOLD, || guard.is_valid()).await;
    drop(held);
    Ok(guard.release().await?)
}
