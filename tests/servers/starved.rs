//! A client whose own thread did not run for a while, and servers that answered meanwhile.

use std::thread;

use multiredlock::{
    Redlock, Server,
    event::Event,
    status::{DownReason, Ownership},
};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt;

use crate::support::{LONG, RedisServer, Servers, Together, all_up, connect, is_down, ms, quick, reason};

/// The settings of a client on these servers, trusted or not.
fn settings(servers: &Servers, is_untrusted: bool) -> multiredlock::Builder {
    let server = |server: &RedisServer| {
        let address = server.address();
        let server = Server::new(address.ip().to_string()).port(address.port());
        if is_untrusted { server.untrusted() } else { server }
    };
    quick().servers(servers.iter().map(server))
}

/// Why servers were down since the last time.
async fn troubles(events: &mut multiredlock::event::Events) -> Vec<DownReason> {
    let mut troubles = Vec::new();
    while let Ok(Some(event)) = timeout(ms(100), events.next()).await {
        if let Event::ServerDown { reason, .. } = event {
            troubles.push(reason);
        }
    }
    troubles
}

/// Keeps the runtime's only thread from all else but a turn now and then.
async fn starve(times: u32, turns: u32) {
    for _ in 0..times {
        for _ in 0..turns {
            yield_now().await;
        }
        thread::sleep(ms(150));
    }
}

#[tokio::test]
async fn a_server_whose_answer_was_not_read_in_time_is_not_called_unresponsive() {
    for is_untrusted in [false, true] {
        let servers = Servers::start(3);
        let redlock = connect(settings(&servers, is_untrusted)).await;
        let mut events = redlock.events();
        for _ in 0..3 {
            servers.freeze();
            // A heartbeat is on its way to each of them.
            sleep(ms(300)).await;
            servers.thaw();
            thread::sleep(ms(1_000));
        }
        assert_eq!(troubles(&mut events).await, [], "untrusted: {is_untrusted}");
    }
}

#[tokio::test]
async fn an_unlock_whose_answers_were_not_read_in_time_is_not_called_unknown() {
    for is_untrusted in [false, true] {
        let servers = Servers::start(3);
        let redlock = connect(settings(&servers, is_untrusted).attempt_timeout(ms(500))).await;
        let lock = redlock.lock("console", LONG).await.unwrap();
        servers.all_hold(&lock).await;
        let unlocking = tokio::spawn(redlock.unlock(&lock).counts());
        yield_now().await;
        thread::sleep(ms(700));
        let unlocked = unlocking.await.unwrap();
        assert_eq!(unlocked.removed, 3, "untrusted: {is_untrusted}, {unlocked:?}");
    }
}

#[tokio::test]
async fn a_look_whose_answers_were_not_read_in_time_is_not_called_unclear() {
    for is_untrusted in [false, true] {
        let servers = Servers::start(3);
        let redlock = connect(settings(&servers, is_untrusted).attempt_timeout(ms(500))).await;
        let looking = tokio::spawn(redlock.owner("console"));
        yield_now().await;
        thread::sleep(ms(700));
        let expected = Ok(Ownership::Free);
        assert_eq!(looking.await.unwrap(), expected, "untrusted: {is_untrusted}");
    }
}

#[tokio::test]
async fn a_client_that_hardly_runs_connects_and_stays_connected() {
    for is_untrusted in [false, true] {
        let servers = Servers::start(3);
        let builder = settings(&servers, is_untrusted).heartbeat_timeout(ms(100));
        let redlock = builder.build().unwrap();
        let mut events = redlock.events();
        starve(30, 1).await;
        starve(10, 100).await;
        all_up(&redlock).await;
        assert_eq!(troubles(&mut events).await, [], "untrusted: {is_untrusted}");
    }
}

#[tokio::test]
async fn a_server_that_is_frozen_is_down_soon_although_the_client_was_starved() {
    let servers = Servers::start(3);
    let redlock: Redlock = settings(&servers, false).build().unwrap();
    all_up(&redlock).await;
    servers[0].freeze();
    sleep(ms(300)).await;
    thread::sleep(ms(1_000));
    is_down(&redlock, 0, |reason| *reason == DownReason::Unresponsive).await;
    assert_eq!((reason(&redlock, 1), reason(&redlock, 2)), (None, None));
}
