//! Which events each change of a server becomes.

use super::{Events, *};
use crate::config::Server;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread,
};
use tokio_stream::Stream;

fn monitor_of_one() -> Arc<Monitor> {
    let address = Server::parse("memory://a").unwrap().address();
    Arc::new(Monitor::new(&[&[address]]))
}

/// The events that are there already.
fn rest(events: &mut Events) -> Vec<Event> {
    let cx = &mut Context::from_waker(Waker::noop());
    let mut all = Vec::new();
    while let Poll::Ready(Some(event)) = Pin::new(&mut *events).poll_next(cx) {
        all.push(event);
    }
    all
}

/// Asks the monitor for everything whenever it is woken, as an executor does that polls at once.
struct Nosy(Arc<Monitor>);

impl Wake for Nosy {
    fn wake(self: Arc<Self>) {
        let _ = (
            self.0.servers([None].into_iter()),
            self.0.quorums(),
            self.0.is_connected(),
        );
        drop(self.0.subscribe());
        // It reports, too.
        self.0.warn(ServerId(0), Warning::InfoDenied);
    }
}

#[test]
fn those_that_hear_of_an_event_may_poll_at_once() {
    let monitor = monitor_of_one();
    let waker = Waker::from(Arc::new(Nosy(Arc::clone(&monitor))));
    let mut events = Events::new(Arc::clone(&monitor));
    let mut connected = Box::pin(async { monitor.wait_connected().await });
    let (done, is_done) = std::sync::mpsc::channel();
    let cx = &mut Context::from_waker(&waker);
    assert!(Pin::new(&mut events).poll_next(cx).is_pending());
    assert!(connected.as_mut().poll(cx).is_pending());
    let reporting = Arc::clone(&monitor);
    thread::spawn(move || {
        reporting.up(ServerId(0));
        reporting.close();
        done.send(()).unwrap();
    });
    is_done
        .recv_timeout(Duration::from_secs(10))
        .expect("a waker waits for a lock");
    let all = rest(&mut events);
    assert!(
        matches!(all[..2], [Event::ServerUp { .. }, Event::Connected(_)]),
        "{all:?}"
    );
    assert!(
        all.iter().any(|event| matches!(event, Event::Warning { .. })),
        "{all:?}"
    );
}

/// Panics when it is woken.
struct Fragile;

impl Wake for Fragile {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics");
    }
}

#[test]
fn a_waker_that_panics_keeps_no_event_from_others() {
    let monitor = monitor_of_one();
    let mut events = Events::new(Arc::clone(&monitor));
    let waker = Waker::from(Arc::new(Fragile));
    let poll = Pin::new(&mut events).poll_next(&mut Context::from_waker(&waker));
    assert!(poll.is_pending());
    let reporting = Arc::clone(&monitor);
    assert!(thread::spawn(move || reporting.up(ServerId(0))).join().is_err());
    monitor.close();
    let all = rest(&mut events);
    assert!(
        matches!(all[..], [Event::ServerUp { .. }, Event::Connected(_)]),
        "{all:?}"
    );
    assert!(!monitor.is_connected());
}

#[test]
fn a_subscription_between_an_event_and_its_sending_has_it_once() {
    let monitor = monitor_of_one();
    // Another caller is sending.
    monitor.state().is_sending = true;
    monitor.up(ServerId(0));
    let mut events = Events::new(Arc::clone(&monitor));
    monitor.state().is_sending = false;
    monitor.down(ServerId(0), DownReason::ConnectionLost);
    monitor.close();
    let all = rest(&mut events);
    let [up, connected, down, disconnected] = &all[..] else {
        panic!("{all:?}");
    };
    assert!(matches!((up, down), (Event::ServerUp { .. }, Event::ServerDown { .. })));
    assert!(matches!(
        (connected, disconnected),
        (Event::Connected(_), Event::Disconnected(_))
    ));
}

#[test]
fn a_server_belongs_to_its_address_until_the_connection_ends() {
    let addresses: Vec<_> = ["memory://a", "memory://b"]
        .map(|address| Server::parse(address).unwrap().address())
        .into();
    let monitor = Monitor::new(&[&addresses]);
    let run_id = Some("of the server");
    assert_eq!(monitor.identify(ServerId(0), run_id), Ok(()));
    assert_eq!(monitor.identify(ServerId(0), run_id), Ok(()), "it is its own");
    monitor.up(ServerId(0));
    assert_eq!(monitor.identify(ServerId(1), run_id), Err(addresses[0].clone()));
    // Locks are renewed there.
    let ready_in = Duration::from_secs(1);
    monitor.down(ServerId(0), DownReason::Restarted { ready_in });
    assert_eq!(monitor.identify(ServerId(1), run_id), Err(addresses[0].clone()));

    monitor.down(ServerId(0), DownReason::ConnectionLost);
    assert_eq!(monitor.identify(ServerId(1), run_id), Ok(()));
    assert_eq!(monitor.identify(ServerId(0), run_id), Err(addresses[1].clone()));
    // Who does not let us know is not mistaken for another.
    assert_eq!(monitor.identify(ServerId(0), None), Ok(()));
}

#[test]
fn events_and_states_are_printed_in_words() {
    let monitor = monitor_of_one();
    let mut events = Events::new(Arc::clone(&monitor));
    monitor.up(ServerId(0));
    monitor.warn(ServerId(0), Warning::TrackingDenied);
    assert_eq!(monitor.servers([None].into_iter())[0].to_string(), "memory://a is up");
    assert_eq!(ServerState::Up.reason(), None);
    monitor.down(ServerId(0), DownReason::ConnectionLost);
    let status = monitor.servers([None].into_iter()).remove(0);
    assert_eq!(status.to_string(), "memory://a is down: connection lost");
    assert_eq!(status.state.reason(), Some(&DownReason::ConnectionLost));
    let quorum = monitor.quorums()[0];
    let words: Vec<String> = rest(&mut events).iter().map(Event::to_string).collect();
    assert_eq!(
        words,
        [
            "memory://a is up",
            "connected: 1 of 1 servers can vote, 1 required",
            "memory://a: CLIENT TRACKING is denied or missing, so that it tells of no change",
            "memory://a is down: connection lost",
            "disconnected: 0 of 1 servers can vote, 1 required",
        ]
    );
    for (event, words) in [
        (
            Event::GroupConnected(quorum),
            "group 0 connected: 0 of 1 servers can vote, 1 required",
        ),
        (
            Event::GroupDisconnected(quorum),
            "group 0 disconnected: 0 of 1 servers can vote, 1 required",
        ),
        (Event::Lagged { missed: 1 }, "1 event was missed"),
        (Event::Lagged { missed: 2 }, "2 events were missed"),
    ] {
        assert_eq!(event.to_string(), words);
    }
}
