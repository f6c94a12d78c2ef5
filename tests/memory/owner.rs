//! Looking who holds a resource.

use crate::support::{
    Together, all_up, builder, connect, locked, ms, secs, servers_and, servers_and_client, settle, start, up,
};
use multiredlock::{
    Lock, Redlock,
    error::{InvalidRequest, InvalidResource, OwnerError, Vote},
    status::{Holder, Ownership},
    testing::MemoryServer,
};
use std::time::SystemTime;
use test_support::{assert_matches, extract};
use tokio::time::{Instant, sleep};

async fn holder(redlock: &Redlock, resource: &str) -> Holder {
    match redlock.owner(resource).await.unwrap() {
        Ownership::Held(holder) => holder,
        other => panic!("`{resource}` is held, not {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_holds_a_resource_is_named_with_since_when_and_for_how_much_longer() {
    let servers = start(3);
    let (redlock, other) = (connect(&servers).await, builder(&servers).id("web-3").build().unwrap());
    all_up(&other).await;
    let before = SystemTime::now() - ms(1);
    let _held = other.lock("r", secs(10)).await.unwrap();
    sleep(secs(4)).await;
    let holder = holder(&redlock, "r").await;
    assert_eq!(holder.remaining, Some(secs(6)));
    let owner = holder.owner.unwrap();
    assert_eq!(owner.id, "web-3");
    assert!(owner.since >= before && owner.since <= SystemTime::now());
}

#[tokio::test(start_paused = true)]
async fn a_client_sees_its_own_lock_as_anybody_elses() {
    let (_servers, redlock, lock) = locked(3, secs(10)).await;
    assert_eq!(holder(&redlock, "r").await.owner.unwrap().id, "here");
    redlock.unlock(&lock).counts().await;
    assert_eq!(redlock.owner("r").await, Ok(Ownership::Free));
}

#[tokio::test(start_paused = true)]
async fn what_a_majority_does_not_hold_is_free() {
    let (servers, redlock) = servers_and_client(3).await;
    assert_eq!(redlock.owner("r").await, Ok(Ownership::Free));
    let _held = redlock.lock("r", secs(10)).await.unwrap();
    servers[0].forget("r");
    assert!(holder(&redlock, "r").await.owner.is_some(), "a majority has it still");
    servers[1].forget("r");
    assert_eq!(redlock.owner("r").await, Ok(Ownership::Free));
}

#[tokio::test(start_paused = true)]
async fn a_survey_tells_what_each_server_says_beside_what_they_come_to() {
    let (servers, redlock, _held) = locked(3, secs(10)).await;
    servers[0].forget("r");
    let survey = redlock.owner("r").survey().await.unwrap();
    assert_matches!(&survey.ownership, Ownership::Held(_));
    assert_eq!(survey.votes.len(), 3);
    assert_eq!(survey.votes[0].vote, Vote::Missing);
    let named: Vec<_> = survey.votes.iter().map(|vote| vote.server.clone()).collect();
    let configured: Vec<_> = redlock.servers().into_iter().map(|server| server.address).collect();
    assert_eq!(named, configured);
    assert!(survey.votes[1..].iter().all(|vote| matches!(vote.vote, Vote::Held(_))));

    servers[2].freeze();
    let asked = Instant::now();
    let survey = redlock.owner("r").attempt_timeout(ms(300)).survey().await.unwrap();
    assert_eq!(asked.elapsed(), ms(300), "it waits for every answer");
    assert_matches!(&survey.ownership, Ownership::Unclear { .. });
    assert_eq!(survey.votes[2].vote, Vote::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn who_holds_a_resource_and_what_an_unlock_did_are_printed_in_words() {
    let servers = ["a", "b", "c"].map(MemoryServer::named);
    let redlock = connect(&servers).await;
    let value = "web-3_1421844817874_6f554e61";
    for server in &servers {
        server.set("r", value, Some(secs(10)));
    }
    let held = "held by web-3 since 12:53:37 UTC, 10.0 s left";
    assert_eq!(redlock.owner("r").await.unwrap().to_string(), held);
    assert_eq!(redlock.owner("s").await.unwrap().to_string(), "free");
    servers[0].forget("r");
    servers[2].crash();
    up(&redlock, 2).await;
    assert_eq!(
        redlock.owner("r").await.unwrap().to_string(),
        format!(
            "unclear: no majority agrees (memory://a: the key is missing; memory://b: {held}; \
             memory://c: down: connection lost)"
        )
    );
    let lock = Lock::from_parts("r", value);
    let unlocked = redlock.unlock(&lock).counts().await;
    assert_eq!(
        unlocked.to_string(),
        "1 of 3 servers removed the keys, 1 did not store the value, 1 did not answer"
    );
    let too_long = Lock::from_parts("r", "v".repeat(1 << 20));
    let unlocked = redlock.unlock(&too_long).counts().await;
    assert_eq!(unlocked.to_string(), "no server was asked");
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_is_free() {
    let (_servers, redlock, _lock) = locked(3, secs(1)).await;
    sleep(secs(1)).await;
    assert_eq!(redlock.owner("r").await, Ok(Ownership::Free));
}

#[tokio::test(start_paused = true)]
async fn different_owners_are_unclear_with_what_each_server_said() {
    let servers = start(3);
    for (server, id) in servers.iter().zip(["a", "b", "c"]) {
        let alone = builder(std::slice::from_ref(server)).id(id).build().unwrap();
        all_up(&alone).await;
        let _held = alone.lock("r", secs(10)).await.unwrap();
    }
    let redlock = connect(&servers).await;
    let failure = extract!(redlock.owner("r").await, Ok(Ownership::Unclear { failure, .. }) => failure);
    assert_eq!((failure.resource.as_str(), failure.held(), failure.needed), ("r", 3, 2));
    let ids = failure.votes.iter().map(|vote| match &vote.vote {
        Vote::Held(holder) => holder.owner.as_ref().unwrap().id.clone(),
        other => panic!("{other:?}"),
    });
    assert_eq!(ids.collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn too_few_answers_are_unclear_whether_servers_are_away_or_silent() {
    let (servers, redlock) = servers_and(3, |builder| builder.heartbeat_interval(secs(3_600))).await;
    let _held = redlock.lock("r", secs(600)).await.unwrap();
    servers[0].freeze();
    assert_eq!(holder(&redlock, "r").await.owner.unwrap().id, "here");
    servers[1].crash();
    up(&redlock, 2).await;
    for (limit, expected) in [(None, secs(1)), (Some(ms(30)), ms(30))] {
        let request = redlock.owner("r");
        let request = match limit {
            Some(limit) => request.attempt_timeout(limit),
            None => request,
        };
        let before = Instant::now();
        let failure = extract!(request.await, Ok(Ownership::Unclear { failure, .. }) => failure);
        assert_eq!(before.elapsed(), expected);
        assert_eq!(failure.votes[0].vote, Vote::TimedOut);
        assert_matches!(&failure.votes[1].vote, Vote::Unreachable(_));
        assert_matches!(&failure.votes[2].vote, Vote::Held(_));
    }
}

#[tokio::test(start_paused = true)]
async fn several_resources_are_held_if_any_of_them_is_and_free_if_none_is() {
    let (_servers, redlock) = servers_and_client(3).await;
    assert_eq!(redlock.owner(["a", "b"]).await, Ok(Ownership::Free));
    let _held = redlock.lock("b", secs(10)).await.unwrap();
    assert_matches!(redlock.owner(["a", "b"]).await, Ok(Ownership::Held(_)));
}

#[tokio::test(start_paused = true)]
async fn a_look_changes_nothing() {
    let (servers, redlock) = servers_and_client(3).await;
    redlock.owner("r").await.unwrap();
    assert!(servers.are_empty());
    let lock = redlock.lock("r", secs(10)).await.unwrap();
    sleep(secs(3)).await;
    let remaining = holder(&redlock, "r").await.remaining;
    let expected = (Some(secs(7)), Some(secs(7)));
    assert_eq!((remaining, holder(&redlock, "r").await.remaining), expected);
    assert_eq!(servers.holding(&lock), servers.len());
    assert_eq!(redlock.unlock(&lock).counts().await.removed, 3);
}

#[tokio::test(start_paused = true)]
async fn an_invalid_resource_and_a_closed_client_are_told_apart() {
    let (_servers, redlock) = servers_and_client(3).await;
    let invalid = |error| Err(OwnerError::Invalid(InvalidRequest::Resource(error)));
    assert_eq!(redlock.owner("").await, invalid(InvalidResource::Empty));
    assert_eq!(redlock.owner([""; 0]).await, invalid(InvalidResource::None));
    redlock.close().await;
    assert_eq!(redlock.owner("r").await, Err(OwnerError::Closed));
    assert_eq!(redlock.owner("").await, invalid(InvalidResource::Empty));
}

#[tokio::test(start_paused = true)]
async fn a_look_that_is_under_way_when_the_client_is_closed_ends() {
    let (servers, redlock) = servers_and_client(3).await;
    servers.freeze();
    let look = tokio::spawn(redlock.owner("r"));
    settle().await;
    redlock.close().await;
    assert_eq!(look.await.unwrap(), Err(OwnerError::Closed));
}
