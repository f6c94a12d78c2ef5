//! Lines on a terminal that change in place.

use crate::output;
use indicatif::{ProgressDrawTarget, TermLike};
use std::{
    fmt::Write,
    io, mem,
    sync::{Mutex, PoisonError},
};

/// Where there is no terminal to say how wide it is.
const WIDTH: u16 = 80;

/// Draws on standard error, among the messages, and without waiting for a terminal that takes nothing.
pub(crate) fn target() -> ProgressDrawTarget {
    ProgressDrawTarget::term_like(Box::<Drawing>::default())
}

/// What will be written.
#[derive(Debug, Default)]
struct Drawing(Mutex<String>);

impl Drawing {
    fn add(&self, text: impl std::fmt::Display) -> io::Result<()> {
        let mut drawn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write!(drawn, "{text}").map_err(io::Error::other)
    }

    fn go(&self, count: usize, direction: char) -> io::Result<()> {
        match count {
            0 => Ok(()),
            _ => self.add(format_args!("\x1b[{count}{direction}")),
        }
    }
}

impl TermLike for Drawing {
    fn width(&self) -> u16 {
        ratatui::crossterm::terminal::size().map_or(WIDTH, |(columns, _)| columns)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.go(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.go(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.go(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.go(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.add(format_args!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.add(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let mut drawn = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        // What a terminal shows of Ctrl-C is to stand on this line, which is cleared, and not to wrap to the next.
        drawn.push('\r');
        output::stderr().try_write(drawn);
        Ok(())
    }
}
