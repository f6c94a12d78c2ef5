//! What this process has used of the machine. The servers are processes of their own and are not in it.

use std::time::Duration;

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::{TimeVal, TimeValLike},
};

use crate::{Result, alloc};

/// A reading of the counters that only ever grow.
#[derive(Clone, Copy)]
pub struct Usage {
    pub cpu: Duration,
    pub allocations: u64,
}

impl Usage {
    pub fn now() -> Result<Self> {
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        Ok(Self {
            cpu: duration(usage.user_time()) + duration(usage.system_time()),
            allocations: alloc::allocations(),
        })
    }

    pub fn since(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            allocations: self.allocations - earlier.allocations,
        }
    }
}

/// The resident memory of this process, in bytes.
pub fn resident_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|value| value.trim().strip_suffix(" kB"))
        .ok_or("this system does not tell the resident memory of a process")?;
    Ok(kibibytes.trim().parse::<u64>()? * 1024)
}

fn duration(time: TimeVal) -> Duration {
    Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or_default())
}
