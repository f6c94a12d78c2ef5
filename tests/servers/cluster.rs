//! A cluster is one server of a quorum, whatever happens among its nodes.

use std::time::{Duration, Instant};

use multiredlock::{
    LockError, Redlock, RenewError,
    error::{Refusal, Vote},
    event::{Event, Warning},
    status::DownReason,
};
#[cfg(feature = "tls")]
use multiredlock::{Server, Tls};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;

use crate::access::works;
use crate::events::warnings;
#[cfg(feature = "tls")]
use crate::support::Certificates;
use crate::support::{
    LONG, RedisCluster, RedisServer, RedisServerBuilder, Servers, Together, all_up, assert_matches, client, connect,
    eventually, extract, finishes, is_down, lock_and_unlock, ms, one_is_given_twice, patient, quick, reason, up,
};

/// A cluster and two servers, and a client that has reached them all.
async fn three() -> (RedisCluster, Servers, Redlock) {
    let (cluster, servers) = (RedisCluster::start(3), Servers::start(2));
    let redlock = connect(quick().servers([cluster.url(), servers[0].url(), servers[1].url()])).await;
    (cluster, servers, redlock)
}

/// A cluster of so many nodes, and a client that has reached it.
async fn nodes(count: u16) -> (RedisCluster, Redlock) {
    let cluster = RedisCluster::start(count);
    let redlock = alone(&cluster).await;
    (cluster, redlock)
}

async fn alone(cluster: &RedisCluster) -> Redlock {
    connect(quick().servers([cluster.url()])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_votes_as_one_of_three() {
    let (cluster, servers, redlock) = three().await;
    assert!(
        redlock.servers()[0]
            .address
            .as_str()
            .starts_with("redis-cluster://127.0.0.1:")
    );
    works(&redlock, 3).await;
    let lock = redlock.lock("console", LONG).await.unwrap();
    eventually("the cluster has the key", async || cluster.holds(&lock)).await;
    servers.all_hold(&lock).await;

    assert_matches!(redlock.try_lock("console", LONG).await, Err(LockError::Held { .. }));

    assert_eq!(finishes("the unlock", redlock.unlock(&lock).counts()).await.removed, 3);
    cluster.empty().await;
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_are_spread_over_the_nodes() {
    let (cluster, redlock) = nodes(3).await;

    let mut tasks = JoinSet::new();
    for number in 0..300 {
        let redlock = redlock.clone();
        tasks.spawn(async move { redlock.lock(format!("resource {number}"), LONG).await.unwrap() });
    }
    let locks = finishes("the locks", tasks.join_all()).await;

    assert_eq!(cluster.keys().len(), 300);
    for node in cluster.iter() {
        assert!(node.keys().len() > 50, "{:?}", node.keys());
    }
    for lock in &locks {
        redlock.unlock(lock);
    }
    cluster.empty().await;
    assert_eq!(up(&redlock), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_fights_for_a_resource_leaves_no_key() {
    let (cluster, redlock) = nodes(2).await;
    let mut tasks = JoinSet::new();
    for task in 0..16 {
        let redlock = redlock.clone();
        tasks.spawn(async move {
            for attempt in 0..50 {
                let resource = format!("resource {}", (task + attempt) % 5);
                // Some of these give up in the middle of an attempt.
                let limit = Duration::from_micros(200 * (attempt % 10));
                let lock = redlock.lock(resource, LONG).retry(patient());
                if let Ok(lock) = tokio::time::timeout(limit, lock).await {
                    redlock.unlock(&lock.unwrap());
                }
            }
        });
    }
    finishes("all of them", tasks.join_all()).await;
    cluster.empty().await;
    works(&redlock, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_resources_have_to_be_in_one_slot() {
    let (cluster, servers, redlock) = three().await;
    let apart = [cluster.resource_at(0), cluster.resource_at(1)];
    let lock = redlock.lock(&apart, LONG).await.unwrap();
    servers.each("it has both", |server| server.keys().len() == 2).await;
    assert!(cluster.keys().is_empty(), "{:?}", cluster.keys());
    assert_eq!(finishes("the unlock", redlock.unlock(&lock).counts()).await.removed, 2);

    let alone = alone(&cluster).await;
    let refused = alone.try_lock(&apart, LONG).await.unwrap_err();
    assert_matches!(&refused, LockError::Refused { .. });
    assert!(refused.to_string().contains("CROSSSLOT"), "{refused}");

    let together = ["{tag}a", "{tag}b", "{tag}c"];
    let lock = redlock.lock(together, LONG).await.unwrap();
    eventually("the cluster has the keys", async || cluster.keys().len() == 3).await;
    let lock = redlock.renew(&lock, LONG).await.unwrap();
    assert_eq!(finishes("the unlock", redlock.unlock(&lock).counts()).await.removed, 3);
    cluster.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_moved_since_is_followed() {
    slots_are_followed(&RedisCluster::start(3)).await;
}

/// A redirection names such an address without brackets.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_moved_to_an_ipv6_address_is_followed() {
    if let Some(cluster) = RedisCluster::start_if_there_is_ipv6(3) {
        slots_are_followed(&cluster).await;
    }
}

async fn slots_are_followed(cluster: &RedisCluster) {
    let redlock = alone(cluster).await;
    let start = Instant::now();
    let console = cluster.resource_at(0);
    let mut home = 0;
    let mut move_on = || {
        let next = (home + 1) % 3;
        cluster.move_slot(cluster.slot(&console), home, next);
        home = next;
    };
    for _ in 0..3 {
        move_on();
        let lock = redlock.try_lock(&*console, LONG).await.unwrap();
        move_on();
        let lock = redlock.renew(&lock, LONG).await.unwrap();
        move_on();
        assert_matches!(redlock.try_lock(&*console, LONG).await, Err(LockError::Held { .. }));
        move_on();
        let unlocked = finishes("the unlock", redlock.unlock(&lock).counts()).await;
        assert_eq!((unlocked.removed, unlocked.unreachable), (1, 0));
        assert!(cluster.keys().is_empty(), "{:?}", cluster.keys());
    }
    let unchanged_for = redlock.servers()[0].unchanged_for;
    assert!(unchanged_for >= start.elapsed(), "it was down after {unchanged_for:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_moves_without_the_others_noticing() {
    let (cluster, servers, redlock) = three().await;
    let console = cluster.resource_at(0);
    let lock = redlock.lock(&*console, LONG).await.unwrap();
    eventually("the cluster has the key", async || cluster.holds(&lock)).await;
    servers.all_hold(&lock).await;

    cluster.move_slot(cluster.slot(&console), 0, 1);

    assert_eq!(finishes("the unlock", redlock.unlock(&lock).counts()).await.removed, 3);
    assert!(cluster.keys().is_empty(), "{:?}", cluster.keys());
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unlock_waits_for_a_slot_that_is_on_its_way() {
    let (cluster, servers, redlock) = three().await;
    let alone = alone(&cluster).await;
    let console = cluster.resource_at(0);
    let lock = redlock.lock(&*console, LONG).await.unwrap();
    eventually("the cluster has the key", async || cluster.holds(&lock)).await;

    cluster.begin_to_move_slot(cluster.slot(&console), 0, 1);

    let refused = alone.try_lock(&*console, LONG).await.unwrap_err();
    let failure = extract!(&refused, LockError::Refused { failure, .. } => failure);
    assert_eq!(failure.votes[0].vote, Vote::Refused(Refusal::Moving));
    let lock = redlock.renew(&lock, LONG).await.unwrap();
    let unlocked = finishes("the unlock", redlock.unlock(&lock).counts()).await;
    assert_eq!(unlocked.removed, 2, "{unlocked:?}");
    servers.empty().await;
    assert_eq!(cluster.keys(), [console.as_str()]);

    cluster.finish_to_move_slot(cluster.slot(&console), 1);
    cluster.empty().await;
    assert_eq!((up(&redlock), up(&alone)), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_are_asked_elsewhere_leave_the_answers_to_others_alone() {
    let (cluster, redlock) = nodes(2).await;
    let moving = cluster.resource_at(0);
    cluster.begin_to_move_slot(cluster.slot(&moving), 0, 1);
    let asks = (0..4).map(|number| (format!("{{{moving}}} {number}"), false));
    let held = (0..).map(|number| (format!("held {number}"), true));
    let held = held.filter(|(name, _)| cluster.node_of(name) == 1).take(50);

    let mut tasks = JoinSet::new();
    for (resource, is_held) in held.chain(asks) {
        if is_held {
            cluster[1].command(&["SET", &resource, "somebody else"]);
        }
        let redlock = redlock.clone();
        tasks.spawn(async move {
            for _ in 0..50 {
                match redlock.try_lock(&*resource, LONG).await {
                    Err(LockError::Held { .. }) if is_held => {}
                    Err(LockError::Refused { .. }) if !is_held => {}
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    finishes("all of them", tasks.join_all()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_move_all_the_time_leave_no_key() {
    let (cluster, redlock) = nodes(3).await;
    let resources: Vec<String> = (0..8)
        .map(|number| format!("{{{}}} {number}", cluster.resource_at(number % 3)))
        .collect();
    let mut tasks = JoinSet::new();
    for (number, resource) in resources.iter().cloned().enumerate() {
        let redlock = redlock.clone();
        tasks.spawn(async move {
            for _ in 0..60 {
                if let Ok(lock) = redlock
                    .lock(&*resource, LONG)
                    .retry(patient())
                    .attempt_timeout(ms(100 + number as u64))
                    .await
                {
                    let _ = redlock.renew(&lock, LONG).await;
                    redlock.unlock(&lock);
                }
            }
        });
    }
    let tasks = tokio::spawn(tasks.join_all());
    let mut homes: Vec<usize> = (0..3).collect();
    eventually("every task has ended", async || {
        for (first, home) in homes.iter_mut().enumerate() {
            let next = (*home + 1) % 3;
            cluster.move_slot(cluster.slot(&resources[first]), *home, next);
            *home = next;
        }
        tasks.is_finished()
    })
    .await;
    tasks.await.unwrap();
    cluster.empty().await;
    works(&redlock, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_joined_is_looked_at_before_it_is_used() {
    let (mut cluster, servers, redlock) = three().await;
    let console = cluster.resource_at(0);
    let slot = cluster.slot(&console);
    let lock = redlock.lock(&*console, LONG).await.unwrap();
    eventually("the cluster has the key", async || cluster.holds(&lock)).await;

    let start = Instant::now();
    cluster.join();
    cluster.move_slot(slot, 0, 3);

    assert_eq!(cluster[3].keys(), [console.as_str()]);
    redlock.unlock(&lock);
    cluster.empty().await;
    servers.empty().await;
    all_up(&redlock).await;
    let unchanged_for = redlock.servers()[0].unchanged_for;
    assert!(unchanged_for < start.elapsed(), "nobody looked at the new node");
    let lock = redlock.lock(&*console, LONG).await.unwrap();
    eventually("the new node has the key", async || cluster[3].keys().len() == 1).await;
    assert_eq!(finishes("the unlock", redlock.unlock(&lock).counts()).await.removed, 3);
}

/// fred connects to the new node and may send it what was queued, before the client knows of the node.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_never_inspected_is_ended_as_well() {
    let (mut cluster, redlock) = nodes(2).await;
    cluster.join();
    for rule in ["-client", "+client|id", "+client|tracking"] {
        cluster[2].command(&["ACL", "SETUSER", "default", rule]);
    }
    let events = redlock.events();
    let lock = redlock.lock(cluster.resource_at(0), LONG).await.unwrap();
    cluster.move_slot(cluster.slot(&cluster.resource_at(0)), 0, 2);
    redlock.unlock(&lock);
    let is_about_it = |event: &Event| {
        let warning = Warning::OldConnectionLives;
        matches!(event, Event::Warning { warning: found, .. } if *found == warning)
    };
    let mut warnings = events.filter(is_about_it);
    finishes("the new node does not end it", warnings.next()).await.unwrap();
    cluster.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_crashes_costs_one_server_until_it_is_back() {
    let (cluster, servers, redlock) = three().await;
    for node in [0, 2] {
        let there = redlock.lock(cluster.resource_at(node), LONG).await.unwrap();
        let elsewhere = redlock.lock(cluster.resource_at(1), LONG).await.unwrap();
        eventually("the cluster has the keys", async || {
            [&there, &elsewhere].into_iter().all(|lock| cluster.holds(lock))
        })
        .await;

        cluster[node].crash();

        is_down(&redlock, 0, |reason| matches!(reason, DownReason::Cluster(_))).await;
        let lock = finishes("the other two", redlock.lock("console", LONG)).await.unwrap();
        let renewed = finishes("the renewal", redlock.renew(&elsewhere, LONG)).await.unwrap();
        for lock in [&lock, &there, &renewed] {
            redlock.unlock(lock);
        }
        servers.empty().await;

        cluster[node].restart();
        works(&redlock, 3).await;
        cluster.empty().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_cluster_a_client_has_no_quorum_and_does_not_hang() {
    let (cluster, redlock) = nodes(2).await;
    let lock = redlock.lock(cluster.resource_at(1), LONG).await.unwrap();
    cluster[0].crash();
    eventually("the cluster is down", async || up(&redlock) == 0).await;

    let refused = finishes("the lock", redlock.lock("console", LONG)).await;
    assert_matches!(refused, Err(LockError::NoQuorum { .. }));
    let unknown = finishes("the renewal", redlock.renew(&lock, LONG)).await;
    assert_matches!(unknown, Err(RenewError::Unknown { .. }));
    redlock.unlock(&lock);

    cluster[0].restart();
    cluster.empty().await;
    works(&redlock, 1).await;
    finishes("the end", redlock.close()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_node_is_noticed_while_others_answer() {
    let (cluster, servers, redlock) = three().await;
    for node in [0, 1, 2] {
        let (frozen, other) = (cluster.resource_at(node), cluster.resource_at((node + 1) % 3));
        let busy = redlock.clone();
        let busy = tokio::spawn(async move {
            loop {
                let lock = busy.lock(&*other, LONG).await.unwrap();
                finishes("the unlock", busy.unlock(&lock).counts()).await;
            }
        });

        cluster[node].freeze();
        let lock = finishes("the lock", redlock.lock(&*frozen, LONG)).await.unwrap();
        is_down(&redlock, 0, |reason| *reason == DownReason::Unresponsive).await;
        redlock.unlock(&lock);
        busy.abort();
        let _ = busy.await;
        servers.empty().await;

        cluster[node].thaw();
        works(&redlock, 3).await;
        // Behind this nothing is left of what the node found in its old connection.
        let lock = finishes("the next lock", redlock.lock(&*frozen, LONG)).await.unwrap();
        eventually("the node grants again", async || cluster.holds(&lock)).await;
        redlock.unlock(&lock);
        cluster.empty().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_before_is_ended_at_every_node() {
    let may = "on >secret ~* &* -@all +ping +info +client|id +eval +evalsha +set +get +pttl +pexpire +del +cluster";
    let may_kill = format!("{may} +client|kill");
    let cluster = RedisCluster::start_with(2, |node| node.user("locker", &may_kill));
    let url = cluster.url().replacen("://", "://locker:secret@", 1);
    for careless in [0, 1] {
        let set_user = |node: usize, rules: &str| {
            let words = ["ACL", "SETUSER", "locker", "reset"]
                .into_iter()
                .chain(rules.split(' '));
            cluster[node].command(&words.collect::<Vec<_>>());
        };
        set_user(careless, may);
        let redlock = connect(quick().servers([url.as_str()])).await;
        let mut events = redlock.events();
        cluster[1 - careless].kill_clients();
        finishes("the node that does not let us is told of", async {
            while let Some(event) = events.next().await {
                if matches!(
                    event,
                    Event::Warning {
                        warning: Warning::OldConnectionLives,
                        ..
                    }
                ) {
                    break;
                }
            }
        })
        .await;
        set_user(careless, &may_kill);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_before_is_not_ended_at_a_node_that_denies_info() {
    let may = "on >secret ~* &* -@all +ping +time +client +eval +evalsha +set +get +pttl +pexpire +del +cluster";
    let cluster = RedisCluster::start_with(2, |node| node.user("blind", may));
    let url = cluster.url().replacen("://", "://blind:secret@", 1);
    let (hidden, lives) = (Warning::InfoDenied, Warning::OldConnectionLives);
    let reconnected = warnings(&cluster[0], url, RedisServer::kill_clients).await;
    let expected = [hidden.clone(), hidden, lives];
    assert_eq!(reconnected, expected, "and none before the first");
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_nodes_forget_are_taught_again() {
    let (cluster, redlock) = nodes(2).await;
    for node in [0, 1, 0, 1] {
        let lock = redlock.lock(cluster.resource_at(node), LONG).await.unwrap();
        for node in cluster.iter() {
            node.command(&["SCRIPT", "FLUSH"]);
        }
        let lock = redlock.renew(&lock, LONG).await.unwrap();
        assert_eq!(finishes("the unlock", redlock.unlock(&lock).counts()).await.removed, 1);
    }
    assert_eq!(up(&redlock), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_given_twice_votes_once() {
    let (cluster, server) = (RedisCluster::start(2), RedisServer::start());
    let by = |node: usize| format!("redis-cluster://{}", cluster[node].address());
    let redlock = client([by(0), by(1), server.url()]);
    one_is_given_twice(&redlock, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_away_is_passed_over_at_the_start() {
    let (cluster, away) = (RedisCluster::start(2), RedisServer::builder().prepare());
    let url = format!("redis-cluster://{}?node={}", away.address(), cluster[1].address());
    works(&client([url]), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_cluster_is_told() {
    let (server, apart) = (RedisServer::start(), RedisCluster::without_slots());
    let redlock = client([
        format!("redis-cluster://{}", server.address()),
        format!("redis-cluster://{}", apart.address()),
    ]);
    eventually("both are found out", async || {
        let says =
            |server, words: &str| reason(&redlock, server).is_some_and(|reason| reason.to_string().contains(words));
        says(0, "cluster support disabled") && says(1, "the cluster is not whole: no node has slots")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_a_cluster_needs_few_permissions() {
    let rules = "on >secret ~locks:* resetchannels -@all \
                 +ping +info +client|id +client|kill +eval +evalsha +set +get +pttl +pexpire +del \
                 +cluster|slots +cluster|info +cluster|nodes";
    let cluster = RedisCluster::start_with(2, |node| node.user("locker", rules));
    let url = cluster.url().replacen("://", "://locker:secret@", 1);
    let redlock = quick().key_prefix("locks:").servers([url]).build().unwrap();
    works(&redlock, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_crash_in_the_middle_of_many_locks_keep_no_key() {
    let cluster = RedisCluster::start_with(2, RedisServerBuilder::keep_memory);
    let redlock = alone(&cluster).await;
    let tasks: Vec<_> = (0..16)
        .map(|task| tokio::spawn(lock_and_unlock(redlock.clone(), task)))
        .collect();
    for node in [0, 1] {
        cluster[node].kill_clients();
        eventually("it is down", async || up(&redlock) == 0).await;
        all_up(&redlock).await;
        cluster[node].crash();
        eventually("it is down", async || up(&redlock) == 0).await;
        cluster[node].restart();
        all_up(&redlock).await;
    }
    for task in tasks {
        task.abort();
        let _ = task.await;
    }
    cluster.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_takes_the_place_of_a_node_that_crashed() {
    let (mut cluster, servers) = (RedisCluster::start(3), Servers::start(2));
    cluster.join_as_replica_of(0);
    let redlock = client([cluster.url(), servers[0].url(), servers[1].url()]);
    works(&redlock, 3).await;
    let lock = redlock.lock(cluster.resource_at(0), LONG).await.unwrap();
    eventually("the replica has the key", async || cluster[3].keys().len() == 1).await;

    cluster[0].crash();

    eventually("the cluster is down", async || up(&redlock) == 2).await;
    eventually("the replica has taken over", async || up(&redlock) == 3).await;
    assert_eq!(finishes("the unlock", redlock.unlock(&lock).counts()).await.removed, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_closed_leaves_no_connection_to_any_node() {
    let (cluster, redlock) = nodes(2).await;
    cluster[1].kill_clients();
    eventually("it is down", async || up(&redlock) == 0).await;
    all_up(&redlock).await;
    works(&redlock, 1).await;

    finishes("the end", redlock.close()).await;

    cluster.left_alone().await;
}

#[cfg(feature = "tls")]
#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_prove_the_one_name_that_is_given() {
    // They tell of each other by their addresses, for which nobody vouches.
    let certificates = Certificates::of(&["locks.example.com"]);
    let Some(cluster) = RedisCluster::start_if_built_with_tls(2, &certificates, |node| node) else {
        return;
    };
    let url = cluster.url().replacen("redis", "rediss", 1);
    let trusting = || Tls::new().ca_pem(certificates.authority.as_str());
    let with = |tls| {
        let server = Server::parse(&url).unwrap().tls(tls);
        client([server])
    };

    works(&with(trusting().server_name("locks.example.com")), 1).await;
    let refused = with(trusting());
    is_down(&refused, 0, |reason| matches!(reason, DownReason::Tls(_))).await;

    // Since Redis 7.0 they may tell of each other by names.
    for node in cluster.iter() {
        node.command(&["CONFIG", "SET", "cluster-announce-hostname", "localhost"]);
        node.command(&["CONFIG", "SET", "cluster-preferred-endpoint-type", "hostname"]);
    }
    eventually("each node knows the other's name, if it has one", async || {
        let slots = cluster.iter().map(|node| node.command(&["CLUSTER", "SLOTS"]));
        let mut slots = slots.map(|slots| format!("{slots:?}").matches("localhost").count());
        slots.all(|names| names == 0 || names == 2)
    })
    .await;
    works(&with(trusting().server_name("locks.example.com")), 1).await;
    let refused = with(trusting().server_name("redis.example.com"));
    is_down(&refused, 0, |reason| matches!(reason, DownReason::Tls(_))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_does_not_vote_while_a_slot_has_no_node() {
    let cluster = RedisCluster::start_with(2, |node| node.line("cluster-require-full-coverage no"));
    let lone = RedisCluster::start_with(1, |node| without_address(node).line("cluster-require-full-coverage no"));
    for cluster in [cluster, lone] {
        let redlock = alone(&cluster).await;
        for slot in ["0", "1", "16383"] {
            for node in cluster.iter() {
                node.command(&["CLUSTER", "DELSLOTS", slot]);
            }
            cluster[0].kill_clients();
            eventually("a slot has no node", async || {
                let words = "the cluster is not whole: slots without a node";
                reason(&redlock, 0).is_some_and(|reason| reason.to_string() == words)
            })
            .await;
            let owner = if slot == "16383" {
                cluster.last()
            } else {
                cluster.first()
            };
            owner.unwrap().command(&["CLUSTER", "ADDSLOTS", slot]);
            works(&redlock, 1).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiters_hear_of_changes_from_every_node() {
    let cluster = RedisCluster::start(2);
    let (first, second) = (alone(&cluster).await, alone(&cluster).await);
    for node in [0, 1, 0] {
        let resource = cluster.resource_at(node);
        let lock = first.lock(&*resource, LONG).await.unwrap();
        let waiter = tokio::spawn(second.acquire(&*resource, LONG));
        eventually("every node tells of changes", async || {
            let tells = |client: &String| client.contains(" flags=t ");
            cluster.iter().all(|node| node.clients().iter().any(tells))
        })
        .await;
        first.unlock(&lock);
        let guard = finishes("the waiter", waiter).await.unwrap().unwrap();
        finishes("the release", guard.release()).await.unwrap();
    }
    cluster.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_follows_its_slot() {
    let cluster = RedisCluster::start(2);
    let (first, second) = (alone(&cluster).await, alone(&cluster).await);
    let resource = cluster.resource_at(0);
    let lock = first.lock(&*resource, LONG).await.unwrap();
    let waiter = tokio::spawn(second.acquire(&*resource, LONG));
    eventually("it waits", async || cluster[0].calls("pttl") > 0).await;

    cluster.move_slot(cluster.slot(&resource), 0, 1);
    first.unlock(&lock);

    let guard = finishes("the waiter", waiter).await.unwrap().unwrap();
    assert_eq!(cluster[1].keys(), [resource]);
    finishes("the release", guard.release()).await.unwrap();
    cluster.empty().await;
}

/// A node of a cluster that was never told its own address.
fn nameless() -> RedisCluster {
    RedisCluster::start_with(1, without_address)
}

fn without_address(node: RedisServerBuilder) -> RedisServerBuilder {
    node.line("cluster-announce-ip \"\"")
}

#[cfg(feature = "tls")]
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_never_learned_its_address_proves_the_name_that_was_asked() {
    let certificates = Certificates::new();
    let Some(cluster) = RedisCluster::start_if_built_with_tls(1, &certificates, without_address) else {
        return;
    };
    let url = cluster.url().replacen("redis", "rediss", 1);
    let tls = Tls::new().ca_pem(certificates.authority.as_str());
    let server = Server::parse(&url).unwrap().tls(tls);
    let redlock = client([server]);
    works(&redlock, 1).await;
    cluster[0].restart();
    works(&redlock, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_never_learned_its_address_is_a_cluster_of_one() {
    let cluster = nameless();
    let redlock = alone(&cluster).await;
    works(&redlock, 1).await;
    // As in any cluster: the resources of a lock are in one slot, and each operation is a command of its own.
    let lock = redlock.lock(["{r}a", "{r}b"], LONG).await.unwrap();
    finishes("the unlock", redlock.unlock(&lock).counts()).await;
    cluster.empty().await;
    assert_eq!(reason(&redlock, 0), None);
    cluster[0].restart();
    works(&redlock, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_alone_no_more_is_looked_at_anew() {
    let mut cluster = nameless();
    let redlock = alone(&cluster).await;
    works(&redlock, 1).await;
    cluster.join();
    let resource = "console";
    cluster.move_slot(cluster.slot(resource), 0, 1);
    works(&redlock, 1).await;
    let lock = redlock.lock(resource, LONG).await.unwrap();
    assert!(cluster[1].keys().contains(&resource.to_owned()));
    finishes("the unlock", redlock.unlock(&lock).counts()).await;
    cluster.empty().await;
}
