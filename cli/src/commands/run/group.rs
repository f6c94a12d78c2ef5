//! A command and its children: one process group, which can be ended as a whole.

use super::{program, terminal::Terminal};
use crate::exit::{self, Failure};
use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, killpg},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, getppid},
};
use std::{ffi::OsString, io, os::unix::process::CommandExt, process::Command, time::Duration};
use tokio::{
    signal::unix::{Signal as Stream, SignalKind, signal},
    time::{Instant, sleep, timeout, timeout_at},
};

/// How often it is looked whether a whole group is gone: of those that are not our children nobody tells.
const LOOK: Duration = Duration::from_millis(2);

/// A command that was started in a process group of its own.
#[derive(Debug)]
pub(crate) struct Group {
    id: Pid,
    terminal: Option<Terminal>,
    children: Stream,
    end: Option<End>,
}

/// How a command came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Exited(u8),
    Signalled(Signal),
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Ended(End),
    /// It was stopped, as by Ctrl-Z.
    Stopped,
}

impl End {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Signalled(signal) => exit::signalled(signal),
        }
    }
}

impl Group {
    /// Starts a command with our standard streams and these variables, in the foreground if we are there.
    pub(crate) fn start(command: &[OsString], variables: &[(&str, Option<String>)]) -> Result<Self, Failure> {
        adopt_orphans();
        // Before the command starts, so that no end is missed.
        let children = signal(SignalKind::child()).map_err(|error| internal(&error))?;
        let terminal = Terminal::of_foreground();
        let (program, arguments) = command.split_first().expect("clap asks for a command");
        let mut start = Command::new(program);
        start.args(arguments).process_group(0);
        for (name, value) in variables {
            match value {
                Some(value) => start.env(name, value),
                None => start.env_remove(name),
            };
        }
        prepare(&mut start, terminal);
        let child = start.spawn().map_err(|error| {
            // The child may have gone to the foreground before it failed.
            if let Some(terminal) = terminal {
                terminal.take_back();
            }
            program::refused(program, &error)
        })?;
        Ok(Self {
            id: Pid::from_raw(i32::try_from(child.id()).expect("process ids are positive")),
            terminal,
            children,
            end: None,
        })
    }

    pub(crate) fn id(&self) -> Pid {
        self.id
    }

    /// Sends a signal to the command and its children.
    pub(crate) fn signal(&self, signal: Signal) {
        // What is gone needs no signal any more.
        let _ = killpg(self.id, signal);
    }

    /// Waits until the command ends or is stopped. Dropping it loses nothing.
    pub(crate) async fn changed(&mut self) -> Change {
        loop {
            if let Some(change) = self.reap() {
                return change;
            }
            self.children.recv().await;
        }
    }

    /// Ends the command and its children: asks them to, and kills who is left by then.
    pub(crate) async fn end(&mut self, kill_at: Instant) {
        self.signal(Signal::SIGTERM);
        // Who is stopped does not hear it otherwise.
        self.signal(Signal::SIGCONT);
        if timeout_at(kill_at, self.gone()).await.is_err() {
            self.signal(Signal::SIGKILL);
            // Only a process in an uninterruptible call of the system is not gone at once.
            let _ = timeout(Duration::from_secs(5), self.gone()).await;
        }
    }

    /// Waits until no process of the group is left.
    async fn gone(&mut self) {
        loop {
            self.reap();
            if killpg(self.id, None) == Err(Errno::ESRCH) {
                return;
            }
            sleep(LOOK).await;
        }
    }

    /// Gives the terminal back, and stops this program too, as a shell's user expects of Ctrl-Z. Returns when it goes on.
    pub(crate) fn stop_together(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.take_back();
            // Nobody would go on with us otherwise.
            let _ = nix::sys::signal::raise(Signal::SIGSTOP);
        }
    }

    /// Lets a command that was stopped go on.
    pub(crate) fn go_on(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.hand_over(self.id);
        }
        self.signal(Signal::SIGCONT);
    }

    /// Collects the ends of our children, and of the orphans among theirs.
    fn reap(&mut self) -> Option<Change> {
        if let Some(end) = self.end {
            while let Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) = waitpid(None, Some(WaitPidFlag::WNOHANG))
            {
            }
            return Some(Change::Ended(end));
        }
        loop {
            let status = waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED));
            let change = match status {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.id => {
                    Change::Ended(End::Exited(u8::try_from(code & 0xff).expect("a code is a byte")))
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.id => Change::Ended(End::Signalled(signal)),
                Ok(WaitStatus::Stopped(pid, _)) if pid == self.id => Change::Stopped,
                Ok(WaitStatus::StillAlive) | Err(_) => return None,
                Ok(_) => continue,
            };
            if let Change::Ended(end) = change {
                self.end = Some(end);
                self.back_to_the_foreground(end);
            }
            return Some(change);
        }
    }

    /// Takes the terminal back. Ctrl-C was meant for all in the foreground, where the command was alone.
    fn back_to_the_foreground(&self, end: End) {
        let Some(terminal) = &self.terminal else { return };
        terminal.take_back();
        if let End::Signalled(signal @ (Signal::SIGINT | Signal::SIGQUIT)) = end {
            let _ = killpg(nix::unistd::getpgrp(), signal);
        }
    }
}

/// What the child does before it becomes the command.
#[expect(unsafe_code, reason = "there is no safe way to run something between fork and exec")]
fn prepare(command: &mut Command, terminal: Option<Terminal>) {
    let parent = nix::unistd::getpid();
    let prepare = move || -> io::Result<()> {
        die_with_the_parent()?;
        if getppid() != parent {
            // It died before it could be told.
            return Err(Errno::ESRCH.into());
        }
        if let Some(terminal) = terminal {
            terminal.hand_over(nix::unistd::getpid());
        }
        Ok(())
    };
    // SAFETY: between fork and exec only calls are allowed that are safe in a signal handler. All that is called here is
    // system calls (prctl, getpid, getppid, sigprocmask, tcsetpgrp); nothing allocates or takes a lock.
    unsafe {
        command.pre_exec(prepare);
    }
}

#[cfg(target_os = "linux")]
fn die_with_the_parent() -> nix::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
fn die_with_the_parent() -> nix::Result<()> {
    Ok(())
}

/// Makes us the parent of those whose own parent ended, so that they are reaped and seen to be gone.
fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    {
        // Without it they are init's, which reaps them too.
        let _ = nix::sys::prctl::set_child_subreaper(true);
    }
}

fn internal(error: &io::Error) -> Failure {
    Failure::new(exit::SOFTWARE, format!("no signals: {error}"))
}
