//! What subscribers are told.

use crate::support::{Together, builder, eventually, ms, secs, servers_and, servers_and_client, start, up};
use multiredlock::{
    Redlock,
    error::{Closed, WaitConnectedError},
    event::Event,
    status::{DownReason, ServerState},
    testing::MemoryServer,
};
use std::{future::poll_fn, pin::pin, task::Poll};
use test_support::{assert_matches, extract};
use tokio::time::Instant;
use tokio_stream::{Stream, StreamExt};

/// What a stream has for now.
async fn drain<S: Stream + Unpin>(stream: &mut S) -> Vec<S::Item> {
    let mut items = Vec::new();
    while let Ok(Some(item)) = tokio::time::timeout(ms(1), stream.next()).await {
        items.push(item);
    }
    items
}

#[tokio::test(start_paused = true)]
async fn each_crossing_of_the_majority_is_told_exactly_once() {
    for count in 1..=5 {
        let servers = start(count);
        let redlock = builder(&servers).reconnect(ms(1), ms(1)).build().unwrap();
        let (mut connected, mut disconnected) = (redlock.connected(), redlock.disconnected());
        up(&redlock, count).await;
        for attempt in 0..3 {
            for (left, server) in servers
                .iter()
                .enumerate()
                .map(|(gone, server)| (count - gone - 1, server))
            {
                server.crash();
                up(&redlock, left).await;
            }
            for (back, server) in servers.iter().enumerate() {
                server.restart();
                up(&redlock, back + 1).await;
            }
            let told = (drain(&mut connected).await.len(), drain(&mut disconnected).await.len());
            let expected = (if attempt == 0 { 2 } else { 1 }, 1);
            assert_eq!(told, expected, "{count} servers, attempt {attempt}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_subscriber_is_given_the_state_that_holds() {
    let (servers, redlock) = servers_and_client(3).await;
    let quorum = redlock.connected().next().await.unwrap();
    assert_eq!((quorum.reachable, quorum.needed, quorum.servers), (3, 2, 3));
    assert_eq!(drain(&mut redlock.disconnected()).await, []);

    servers[..2].crash();
    up(&redlock, 1).await;
    assert!(!redlock.is_connected());
    assert_eq!(drain(&mut redlock.connected()).await, []);
    assert_eq!(redlock.disconnected().next().await.unwrap().reachable, 1);
    let events = drain(&mut redlock.events()).await;
    let down = |event: &&Event| matches!(event, Event::ServerDown { .. });
    assert_eq!(events.iter().filter(down).count(), 2);
    assert_matches!(events.last(), Some(Event::Disconnected(_)));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_before_a_majority_was_reached_for_the_first_time() {
    let servers = start(3);
    servers[..2].crash();
    let redlock = builder(&servers).build().unwrap();
    up(&redlock, 1).await;
    assert_eq!(drain(&mut redlock.connected()).await, []);
    assert_eq!(drain(&mut redlock.disconnected()).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_server_is_down_after_a_heartbeat_and_up_again_when_it_goes_on() {
    let (servers, redlock) = servers_and_client(1).await;
    servers[0].freeze();
    let before = tokio::time::Instant::now();
    redlock.disconnected().next().await.unwrap();
    assert!(before.elapsed() <= secs(2), "an interval and a timeout, 1 s each");
    assert_eq!(redlock.servers()[0].state, ServerState::Down(DownReason::Unresponsive));
    servers[0].thaw();
    up(&redlock, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_sleeps_is_given_the_state_that_holds_and_costs_bounded_memory() {
    let (servers, redlock) = servers_and(1, |builder| builder.reconnect(ms(1), ms(1))).await;
    let mut sleeper = redlock.events();
    let mut connected = redlock.connected();
    for _ in 0..1_000 {
        servers[0].crash();
        up(&redlock, 0).await;
        servers[0].restart();
        up(&redlock, 1).await;
    }
    servers[0].crash();
    up(&redlock, 0).await;
    let events = drain(&mut sleeper).await;
    assert!(events.len() < 300, "{}", events.len());
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::Lagged { missed, .. } if *missed > 1_000))
    );
    let crossing = |event: &&Event| matches!(event, Event::Connected(_) | Event::Disconnected(_));
    assert_matches!(events.iter().rfind(crossing), Some(Event::Disconnected(_)));
    // It holds no longer, so it is not told.
    assert_eq!(drain(&mut connected).await.len(), 1, "the state at the subscription");
    servers[0].restart();
    assert_eq!(drain(&mut connected).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_was_slow_is_given_the_number_of_events_that_it_missed() {
    for attempts in [129, 200, 1_000] {
        let (servers, redlock) = servers_and(1, |builder| builder.reconnect(ms(1), ms(1))).await;
        let (mut slow, mut quick) = (redlock.events(), redlock.events());
        assert_eq!((drain(&mut slow).await.len(), drain(&mut quick).await.len()), (2, 2));
        // The next count begins where the one before it ended.
        for time in ["first", "second"] {
            let mut happened = 0;
            for _ in 0..attempts {
                servers[0].crash();
                up(&redlock, 0).await;
                servers[0].restart();
                up(&redlock, 1).await;
                happened += drain(&mut quick).await.len() as u64;
            }
            let lagged = drain(&mut slow).await.remove(0);
            let missed = extract!(lagged, Event::Lagged { missed, .. } => missed);
            assert_eq!(missed, happened, "{attempts} attempts, {time} time");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_connection_ends_with_it_or_with_the_client() {
    let servers = start(3);
    servers.crash();
    let redlock = builder(&servers).build().unwrap();
    let waiter = tokio::spawn(redlock.wait_connected());
    servers[..2].restart();
    assert_eq!(waiter.await.unwrap(), Ok(()));
    assert!(redlock.is_connected());
    redlock.close().await;
    assert_eq!(redlock.wait_connected().await, Err(Closed));
    assert!(!redlock.is_connected());
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_majority_that_times_out_names_the_limit_and_why_each_server_is_down() {
    let servers = ["a", "b", "c", "d"].map(MemoryServer::named);
    servers[0].crash();
    servers[1].freeze();
    let builder = Redlock::builder().servers(&servers[..3]).heartbeat_timeout(secs(1));
    let redlock = builder.clone().build().unwrap();
    let started = Instant::now();
    let error = redlock.wait_connected().timeout(secs(5)).await.unwrap_err();
    assert_eq!(started.elapsed(), secs(5));
    assert_eq!(
        error.to_string(),
        "no majority of the servers could be reached within 5s: 1 of 3 servers can vote, 2 required \
         (memory://a: connection refused; memory://b: no answer while connecting)"
    );
    let waiter = tokio::spawn(redlock.wait_connected().timeout(secs(60)));
    servers[1].thaw();
    assert_eq!(waiter.await.unwrap(), Ok(()));
    // A majority that is there already needs no time.
    assert_eq!(redlock.wait_connected().timeout(secs(0)).await, Ok(()));

    let several = builder.group([&servers[3]]).build().unwrap();
    several.wait_connected().await.unwrap();
    servers[3].crash();
    several.disconnected().recv().await;
    let error = several.wait_connected().timeout(secs(5)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no majority of the servers could be reached within 5s: 0 of 1 servers can vote, 1 required in group 1 \
         (memory://a: connection refused; memory://d: connection refused)"
    );
    let waiter = tokio::spawn(several.wait_connected().timeout(secs(60)));
    drop(several);
    let error = waiter.await.unwrap().unwrap_err();
    assert_eq!(error, WaitConnectedError::from(Closed));
    assert_eq!(error.to_string(), "the client is closed");
}

#[tokio::test(start_paused = true)]
async fn events_are_received_in_the_order_of_the_stream() {
    let (servers, redlock) = servers_and_client(3).await;
    let (mut events, mut disconnected) = (redlock.events(), redlock.disconnected());
    let seen: Vec<Event> = redlock.events().take(4).collect().await;
    for event in seen {
        assert_eq!(events.recv().await, Some(event));
    }
    let is_pending = poll_fn(|cx| Poll::Ready(pin!(events.recv()).poll(cx).is_pending())).await;
    assert!(is_pending, "the state was told");
    servers[..2].crash();
    let quorum = disconnected.recv().await.unwrap();
    let mut told = Vec::new();
    while !matches!(told.last(), Some(Event::Disconnected(_))) {
        told.push(events.recv().await.unwrap());
    }
    let words: Vec<String> = told.iter().map(Event::to_string).collect();
    let [first, second, lost] = &words[..] else {
        panic!("{words:?}")
    };
    for down in [first, second] {
        assert!(down.ends_with(" is down: connection lost"), "{words:?}");
    }
    assert_eq!(*lost, format!("disconnected: {quorum}"));
    redlock.close().await;
    while events.recv().await.is_some() {}
    assert_eq!(disconnected.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn one_server_is_not_configured_twice() {
    let server = MemoryServer::named("twice");
    let others = start(2);
    let error = Redlock::builder()
        .servers([&server, &server, &others[0]])
        .build()
        .unwrap_err();
    assert_eq!(error.to_string(), "server memory://twice is configured twice");
}

#[tokio::test(start_paused = true)]
async fn every_stream_ends_when_the_client_is_closed_or_dropped() {
    for close in [true, false] {
        let (_servers, redlock) = servers_and_client(3).await;
        let mut streams = (redlock.connected(), redlock.disconnected(), redlock.events());
        if close {
            redlock.close().await;
        } else {
            drop(redlock);
        }
        while streams.0.next().await.is_some() {}
        while streams.1.next().await.is_some() {}
        while streams.2.next().await.is_some() {}
    }
}

#[tokio::test(start_paused = true)]
async fn servers_tell_why_they_are_down_and_how_fast_they_are() {
    let servers = start(3);
    servers[2].crash();
    let redlock = builder(&servers).build().unwrap();
    eventually("all were tried", async || {
        redlock
            .servers()
            .iter()
            .all(|server| server.state != ServerState::Down(DownReason::NotYet))
    })
    .await;
    servers[0].delay(ms(7));
    tokio::time::sleep(secs(3)).await;
    let status = redlock.servers();
    assert_eq!(status[0].round_trip, Some(ms(7)));
    assert!(status[0].unchanged_for >= secs(2));
    assert_eq!(status[2].state, ServerState::Down(DownReason::ConnectionRefused));
    assert_eq!(status[2].round_trip, None);
    assert_eq!(status[1].address.to_string(), servers[1].server().address().to_string());
}
