//! Looking who holds a resource.

use std::time::SystemTime;

use multiredlock::status::Ownership;

use crate::support::{
    LONG, RedisServer, Servers, Together, assert_matches, connect, eventually, extract, finishes, ms,
    servers_and_client, unhurried, up,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_majority_tells_who_holds_it_since_when_and_for_how_long() {
    let servers = Servers::start(3);
    let redlock = connect(servers.builder().id("web-3")).await;
    assert_eq!(redlock.owner("r").await, Ok(Ownership::Free));

    let before = SystemTime::now();
    let lock = redlock.lock("r", LONG).await.unwrap();
    for fault in [None, Some(RedisServer::freeze as fn(&RedisServer))] {
        if let Some(fault) = fault {
            fault(&servers[0]);
        }
        let holder = extract!(redlock.owner("r").await, Ok(Ownership::Held(holder)) => holder);
        let owner = holder.owner.unwrap();
        assert_eq!(owner.id, "web-3");
        assert!(owner.since + ms(1) >= before && owner.since <= SystemTime::now());
        assert!(holder.remaining.is_some_and(|left| left > LONG / 2 && left <= LONG));
    }
    servers[0].thaw();
    redlock.unlock(&lock).counts().await;
    assert_eq!(redlock.owner("r").await, Ok(Ownership::Free));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_of_one_mind_it_is_unclear() {
    let (servers, redlock) = servers_and_client(3).await;
    for (server, value) in servers.iter().zip(["a_1_x", "b_2_y", "c_3_z"]) {
        server.command(&["SET", "r", value]);
    }
    assert_matches!(redlock.owner("r").await, Ok(Ownership::Unclear { .. }));
    // One of the owners has a majority now, though what it says of itself is nothing we know.
    servers[..2].command(&["SET", "r", "somebody"]);
    match redlock.owner("r").await {
        Ok(Ownership::Held(holder)) => assert_eq!((holder.owner, holder.remaining), (None, None)),
        other => panic!("{other:?}"),
    }
    servers[0].crash();
    servers[1].crash();
    match redlock.owner("r").await {
        Ok(Ownership::Unclear { failure, .. }) => assert_eq!(failure.held(), 1),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_majority_is_enough_while_one_server_is_frozen_and_another_killed() {
    let servers = Servers::start(5);
    // Nothing but answers ends a look.
    let urls = servers.iter().map(RedisServer::url);
    let redlock = connect(unhurried().id("web-3").servers(urls)).await;
    let _lock = redlock.lock("held", LONG).await.unwrap();
    servers[0].crash();
    servers[1].freeze();
    eventually("one is down", async || up(&redlock) == 4).await;

    let owner = finishes("a look at what is free", redlock.owner("free")).await;
    assert_eq!(owner, Ok(Ownership::Free));
    servers[2..].command(&["SET", "elsewhere", "1f0c9a", "PX", "60000"]);
    let owner = finishes("a look at another library's", redlock.owner("elsewhere")).await;
    assert_matches!(&owner, Ok(Ownership::Held(holder)) if holder.owner.is_none() && holder.remaining.is_some());
    servers[2..]
        .each("three hold it", |server| server.get("held").is_some())
        .await;
    let owner = finishes("a look at ours", redlock.owner("held")).await;
    assert_matches!(&owner, Ok(Ownership::Held(holder)) if holder.owner.as_ref().is_some_and(|owner| owner.id == "web-3"));
    servers[1].thaw();
}
