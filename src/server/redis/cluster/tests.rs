//! How a cluster describes its nodes and slots.

use super::{
    super::{
        link::{RedisLink, To},
        router::Router,
    },
    *,
};
use fred::types::config::Config;
use std::time::Duration;
use tokio::time::timeout;

#[test]
fn a_cluster_is_known_by_its_smallest_node_id() {
    let nodes = "c1 127.0.0.1:1@10001 myself,master - 0 0 1 connected 0-5460\n\
                 a3 127.0.0.1:3@10003 handshake - 0 0 0 connected\n\
                 b2 127.0.0.1:2@10002 slave c1 0 0 1 connected\n";
    assert_eq!(smallest_id(nodes).as_deref(), Some("b2"));
    assert_eq!(smallest_id(&format!("{} x y", "a".repeat(1_000))).unwrap().len(), 64);
    for nothing in ["", "\n", "a", "a b", "OK"] {
        assert_eq!(smallest_id(nothing), None, "{nothing}");
    }
}

#[test]
fn a_cluster_is_whole_if_every_slot_has_a_node() {
    for (ranges, expected) in [
        (vec![(0, 16_383)], true),
        (vec![(8_192, 16_383), (0, 8_191)], true),
        (vec![(0, 9_000), (5, 10), (8_192, 16_383)], true),
        (vec![(0, u16::MAX)], true),
        (vec![], false),
        (vec![(1, 16_383)], false),
        (vec![(0, 16_382)], false),
        (vec![(0, 8_190), (8_192, 16_383)], false),
    ] {
        assert_eq!(is_whole(ranges.clone()), expected, "{ranges:?}");
    }
}

#[test]
fn a_cluster_has_started_when_the_last_of_its_nodes_has() {
    let node = |start: &str, secs| Facts {
        starts: Some(vec![start.into()]),
        uptime: Duration::from_secs(secs),
        ..Facts::default()
    };
    let cluster = facts(&[node("b", 9), node("a", 5), node("c", 7)], Some("id".into()));
    assert_eq!(cluster.starts.unwrap(), ["a", "b", "c"]);
    assert_eq!(cluster.uptime, Duration::from_secs(5));
    assert_eq!(facts(&[node("a", 5), Facts::default()], None).starts, None);
}

#[test]
fn a_cluster_is_what_any_of_its_nodes_is() {
    let node = || Facts {
        run_id: Some("r".into()),
        ..Facts::default()
    };
    let nodes = [
        node(),
        Facts {
            is_replica: true,
            ..node()
        },
        Facts {
            is_loading: true,
            ..node()
        },
    ];
    let facts = facts(&nodes, Some("id".into()));
    assert!(facts.is_replica && facts.is_loading && !facts.is_hidden);
    assert_eq!(facts.run_id.as_deref(), Some("id"));
    assert!(
        super::facts(&[node()], None).is_hidden,
        "it may be another address of the same"
    );
}

/// Aborting a task that is being polled lets it go on until it waits.
#[tokio::test]
async fn nothing_is_sent_and_no_answer_counts_once_the_connections_were_ended() {
    let config = Config {
        server: ServerConfig::new_clustered(vec![("localhost", 1)]),
        ..Config::default()
    };
    let router = Router {
        task: tokio::spawn(std::future::pending()),
        relay: None,
        limit: Duration::from_secs(1),
    };
    let client = Client::new(config, None, None, None);
    let cluster = Cluster::lone(client.clone(), router.handle(), Arc::default());
    let link = RedisLink::new(client, &router, Some(cluster));
    let cluster = link.cluster.as_ref().unwrap();
    let redirected = Error::new(ErrorKind::Routing, "Too many redirections.");
    let given_up = |error: &Error| {
        let place = Place { slot: 0, node: None };
        let (answered, answer) = std::sync::mpsc::channel();
        let then = move |answer| answered.send(answer).unwrap();
        cluster.given_up(error, place, super::super::SOURCE, &link.replies, then);
        answer.recv().unwrap()
    };
    let sent = || timeout(Duration::from_millis(10), link.start(To::Only, "PING", Vec::new()));

    assert!(sent().await.is_err(), "it waits for an answer");
    assert!(matches!(given_up(&redirected), Answer::Rejected(Refusal::Moving)));
    assert!(sent().await.is_ok_and(|answer| answer.is_err()), "it is not sent");
    assert!(matches!(given_up(&redirected), Answer::Lost));
}
