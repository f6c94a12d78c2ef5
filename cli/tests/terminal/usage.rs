//! Bad input: one clear line, the documented exit code, nothing locked.

use crate::common::{
    Folder, assert_has, assert_lacks, bare, failure, held_by_another, multiredlock, nothing_is_left_on, output, rows,
    run_on, servers, unlock,
};
use assert_cmd::Command;
use serde_json::Value;
use std::fs;
use test_support::RedisServer;

/// The one line in which it says why it ends with this exit code.
#[track_caller]
fn refused(code: i32, command: Command) -> String {
    let line = failure(code, command);
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.starts_with("multiredlock: "), "{line}");
    line
}

#[test]
fn what_is_wrong_with_the_arguments_is_told_in_one_line_and_nothing_is_locked() {
    let servers = servers(1);
    for [code, arguments, words] in rows(
        "
        64  | run r --ttl 30 -- true             | a duration has a unit
        64  | run r --ttl=-1s -- true            | -1s
        64  | run r --ttl 999ms -- true          | --ttl (999ms) must be at least 1s
        64  | run r --ttl 9s --grace 4s -- true  | --grace (4s) must not exceed a third of --ttl (9s)
        64  | run r --wait 1s --no-wait -- true  | cannot be used with
        64  | run r                              | <COMMAND>
        64  | run r --                           | <COMMAND>
        64  | run r -- ''                        | the command is empty
        64  | run '' -- true                     | resource
        127 | run r -- no-such-command           | `no-such-command`: command not found
        127 | run r -- /no/such                  | `/no/such`: command not found
        126 | run r -- /etc/passwd               | `/etc/passwd` cannot be executed: 
        126 | run r -- /                         | it is a folder
        64  | lock r --ttl 50ms                  | must exceed the drift
        64  | lock                               | <RESOURCE>
        64  | lock r --conflict-exit-code 256    | 256
        64  | unlock r                           | <VALUE>
        64  | nonsense                           | nonsense
        ",
    ) {
        let words_of =
            |arguments: &str| -> Vec<String> { arguments.split(' ').map(|word| word.replace("''", "")).collect() };
        let mut command = multiredlock(&servers, &[]);
        command.args(words_of(arguments));
        assert_has(&refused(code.parse().unwrap(), command), words);
        nothing_is_left_on(&servers);
    }
}

#[test]
fn servers_that_are_none_are_refused_by_name_and_without_a_password() {
    for [address, words] in rows(
        "
        foo://h                 | unknown scheme `foo`
        redis://user:secret@h:0 | port 0
        memory://a              | nobody else reaches
        h1,h1                   | configured twice
        h1,::1                  | an IPv6 address stands in brackets
        ",
    ) {
        let line = refused(78, bare(&["--servers", address, "lock", "r"]));
        assert_has(&line, words);
        assert_lacks(&line, "secret");
    }
    let line = refused(78, bare(&["lock", "r"]));
    assert_has(&line, "--servers, MULTIREDLOCK_SERVERS, or a file with --config");
}

#[test]
fn servers_that_cannot_be_reached_are_named_with_the_reason() {
    let server = RedisServer::builder().prepare();
    let servers = std::slice::from_ref(&server);
    let line = refused(69, multiredlock(servers, &["lock", "r", "--no-wait"]));
    assert_has(&line, &server.address().to_string());
    assert_has(&line, "connection refused");
}

#[test]
fn a_file_names_the_servers_and_what_is_wrong_in_it_is_told_with_its_line() {
    let servers = servers(3);
    let folder = Folder::new();
    let file = folder.path("locks.toml");
    let path = file.as_str();
    let urls: Vec<_> = servers.iter().map(RedisServer::url).collect();
    let right = format!("servers = {urls:?}\nkey_prefix = \"lock:\"\ndrift = 0.01\nrestart_guard = \"1ms\"\n");
    fs::write(&file, right.replace("restart_guard = \"1ms\"\n", "")).unwrap();
    output(bare(&["--config", path, "lock", "r"]));
    assert!(servers.iter().filter(|server| server.keys() == ["lock:r"]).count() >= 2);

    for [text, words] in rows(
        r#"
        servers = ["h"];ttl = 3                              | line 2: unknown field `ttl`
        servers = ["h"];attempt_timeout = "3"                  | line 2: 
        servers = ["h"];acquire_timeout = "0s"               | acquire_timeout must be longer than 0
        servers = ["rediss://h"];tls = { ca = "locks.toml", pinned = "locks.toml" } | `ca_pem` has no effect beside `pinned_pem`
        servers = ["h"];groups = [["h"]]                     | both `servers` and `groups`
        servers = []                                         | no server is configured
        servers = ["h"];drift = 1.5                          | drift factor 1.5 must be at least 0 and below 1
        servers = ["rediss://h"];tls = { cert = "c" }        | go together
        servers = ["rediss://h"];tls = { ca = "/no/such" }   | /no/such: 
        "#,
    ) {
        fs::write(&file, text.replace(';', "\n")).unwrap();
        assert_has(&refused(78, bare(&["--config", path, "lock", "r"])), words);
    }
    fs::write(&file, right).unwrap();
    let line = refused(64, bare(&["--config", path, "lock", "r", "--ttl", "5s"]));
    assert_has(&line, "restart guard");
}

#[test]
fn every_command_has_a_help_with_an_example() {
    let all = output(bare(&["--help"]));
    assert!(all.contains("Exit codes:") && all.contains("restart_guard = "), "{all}");
    for command in "run lock renew unlock status watch doctor bench completions man".split(' ') {
        let help = output(bare(&[command, "--help"]));
        assert_has(&help, "Example");
        let example = format!("\n  multiredlock {command}");
        assert!(help.contains(&example) || command == "lock", "{command}: {help}");
        assert_has(&all, &format!("\n  {command} "));
    }
}

#[test]
fn completions_and_man_pages_are_printed() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = output(bare(&["completions", shell]));
        assert!(text.contains("multiredlock"), "{shell}");
    }
    let page = output(bare(&["man"]));
    assert_has(&page, ".TH multiredlock 1");
}

#[test]
fn what_went_wrong_is_told_as_json_too() {
    let servers = servers(3);
    let value = held_by_another(&servers);
    for arguments in [
        &["--json", "lock", "r", "--no-wait"][..],
        &["lock", "--json", "r", "--ttl", "30"],
        &["--json", "run", "r", "--", "no-such-command"],
        &["--json", "unlock", "r", "another"],
    ] {
        let (code, _, stderr) = run_on(&servers, arguments);
        let told: Value = serde_json::from_str(&stderr).unwrap_or_else(|error| panic!("{error} in {stderr}"));
        assert_eq!(told["exit_code"], code, "{stderr}");
        assert!(told["error"].is_string() && told["message"].is_string(), "{stderr}");
    }
    unlock(&servers, &value);
}
