//! Whether there is such a command, before anything is locked for it.

use crate::exit::{self, Failure};
use nix::unistd::{AccessFlags, access};
use std::{
    env,
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Looks for a command as `execvp` does.
pub(crate) fn find(command: &OsStr) -> Result<(), Failure> {
    if command.as_bytes().contains(&b'/') {
        return check(Path::new(command)).map_err(|problem| cannot(command, problem));
    }
    let path = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let mut problem = Problem::NotFound;
    for folder in env::split_paths(&path) {
        let folder = if folder.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            folder
        };
        match check(&folder.join(command)) {
            Ok(()) => return Ok(()),
            Err(Problem::NotFound) => {}
            Err(other) => problem = other,
        }
    }
    Err(cannot(command, problem))
}

/// Why a command that is there was not started.
pub(crate) fn refused(command: &OsStr, error: &io::Error) -> Failure {
    let problem = match error.kind() {
        io::ErrorKind::NotFound => Problem::NotFound,
        _ => Problem::Refused(error.to_string()),
    };
    cannot(command, problem)
}

enum Problem {
    NotFound,
    Refused(String),
}

fn check(path: &Path) -> Result<(), Problem> {
    match path.metadata() {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(Problem::NotFound)
        }
        Err(error) => Err(Problem::Refused(error.to_string())),
        Ok(metadata) if metadata.is_dir() => Err(Problem::Refused("it is a folder".into())),
        Ok(_) => access(path, AccessFlags::X_OK).map_err(|error| Problem::Refused(error.desc().into())),
    }
}

fn cannot(command: &OsStr, problem: Problem) -> Failure {
    let command = command.to_string_lossy();
    match problem {
        Problem::NotFound => Failure::new(exit::NOT_FOUND, format!("`{command}`: command not found")),
        Problem::Refused(why) => Failure::new(exit::NOT_EXECUTABLE, format!("`{command}` cannot be executed: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(command: &str) -> Option<u8> {
        find(OsStr::new(command)).err().map(|failure| failure.code)
    }

    #[test]
    fn a_command_is_found_as_shells_find_it() {
        assert_eq!(code("sh"), None);
        assert_eq!(code("/bin/sh"), None);
        assert_eq!(code("no-such-command"), Some(exit::NOT_FOUND));
        assert_eq!(code("/no/such/command"), Some(exit::NOT_FOUND));
        assert_eq!(code("/"), Some(exit::NOT_EXECUTABLE));
        assert_eq!(code("Cargo.toml"), Some(exit::NOT_FOUND), "it is not in the path");
        assert_eq!(code("./Cargo.toml"), Some(exit::NOT_EXECUTABLE));
    }
}
