//! What held locks take of the client's memory.
//!
//! Each contender holds its locks in a process of its own, since memory that an earlier measurement has freed but not
//! given back would hide what a later one takes.

use std::{env, net::SocketAddr, process::Stdio, sync::Arc, time::Duration};

use tokio::{process::Command, task::JoinSet};

use crate::{
    Result, alloc,
    args::{Child, Plan, Role},
    contenders::{Contender, Name, with_contender},
    servers::Servers,
    usage,
};

pub const LOCKS: usize = 100_000;
const SERVERS: usize = 3;
const CALLERS: usize = 64;
/// Longer than any measurement, so that no lock is over before it is counted.
const TTL: Duration = Duration::from_secs(3600);

pub struct Sample {
    pub contender: Name,
    pub resident_bytes: f64,
    pub live_bytes: f64,
}

pub async fn run(plan: &Plan) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for repeat in 0..plan.repeats {
        for contender in plan.peer_turns(repeat) {
            eprintln!("memory {}/{}: {contender}", repeat + 1, plan.repeats);
            samples.push(measure(contender).await?);
        }
    }
    Ok(samples)
}

/// What the child process does: holds the locks and tells what they took, as the parent reads it.
pub async fn hold(child: &Child, locks: usize) -> Result<String> {
    with_contender!(child.contender, hold_with(&child.addresses, locks))
}

async fn measure(contender: Name) -> Result<Sample> {
    let servers = Servers::start(SERVERS)?;
    let child = Child {
        contender,
        addresses: servers.addresses(),
        role: Role::Hold { locks: LOCKS },
    };
    let child = Command::new(env::current_exe()?)
        .args(child.arguments())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await?;
    let text = String::from_utf8(child.stdout)?;
    let (resident, live) = text
        .trim()
        .split_once(' ')
        .ok_or_else(|| format!("{contender} could not hold {LOCKS} locks"))?;
    Ok(Sample {
        contender,
        resident_bytes: resident.parse()?,
        live_bytes: live.parse()?,
    })
}

async fn hold_with<C: Contender>(addresses: &[SocketAddr], locks: usize) -> Result<String> {
    let contender = Arc::new(C::connect(addresses).await?);
    // What a busy client takes without holding anything is not the price of a lock.
    for held in lock_many(&contender, "warm", locks / 20).await? {
        contender.unlock(held).await?;
    }
    let (resident, live) = (usage::resident_bytes()?, alloc::live_bytes());
    let locks = lock_many(&contender, "held", locks).await?;
    let taken = (
        usage::resident_bytes()?.saturating_sub(resident),
        alloc::live_bytes() - live,
    );
    drop(locks);
    Ok(format!("{} {}", taken.0, taken.1))
}

async fn lock_many<C: Contender>(contender: &Arc<C>, name: &'static str, count: usize) -> Result<Vec<C::Held>> {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let contender = Arc::clone(contender);
        callers.spawn(async move {
            let mut held = Vec::new();
            for lock in (caller..count).step_by(CALLERS) {
                let resource = format!("bench:{name}:{lock}");
                held.push(contender.lock(&resource, TTL).await?);
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(held)
        });
    }
    let mut locks = Vec::with_capacity(count);
    while let Some(held) = callers.join_next().await {
        locks.extend(held??);
    }
    Ok(locks)
}
