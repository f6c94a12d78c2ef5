//! That renewals of one lock reach all servers in one order, from whichever threads they come.

use super::Servers;
use crate::{
    config::Server,
    decision::{Drift, Patience, Ttl},
    group::AttemptOptions,
    resource::Resources,
    server::{
        Subject,
        link::{Answer, Link, Outcome},
        wire_double::Wire,
    },
};
use std::{
    future::Future,
    pin::pin,
    sync::{Arc, Barrier},
    task::{Context, Waker},
    thread,
    time::Duration,
};
use tokio::{runtime, time::Instant};

/// Answers all commands, and returns the TTLs that they carried, in the order in which the server receives them.
fn ttls(wire: &Wire) -> Vec<Duration> {
    let mut ttls = Vec::new();
    while !wire.is_empty() {
        let command = wire.next();
        assert!(wire.is_empty(), "one command is under way at a time");
        ttls.extend(command.operations.iter().map(|operation| operation.ttl()));
        let outcomes = vec![Outcome::Done; command.operations.len()];
        command.answer(Answer::Outcomes(outcomes));
    }
    ttls
}

/// Two threads renew a lock, and each server's commands are returned by their TTLs.
fn renewed_by_two_threads() -> Vec<Vec<Duration>> {
    /// Too few for a second command, and enough for the threads to meet.
    const RENEWALS: u64 = 60;

    let addresses = ["a", "b", "c"].map(|name| Server::memory(name).address());
    let servers = Servers::new("id".into(), addresses.into(), Arc::default());
    let wires: Vec<_> = servers.pipelines.iter().map(|_| Arc::new(Wire::default())).collect();
    for (pipeline, wire) in servers.pipelines.iter().zip(&wires) {
        pipeline.attach(Arc::clone(wire) as Arc<dyn Link>, None, false);
        // A short way: one command at a time.
        pipeline.heard(Duration::ZERO);
    }
    let start = Barrier::new(2);
    let subject = Subject::new(Resources::from(b"r"), "v");
    thread::scope(|scope| {
        for thread in [1, 2] {
            let (servers, subject, start) = (&servers, &subject, &start);
            scope.spawn(move || {
                let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
                let _entered = runtime.enter();
                start.wait();
                for number in 0..RENEWALS {
                    let ttl = Duration::from_secs(thread * RENEWALS + number);
                    let options = AttemptOptions {
                        ttl: Ttl::new(ttl, Drift::default()).unwrap(),
                        patience: Patience::Set(Duration::from_secs(60)),
                        fence_expiry: None,
                        since: Instant::now(),
                    };
                    let mut renewal = pin!(servers.renew(subject.clone(), None, options));
                    // It is submitted at the first poll.
                    let _ = renewal.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                }
            });
        }
    });
    wires.iter().map(|wire| ttls(wire)).collect()
}

#[test]
fn renewals_of_one_lock_from_two_threads_reach_all_servers_in_the_same_order() {
    for _ in 0..300 {
        let orders = renewed_by_two_threads();
        assert_eq!(orders[0].len(), 120);
        assert!(orders[0] == orders[1] && orders[1] == orders[2], "{orders:?}");
    }
}
