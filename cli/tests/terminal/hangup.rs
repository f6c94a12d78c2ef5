//! Terminals that are closed, or that nobody reads, under the full-screen view.

use crate::{common::servers, pty::Person};
use nix::sys::signal::Signal;
use std::{thread::sleep, time::Duration};

#[test]
fn the_view_ends_with_its_terminal() {
    let servers = servers(1);
    // A shell that ignores SIGHUP hands that on, so that the closed terminal is all that says so.
    for script in ["exec $M watch", "trap '' HUP; exec $M watch"] {
        let mut person = Person::starts(&servers, "sh", &["-c", script]);
        person.sees("connected: 1 of 1 servers can vote, 1 required");
        person.hangs_up();
        person.ends();
    }
}

#[test]
fn signals_and_keys_end_a_view_that_nobody_reads() {
    let servers = servers(1);
    // The terminal is full before the view writes to it for the first time.
    let script = "yes > /dev/tty & sleep 0.5; exec $M watch";
    for ends in [
        |person: &mut Person| person.signal(Signal::SIGTERM),
        |person: &mut Person| person.signal(Signal::SIGINT),
        |person: &mut Person| person.types("q"),
    ] {
        let mut person = Person::starts(&servers, "sh", &["-c", script]);
        person.looks_away();
        sleep(Duration::from_secs(2));
        ends(&mut person);
        person.ends();
    }
}
