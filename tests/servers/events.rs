//! What a user is told about the servers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use multiredlock::{
    Redlock,
    event::{Event, Warning},
    status::{DownReason, Quorum, ServerState},
};
use test_support::assert_matches;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::{Stream, StreamExt};

use crate::support::{
    FakeServer, Manner, RedisServer, Servers, Together, all_up, client, eventually, finishes, is_down, reason,
    servers_and_client, up,
};

#[tokio::test(flavor = "multi_thread")]
async fn one_to_five_servers_cross_the_majority_once_each_way() {
    for count in 1..=5 {
        tells_each_crossing_once(count).await;
    }
}

/// Starts the servers one by one, stops them one by one, and starts them again.
async fn tells_each_crossing_once(count: usize) {
    let servers = Servers::down(count);
    let redlock = servers.redlock();
    let connected = collect(redlock.connected());
    let disconnected = collect(redlock.disconnected());
    let events = collect(redlock.events());
    let needed = count / 2 + 1;

    for (already, server) in servers.iter().enumerate() {
        server.restart();
        is_told(&redlock, already + 1, needed).await;
    }
    for (gone, server) in servers.iter().enumerate() {
        server.crash();
        is_told(&redlock, count - gone - 1, needed).await;
    }
    for (already, server) in servers.iter().enumerate() {
        server.restart();
        is_told(&redlock, already + 1, needed).await;
    }
    // The streams end with the client, so nothing can follow what was collected.
    redlock.close().await;

    let reached = [needed, needed].map(|reachable| (reachable, needed, count));
    assert_eq!(numbers(connected.await.unwrap()), reached, "{count} servers");
    assert_eq!(numbers(disconnected.await.unwrap()), [(needed - 1, needed, count)]);
    let (crossings, per_server) = sort(finishes("the events", events).await.unwrap());
    assert_eq!(crossings, ["connected", "disconnected", "connected"], "{count} servers");
    assert_eq!(per_server.len(), count);
    for (server, mut told) in per_server {
        assert!(
            told.is_sorted_by(|one, next| one != next),
            "nothing is told twice: {told:?}"
        );
        // A server may be down for one reason after another, and before its first start, too.
        told.dedup_by_key(|reason| reason.is_none());
        let told: Vec<_> = told.iter().map(Option::is_none).collect();
        assert_eq!(
            told.strip_prefix(&[false]).unwrap_or(told.as_slice()),
            [true, false, true],
            "{server}"
        );
    }
}

async fn is_told(redlock: &Redlock, servers_up: usize, needed: usize) {
    eventually("the server's new state is known", async || up(redlock) == servers_up).await;
    eventually("and whether that is a majority", async || {
        redlock.is_connected() == (servers_up >= needed)
    })
    .await;
}

fn collect<T: Send + 'static>(stream: impl Stream<Item = T> + Send + 'static) -> JoinHandle<Vec<T>> {
    tokio::spawn(stream.collect())
}

fn numbers(quorums: Vec<Quorum>) -> Vec<(usize, usize, usize)> {
    quorums
        .into_iter()
        .map(|quorum| (quorum.reachable, quorum.needed, quorum.servers))
        .collect()
}

/// The crossings of the majority, and for each server why it was told to be down, or nothing when it was up.
fn sort(events: Vec<Event>) -> (Vec<&'static str>, BTreeMap<String, Vec<Option<DownReason>>>) {
    let mut crossings = Vec::new();
    let mut per_server = BTreeMap::<_, Vec<_>>::new();
    for event in events {
        match event {
            Event::Connected(_) => crossings.push("connected"),
            Event::Disconnected(_) => crossings.push("disconnected"),
            Event::ServerUp { server, .. } => per_server.entry(server.to_string()).or_default().push(None),
            Event::ServerDown { server, reason, .. } => {
                per_server.entry(server.to_string()).or_default().push(Some(reason));
            }
            Event::Warning { .. } => {}
            other => panic!("nothing else happened, but {other:?}"),
        }
    }
    (crossings, per_server)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_subscriber_is_told_the_current_state_first() {
    let (servers, redlock) = servers_and_client(3).await;

    let told = finishes("the current state", redlock.connected().next()).await.unwrap();
    assert!(told.is_reached());

    servers.crash();
    eventually("the majority is lost", async || !redlock.is_connected()).await;
    let told = finishes("the current state", redlock.disconnected().next())
        .await
        .unwrap();
    assert!(!told.is_reached());

    // The state that does not hold is not replayed: the next item is the next crossing.
    let mut connected = redlock.connected();
    servers.restart();
    let told = finishes("the next crossing", connected.next()).await.unwrap();
    assert!(told.is_reached());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_is_down_until_it_thaws() {
    let (servers, redlock) = servers_and_client(3).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let mut events = redlock.events();
    let log = told.clone();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            match event {
                Event::ServerDown { reason, .. } => log.lock().unwrap().push(Some(reason)),
                Event::ServerUp { .. } => log.lock().unwrap().push(None),
                _ => {}
            }
        }
    });

    servers[1].freeze();
    eventually("it is down", async || up(&redlock) == 2).await;
    assert_eq!(reason(&redlock, 1), Some(DownReason::Unresponsive));
    assert!(redlock.is_connected(), "the other two are a majority");
    servers[1].thaw();
    all_up(&redlock).await;

    eventually("both are told", async || {
        let told = told.lock().unwrap();
        told.contains(&Some(DownReason::Unresponsive)) && told.last() == Some(&None)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_majority_disconnects_until_it_thaws() {
    let (servers, redlock) = servers_and_client(3).await;
    let mut disconnected = redlock.disconnected();
    servers[0].freeze();
    servers[2].freeze();

    let told = finishes("the crossing", disconnected.next()).await.unwrap();
    assert_eq!(numbers(vec![told]), [(1, 2, 3)]);
    servers[0].thaw();
    servers[2].thaw();

    finishes("the majority is back", redlock.wait_connected())
        .await
        .unwrap();
    all_up(&redlock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_to_be_connected_ends_with_the_majority() {
    let servers = Servers::down(3);
    let redlock = servers.redlock();
    let waiting = tokio::spawn(redlock.wait_connected());

    servers[2].restart();
    eventually("one server is up", async || up(&redlock) == 1).await;
    assert!(!waiting.is_finished(), "one of three is no majority");
    servers[1].restart();

    finishes("the majority", waiting).await.unwrap().unwrap();
    finishes("it is there already", redlock.wait_connected()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_server_is_listed_with_its_state_in_the_order_given() {
    let (servers, redlock) = servers_and_client(3).await;
    servers[1].crash();
    is_down(&redlock, 1, |reason| *reason == DownReason::ConnectionRefused).await;

    let listed = redlock.servers();
    let addresses: Vec<_> = listed.iter().map(|server| server.address.to_string()).collect();
    for (address, server) in addresses.iter().zip(servers.iter()) {
        assert!(
            address.contains(&server.address().to_string()),
            "{address} is not {}",
            server.address()
        );
    }
    assert_eq!(listed[0].state, ServerState::Up);
    assert_eq!(listed[2].state, ServerState::Up);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_has_a_round_trip_time() {
    let (_servers, redlock) = servers_and_client(1).await;
    eventually("it is measured", async || redlock.servers()[0].round_trip.is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_does_not_wait_for_servers_to_be_built() {
    let silent = FakeServer::start(Manner::Silent).await;
    let redlock = client([silent.url()]);
    assert!(!redlock.is_connected());
    assert_eq!(up(&redlock), 0);
}

/// The warnings that a client gives about its one server.
pub(crate) async fn warnings(server: &RedisServer, url: String, disturb: impl FnOnce(&RedisServer)) -> Vec<Warning> {
    let redlock = client([url]);
    let mut events = redlock.events();
    all_up(&redlock).await;
    disturb(server);
    let mut warnings = Vec::new();
    while let Ok(Some(event)) = timeout(Duration::from_secs(1), events.next()).await {
        if let Event::Warning { warning, .. } = event {
            warnings.push(warning);
        }
    }
    warnings
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_a_server_less_trustworthy_is_a_warning() {
    let commands = "+ping +time +client|id +client|tracking +eval +evalsha +set +get +pttl +pexpire +del";
    let untold = commands.replace(" +client|tracking", "");
    let server = RedisServer::builder()
        .user("blind", &format!("on >secret ~* -@all {commands}"))
        .user("powerless", &format!("on >secret ~* -@all {commands} +info"))
        // Redis 6 can give a part of a command, and take none away.
        .user("deaf", &format!("on >secret ~* -@all {untold} +info"))
        .user(
            "nameless",
            &format!(
                "on >secret ~* -@all {} +info +client|kill",
                commands.replace(" +client|id", "")
            ),
        )
        .user("timeless", &format!("on >secret ~* -@all {commands} +info -time"))
        .start();
    let url = |user| server.url_as(&format!("{user}:secret"));

    let nothing = |_: &RedisServer| ();
    assert_eq!(warnings(&server, server.url(), nothing).await, []);
    assert_eq!(warnings(&server, url("blind"), nothing).await, [Warning::InfoDenied]);
    // It may be another process, in which the id of our previous connection is another client's.
    let reconnected = warnings(&server, url("blind"), RedisServer::kill_clients).await;
    let both = [Warning::InfoDenied, Warning::OldConnectionLives];
    assert_eq!(reconnected, [&[Warning::InfoDenied], &both[..]].concat());
    let reconnected = warnings(&server, url("powerless"), RedisServer::kill_clients).await;
    assert_eq!(reconnected, [Warning::OldConnectionLives]);

    // A connection that cannot be named cannot be ended.
    let reconnected = warnings(&server, url("nameless"), RedisServer::kill_clients).await;
    assert_eq!(reconnected, [Warning::OldConnectionLives]);

    for (user, warning) in [("timeless", Warning::TimeDenied), ("deaf", Warning::TrackingDenied)] {
        assert_eq!(warnings(&server, url(user), nothing).await, [warning], "{user}");
    }

    server.command(&["CONFIG", "SET", "maxmemory", "100mb"]);
    server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let found = warnings(&server, server.url(), nothing).await;
    assert_matches!(&found[..], [Warning::Eviction { policy, .. }] if policy == "allkeys-lru");
}
