//! Whether there is such a command, before anything is locked for it.

use crate::exit::{self, Failure};
use nix::unistd::{AccessFlags, access};
use std::{
    env,
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// How much of the first line of a script the system reads.
const LONGEST_LINE: usize = 256;

/// Looks for a command as `execvp` does.
pub(crate) fn find(command: &OsStr) -> Result<(), Failure> {
    if command.as_bytes().contains(&b'/') {
        return check(Path::new(command)).map_err(|problem| cannot(command, problem));
    }
    let path = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let mut problem = Problem::NotFound;
    for folder in env::split_paths(&path) {
        // An empty one is the folder in which we are.
        match check(&Path::new(".").join(folder).join(command)) {
            Ok(()) => return Ok(()),
            Err(Problem::NotFound) => {}
            Err(other) => problem = other,
        }
    }
    Err(cannot(command, problem))
}

/// Why a command that is there was not started.
pub(crate) fn refused(command: &OsStr, error: &io::Error) -> Failure {
    match error.kind() {
        // It is there, so that it is a part of it that is not: of a binary the loader.
        io::ErrorKind::NotFound => find(command)
            .err()
            .unwrap_or_else(|| cannot(command, Problem::Refused("its interpreter is missing".into()))),
        _ => cannot(command, Problem::Refused(error.to_string())),
    }
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
    }?;
    match interpreter(path) {
        Some(interpreter) if !interpreter.exists() => {
            let interpreter = interpreter.display();
            Err(Problem::Refused(format!("its interpreter `{interpreter}` is missing")))
        }
        _ => Ok(()),
    }
}

/// What a script names in its first line.
fn interpreter(path: &Path) -> Option<PathBuf> {
    // To open a pipe would wait for its other end.
    if !path.is_file() {
        return None;
    }
    let mut line = [0; LONGEST_LINE];
    let length = File::open(path).and_then(|mut file| file.read(&mut line)).ok()?;
    let line = line[..length]
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let mut words = line.split(|byte| b" \t".contains(byte));
    Some(OsStr::from_bytes(words.find(|word| !word.is_empty())?).into())
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
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt,
    };
    use test_support::Directory;

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

    #[test]
    fn an_interpreter_that_is_missing_is_named() {
        let folder = Directory::create();
        let path = folder.file("script");
        let message = |line: &str| {
            fs::write(&path, format!("{line}\necho\n")).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
            let failure = find(path.as_os_str()).err();
            failure.map(|failure| (failure.code, failure.message))
        };
        for line in ["#!/bin/sh", "#! /bin/sh -e", "# /no/such", ""] {
            assert!(message(line).is_none(), "{line}");
        }
        for (line, name) in [
            ("#!/no/such", "/no/such"),
            ("#! /no/such -e", "/no/such"),
            ("#!/bin/sh\r", "/bin/sh\r"),
        ] {
            let (code, message) = message(line).unwrap();
            assert_eq!(code, exit::NOT_EXECUTABLE);
            let expected = format!("cannot be executed: its interpreter `{name}` is missing");
            assert!(message.ends_with(&expected), "{message}");
        }
    }
}
