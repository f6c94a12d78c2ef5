//! Whose turn it is at the terminal.

use nix::{
    sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask},
    unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp},
};
use std::{io, os::fd::BorrowedFd};

/// The terminal on standard input, in whose foreground we were started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    us: Pid,
}

impl Terminal {
    /// None if standard input is no terminal, or we are in its background.
    pub(crate) fn of_foreground() -> Option<Self> {
        let us = getpgrp();
        (tcgetpgrp(io::stdin()) == Ok(us)).then_some(Self { us })
    }

    /// Makes it ours again.
    pub(crate) fn take_back(self) {
        self.hand_over(self.us);
    }

    /// Lets a group read from the terminal and hear its Ctrl-C. Only calls that are safe between fork and exec.
    #[expect(clippy::unused_self, reason = "who has no terminal has none to hand over")]
    pub(crate) fn hand_over(self, group: Pid) {
        // Who is not in the foreground is stopped for this, unless it does not listen.
        let mut stop = SigSet::empty();
        stop.add(Signal::SIGTTOU);
        let mut before = SigSet::empty();
        let blocked = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&stop), Some(&mut before));
        // A terminal that was closed is nobody's.
        let _ = tcsetpgrp(stdin(), group);
        if blocked.is_ok() {
            let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
        }
    }
}

/// `io::stdin()` would make its buffer.
#[expect(unsafe_code, reason = "there is no other way to name it without allocating")]
fn stdin() -> BorrowedFd<'static> {
    // SAFETY: it is open for as long as the process, unless somebody closes it, whereupon the call fails.
    unsafe { BorrowedFd::borrow_raw(0) }
}
