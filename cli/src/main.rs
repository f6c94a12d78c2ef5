//! `multiredlock`, the command: for operators, and for programs in any language.
//!
//! Everything about locks is the library's; here is how one asks for it and how it is told.

#[cfg(not(unix))]
compile_error!("the command `multiredlock` needs Unix: it ends processes by signals");

mod commands;
mod connect;
mod duration;
mod exit;
mod facts;
mod fence;
mod live;
mod output;
mod queue;
mod settings;
mod signals;
mod writer;

use clap::{CommandFactory, FromArgMatches, Parser, error::ErrorKind};
use commands::Command;
use exit::Failure;
use nix::sys::signal::Signal;
use output::{Color, Output};
use settings::Connection;
use std::process::ExitCode;

/// Locks on a majority of independent Redis or Valkey servers.
///
/// Runs commands under a lock, takes and gives back locks for scripts, and watches and examines the servers.
#[derive(Debug, Parser)]
#[command(
    name = "multiredlock",
    version,
    after_long_help = long_help(),
    propagate_version = true,
    max_term_width = 100
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    connection: Connection,
    /// Prints JSON, one value a line; messages and errors too, on standard error
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,
    /// Whether to use colours
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        help_heading = "Output"
    )]
    color: Color,
}

impl Arguments {
    fn read() -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches()?;
        let mut arguments = Self::from_arg_matches(&matches).map_err(|error| error.format(&mut Self::command()))?;
        arguments.connection.note_arguments(&matches);
        Ok(arguments)
    }
}

fn long_help() -> String {
    format!("{}\n\n{}", settings::FILE_HELP, exit::HELP)
}

fn main() -> ExitCode {
    if let Some(code) = commands::run::watchdog::entered() {
        return code;
    }
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(error) => return refused(&error),
    };
    let output = Output::new(arguments.json, arguments.color);
    let code = match commands::execute(arguments.command, &arguments.connection, &output) {
        Ok(code) => code,
        Err(failure) => {
            output.failure(&failure);
            if failure.code == exit::signalled(Signal::SIGINT) {
                signals::die_of_interrupt();
            }
            failure.code
        }
    };
    output::flush();
    ExitCode::from(code)
}

/// Wrong arguments are one line; help and version are what clap makes of them.
fn refused(error: &clap::Error) -> ExitCode {
    let printed = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Some(0),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Some(exit::USAGE),
        _ => None,
    };
    if let Some(code) = printed {
        // A reader that went away wants no more of it.
        let _ = error.print();
        return ExitCode::from(code);
    }
    let text = error.to_string();
    let facts = text.split("\n\n").next().unwrap_or(&text);
    let line = facts.split_whitespace().collect::<Vec<_>>().join(" ");
    let message = line.strip_prefix("error: ").unwrap_or(&line);
    // Whether JSON was asked for is among what could not be read.
    let json = std::env::args_os().any(|argument| argument == "--json");
    let output = Output::new(json, Color::default());
    output.failure(&Failure::new(exit::USAGE, format!("{message} (--help tells more)")));
    output::flush();
    ExitCode::from(exit::USAGE)
}

/// The arguments as clap knows them, for completions and man pages.
fn description() -> clap::Command {
    Arguments::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_description_of_the_arguments_holds_together() {
        super::description().debug_assert();
    }
}
