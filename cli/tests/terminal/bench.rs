//! `bench`, on servers that are there for it, and how it keeps its hands off others.

use crate::{
    common::{
        Folder, addresses, assert_has, bare, failure, failure_on, json, nothing_is_left_on, output, output_on, rows,
        servers, start_on,
    },
    job::{ends, signal},
    pty::Person,
};
use nix::sys::signal::Signal;
use std::fs;
use test_support::{RedisServer, block_until};

const QUICK: [&str; 3] = ["bench", "--duration", "100ms"];

/// How many connections were made to a server, this one included.
fn connections(server: &RedisServer) -> usize {
    server.statistic("total_connections_received")
}

#[test]
fn all_numbers_are_told_as_json_and_nothing_is_left() {
    let servers = servers(3);
    servers[0].command(&["SET", "multiredlock-bench:0", "mine"]);
    let (code, measured) = json(&servers, &["bench", "--duration", "300ms", "--callers", "4"]);
    assert_eq!(code, 0);
    for number in ["mean_us", "p50_us", "p90_us", "p99_us", "p999_us", "max_us"] {
        for latency in ["lock", "unlock"] {
            let micros = measured[latency][number].as_f64().unwrap();
            // A round trip takes longer than a microsecond, and no cycle took longer than the test.
            assert!(micros > 1.0 && micros < 60e6, "{measured}");
        }
    }
    assert!(measured["lock"]["p50_us"].as_f64() <= measured["lock"]["max_us"].as_f64());
    let count = measured["lock"]["count"].as_f64().unwrap();
    let seconds = measured["elapsed_us"].as_f64().unwrap() / 1e6;
    let rate = measured["cycles_per_second"].as_f64().unwrap();
    // The last cycle of each caller may have ended after the time.
    let cycles = rate * seconds;
    assert!(
        count > 0.0 && cycles <= count + 1.0 && cycles >= count - 5.0,
        "{measured}"
    );
    assert!(seconds >= 0.3, "{measured}");
    insta::assert_json_snapshot!(measured, {
        ".started_at" => "[time]", ".elapsed_us" => "[us]", ".cycles_per_second" => "[number]",
        ".lock.count" => "[number]", ".lock.mean_us" => "[number]", ".lock.p50_us" => "[number]",
        ".lock.p90_us" => "[number]", ".lock.p99_us" => "[number]", ".lock.p999_us" => "[number]", ".lock.max_us" => "[number]",
        ".unlock.count" => "[number]", ".unlock.mean_us" => "[number]", ".unlock.p50_us" => "[number]",
        ".unlock.p90_us" => "[number]", ".unlock.p99_us" => "[number]", ".unlock.p999_us" => "[number]", ".unlock.max_us" => "[number]",
    });
    assert_eq!(servers[0].keys(), ["multiredlock-bench:0"]);
    nothing_is_left_on(&servers[1..]);
}

#[test]
fn people_see_a_table_and_where_the_latencies_lie_in_lines_that_fit() {
    let servers = servers(1);
    let text = output_on(&servers, &QUICK);
    let rate = text.lines().next().unwrap();
    assert!(rate.ends_with(" cycles of lock and unlock a second"), "{text}");
    assert_has(&text, "\n16 callers · ");
    assert_has(&text, " · 1 server · ttl 10s\nno lock failed\n");
    assert!(text.contains("\n  p99.9  ") && text.contains('█'), "{text}");
    assert_eq!(text.matches(" 100.000 %").count(), 2, "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 78), "{text}");
    nothing_is_left_on(&servers);
}

#[test]
fn the_tokens_of_fenced_locks_are_removed_as_well() {
    let servers = servers(1);
    // No token may be remembered for as short a time as the second ttl.
    for ttl in ["10s", "1s"] {
        let (code, measured) = json(&servers, &[&QUICK[..], &["--fenced", "--ttl", ttl]].concat());
        assert_eq!((code, &measured["fenced"]), (0, &true.into()));
        assert!(servers[0].calls("time") > 0);
        nothing_is_left_on(&servers);
    }
}

#[test]
fn every_key_has_a_prefix_of_its_own_and_outlives_the_ttl_in_no_case() {
    let servers = servers(1);
    let arguments = "bench --duration 1m --ttl 2s --fenced --key-prefix lock:";
    let arguments: Vec<_> = arguments.split(' ').collect();
    let mut child = start_on(&servers, &arguments);
    let mut keys = Vec::new();
    block_until("it has tokens", || {
        keys = servers[0].keys();
        keys.iter().any(|key| key.contains(":fence:"))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    for key in keys.into_iter().chain(servers[0].keys()) {
        assert!(key.starts_with("lock:multiredlock-bench:"), "{key}");
        let left = servers[0].pttl(&key);
        // An expired key has -2, and one that stays for ever -1.
        assert!(left != -1 && left <= 2_000, "{key} has {left} ms left");
    }
}

#[test]
fn a_minority_that_is_down_does_not_end_it() {
    let servers = servers(3);
    servers[1].crash();
    let (code, measured) = json(&servers, &QUICK);
    assert_eq!((code, &measured["quorums"][0]["reachable"]), (0, &2.into()));
    assert_eq!(measured["unanswered_unlocks"], measured["lock"]["count"]);
    assert_eq!(measured["failed"]["no_quorum"], 0);
}

#[test]
fn without_a_majority_there_is_nothing_to_measure() {
    let servers = servers(3);
    servers[0].crash();
    servers[1].crash();
    let stderr = failure_on(69, &servers, &QUICK);
    assert_has(&stderr, "connection refused");
}

#[test]
fn locks_that_are_all_refused_are_no_measurement() {
    let servers = servers(1);
    servers[0].command(&["CONFIG", "SET", "maxmemory", "1"]);
    let stderr = failure_on(69, &servers, &QUICK);
    assert_has(&stderr, "out of memory");
}

#[test]
fn a_majority_that_goes_away_ends_it() {
    let servers = servers(3);
    let mut child = start_on(&servers, &["bench", "--duration", "1m"]);
    block_until("it locks", || !servers[2].keys().is_empty());
    servers[0].crash();
    servers[1].crash();
    let stderr = ends(&mut child, 69);
    assert_has(&stderr, "no majority of the servers can be reached (");
    block_until("the last server has no key", || servers[2].keys().is_empty());
}

#[test]
fn whoever_ends_it_finds_nothing_left() {
    let servers = servers(3);
    for which in [Signal::SIGTERM, Signal::SIGINT] {
        let mut child = start_on(&servers, &["bench", "--duration", "1m", "--callers", "64"]);
        block_until("it locks", || !servers[0].keys().is_empty());
        signal(&child, which);
        let stderr = ends(&mut child, 128 + which as i32);
        assert_eq!(stderr, format!("multiredlock: ended by {which}\n"));
        nothing_is_left_on(&servers);
    }
}

#[test]
fn a_run_that_is_interrupted_at_the_terminal_tells_what_it_has_so_far() {
    let (servers, folder) = (servers(3), Folder::new());
    let file = folder.path("results");
    let script = format!("exec $M bench --duration 1m > {file}");
    let mut person = Person::starts(&servers, "sh", &["-c", &script]);
    person.sees(" locks, half of them within ");
    person.types("\u{3}");
    person.leaves(130);
    let results = fs::read_to_string(file).unwrap();
    for part in ["ended early: ended by SIGINT", "p99.9", "no lock failed", " 100.000 %"] {
        assert!(results.contains(part), "{part}: {results}");
    }
    nothing_is_left_on(&servers);
}

#[test]
fn what_is_out_of_bounds_is_told_with_the_bound_and_nobody_is_connected_to() {
    let servers = servers(1);
    let before = connections(&servers[0]);
    for [option, value, words] in rows(
        "
        --duration | 99ms | --duration (99ms) must be at least 100ms
        --seconds  | 61s  | --duration (1m 1s) must be at most 1m
        --callers  | 0    | --callers (0) must be at least 1
        --callers  | 1025 | --callers (1025) must be at most 1024
        --ttl      | 61s  | --ttl (1m 1s) must be at most 1m
        --duration | 5    | a duration has a unit
        ",
    ) {
        assert_has(&failure_on(64, &servers, &["bench", option, value]), words);
    }
    assert_eq!(connections(&servers[0]), before + 1);
    let stderr = failure_on(64, &servers, &["bench", "--ttl", "50ms"]);
    assert_has(&stderr, "must exceed the drift");
}

#[test]
fn servers_on_other_machines_are_left_alone_unless_somebody_agrees() {
    let servers = servers(2);
    let before = connections(&servers[0]);
    let list = format!("{},10.255.255.1", addresses(&servers));
    let stderr = failure(64, bare(&["--servers", &list, "bench"]));
    let question = "not on this machine: 10.255.255.1:6379; --yes is needed to bench 16 callers for 5s";
    assert_has(&stderr, question);
    // Nor were the others connected to.
    assert_eq!(connections(&servers[0]), before + 1);
}

/// It leads to this machine as well, but that is not known of it.
fn from_anywhere(server: &RedisServer) -> String {
    format!("redis://0.0.0.0:{}", server.address().port())
}

#[test]
fn who_says_yes_is_not_asked() {
    let servers = servers(1);
    let mut command = bare(&QUICK);
    command.args(["--servers", &from_anywhere(&servers[0]), "--yes"]);
    output(command);
}

#[test]
fn whoever_sits_at_the_terminal_is_asked() {
    let (servers, folder) = (servers(1), Folder::new());
    let (address, file) = (from_anywhere(&servers[0]), folder.path("results"));
    let port = servers[0].address().port();
    let question = format!("bench 2 callers for 100ms on 0.0.0.0:{port}? [y/N]");
    for (answer, expected) in [("n\r", 64), ("\r", 64), ("y\r", 0)] {
        let before = connections(&servers[0]);
        // So that the results do not push what was there before them off the screen.
        let script = format!("exec $M bench --duration 100ms --callers 2 --servers {address} > {file}");
        let mut person = Person::starts(&servers, "sh", &["-c", &script]);
        person.sees(&question);
        person.types(answer);
        let screen = person.leaves(expected);
        let is_left = screen.contains("warming up") || screen.contains("half of them within");
        assert!(!is_left, "the bar is there still: {screen}");
        assert_eq!(connections(&servers[0]) > before + 1, expected == 0, "{answer:?}");
    }
}
