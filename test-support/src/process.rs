//! The process of a server.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::place::Directory;

/// The file that a server reads its settings from.
pub(crate) const CONFIGURATION: &str = "redis.conf";
const LOG: &str = "redis.log";

/// A running server, killed and waited for on drop.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    pub(crate) fn spawn(
        directory: &Directory,
        arguments: &[&str],
        environment: &[(&str, OsString)],
    ) -> io::Result<Self> {
        let log = File::create(directory.file(LOG)).expect("the directory is writable");
        let program = program();
        let child = Command::new(absolute(&program))
            .arg(CONFIGURATION)
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("an open file can be shared"))
            .stdout(log)
            .spawn();
        let child = child.map_err(|error| {
            io::Error::other(format!(
                "could not start the Redis or Valkey server `{}` ({error}): install one with \
                 `scripts/install-redis`, or name a program in REDIS_SERVER",
                program.display()
            ))
        })?;
        Ok(Self { child })
    }

    pub(crate) fn freeze(&mut self) {
        kill(self.pid(), Signal::SIGSTOP).expect("the process is our child");
        waitpid(self.pid(), Some(WaitPidFlag::WUNTRACED)).expect("the process is our child");
    }

    pub(crate) fn thaw(&mut self) {
        kill(self.pid(), Signal::SIGCONT).expect("the process is our child");
    }

    /// What the server said before it ended by itself, if it did.
    pub(crate) fn last_words(&mut self, directory: &Directory) -> Option<String> {
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
pub fn program() -> PathBuf {
    std::env::var_os("REDIS_SERVER").map_or_else(|| "redis-server".into(), PathBuf::from)
}

/// A relative path with a directory in it is meant from where the tests were started, not from the server's directory.
fn absolute(program: &Path) -> PathBuf {
    match program.components().count() {
        1 => program.to_owned(),
        _ => std::path::absolute(program).unwrap_or_else(|_| program.to_owned()),
    }
}
