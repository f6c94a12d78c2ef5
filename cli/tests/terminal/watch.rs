//! `watch` without a terminal: a line for each event.

use crate::common::{multiredlock, servers, start, start_on};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use test_support::RedisServer;

#[test]
fn each_event_is_a_line_until_it_is_interrupted() {
    let servers = servers(3);
    let mut child = start_on(&servers, &["watch"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first: Vec<String> = lines.by_ref().take(4).collect();
    assert!(
        first
            .iter()
            .any(|line| line.contains("Z connected: 2 of 3 servers, 2 needed")),
        "{first:?}"
    );
    assert_eq!(
        first.iter().filter(|line| line.ends_with(" is up")).count(),
        3,
        "{first:?}"
    );
    servers[0].crash();
    let next = lines.next().unwrap();
    assert!(
        next.ends_with(&format!("{} is down: connection lost", servers[0].address())),
        "{next}"
    );
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn events_are_told_as_json() {
    let servers = servers(3);
    let mut child = start_on(&servers, &["watch", "--json"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut told = |count: usize| -> Vec<Value> {
        let lines = lines.by_ref().take(count);
        lines.map(|line| serde_json::from_str(&line).unwrap()).collect()
    };
    told(4);
    servers[0].crash();
    servers[1].crash();
    let mut events = Vec::new();
    while !events.iter().any(|event: &Value| event["event"] == "disconnected") {
        events.extend(told(1));
    }
    let told: Vec<Value> = events
        .into_iter()
        .filter(|event| event["event"] == "disconnected" || event["reason"] == "connection lost")
        .take(3)
        .collect();
    let mut names: Vec<&Value> = told.iter().map(|event| &event["event"]).collect();
    names.dedup();
    assert_eq!(names, ["server_down", "disconnected"]);
    insta::assert_json_snapshot!(told, { "[].at" => "[time]", "[].server" => "[address]" });
    drop(child.stdin.take());
    // Whoever read it is gone.
    drop(lines);
    servers[0].restart();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_majority_that_was_never_there_is_reported_once_each_server_was_tried() {
    let servers: Vec<_> = (0..3).map(|_| RedisServer::builder().prepare()).collect();
    for json in [false, true] {
        let mut command = multiredlock(&servers, &["watch"]);
        if json {
            command.arg("--json");
        }
        let mut child = start(&command);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let first: Vec<String> = lines.by_ref().take(4).collect();
        let state = if json {
            "\"event\":\"disconnected\""
        } else {
            "Z disconnected: 0 of 3 servers, 2 needed"
        };
        assert!(first[3].contains(state), "{first:?}");
        if json {
            let told: Value = serde_json::from_str(&first[3]).unwrap();
            assert_eq!(told["quorum"]["reachable"], 0);
        }
        servers[0].restart();
        servers[1].restart();
        let connected = if json {
            "\"event\":\"connected\""
        } else {
            "Z connected: 2 of 3 servers"
        };
        assert!(lines.any(|line| line.contains(connected)));
        servers[0].crash();
        servers[1].crash();
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}
