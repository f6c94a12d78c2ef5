//! Bad input: one clear line, the documented exit code, nothing locked.

use crate::common::{Folder, bare, multiredlock, run, run_on, servers};
use assert_cmd::Command;
use serde_json::Value;
use std::fs;
use test_support::RedisServer;

fn refused(command: Command) -> (i32, String) {
    let (code, stdout, stderr) = run(command);
    assert_eq!(stdout, "");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("multiredlock: "), "{stderr}");
    (code, stderr)
}

#[test]
fn what_is_wrong_with_the_arguments_is_told_in_one_line_and_nothing_is_locked() {
    let servers = servers(1);
    for (arguments, expected, words) in [
        (
            &["run", "r", "--ttl", "30", "--", "true"][..],
            64,
            "a duration has a unit",
        ),
        (&["run", "r", "--ttl=-1s", "--", "true"], 64, "-1s"),
        (
            &["run", "r", "--ttl", "999ms", "--", "true"],
            64,
            "--ttl (999ms) must be at least 1s",
        ),
        (
            &["run", "r", "--ttl", "9s", "--grace", "4s", "--", "true"],
            64,
            "--grace (4s) must not exceed a third of --ttl (9s)",
        ),
        (
            &["run", "r", "--wait", "1s", "--no-wait", "--", "true"],
            64,
            "cannot be used with",
        ),
        (&["run", "r"], 64, "<COMMAND>"),
        (&["run", "r", "--"], 64, "<COMMAND>"),
        (&["run", "r", "--", ""], 64, "the command is empty"),
        (&["run", "", "--", "true"], 64, "resource"),
        (
            &["run", "r", "--", "no-such-command"],
            127,
            "`no-such-command`: command not found",
        ),
        (&["run", "r", "--", "/no/such"], 127, "`/no/such`: command not found"),
        (
            &["run", "r", "--", "/etc/passwd"],
            126,
            "`/etc/passwd` cannot be executed: ",
        ),
        (&["run", "r", "--", "/"], 126, "it is a folder"),
        (&["lock", "r", "--ttl", "50ms"], 64, "must exceed the drift"),
        (&["lock"], 64, "<RESOURCE>"),
        (&["lock", "r", "--conflict-exit-code", "256"], 64, "256"),
        (&["unlock", "r"], 64, "<VALUE>"),
        (&["nonsense"], 64, "nonsense"),
    ] {
        let (code, line) = refused(multiredlock(&servers, arguments));
        assert_eq!(code, expected, "{arguments:?}: {line}");
        assert!(line.contains(words), "{arguments:?}: {line}");
        assert_eq!(servers[0].keys(), [""; 0], "{arguments:?}");
    }
}

#[test]
fn servers_that_are_none_are_refused_by_name_and_without_a_password() {
    for (address, words) in [
        ("foo://h", "unknown scheme `foo`"),
        ("redis://user:secret@h:0", "port 0"),
        ("memory://a", "nobody else reaches"),
        ("h1,h1", "configured twice"),
        ("h1,::1", "an IPv6 address stands in brackets"),
    ] {
        let (code, line) = refused(bare(&["--servers", address, "lock", "r"]));
        assert_eq!(code, 78, "{line}");
        assert!(line.contains(words) && !line.contains("secret"), "{line}");
    }
    let (code, line) = refused(bare(&["lock", "r"]));
    assert_eq!(code, 78);
    assert!(
        line.contains("--servers, MULTIREDLOCK_SERVERS, or a file with --config"),
        "{line}"
    );
}

#[test]
fn servers_that_cannot_be_reached_are_named_with_the_reason() {
    let server = RedisServer::builder().prepare();
    let (code, line) = refused(multiredlock(std::slice::from_ref(&server), &["lock", "r", "--no-wait"]));
    assert_eq!(code, 69);
    assert!(
        line.contains(&server.address().to_string()) && line.contains("connection refused"),
        "{line}"
    );
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
    let (code, ..) = run(bare(&["--config", path, "lock", "r"]));
    assert_eq!(code, 0);
    assert!(servers.iter().filter(|server| server.keys() == ["lock:r"]).count() >= 2);

    for (text, words) in [
        ("servers = [\"h\"]\nttl = 3", "line 2: unknown field `ttl`"),
        ("servers = [\"h\"]\nround_timeout = \"3\"", "line 2: "),
        ("servers = [\"h\"]\ngroups = [[\"h\"]]", "both `servers` and `groups`"),
        ("servers = []", "no server is configured"),
        (
            "servers = [\"h\"]\ndrift = 1.5",
            "drift factor 1.5 must be at least 0 and below 1",
        ),
        ("servers = [\"rediss://h\"]\ntls = { cert = \"c\" }", "go together"),
        ("servers = [\"rediss://h\"]\ntls = { ca = \"/no/such\" }", "/no/such: "),
    ] {
        fs::write(&file, text).unwrap();
        let (code, line) = refused(bare(&["--config", path, "lock", "r"]));
        assert_eq!(code, 78, "{text}: {line}");
        assert!(line.contains(words), "{text}: {line}");
    }
    fs::write(&file, right).unwrap();
    let (code, line) = refused(bare(&["--config", path, "lock", "r", "--ttl", "5s"]));
    assert_eq!(code, 64);
    assert!(line.contains("restart guard"), "{line}");
}

#[test]
fn every_command_has_a_help_with_an_example() {
    let (code, all, _) = run(bare(&["--help"]));
    assert_eq!(code, 0);
    assert!(all.contains("Exit codes:") && all.contains("restart_guard = "), "{all}");
    for command in [
        "run",
        "lock",
        "renew",
        "unlock",
        "status",
        "watch",
        "doctor",
        "bench",
        "completions",
        "man",
    ] {
        let (code, help, _) = run(bare(&[command, "--help"]));
        assert_eq!(code, 0);
        assert!(help.contains("Example"), "{command}: {help}");
        assert!(
            help.contains(&format!("\n  multiredlock {command}")) || command == "lock",
            "{command}: {help}"
        );
        assert!(all.contains(&format!("\n  {command} ")), "{command}: {all}");
    }
}

#[test]
fn completions_and_man_pages_are_printed() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, text, _) = run(bare(&["completions", shell]));
        assert_eq!(code, 0);
        assert!(text.contains("multiredlock"), "{shell}");
    }
    let (code, page, _) = run(bare(&["man"]));
    assert_eq!(code, 0);
    assert!(page.contains(".TH multiredlock 1"), "{page}");
}

#[test]
fn what_went_wrong_is_told_as_json_too() {
    let servers = servers(3);
    let (_, value, _) = run_on(&servers, &["--id", "web-3", "lock", "r"]);
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
    assert_eq!(run_on(&servers, &["unlock", "r", value.trim()]).0, 0);
}
