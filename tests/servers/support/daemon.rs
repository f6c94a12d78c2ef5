//! The process of a server.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::place::Directory;

/// The file that a server reads its settings from.
pub(super) const CONFIGURATION: &str = "redis.conf";
const LOG: &str = "redis.log";

/// A running server, killed and waited for on drop.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
}

impl Process {
    pub(super) fn spawn(directory: &Directory, arguments: &[&str]) -> Self {
        let log = File::create(directory.file(LOG)).expect("the directory is writable");
        let program = absolute(&program());
        let child = Command::new(&program)
            .arg(CONFIGURATION)
            .args(arguments)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("an open file can be shared"))
            .stdout(log)
            .spawn();
        match child {
            Ok(child) => Self { child },
            Err(error) => panic!(
                "these tests need a Redis or Valkey server and `{}` could not be started ({error}): \
                 run them with `scripts/test`, or name a program in REDIS_SERVER",
                program.display()
            ),
        }
    }

    pub(super) fn freeze(&mut self) {
        kill(self.pid(), Signal::SIGSTOP).expect("the process is our child");
        waitpid(self.pid(), Some(WaitPidFlag::WUNTRACED)).expect("the process is our child");
    }

    pub(super) fn thaw(&mut self) {
        kill(self.pid(), Signal::SIGCONT).expect("the process is our child");
    }

    /// What the server said before it ended by itself, if it did.
    pub(super) fn last_words(&mut self, directory: &Directory) -> Option<String> {
        self.child.try_wait().ok().flatten()?;
        Some(fs::read_to_string(directory.file(LOG)).unwrap_or_default())
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().expect("a process id fits"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL ends a stopped process as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program under which the server runs, from `REDIS_SERVER` or the search path.
fn program() -> PathBuf {
    std::env::var_os("REDIS_SERVER").map_or_else(|| "redis-server".into(), PathBuf::from)
}

/// A relative path with a directory in it is meant from where the tests were started, not from the server's directory.
fn absolute(program: &Path) -> PathBuf {
    match program.components().count() {
        1 => program.to_owned(),
        _ => std::path::absolute(program).unwrap_or_else(|_| program.to_owned()),
    }
}
