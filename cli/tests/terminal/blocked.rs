//! Standard streams that nobody reads.

use crate::{
    common::{code_of, full_pipe, held_by_another, multiredlock, nothing_is_left_on, plain, servers},
    job::{ends, forget_all, signal},
    pty::Person,
    run::start_with_blocked_stderr,
};
use nix::sys::signal::Signal;
use std::{
    io::PipeReader,
    process::{Child, Stdio},
    thread::sleep,
    time::Duration,
};
use test_support::{RedisServer, block_until, block_until_some};

/// So long that it has got to where it writes.
const SETTLED: Duration = Duration::from_millis(1_500);

fn start_with_blocked_stdout(servers: &[RedisServer], arguments: &[&str]) -> (Child, PipeReader) {
    let (reader, writer) = full_pipe();
    let mut start = plain(&multiredlock(servers, arguments));
    let start = start.stdin(Stdio::null()).stdout(writer).stderr(Stdio::null());
    (start.spawn().unwrap(), reader)
}

#[test]
fn whoever_waits_ends_in_time_and_by_signals() {
    let servers = servers(3);
    held_by_another(&servers);
    for arguments in [
        &["run", "r", "--wait", "1s", "--", "true"][..],
        &["--json", "run", "r", "--wait", "1s", "--", "true"],
        &["lock", "r", "--wait", "1s"],
    ] {
        let (mut child, _stderr) = start_with_blocked_stderr(&multiredlock(&servers, arguments));
        ends(&mut child, 75);
    }
    for arguments in [&["run", "r", "--", "true"][..], &["lock", "r"]] {
        let (mut child, _stderr) = start_with_blocked_stderr(&multiredlock(&servers, arguments));
        sleep(SETTLED);
        signal(&child, Signal::SIGTERM);
        ends(&mut child, 128 + 15);
    }
}

#[test]
fn a_command_whose_lock_was_lost_ends_with_that_code() {
    let servers = servers(3);
    for json in [&[][..], &["--json"]] {
        let run = ["run", "r", "--ttl", "3s", "--", "sleep", "1000"];
        let command = multiredlock(&servers, &[json, &run].concat());
        let (mut child, _stderr) = start_with_blocked_stderr(&command);
        let holds = |server: &RedisServer| !server.keys().is_empty();
        block_until("each server holds the lock", || servers.iter().all(holds));
        sleep(SETTLED);
        forget_all(&servers);
        ends(&mut child, 79);
    }
}

#[test]
fn a_terminal_that_nobody_reads_holds_up_no_one_who_waits() {
    let servers = servers(3);
    held_by_another(&servers);
    let script = "yes > /dev/tty & sleep 0.5; exec $M run r --wait 3s -- true";
    for ends in [|_: &Person| {}, |person: &Person| person.signal(Signal::SIGTERM)] {
        let mut person = Person::starts(&servers, "sh", &["-c", script]);
        person.looks_away();
        sleep(SETTLED);
        ends(&person);
        let code = person.ends().exit_code();
        assert!([75, 128 + 15].contains(&code), "{code}");
    }
}

#[test]
fn signals_end_what_nobody_reads() {
    let servers = servers(3);
    for arguments in [
        &["watch"][..],
        &["watch", "--json"],
        &["status"],
        &["bench", "--duration", "1s", "--callers", "1"],
    ] {
        let (mut child, _stdout) = start_with_blocked_stdout(&servers, arguments);
        sleep(if arguments[0] == "bench" { 3 * SETTLED } else { SETTLED });
        assert_eq!(child.try_wait().unwrap(), None, "{arguments:?}");
        signal(&child, Signal::SIGTERM);
        let code = code_of(block_until_some("it ends", || child.try_wait().unwrap()));
        assert!([0, 128 + 15].contains(&code), "{arguments:?}: {code}");
    }
}

#[test]
fn a_lock_whose_value_nobody_reads_is_given_back() {
    let servers = servers(3);
    let (mut child, _stdout) = start_with_blocked_stdout(&servers, &["lock", "r", "--ttl", "60s"]);
    sleep(SETTLED);
    signal(&child, Signal::SIGTERM);
    ends(&mut child, 128 + 15);
    nothing_is_left_on(&servers);
    let (mut child, _stdout) = start_with_blocked_stdout(&servers, &["lock", "r", "--ttl", "2s"]);
    ends(&mut child, 74);
    nothing_is_left_on(&servers);
}
