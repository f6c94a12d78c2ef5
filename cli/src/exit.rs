//! How a run of `multiredlock` ends: the exit codes, and the line that says why.

use multiredlock::{
    ConfigError, LockError, LockLost, ReleaseError, RenewError,
    error::{ErrorKind, OwnerError},
};
use nix::sys::signal::Signal;
use serde::Serialize;
use std::{error::Error, iter::successors};

/// The arguments were wrong, or a setting that does not fit them (`EX_USAGE`).
pub(crate) const USAGE: u8 = 64;
/// No majority of the servers can be reached, or they refuse (`EX_UNAVAILABLE`).
pub(crate) const UNAVAILABLE: u8 = 69;
/// Something that must not happen (`EX_SOFTWARE`).
pub(crate) const SOFTWARE: u8 = 70;
/// The system lacks what a command needs (`EX_OSERR`).
pub(crate) const OS: u8 = 71;
/// A file could not be written, or standard input not read (`EX_IOERR`).
pub(crate) const IO: u8 = 74;
/// Somebody else holds the resource (`EX_TEMPFAIL`: try again).
pub(crate) const HELD: u8 = 75;
/// A process of the command belongs to another user, and could not be ended with its lock (`EX_NOPERM`).
pub(crate) const NOT_PERMITTED: u8 = 77;
/// The servers are not, or wrongly, configured (`EX_CONFIG`).
pub(crate) const CONFIG: u8 = 78;
/// The lock was lost. The codes of sysexits end at 78.
pub(crate) const LOST: u8 = 79;
/// The command cannot be executed, as shells say it.
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// There is no such command, as shells say it.
pub(crate) const NOT_FOUND: u8 = 127;
const SIGNALLED: u8 = 128;

/// A command that was ended by signal n ends with 128 + n, as shells say it.
pub(crate) fn signalled(signal: Signal) -> u8 {
    SIGNALLED + u8::try_from(signal as i32).expect("there are not that many signals")
}

/// What the help says of all this.
pub(crate) const HELP: &str = "\
Exit codes:
  0    it is done
  64   wrong arguments, or a ttl that the settings do not allow
  69   no majority of the servers can be reached, or they refuse
  70   a defect of this program
  71   the system lacks what is needed, as `run` needs /proc on Linux
  74   a file could not be read or written
  75   somebody else holds the resource (--conflict-exit-code)
  77   the lock was lost, and a process of the command goes on: this user may not end it
  78   the servers are not configured, or wrongly
  79   the lock was lost
  126  the command cannot be executed
  127  there is no such command
  128+n  a signal n ended the command, or this program while it waited
Otherwise `run` ends with the exit code of its command, and `doctor` with 0, 1 or 2.";

/// Why it did not end well, as one line on standard error and one exit code.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    /// What programs call it.
    pub(crate) error: &'static str,
    pub(crate) message: String,
    #[serde(rename = "exit_code")]
    pub(crate) code: u8,
    /// That of a command which came to its end before this program ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) command_exit_code: Option<u8>,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        let error = match code {
            USAGE => "usage",
            UNAVAILABLE => "no_quorum",
            OS => "os",
            IO => "io",
            HELD => "held",
            NOT_PERMITTED => "not_permitted",
            CONFIG => "config",
            LOST => "lost",
            NOT_EXECUTABLE => "not_executable",
            NOT_FOUND => "not_found",
            code if code > SIGNALLED => "interrupted",
            _ => "internal",
        };
        Self {
            error,
            message: message.into(),
            code,
            command_exit_code: None,
        }
    }

    /// Of an error and what caused it, in one line.
    fn of(code: u8, error: &dyn Error) -> Self {
        let causes = successors(Some(error), |&error| error.source());
        let words: Vec<String> = causes.map(ToString::to_string).collect();
        Self::new(code, words.join(": "))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::of(CONFIG, &error)
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        Self::of(code_of(&error), &error)
    }
}

/// Without a cause nobody refused it: the first attempt was still under way.
fn code_of(error: &LockError) -> u8 {
    match error {
        LockError::TimedOut { cause: Some(cause), .. } => code_of(cause),
        error => code_of_kind(error.kind()),
    }
}

fn code_of_kind(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Held => HELD,
        ErrorKind::Lost => LOST,
        ErrorKind::Refused
        | ErrorKind::NoQuorum
        | ErrorKind::TooSlow
        | ErrorKind::Expired
        | ErrorKind::TimedOut
        | ErrorKind::Unknown => UNAVAILABLE,
        ErrorKind::Invalid => USAGE,
        _ => SOFTWARE,
    }
}

impl From<RenewError> for Failure {
    fn from(error: RenewError) -> Self {
        Self::of(code_of_kind(error.kind()), &error)
    }
}

impl From<OwnerError> for Failure {
    fn from(error: OwnerError) -> Self {
        Self::of(code_of_kind(error.kind()), &error)
    }
}

impl From<ReleaseError> for Failure {
    fn from(error: ReleaseError) -> Self {
        Self::of(code_of_kind(error.kind()), &error)
    }
}

impl From<&LockLost> for Failure {
    fn from(loss: &LockLost) -> Self {
        Self::of(LOST, loss)
    }
}
