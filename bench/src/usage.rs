//! What this process has used of the machine. The servers are processes of their own and are not in it.

use std::time::Duration;

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::{TimeVal, TimeValLike},
};
use serde::{Deserialize, Serialize};

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

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// The memory of this process in bytes, or by how much it has grown.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Memory {
    pub resident: u64,
    /// What was asked of the allocator and is still in use.
    pub live: i64,
}

impl Memory {
    pub fn now() -> Result<Self> {
        Ok(Self {
            resident: resident_bytes()?,
            live: alloc::live_bytes(),
        })
    }

    pub fn since(self, earlier: Self) -> Self {
        Self {
            resident: self.resident.saturating_sub(earlier.resident),
            live: self.live - earlier.live,
        }
    }

    pub fn resident_mib(&self) -> f64 {
        self.resident as f64 / MEBIBYTE
    }

    pub fn live_mib(&self) -> f64 {
        self.live as f64 / MEBIBYTE
    }
}

/// The resident memory of this process.
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
