//! What is printed: results on standard output, messages on standard error, each for people or as JSON.

use crate::exit::Failure;
use anstream::ColorChoice;
use clap::ValueEnum;
use nix::sys::signal::SigSet;
use serde::Serialize;
use std::{
    io::{self, IsTerminal, Write},
    sync::mpsc::{Receiver, SyncSender, channel, sync_channel},
    thread,
    time::Duration,
};

/// How many messages wait to be read before the next is dropped.
const MOST_LINES: usize = 64;

/// How long the last of them may take.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    Always,
    Never,
}

/// How results and messages are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    pub(crate) fn new(json: bool, color: Color) -> Self {
        match color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        }
        .write_global();
        Self { json }
    }

    /// Prints a result: the line of JSON, or the text.
    pub(crate) fn result(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        let text = if self.json { json(value) + "\n" } else { text() };
        let mut stdout = anstream::stdout().lock();
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
            .map_err(|error| Failure::new(crate::exit::IO, format!("standard output: {error}")))
    }

    /// Tells something beside the result.
    pub(crate) fn message(&self, value: &impl Serialize, text: impl FnOnce() -> String) {
        print(&self.line(value, text));
    }

    fn line(self, value: &impl Serialize, text: impl FnOnce() -> String) -> String {
        if self.json {
            json(value)
        } else {
            format!("multiredlock: {}", one_line(&text()))
        }
    }

    /// Tells things from now on without ever waiting for whoever reads them.
    pub(crate) fn teller(self) -> Teller {
        let (lines, queue) = sync_channel::<String>(MOST_LINES);
        let (told, written) = channel();
        thread::spawn(move || {
            // We may be in the background of a terminal that stops whoever writes from there. And signals are for the main thread.
            let _ = SigSet::all().thread_block();
            for line in queue {
                print(&line);
            }
            drop(told);
        });
        Teller {
            output: self,
            lines: Some(lines),
            written,
        }
    }

    pub(crate) fn failure(&self, failure: &Failure) {
        self.message(failure, || failure.message.clone());
    }

    /// Whether somebody looks on who can be shown what changes in place.
    pub(crate) fn is_live(&self) -> bool {
        !self.json && io::stderr().is_terminal()
    }
}

/// A thread that writes messages, so that somebody who does not read them holds up nothing else.
///
/// Drop waits until all are written, for a moment at the most.
#[derive(Debug)]
pub(crate) struct Teller {
    pub(crate) output: Output,
    lines: Option<SyncSender<String>>,
    written: Receiver<()>,
}

impl Teller {
    /// Tells something, unless too much waits to be read.
    pub(crate) fn message(&self, value: &impl Serialize, text: impl FnOnce() -> String) {
        if let Some(lines) = &self.lines {
            let _ = lines.try_send(self.output.line(value, text));
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.lines = None;
        let _ = self.written.recv_timeout(LAST_WORDS);
    }
}

fn print(line: &str) {
    // Nobody is left to be told that standard error is closed.
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}

/// What is in a name must neither begin another line nor move the cursor.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("what is printed has text for keys, and no writer that fails")
}

/// Names of styles, so that all commands use the same.
pub(crate) mod style {
    use anstyle::{AnsiColor, Style};

    pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
    pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
    pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
    pub(crate) const FAINT: Style = Style::new().dimmed();
    pub(crate) const STRONG: Style = Style::new().bold();

    /// Puts a style around a text, which is taken out again where colours are not wanted.
    pub(crate) fn paint(style: Style, text: impl std::fmt::Display) -> String {
        format!("{style}{text}{style:#}")
    }
}
