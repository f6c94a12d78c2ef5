//! A command that `run` has started, which notes in a folder what it does.

use crate::common::{Folder, code_of, multiredlock, servers, start};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    io::Read,
    process::Child,
    thread::sleep,
    time::{Duration, Instant},
};
use test_support::{RedisServer, block_until, block_until_some};

/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A script that notes itself and a child, and lasts.
pub(crate) const FAMILY: &str = "sleep 1000 & echo $! >> $D/ids; echo $$ >> $D/ids; wait";

/// `multiredlock run`, and the folder `$D` of its command.
pub(crate) struct Job {
    pub(crate) child: Child,
    pub(crate) folder: Folder,
}

impl Job {
    /// Runs a script of the shell under a lock on `r`.
    pub(crate) fn starts(servers: &[RedisServer], options: &str, script: &str) -> Self {
        Self::starts_by(servers, options, script, start)
    }

    /// The same, started in another way.
    pub(crate) fn starts_by(
        servers: &[RedisServer],
        options: &str,
        script: &str,
        start: impl FnOnce(&assert_cmd::Command) -> Child,
    ) -> Self {
        let folder = Folder::new();
        let mut command = multiredlock(servers, &["run", "r"]);
        command.args(options.split_whitespace());
        command.args(["--", "sh", "-c", script]).env("D", folder.path(""));
        let child = start(&command);
        Self { child, folder }
    }

    /// Three servers, and a command with a child that both last and have noted their ids.
    pub(crate) fn of_family(options: &str) -> (Vec<RedisServer>, Self, Vec<Pid>) {
        let servers = servers(3);
        let job = Self::starts(&servers, options, FAMILY);
        let ids = job.folder.ids("ids", 2);
        (servers, job, ids)
    }

    pub(crate) fn signal(&self, which: Signal) {
        signal(&self.child, which);
    }

    /// Waits until it has ended, as it has to, and returns what it wrote to standard error.
    #[track_caller]
    pub(crate) fn ends(&mut self, code: i32) -> String {
        ends(&mut self.child, code)
    }
}

impl Folder {
    /// The lines of a file, once there are so many.
    pub(crate) fn lines(&self, name: &str, count: usize) -> Vec<String> {
        let start = Instant::now();
        loop {
            let text = fs::read_to_string(self.path(name)).unwrap_or_default();
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            let lines: Vec<String> = whole.lines().map(Into::into).collect();
            if lines.len() >= count {
                return lines;
            }
            assert!(start.elapsed() < LONG, "only {lines:?} in {name}");
            sleep(Duration::from_millis(5));
        }
    }

    /// Ids of processes that a command has written.
    pub(crate) fn ids(&self, name: &str, count: usize) -> Vec<Pid> {
        let lines = self.lines(name, count);
        lines.iter().map(|id| Pid::from_raw(id.parse().unwrap())).collect()
    }
}

/// Waits until it has ended, as it has to, and returns what it wrote to standard error if that is a pipe.
#[track_caller]
pub(crate) fn ends(child: &mut Child, code: i32) -> String {
    let status = block_until_some("it ends", || child.try_wait().unwrap());
    let mut told = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut told).unwrap();
    }
    assert_eq!(code_of(status), code, "{told}");
    told
}

pub(crate) fn is_gone(id: Pid) -> bool {
    // Whoever is a zombie does nothing any more.
    match fs::read_to_string(format!("/proc/{id}/stat")) {
        Ok(stat) => stat
            .rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with('Z')),
        Err(_) => kill(id, None).is_err(),
    }
}

pub(crate) fn eventually_gone(ids: &[Pid]) {
    block_until(&format!("{ids:?} are gone"), || ids.iter().all(|id| is_gone(*id)));
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
}

pub(crate) fn forget_all(servers: &[RedisServer]) {
    for server in servers {
        server.command(&["FLUSHALL"]);
    }
}
