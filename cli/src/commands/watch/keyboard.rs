//! The keys that end the full-screen view, and the end of the terminal.
//!
//! The reader of crossterm never returns on a terminal that was closed, and can block where a key is no event.

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::read,
};
use std::{
    io,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::sync::oneshot::{self, Receiver};

/// How often the thread checks whether anybody still waits for a key. An escape that is followed by nothing for that long is the
/// Escape key.
const LOOK: Duration = Duration::from_millis(50);

/// A thread that waits for keys, since that blocks.
///
/// Dropping it stops the thread, so that the next program gets all keys that follow.
pub(super) struct Keyboard {
    /// Ends with the thread.
    over: Receiver<()>,
    is_over: Arc<AtomicBool>,
}

impl Keyboard {
    pub(super) fn read() -> Self {
        let (sender, over) = oneshot::channel();
        let is_over = Arc::new(AtomicBool::new(false));
        thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || {
                wait(&is_over);
                drop(sender);
            }
        });
        Self { over, is_over }
    }

    /// Waits for a key that ends the view, or for the end of the terminal.
    pub(super) async fn ends(&mut self) {
        let _ = (&mut self.over).await;
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let mut left = 2 * LOOK;
        // It may hang in a read whose key another process took.
        while self.over.try_recv() == Err(oneshot::error::TryRecvError::Empty) && !left.is_zero() {
            let tick = Duration::from_millis(1);
            thread::sleep(tick);
            left = left.saturating_sub(tick);
        }
    }
}

fn wait(is_over: &AtomicBool) {
    let stdin = io::stdin();
    let mut keys = Keys::Plain;
    let timeout = PollTimeout::try_from(LOOK).expect("it is short");
    while !is_over.load(Ordering::Relaxed) {
        let mut ready = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, timeout) {
            Ok(0) if keys == Keys::Escape => return,
            Ok(0) | Err(Errno::EINTR | Errno::EAGAIN) => continue,
            Ok(_) => {}
            Err(_) => return,
        }
        let mut bytes = [0; 64];
        match read(stdin.as_fd(), &mut bytes) {
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            // The terminal was closed.
            Ok(0) | Err(_) => return,
            Ok(length) => {
                if bytes[..length].iter().any(|byte| keys.ends(*byte)) {
                    return;
                }
            }
        }
    }
}

/// What was typed last: in raw mode keys are bytes, or sequences of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keys {
    Plain,
    /// The key, or the beginning of a sequence.
    Escape,
    /// Within a sequence such as that of a cursor key.
    Sequence,
    /// Before the last byte of a sequence.
    Last,
}

impl Keys {
    /// Takes the next byte, and returns whether it ends the view.
    fn ends(&mut self, byte: u8) -> bool {
        const CTRL_C: u8 = 3;
        const ESCAPE: u8 = 27;
        *self = match (*self, byte) {
            (_, CTRL_C) | (Self::Plain, b'q') | (Self::Escape, ESCAPE) => return true,
            (_, ESCAPE) => Self::Escape,
            (Self::Escape, b'[') => Self::Sequence,
            (Self::Escape, b'O') => Self::Last,
            (Self::Sequence, byte) if !(b'@'..=b'~').contains(&byte) => Self::Sequence,
            _ => Self::Plain,
        };
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_no_keys_that_end_the_view() {
        let ends = |typed: &str| {
            let mut keys = Keys::Plain;
            (typed.bytes().any(|byte| keys.ends(byte)), keys)
        };
        for keys in "x \x1b[A \x1bOq \x1b[24;5~ \x1b[1;5q \x1bq Q\u{e9}".split(' ') {
            assert_eq!(ends(keys), (false, Keys::Plain), "{keys:?}");
        }
        assert_eq!(ends("\x1b"), (false, Keys::Escape));
        for keys in "q xq \x03 \x1b[\x03 \x1b\x1b \x1b[Aq".split(' ') {
            assert!(ends(keys).0, "{keys:?}");
        }
    }
}
