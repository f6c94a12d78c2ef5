//! What is printed: results on standard output, messages on standard error, each for people or as JSON.

use crate::exit::Failure;
use anstream::ColorChoice;
use clap::ValueEnum;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

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
        let line = if self.json {
            json(value)
        } else {
            format!("multiredlock: {}", text())
        };
        // Nobody is left to be told that standard error is closed.
        let _ = writeln!(anstream::stderr().lock(), "{line}");
    }

    pub(crate) fn failure(&self, failure: &Failure) {
        self.message(failure, || failure.message.clone());
    }

    /// Whether somebody looks on who can be shown what changes in place.
    pub(crate) fn is_live(&self) -> bool {
        !self.json && io::stderr().is_terminal()
    }
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
