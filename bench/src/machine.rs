//! The machine that a run was made on, since its numbers hold for no other.

use std::{fmt, fs, process::Command, thread};

use crate::servers;

pub struct Machine {
    cores: usize,
    model: String,
    kernel: String,
    redis: String,
}

impl Machine {
    pub fn look() -> Self {
        Self {
            cores: thread::available_parallelism().map_or(0, usize::from),
            model: processor_model().unwrap_or_else(|| "processor of an unknown model".to_owned()),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| "unknown".to_owned(), |release| release.trim().to_owned()),
            redis: redis_version().unwrap_or_else(|| "unknown".to_owned()),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cores ({}), kernel {}, {}, redis {}; servers and client share the cores",
            self.cores,
            self.model,
            self.kernel,
            env!("BENCH_RUSTC"),
            self.redis,
        )
    }
}

fn processor_model() -> Option<String> {
    let information = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = information.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Reads `7.0.15` out of `Redis server v=7.0.15 sha=…`.
fn redis_version() -> Option<String> {
    let output = Command::new(servers::binary()).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    Some(version.to_owned())
}
