//! `watch` without a terminal: a line for each event.

use crate::{
    common::{servers, start_on},
    job::{ends, signal},
};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    process::Child,
};
use test_support::RedisServer;

/// What it prints.
fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap)
}

#[test]
fn each_event_is_a_line_until_it_is_interrupted() {
    let servers = servers(3);
    let mut child = start_on(&servers, &["watch"]);
    let mut lines = lines(&mut child);
    let first: Vec<String> = lines.by_ref().take(4).collect();
    let is_connected = |line: &String| line.contains("Z connected: 2 of 3 servers can vote, 2 required");
    assert!(first.iter().any(is_connected), "{first:?}");
    let is_up = |line: &&String| line.ends_with(" is up");
    assert_eq!(first.iter().filter(is_up).count(), 3, "{first:?}");
    servers[0].crash();
    let next = lines.next().unwrap();
    let down = format!("{} is down: connection lost", servers[0].address());
    assert!(next.ends_with(&down), "{next}");
    signal(&child, Signal::SIGINT);
    ends(&mut child, 0);
}

#[test]
fn events_are_told_as_json() {
    let servers = servers(3);
    let mut child = start_on(&servers, &["watch", "--json"]);
    let mut lines = lines(&mut child);
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
    ends(&mut child, 0);
}

#[test]
fn a_majority_that_was_never_there_is_reported_once_each_server_was_tried() {
    let servers: Vec<_> = (0..3).map(|_| RedisServer::builder().prepare()).collect();
    let words = [
        "Z disconnected: 0 of 3 servers can vote, 2 required",
        "Z connected: 2 of 3 servers can vote",
    ];
    let events = ["\"event\":\"disconnected\"", "\"event\":\"connected\""];
    for (arguments, [disconnected, connected]) in [(&["watch"][..], words), (&["watch", "--json"], events)] {
        let mut child = start_on(&servers, arguments);
        let mut lines = lines(&mut child);
        let first: Vec<String> = lines.by_ref().take(4).collect();
        assert!(first[3].contains(disconnected), "{first:?}");
        if arguments.len() > 1 {
            let told: Value = serde_json::from_str(&first[3]).unwrap();
            assert_eq!(told["quorum"]["reachable"], 0);
        }
        servers[..2].iter().for_each(RedisServer::restart);
        assert!(lines.any(|line| line.contains(connected)));
        servers[..2].iter().for_each(RedisServer::crash);
        signal(&child, Signal::SIGINT);
        ends(&mut child, 0);
    }
}
