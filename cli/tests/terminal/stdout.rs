//! A standard output that is closed, refuses what is written, or whose reader left.

use crate::common::{all_have_the_lock, assert_has, code_of, multiredlock, nothing_is_left_on, plain, servers};
use std::process::Stdio;
use test_support::RedisServer;

/// Runs a script of the shell, in which `$M` is the command: the exit code, and standard error.
fn shell(servers: &[RedisServer], script: &str) -> (i32, String) {
    let hears = plain(&multiredlock(servers, &[]));
    let variables = hears.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let mut start = std::process::Command::new("bash");
    start.envs(variables).env("M", hears.get_program());
    start.args(["-o", "pipefail", "-c", script]);
    let output = start.stdin(Stdio::null()).output().unwrap();
    (code_of(output.status), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_lock_whose_value_cannot_be_printed_is_given_back() {
    let servers = servers(3);
    // Closed, full, not open for writing, and without a reader.
    for stdout in [">&-", ">/dev/full", "1</dev/null", "1> >(exit); sleep 0.3"] {
        for lock in ["$M lock r --ttl 60s", "$M --json lock r --ttl 60s"] {
            let (code, stderr) = shell(&servers, &format!("exec {stdout}; {lock}"));
            assert_eq!((code, stderr.lines().count()), (74, 1), "{lock}, {stdout}: {stderr}");
            nothing_is_left_on(&servers);
        }
    }
}

#[test]
fn a_value_that_nobody_wants_is_not_printed_in_vain() {
    let servers = servers(3);
    let (code, stderr) = shell(&servers, "$M lock r --ttl 60s >/dev/null");
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(all_have_the_lock(&servers));
}

#[test]
fn a_reader_that_left_is_a_quiet_end() {
    let servers = servers(3);
    shell(&servers, "$M lock r --ttl 60s >/dev/null");
    let value = servers[0].get("r").unwrap();
    let commands = "status,status r,doctor,completions bash,man,--help,watch,renew r VALUE,--json unlock r VALUE,\
                    bench --duration 1s --callers 1";
    for command in commands.replace("VALUE", &value).split(',') {
        let (code, stderr) = shell(&servers, &format!("exec 1> >(exit); sleep 0.3; $M {command}"));
        // The doctor warns of servers for tests.
        let expected = if command == "doctor" { 1..=2 } else { 0..=0 };
        assert!(expected.contains(&code), "{command}: {code}");
        assert_eq!(stderr, "", "{command}");
    }
    nothing_is_left_on(&servers);
}

#[test]
fn what_cannot_be_printed_is_told() {
    let servers = servers(3);
    for command in ["status", "status r", "watch", "watch --json"] {
        let (code, stderr) = shell(&servers, &format!("$M {command} >/dev/full"));
        assert_eq!(code, 74, "{command}: {stderr}");
        assert_has(&stderr, "standard output: ");
    }
}
