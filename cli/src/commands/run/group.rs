//! A command and its children: one process group, which can be ended as a whole.

use super::{
    descendants::{self, Process},
    program,
    terminal::{Place, Terminal},
};
use crate::exit::{self, Failure};
use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill, killpg},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, getpgrp, getpid, getppid},
};
use std::{ffi::OsString, io, os::unix::process::CommandExt, process::Command, time::Duration};
use tokio::{
    signal::unix::{Signal as Stream, SignalKind, signal},
    time::{Instant, sleep, timeout, timeout_at},
};

/// How often it is looked whether all are gone: of those that are not our children nobody tells.
const LOOK: Duration = Duration::from_millis(2);

/// How often it is looked for descendants that left the group, which takes longer.
const SEARCH: Duration = Duration::from_millis(20);

/// How long it may take until a process that was killed is gone.
const KILLED: Duration = Duration::from_secs(5);

/// How long a command waits that asked for the terminal which somebody else has, before it asks again.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// A command that was started in a process group of its own.
#[derive(Debug)]
pub(super) struct Group {
    id: Pid,
    /// Who is no descendant of the command, though ours.
    watchdog: Pid,
    terminal: Option<Terminal>,
    children: Stream,
    end: Option<End>,
}

/// How a command came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Exited(u8),
    Signalled(Signal),
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Ended(End),
    /// It was stopped, as by Ctrl-Z.
    Stopped(Signal),
}

impl End {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Signalled(signal) => exit::signalled(signal),
        }
    }

    /// What is said of a command that came to its end without us, and whose lock was gone by then.
    pub(super) fn without_lock(self, failure: &Failure) -> Failure {
        let how = match self {
            Self::Exited(code) => format!("ended by itself with exit code {code}"),
            // Perhaps of the watchdog.
            Self::Signalled(signal) => format!("was ended by {signal}"),
        };
        let why = &failure.message;
        let message = format!("the command {how}, but its lock was gone: {why}");
        Failure {
            command_exit_code: Some(self.code()),
            ..Failure::new(failure.code, message)
        }
    }
}

impl Group {
    /// Starts a command with our standard streams and these variables, in the foreground if we are there.
    pub(super) fn start(
        command: &[OsString],
        variables: &[(&str, Option<String>)],
        watchdog: Pid,
    ) -> Result<Self, Failure> {
        adopt_orphans();
        // Before the command starts, so that no end is missed.
        let children = signal(SignalKind::child()).map_err(|error| internal(&error))?;
        let terminal = Terminal::open();
        let place = terminal.as_ref().and_then(Terminal::place);
        let (program, arguments) = command.split_first().expect("clap asks for a command");
        let mut start = Command::new(program);
        start.args(arguments).process_group(0);
        for (name, value) in variables {
            match value {
                Some(value) => start.env(name, value),
                None => start.env_remove(name),
            };
        }
        prepare(&mut start, place.clone());
        let child = start.spawn().map_err(|error| {
            // The child may have gone to the foreground before it failed.
            if let (Some(terminal), Some(_)) = (&terminal, place) {
                terminal.take_back_from_nobody();
            }
            program::refused(program, &error)
        })?;
        Ok(Self {
            id: Pid::from_raw(i32::try_from(child.id()).expect("process ids are positive")),
            watchdog,
            terminal,
            children,
            end: None,
        })
    }

    pub(super) fn id(&self) -> Pid {
        self.id
    }

    /// Sends a signal to the command and its children. If the system lets us signal none of them, that is an error.
    pub(super) fn signal(&self, signal: Signal) -> nix::Result<()> {
        match killpg(self.id, signal) {
            // What is gone needs no signal any more.
            Err(Errno::ESRCH) => Ok(()),
            sent => sent,
        }
    }

    /// Waits until the command ends or is stopped. Dropping it loses nothing.
    pub(super) async fn changed(&mut self) -> Change {
        loop {
            if let Some(change) = self.reap() {
                return change;
            }
            self.children.recv().await;
        }
    }

    /// How the command ended, if it did.
    pub(super) fn ended(&mut self) -> Option<End> {
        self.reap();
        self.end
    }

    /// Ends the command and all its descendants: asks them to, and kills who is left by then.
    ///
    /// An error names those that go on.
    pub(super) async fn end(&mut self, kill_at: Instant) -> Result<(), String> {
        self.signal_all(Signal::SIGTERM);
        // Who is stopped does not hear it otherwise.
        self.signal_all(Signal::SIGCONT);
        let mut ended = Ok(());
        if timeout_at(kill_at, self.gone()).await.is_err() {
            // A process in an uninterruptible call of the system is not gone at once.
            let latest = Instant::now() + KILLED;
            loop {
                self.signal_all(Signal::SIGKILL);
                if timeout(SEARCH, self.gone()).await.is_ok() {
                    break;
                }
                let left = descendants::left(Some(self.id), self.strays());
                let is_over = Instant::now() >= latest;
                if let Some(left) = left.filter(|left| is_over || left.is_forbidden()) {
                    ended = Err(left.names());
                    break;
                }
                if is_over {
                    break;
                }
            }
        }
        if let Some(terminal) = &self.terminal {
            terminal.take_back(self.id);
            terminal.restore();
        }
        ended
    }

    /// Sends a signal also to those that left the group.
    fn signal_all(&self, signal: Signal) {
        // Processes that cannot be signalled are found and named later.
        let _ = self.signal(signal);
        for stray in self.strays() {
            // It may be gone by now.
            let _ = kill(stray.id, signal);
        }
    }

    /// The descendants that left the group.
    fn strays(&self) -> Vec<Process> {
        let mut strays = descendants::of(getpid(), self.watchdog);
        strays.retain(|process| process.group != self.id);
        strays
    }

    /// Waits until no process of the group and no other descendant is left.
    async fn gone(&mut self) {
        let mut searched = None::<Instant>;
        loop {
            self.reap();
            if killpg(self.id, None) == Err(Errno::ESRCH) && searched.is_none_or(|at| at.elapsed() >= SEARCH) {
                if self.strays().is_empty() {
                    return;
                }
                searched = Some(Instant::now());
            }
            sleep(LOOK).await;
        }
    }

    /// Does what a shell's user expects when a command stops: we stop as well, if it did for the sake of the terminal, and
    /// return when it may go on.
    ///
    /// Who was stopped on purpose is left alone, and held.
    pub(super) async fn was_stopped(&self, by: Signal) -> bool {
        let asks = matches!(by, Signal::SIGTTIN | Signal::SIGTTOU);
        match &self.terminal {
            Some(terminal) if asks && terminal.is_ours() => true,
            Some(terminal) if asks || by == Signal::SIGTSTP => {
                terminal.take_back(self.id);
                // With all who share our group, as the shell takes them for one job. Where nobody could let us go on again the
                // system does not stop us.
                let _ = killpg(getpgrp(), by);
                if asks && !terminal.is_ours() {
                    sleep(ASK_AGAIN).await;
                }
                true
            }
            _ => false,
        }
    }

    /// Lets a command that was stopped go on.
    pub(super) fn go_on(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.hand_over(self.id);
        }
        let _ = self.signal(Signal::SIGCONT);
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
                Ok(WaitStatus::Stopped(pid, signal)) if pid == self.id => Change::Stopped(signal),
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
        if terminal.is_ours() {
            return;
        }
        terminal.take_back(self.id);
        if let End::Signalled(signal) = end {
            terminal.restore();
            if terminal.is_ours() && matches!(signal, Signal::SIGINT | Signal::SIGQUIT) {
                let _ = killpg(getpgrp(), signal);
            }
        }
    }
}

/// What the child does before it becomes the command.
#[expect(unsafe_code, reason = "there is no safe way to run something between fork and exec")]
fn prepare(command: &mut Command, place: Option<Place>) {
    let parent = getpid();
    let prepare = move || -> io::Result<()> {
        die_with_the_parent()?;
        if getppid() != parent {
            // It died before it could be told.
            return Err(Errno::ESRCH.into());
        }
        if let Some(place) = &place {
            place.take();
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
