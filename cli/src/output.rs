//! What is printed: results on standard output, messages on standard error, each for people or as JSON.

use crate::{
    exit::{self, Failure},
    writer::Writer,
};
use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use serde::Serialize;
use std::{
    fs::{self, File},
    io::{self, IsTerminal, Write},
    os::{fd::AsFd, unix::fs::MetadataExt},
    sync::OnceLock,
};

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

    /// Prints a result: the line of JSON, or the text. It waits for the reader, as long as no signal ends this program.
    ///
    /// A reader that left has seen enough.
    pub(crate) fn result(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        delivery(print(self.text(value, text).as_bytes())).map(drop)
    }

    /// Prints a result while something else may happen. A dropped future may have printed it.
    pub(crate) async fn deliver(
        &self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<Delivery, Failure> {
        static STDOUT: OnceLock<Writer> = OnceLock::new();
        let stdout = STDOUT.get_or_init(|| Writer::start(print));
        delivery(stdout.write(self.text(value, text).into_bytes()).await)
    }

    fn text(self, value: &impl Serialize, text: impl FnOnce() -> String) -> String {
        if self.json { json(value) + "\n" } else { text() }
    }

    /// Writes a message to standard error. It never waits for a reader. If too much is unread, the message is dropped.
    pub(crate) fn message(&self, value: &impl Serialize, text: impl FnOnce() -> String) {
        let line = if self.json {
            json(value)
        } else {
            format!("multiredlock: {}", one_line(&text()))
        };
        stderr().try_write(line + "\n");
    }

    pub(crate) fn failure(&self, failure: &Failure) {
        self.message(failure, || failure.message.clone());
    }

    /// Whether somebody looks on who can be shown what changes in place.
    pub(crate) fn is_live(&self) -> bool {
        !self.json && io::stderr().is_terminal()
    }
}

/// What became of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Done,
    /// Nobody can read it any more.
    ReaderLeft,
}

fn delivery(printed: io::Result<()>) -> Result<Delivery, Failure> {
    match printed {
        Ok(()) => Ok(Delivery::Done),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Delivery::ReaderLeft),
        Err(error) => Err(Failure::new(exit::IO, format!("standard output: {error}"))),
    }
}

/// Writes to standard output. The standard library would not say that it cannot be written to at all.
fn print(text: &[u8]) -> io::Result<()> {
    let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    AutoStream::auto(stdout).write_all(text)
}

/// Whether standard output was closed when this program was started.
///
/// The standard library opens `/dev/null` in its place, for reading and writing. Shells open it for writing alone where that is meant.
pub(crate) fn is_stdout_closed() -> bool {
    let opened = || {
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let is_null = stdout.metadata()?.rdev() == fs::metadata("/dev/null")?.rdev();
        let flags = OFlag::from_bits_truncate(fcntl(&stdout, FcntlArg::F_GETFL)?);
        Ok::<_, io::Error>(is_null && flags & OFlag::O_ACCMODE == OFlag::O_RDWR)
    };
    opened().is_ok_and(|is_closed| is_closed)
}

static STDERR: OnceLock<Writer> = OnceLock::new();

/// The way to standard error, in order and without waiting for a reader.
pub(crate) fn stderr() -> &'static Writer {
    // If standard error is closed, there is nowhere to report it.
    STDERR.get_or_init(|| Writer::start(|text| io::stderr().lock().write_all(text)))
}

/// Waits for a moment until all messages are written: before the program ends, or lets another one write.
pub(crate) fn flush() {
    if let Some(stderr) = STDERR.get() {
        stderr.flush();
    }
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
