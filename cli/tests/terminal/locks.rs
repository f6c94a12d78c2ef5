//! `lock`, `renew`, `unlock` and `status`, as a script uses them.

use crate::common::{
    assert_has, assert_lacks, failure_on, held_by_another, json, multiredlock, nothing_is_left_on, output, output_on,
    run_on, servers, unlock,
};
use serde_json::json;
use test_support::RedisServer;

#[test]
fn a_script_locks_renews_and_unlocks_by_the_value() {
    let servers = servers(3);
    let value = output_on(&servers, &["lock", "r", "--ttl", "60s"]);
    let value = value.trim();
    assert!(servers.iter().all(|server| server.get("r").as_deref() == Some(value)));

    failure_on(75, &servers, &["lock", "r", "--no-wait"]);
    failure_on(9, &servers, &["lock", "r", "--no-wait", "--conflict-exit-code", "9"]);
    let stderr = failure_on(75, &servers, &["lock", "r", "--wait", "1s"]);
    let lines: Vec<_> = stderr.lines().collect();
    assert_has(lines[0], "waiting for `r`: held by ");
    assert_has(lines.last().unwrap(), "could not lock `r` within 1s");

    let renewed = output_on(&servers, &["renew", "r", value, "--ttl", "2m"]);
    assert!(renewed.starts_with("`r` is locked for another 1m 59s"), "{renewed}");
    assert!(servers.iter().all(|server| server.pttl("r") > 60_000));

    let stderr = failure_on(79, &servers, &["unlock", "r", "another"]);
    let problem = "could not unlock `r`: 0 of 3 servers hold this value, 2 required; it is held by ";
    assert_has(&stderr, problem);
    unlock(&servers, value);
    nothing_is_left_on(&servers);
    failure_on(79, &servers, &["renew", "r", value]);
    let stderr = failure_on(79, &servers, &["unlock", "r", value]);
    assert_has(
        &stderr,
        "`r` was gone already: 0 of 3 servers still held it, 2 required",
    );
}

#[test]
fn what_a_majority_cannot_answer_is_not_certain() {
    let servers = servers(3);
    let (_, value, _) = run_on(&servers, &["lock", "r"]);
    servers[0].freeze();
    servers[1].crash();
    for arguments in [
        &["lock", "r", "--no-wait"][..],
        &["renew", "r", value.trim()],
        &["unlock", "r", value.trim()],
        &["status", "r"],
        &["status"],
    ] {
        let (code, ..) = run_on(&servers, arguments);
        assert_eq!(code, 69, "{arguments:?}");
    }
}

#[test]
fn the_value_of_a_lock_and_its_token_are_told_as_json() {
    let servers = servers(3);
    let (code, locked) = json(&servers, &["lock", "r", "--ttl", "60s", "--fenced"]);
    assert_eq!(code, 0);
    let token = locked["token"].as_u64().unwrap();
    insta::assert_json_snapshot!(locked, {
        ".value" => "[value]", ".token" => "[token]", ".valid_for_ms" => "[ms]", ".expires_at" => "[time]"
    });
    let value = locked["value"].as_str().unwrap();
    let (code, renewed) = json(&servers, &["renew", "r", value, "--token", &token.to_string()]);
    assert_eq!((code, &renewed["token"]), (0, &json!(token)));
    let (code, unlocked) = json(&servers, &["unlock", "r", value]);
    assert_eq!(code, 0);
    insta::assert_json_snapshot!(unlocked);
    let (_, later) = json(&servers, &["lock", "r", "--fenced"]);
    assert!(later["token"].as_u64().unwrap() > token);
}

#[test]
fn who_holds_a_resource_is_told_of_each_server_and_by_majority() {
    let servers = servers(3);
    let free = output_on(&servers, &["status", "r"]);
    assert!(free.starts_with("`r` is free\n"), "{free}");
    let mut lock = multiredlock(&servers, &["lock", "r", "--ttl", "60s"]);
    lock.env("MULTIREDLOCK_ID", "web-3");
    output(lock);
    servers[1].command(&["DEL", "r"]);
    let held = output_on(&servers, &["status", "r"]);
    assert!(held.starts_with("`r` is held by web-3 since "), "{held}");
    let free = format!("  {}  free", servers[1].address());
    assert_eq!(held.lines().nth(2), Some(free.as_str()));

    let (code, held) = json(&servers, &["status", "r"]);
    assert_eq!(code, 0);
    insta::assert_json_snapshot!(held, {
        ".holder.since" => "[time]", ".holder.remaining_ms" => "[ms]", ".servers[].server" => "[address]",
        ".servers[].holder.since" => "[time]", ".servers[].holder.remaining_ms" => "[ms]"
    });
}

#[test]
fn the_servers_are_told_with_why_they_are_down() {
    let servers = servers(3);
    servers[2].crash();
    let text = output_on(&servers, &["status"]);
    let connected = "connected: 2 of 3 servers can vote, 2 required\n";
    assert!(text.starts_with(connected), "{text}");
    let last = text.lines().nth(3).unwrap();
    assert!(last.ends_with("  down: connection refused"), "{text}");
    let (_, status) = json(&servers, &["status"]);
    insta::assert_json_snapshot!(status, {
        ".servers[].server" => "[address]", ".servers[].round_trip_us" => "[us]"
    });
}

#[test]
fn each_server_that_is_up_is_reported_with_its_round_trip() {
    let mut servers = servers(3);
    servers.push(RedisServer::builder().prepare());
    for _ in 0..10 {
        let (code, status) = json(&servers, &["status"]);
        assert_eq!(code, 0);
        for (server, fact) in servers.iter().zip(status["servers"].as_array().unwrap()) {
            let is_up = server.url() != servers[3].url();
            assert_eq!(fact["state"], if is_up { "up" } else { "down" }, "{status:#}");
            assert_eq!(fact["round_trip_us"].is_u64(), is_up, "{status:#}");
            // A client that has just begun to look cannot know it.
            assert_eq!(fact.get("unchanged_for_ms"), None);
        }
        let (_, text, _) = run_on(&servers, &["status"]);
        assert_eq!(text.matches("  up, answered in ").count(), 3, "{text}");
    }
}

#[test]
fn a_command_with_a_wrong_value_names_the_holder_and_leaves_the_lock() {
    let servers = servers(3);
    held_by_another(&servers);
    servers[1].command(&["DEL", "r"]);
    for arguments in [
        "unlock r another",
        "unlock r another --json",
        "renew r another",
        "renew r another --json",
    ] {
        let arguments: Vec<_> = arguments.split(' ').collect();
        let (code, _, stderr) = run_on(&servers, &arguments);
        assert_eq!(code, 79);
        assert_has(&stderr, "; it is held by web-3 since ");
        assert_lacks(&stderr, "gone");
    }
    assert_eq!(servers.iter().filter(|server| !server.keys().is_empty()).count(), 2);
    // One server is no majority, so no holder is known.
    servers[0].command(&["DEL", "r"]);
    for verb in ["unlock", "renew"] {
        assert_lacks(&failure_on(79, &servers, &[verb, "r", "another"]), "held by");
    }
}
