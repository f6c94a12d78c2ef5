//! The master that sentinels name is one server of a quorum, also when it becomes another.

use multiredlock::{
    Server,
    event::{Event, Warning},
    status::DownReason,
};
use tokio_stream::StreamExt;

use crate::access::works;
use crate::support::{
    LONG, RedisServer, Reply, Servers, Together, are_untrusted, client, eventually, finishes, is_down,
    one_is_given_twice, quick, reason, up,
};

const SERVICE: &str = "locks";

/// A master, its replica, and a sentinel that knows both.
struct Watched {
    sentinel: RedisServer,
    master: RedisServer,
    replica: RedisServer,
}

impl Watched {
    async fn start() -> Self {
        let master = RedisServer::start();
        let replica = RedisServer::builder().replica_of(&master).start();
        eventually("the replica has caught up", async || {
            let role = replica.command(&["INFO", "replication"]).text();
            role.contains("master_link_status:up")
        })
        .await;
        let sentinel = RedisServer::builder().sentinel_of(SERVICE, &master).start();
        eventually("the sentinel knows the replica", async || {
            let master = sentinel.command(&["SENTINEL", "MASTER", SERVICE]).texts();
            let mut names_and_values = master.chunks(2);
            names_and_values.any(|pair| pair == ["num-slaves", "1"])
        })
        .await;
        Self {
            sentinel,
            master,
            replica,
        }
    }

    fn url(&self) -> String {
        url(&[&self.sentinel])
    }
}

fn url(sentinels: &[&RedisServer]) -> String {
    let others = sentinels[1..]
        .iter()
        .map(|sentinel| format!("&node={}", sentinel.address()));
    let others: String = others.collect();
    format!(
        "redis-sentinel://{}?sentinelServiceName={SERVICE}{others}&untrusted={}",
        sentinels[0].address(),
        are_untrusted()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_follow_the_master_through_a_failover() {
    let (watched, servers) = (Watched::start().await, Servers::start(2));
    let redlock = client([watched.url(), servers[0].url(), servers[1].url()]);
    let address = format!("redis-sentinel://{SERVICE}@{}", watched.sentinel.address());
    assert_eq!(redlock.servers()[0].address.as_str(), address);
    works(&redlock, 3).await;
    let lock = redlock.lock("before", LONG).await.unwrap();
    eventually("the replica has the key", async || {
        watched.replica.get("before").is_some()
    })
    .await;

    watched.master.crash();
    eventually("the master is down", async || up(&redlock) == 2).await;
    let other = finishes("the other two", redlock.lock("meanwhile", LONG))
        .await
        .unwrap();
    redlock.unlock(&other);
    redlock.unlock(&lock);

    works(&redlock, 3).await;
    assert!(watched.replica.calls("set") > 0, "the new master votes");
    eventually("the new master has no key", async || watched.replica.keys().is_empty()).await;
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_demoted_is_left_for_the_new_one() {
    let watched = Watched::start().await;
    let redlock = client([watched.url()]);
    works(&redlock, 1).await;
    let lock = redlock.lock("before", LONG).await.unwrap();
    eventually("the replica has the key", async || {
        watched.replica.get("before").is_some()
    })
    .await;

    eventually("the sentinel begins", async || {
        watched.sentinel.command(&["SENTINEL", "FAILOVER", SERVICE]) == Reply::Text("OK".to_owned())
    })
    .await;
    // The replica is not asked, since it ends all connections when it becomes the master.
    let port = watched.replica.address().port().to_string();
    eventually("the sentinel names the replica", async || {
        let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE];
        watched.sentinel.command(&words).texts().last() == Some(&port)
    })
    .await;

    works(&redlock, 1).await;
    assert!(watched.replica.calls("set") > 0, "the new master votes");
    assert_eq!(finishes("the unlock", redlock.unlock(&lock).counts()).await.removed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentinel_that_is_away_is_passed_over() {
    let (watched, away) = (Watched::start().await, RedisServer::builder().prepare());
    let redlock = client([url(&[&away, &watched.sentinel])]);
    works(&redlock, 1).await;

    watched.sentinel.crash();
    works(&redlock, 1).await;
    watched.master.kill_clients();
    is_down(&redlock, 0, |reason| matches!(reason, DownReason::Sentinel(_))).await;
    watched.sentinel.restart();
    works(&redlock, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentinel_that_knows_better_than_another_is_believed() {
    let watched = Watched::start().await;
    // This one takes the replica for the master.
    let mistaken = RedisServer::builder().sentinel_of(SERVICE, &watched.replica).start();
    let redlock = quick()
        .id("us")
        .servers([url(&[&mistaken, &watched.sentinel])])
        .build()
        .unwrap();
    works(&redlock, 1).await;
    assert!(watched.master.calls("set") > 0);

    // The replica is inspected in between. The connection to the master that was lost has to be ended nevertheless.
    let events = redlock.events();
    for rule in ["-client", "+client|id", "+client|tracking"] {
        watched.master.command(&["ACL", "SETUSER", "default", rule]);
    }
    watched.master.kill_clients_named("us");
    let is_about_it = |event: &Event| {
        let warning = Warning::OldConnectionLives;
        matches!(event, Event::Warning { warning: found, .. } if *found == warning)
    };
    let mut warnings = events.filter(is_about_it);
    finishes("the connection is not ended", warnings.next()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_no_sentinel_knows_is_told() {
    let watched = Watched::start().await;
    let address = watched.sentinel.address();
    let nobody = Server::sentinel("nobody", [(address.ip().to_string(), address.port())]);
    let redlock = client([nobody]);
    eventually("the service is not found", async || {
        let words = format!("no sentinel names a master: {address}: refused: it knows no service `nobody`");
        reason(&redlock, 0).is_some_and(|reason| reason.to_string() == words)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_have_a_password_of_their_own() {
    let master = RedisServer::builder().password("open-sesame").start();
    let sentinel = RedisServer::builder()
        .sentinel_of(SERVICE, &master)
        .password("hush")
        .start();
    let url = url(&[&sentinel]).replacen("://", "://:open-sesame@", 1);

    let refused = client([format!("{url}&sentinelPassword=wrong")]);
    is_down(&refused, 0, |reason| {
        reason.to_string().contains("not authenticated: WRONGPASS")
    })
    .await;
    let text = format!("{refused:?}");
    assert!(!text.contains("sesame") && !text.contains("wrong"), "{text}");

    let let_in = client([format!("{url}&sentinelPassword=hush")]);
    works(&let_in, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_given_twice_votes_once() {
    let watched = Watched::start().await;
    let redlock = client([watched.url(), watched.master.url()]);
    one_is_given_twice(&redlock, 1).await;
}
