//! What the tests share: a quorum, and the command to run on it.

use assert_cmd::Command;
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::signal::{SigHandler, Signal, signal},
};
use serde_json::Value;
use std::{
    io::{PipeReader, PipeWriter},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, ExitStatus, Output, Stdio},
    time::Duration,
};
use test_support::{Directory, RedisServer};

/// Independent servers that are up.
pub(crate) fn servers(count: usize) -> Vec<RedisServer> {
    (0..count).map(|_| RedisServer::start()).collect()
}

/// What `--servers` takes.
pub(crate) fn addresses(servers: &[RedisServer]) -> String {
    servers.iter().map(RedisServer::url).collect::<Vec<_>>().join(",")
}

/// The command, which knows of these servers and of nothing else in the environment.
pub(crate) fn multiredlock(servers: &[RedisServer], arguments: &[&str]) -> Command {
    let mut command = bare(arguments);
    command.env("MULTIREDLOCK_SERVERS", addresses(servers));
    command
}

/// The command without any servers.
pub(crate) fn bare(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("multiredlock").expect("it is built with the tests");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MULTIREDLOCK_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).timeout(Duration::from_secs(60));
    command
}

/// Runs it to its end: the exit code, standard output, standard error.
pub(crate) fn run(mut command: Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("it is text");
    (status.code().expect("it is not killed"), text(stdout), text(stderr))
}

/// Runs it on these servers to its end.
pub(crate) fn run_on(servers: &[RedisServer], arguments: &[&str]) -> (i32, String, String) {
    run(multiredlock(servers, arguments))
}

/// Runs it to its end, which has to be a good one: what is on standard output.
#[track_caller]
pub(crate) fn output(command: Command) -> String {
    let (code, stdout, stderr) = run(command);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    stdout
}

#[track_caller]
pub(crate) fn output_on(servers: &[RedisServer], arguments: &[&str]) -> String {
    output(multiredlock(servers, arguments))
}

/// Runs it to its end, which has to have this exit code and nothing on standard output: standard error.
#[track_caller]
pub(crate) fn failure(code: i32, command: Command) -> String {
    let (ended, stdout, stderr) = run(command);
    assert_eq!((ended, stdout.as_str()), (code, ""), "{stderr}");
    stderr
}

#[track_caller]
pub(crate) fn failure_on(code: i32, servers: &[RedisServer], arguments: &[&str]) -> String {
    failure(code, multiredlock(servers, arguments))
}

/// Locks the resource `r` for long, for another, and returns the value of the lock.
#[track_caller]
pub(crate) fn held_by_another(servers: &[RedisServer]) -> String {
    let value = output_on(servers, &["--id", "web-3", "lock", "r", "--ttl", "60s"]);
    value.trim().into()
}

#[track_caller]
pub(crate) fn unlock(servers: &[RedisServer], value: &str) {
    assert_eq!(output_on(servers, &["unlock", "r", value]), "");
}

/// The lines of a table, and the cells of each.
pub(crate) fn rows<const N: usize>(table: &str) -> impl Iterator<Item = [&str; N]> {
    let lines = table.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| {
        let cells: Vec<&str> = line.splitn(N, " | ").map(str::trim).collect();
        cells.try_into().unwrap_or_else(|_| panic!("not {N} cells in `{line}`"))
    })
}

#[track_caller]
pub(crate) fn assert_has(text: &str, words: &str) {
    assert!(text.contains(words), "no `{words}` in `{text}`");
}

#[track_caller]
pub(crate) fn assert_lacks(text: &str, words: &str) {
    assert!(!text.contains(words), "`{words}` in `{text}`");
}

#[track_caller]
pub(crate) fn nothing_is_left_on(servers: &[RedisServer]) {
    for server in servers {
        assert_eq!(server.keys(), [""; 0]);
    }
}

pub(crate) fn all_have_the_lock(servers: &[RedisServer]) -> bool {
    servers.iter().all(|server| server.get("r").is_some())
}

/// The same command, as the standard library starts it.
pub(crate) fn plain(command: &Command) -> std::process::Command {
    let mut start = std::process::Command::new(command.get_program());
    start.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => start.env(name, value),
            None => start.env_remove(name),
        };
    }
    hear_signals(&mut start);
    start
}

/// A pipe that takes not a byte more until somebody reads it.
pub(crate) fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while nix::unistd::write(&writer, &[b'x'; 1]).is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (reader, writer)
}

/// Starts it, with pipes for its streams.
pub(crate) fn start(command: &Command) -> Child {
    start_plain(&mut plain(command))
}

pub(crate) fn start_plain(start: &mut std::process::Command) -> Child {
    let start = start.stdin(Stdio::piped()).stdout(Stdio::piped());
    start.stderr(Stdio::piped()).spawn().expect("it starts")
}

/// Starts it on these servers.
pub(crate) fn start_on(servers: &[RedisServer], arguments: &[&str]) -> Child {
    start(&multiredlock(servers, arguments))
}

/// Whoever runs the tests in the background may have had signals ignored, which the command would respect.
#[expect(unsafe_code, reason = "there is no safe way to run something between fork and exec")]
fn hear_signals(start: &mut std::process::Command) {
    let hear = || {
        for which in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
            // SAFETY: no handler is installed, but the default one.
            unsafe { signal(which, SigHandler::SigDfl) }?;
        }
        Ok(())
    };
    // SAFETY: it makes a system call and nothing else.
    unsafe {
        start.pre_exec(hear);
    }
}

/// The exit code as a shell tells it.
pub(crate) fn code_of(status: ExitStatus) -> i32 {
    status
        .code()
        .or(status.signal().map(|signal| 128 + signal))
        .expect("it ended")
}

pub(crate) fn command_path() -> String {
    assert_cmd::cargo::cargo_bin("multiredlock")
        .to_str()
        .expect("it is text")
        .into()
}

/// Runs it with `--json`: the exit code, the one value on standard output, and standard error.
pub(crate) fn json_of(mut command: Command) -> (i32, Value, String) {
    command.arg("--json");
    let (code, stdout, stderr) = run(command);
    assert_eq!(stdout.lines().count(), 1, "{stdout}{stderr}");
    let value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error} in `{stdout}`; {stderr}"));
    (code, value, stderr)
}

pub(crate) fn json(servers: &[RedisServer], arguments: &[&str]) -> (i32, Value) {
    let (code, value, _) = json_of(multiredlock(servers, arguments));
    (code, value)
}

/// A folder for files, which is gone in the end.
pub(crate) struct Folder(Directory);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(Directory::create())
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.file(name).to_str().unwrap().into()
    }
}
