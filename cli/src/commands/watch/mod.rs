//! `multiredlock watch`.

mod keyboard;
mod lines;
mod screen;
mod transitions;
mod view;

use crate::{exit::Failure, output::Output, settings::Settings};
use clap::Args;
use std::io::{self, IsTerminal};

/// Shows the servers and whether a majority can be reached, live
///
/// On a terminal a full-screen view: state, reason, round trips, transitions; q or Ctrl-C ends it. Otherwise, or with --json, a line
/// for each event, first those that lead to the present state. If no majority is there once each server was tried, the state is
/// `disconnected`.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  multiredlock watch
  multiredlock watch --json | jq 'select(.event == \"disconnected\")'")]
pub(crate) struct Watch {
    /// Prints a line for each event, also on a terminal
    #[arg(long)]
    lines: bool,
}

impl Watch {
    pub(crate) async fn execute(self, settings: &Settings, output: &Output) -> Result<u8, Failure> {
        let redlock = settings.redlock()?;
        let has_screen = io::stdout().is_terminal() && io::stdin().is_terminal();
        let outcome = if output.json || self.lines || !has_screen {
            lines::print(&redlock, output).await
        } else {
            screen::show(&redlock).await
        };
        redlock.close().await;
        outcome
    }
}
