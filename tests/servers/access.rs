//! Ways in: passwords, users, databases, sockets, certificates, and servers that may not vote.

use std::time::Duration;

use multiredlock::{LockError, Redlock, Server, status::DownReason};
use tokio_stream::StreamExt;

use crate::support::{
    LONG, RedisServer, RedisServerBuilder, Servers, Together, all_up, assert_matches, client, connect, eventually,
    finishes, is_down, lock_once, ms, one_is_given_twice, quick, servers_and_client, up,
};

/// Locks, renews and unlocks on every server.
pub(crate) async fn works(redlock: &Redlock, servers: usize) {
    all_up(redlock).await;
    // An unlock may overtake a SET that a majority did not wait for, and is then sent in its place.
    eventually("every server grants, renews and unlocks", async || {
        let lock = redlock.lock("console", LONG).await.unwrap();
        let lock = redlock.renew(&lock, LONG).await.unwrap();
        let unlocked = finishes("the unlock", redlock.unlock(&lock).counts()).await;
        assert_eq!(unlocked.unreachable, 0, "{unlocked:?}");
        unlocked.removed == servers
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_lets_us_in() {
    let server = RedisServer::builder().password("open-sesame").start();
    let in_the_url = client([server.url_as(":open-sesame")]);
    works(&in_the_url, 1).await;
    let typed = Server::parse(&server.url()).unwrap().password("open-sesame");
    works(&client([typed]), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_costs_one_server_until_it_is_put_right() {
    let servers: Servers = ["right", "right", "wrong"]
        .map(|password| RedisServer::builder().password(password).start())
        .into_iter()
        .collect();
    let redlock = client(servers.iter().map(|server| server.url_as(":right")));

    is_down(&redlock, 2, |reason| matches!(reason, DownReason::Auth(_))).await;
    finishes("the other two", redlock.wait_connected()).await.unwrap();
    lock_once(&redlock).await;

    servers[2].command(&["CONFIG", "SET", "requirepass", "right"]);
    works(&redlock, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_never_told() {
    let server = RedisServer::builder().password("open-sesame").start();
    let redlock = client([server.url_as(":sesame-close")]);
    let mut events = redlock.events();
    let told = finishes("the refusal is told", events.next()).await;
    let refused = redlock.lock("console", LONG).await.unwrap_err();
    let text = format!("{redlock:?} {:?} {told:?} {refused:?} {refused}", redlock.servers());
    assert!(!text.contains("sesame"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_missing() {
    let server = RedisServer::builder().password("open-sesame").start();
    let redlock = client([server.url()]);
    is_down(&redlock, 0, |reason| matches!(reason, DownReason::Auth(_))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_needs_few_permissions() {
    let rules = "on >secret ~locks:* resetchannels -@all \
                 +ping +info +client|id +client|kill +eval +evalsha +set +get +pttl +pexpire +del";
    let servers = Servers::start_with(3, |server| server.user("locker", rules));
    let urls = servers.iter().map(|server| server.url_as("locker:secret"));
    let redlock = quick().key_prefix("locks:").servers(urls).build().unwrap();
    works(&redlock, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_a_password_is_named_to_the_server() {
    let server = RedisServer::builder().user("open", "on nopass ~open:* +@all").start();
    let redlock = connect(quick().servers([server.url_as("open")])).await;
    let refused = redlock.try_lock("closed:console", LONG).await.unwrap_err();
    assert_matches!(refused, LockError::Refused { .. });
    let lock = redlock.try_lock("open:console", LONG).await.unwrap();
    redlock.unlock(&lock).counts().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_run_nothing_cannot_vote() {
    let server = RedisServer::builder().user("AUTHOR", "on >secret ~* -@all").start();
    let redlock = client([server.url_as("AUTHOR:secret")]);
    is_down(&redlock, 0, |reason| matches!(reason, DownReason::NoPermission(_))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_live_in_the_database_named() {
    let server = RedisServer::start();
    let third = Server::parse(&server.url()).unwrap().database(3);
    let redlock = connect(quick().servers([third])).await;
    let lock = redlock.lock("console", LONG).await.unwrap();
    let keyspace = server.command(&["INFO", "keyspace"]).text();
    assert!(keyspace.contains("db3:") && !keyspace.contains("db0:"), "{keyspace}");
    assert_eq!(finishes("the unlock", redlock.unlock(&lock).counts()).await.removed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_have_the_prefix_named() {
    let servers = Servers::start(1);
    let redlock = connect(servers.builder().key_prefix("locks:")).await;
    let lock = redlock.lock("console", LONG).await.unwrap();
    assert_eq!(servers[0].keys(), ["locks:console"]);
    assert_eq!(lock.resource(), b"console");
    redlock.unlock(&lock);
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_may_be_any_bytes() {
    let (servers, redlock) = servers_and_client(1).await;
    let lock = redlock.lock(b"\x00\xff\r\n$5 \"'", LONG).await.unwrap();
    assert_eq!(servers[0].command(&["DBSIZE"]).integer(), 1);
    redlock.unlock(&lock);
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_will_do() {
    let server = RedisServer::start();
    let path = server.socket();
    let in_the_url = client([format!("redis+unix://{}", path.display())]);
    works(&in_the_url, 1).await;
    works(&client([Server::unix(&path)]), 1).await;
    server.crash();
    eventually("it is down", async || up(&in_the_url) == 0).await;
    server.restart();
    works(&in_the_url, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_hello_is_spoken_to_in_the_old_protocol() {
    let servers = Servers::start_with(3, |server| server.line("rename-command HELLO \"\""));
    works(&servers.redlock(), 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_hello_may_have_a_password() {
    let server = RedisServer::builder()
        .line("rename-command HELLO \"\"")
        .password("secret")
        .start();
    works(&client([server.url_as(":secret")]), 1).await;
    let wrong = client([server.url_as(":wrong")]);
    is_down(&wrong, 0, |reason| matches!(reason, DownReason::Auth(_))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_does_not_vote() {
    let mut servers = vec![RedisServer::start(), RedisServer::start()];
    servers.push(RedisServer::builder().replica_of(&servers[0]).start());
    let servers: Servers = servers.into_iter().collect();
    let redlock = servers.redlock();

    is_down(&redlock, 2, |reason| *reason == DownReason::Replica).await;
    finishes("the other two", redlock.wait_connected()).await.unwrap();
    lock_once(&redlock).await;

    servers[2].command(&["REPLICAOF", "NO", "ONE"]);
    works(&redlock, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_given_twice_votes_once() {
    let servers = Servers::start(2);
    let twice = format!("redis+unix://{}", servers[0].socket().display());
    let redlock = client([servers[0].url(), twice, servers[1].url()]);

    one_is_given_twice(&redlock, 2).await;
    let lock = redlock.lock("console", LONG).await.unwrap();
    assert_eq!(finishes("the unlock", redlock.unlock(&lock).counts()).await.removed, 2);

    servers[1].crash();
    eventually("its majority is gone", async || !redlock.is_connected()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_loads_its_data_votes_when_it_is_done() {
    let servers = Servers::start_with(3, RedisServerBuilder::keep_memory);
    let redlock = servers.connected().await;

    servers[2].restart_loading();
    is_down(&redlock, 2, |reason| *reason == DownReason::Loading).await;
    lock_once(&redlock).await;
    servers[2].finish_loading();

    works(&redlock, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_limit_is_too_long() {
    const MAX: Duration = Duration::MAX;
    let server = RedisServer::start();
    for endpoint in [Server::unix(server.socket()), Server::parse(&server.url()).unwrap()] {
        for endpoint in [endpoint.clone(), endpoint.untrusted()] {
            let redlock = Redlock::builder()
                .servers([endpoint])
                .heartbeat_interval(MAX)
                .heartbeat_timeout(MAX)
                .reconnect(ms(10), MAX)
                .build()
                .unwrap();
            works(&redlock, 1).await;
            finishes("closing", redlock.close()).await;
        }
    }
}
