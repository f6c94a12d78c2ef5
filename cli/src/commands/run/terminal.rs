//! Whose turn it is at the terminal.

use nix::{
    sys::{
        signal::{SigSet, SigmaskHow, Signal, sigprocmask},
        termios::{SetArg, Termios, tcgetattr, tcsetattr},
    },
    unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp},
};
use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal},
    sync::Arc,
};

/// The terminal that we were started from.
#[derive(Debug)]
pub(super) struct Terminal {
    file: Arc<File>,
    us: Pid,
    /// How it was when we were started.
    modes: Termios,
}

/// A right to a place in the foreground, which a child takes for itself.
#[derive(Clone, Debug)]
pub(super) struct Place(Arc<File>);

impl Terminal {
    /// None if there is no terminal.
    pub(super) fn open() -> Option<Self> {
        let file = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
        Some(Self {
            modes: tcgetattr(&file).ok()?,
            file: Arc::new(file),
            us: getpgrp(),
        })
    }

    /// The place of a command that has the terminal to itself. In a pipe the others read from it too, and a command that does as
    /// well asks for it by being stopped.
    pub(super) fn place(&self) -> Option<Place> {
        let is_alone = io::stdin().is_terminal() && io::stdout().is_terminal();
        (is_alone && self.is_ours()).then(|| Place(Arc::clone(&self.file)))
    }

    /// Whether we are in the foreground.
    pub(super) fn is_ours(&self) -> bool {
        tcgetpgrp(&self.file) == Ok(self.us)
    }

    /// Lets a group read from the terminal and hear its Ctrl-C, if that is ours to give.
    pub(super) fn hand_over(&self, group: Pid) {
        if self.is_ours() {
            set_foreground(&self.file, group);
        }
    }

    /// Makes it ours again, unless somebody else has it by now.
    pub(super) fn take_back(&self, group: Pid) {
        if tcgetpgrp(&self.file) == Ok(group) {
            set_foreground(&self.file, self.us);
        }
    }

    /// Makes it ours again after a place was given to a child that never became the command.
    pub(super) fn take_back_from_nobody(&self) {
        set_foreground(&self.file, self.us);
    }

    /// Undoes what a command that was killed did to the terminal.
    pub(super) fn restore(&self) {
        if self.is_ours() {
            // A terminal that was closed has no modes. One that takes nothing more would never be drained.
            let _ = tcsetattr(&self.file, SetArg::TCSANOW, &self.modes);
        }
    }
}

impl Place {
    /// Goes to the foreground. Only calls that are safe between fork and exec.
    pub(super) fn take(&self) {
        set_foreground(&self.0, nix::unistd::getpid());
    }
}

/// Who is not in the foreground is stopped for this, unless it does not listen.
fn set_foreground(terminal: &File, group: Pid) {
    let mut stop = SigSet::empty();
    stop.add(Signal::SIGTTOU);
    let mut before = SigSet::empty();
    let blocked = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&stop), Some(&mut before));
    // A terminal that was closed is nobody's.
    let _ = tcsetpgrp(terminal, group);
    if blocked.is_ok() {
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    }
}
