//! What is said without a terminal while one waits.

use crate::{
    common::{Folder, assert_has, assert_lacks, bare, failure, held_by_another, servers, start, start_on},
    job::{ends, signal},
};
use nix::sys::signal::Signal;
use std::{
    fs,
    net::TcpListener,
    process::Child,
    sync::mpsc::{Receiver, channel},
    thread::{sleep, spawn},
    time::{Duration, Instant},
};
use test_support::RedisServer;

/// How often a line may be written at the most.
const PACE: Duration = Duration::from_secs(10);

/// The lines of standard error, with when they came.
fn lines(child: &mut Child) -> Receiver<(Instant, String)> {
    let (sender, lines) = channel();
    let stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    spawn(move || {
        for line in std::io::BufRead::lines(stderr).map_while(Result::ok) {
            let _ = sender.send((Instant::now(), line));
        }
    });
    lines
}

fn next(lines: &Receiver<(Instant, String)>) -> (Instant, String) {
    lines.recv_timeout(4 * PACE).expect("there is a line")
}

fn hold(servers: &[RedisServer], value: &str) {
    for server in servers {
        server.command(&["SET", "r", value, "PX", "60000"]);
    }
}

#[test]
fn a_line_is_written_when_the_holder_changes_and_at_most_one_in_ten_seconds() {
    let servers = servers(3);
    let value = held_by_another(&servers);
    let mut child = start_on(&servers, &["run", "r", "--", "true"]);
    let lines = lines(&mut child);
    let (first, line) = next(&lines);
    assert_has(&line, "waiting for `r`: held by web-3 since ");
    for i in 4..=8 {
        hold(&servers, &value.replace("web-3", &format!("web-{i}")));
        sleep(Duration::from_secs(1));
    }
    let (at, line) = next(&lines);
    assert_has(&line, "waiting for `r`: held by web-8 since ");
    assert!(at.duration_since(first) > PACE.mul_f32(0.9));
    signal(&child, Signal::SIGTERM);
    ends(&mut child, 128 + 15);
    let rest: Vec<_> = lines.iter().collect();
    assert_eq!(rest.len(), 1, "{rest:?}");
}

#[test]
fn why_no_majority_is_reached_is_kept_up_to_date() {
    let servers = servers(3);
    servers[1..].iter().for_each(RedisServer::crash);
    let mut child = start_on(&servers, &["run", "r", "--", "true"]);
    let lines = lines(&mut child);
    let (_, line) = next(&lines);
    assert_eq!(line.matches(": connection refused").count(), 2, "{line}");
    servers[0].crash();
    let (_, line) = next(&lines);
    assert_has(&line, &servers[0].address().to_string());
    signal(&child, Signal::SIGTERM);
    ends(&mut child, 128 + 15);
}

#[test]
fn what_is_not_known_yet_is_not_said() {
    // They accept connections, and say nothing.
    let listeners: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let address = |listener: &TcpListener| format!("redis://{}", listener.local_addr().unwrap());
    let addresses = listeners.iter().map(address).collect::<Vec<_>>().join(",");
    let mut child = start(&bare(&["--servers", &addresses, "run", "r", "--", "true"]));
    let lines = lines(&mut child);
    let (_, line) = next(&lines);
    assert_has(&line, "no answer");
    assert_lacks(&line, "not connected yet");
    signal(&child, Signal::SIGTERM);
    ends(&mut child, 128 + 15);
}

#[test]
fn the_file_says_how_long_to_wait_unless_an_argument_does() {
    let servers = servers(3);
    let _value = held_by_another(&servers);
    let folder = Folder::new();
    let file = folder.path("locks.toml");
    let urls: Vec<_> = servers.iter().map(RedisServer::url).collect();
    fs::write(&file, format!("servers = {urls:?}\nacquire_timeout = \"300ms\"\n")).unwrap();
    for (arguments, limit) in [(&[][..], "300ms"), (&["--wait", "200ms"], "200ms")] {
        let words = [&["--config", &file, "lock", "r"], arguments].concat();
        let line = failure(75, bare(&words));
        assert_has(&line, &format!("could not lock `r` within {limit}"));
    }
}
