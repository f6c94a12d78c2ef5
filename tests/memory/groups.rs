//! Several groups of servers, of which each resource belongs to one.

use crate::support::{all_up, eventually, ms, secs, start, up};
use multiredlock::{
    Builder, Lock, LockError, Redlock, RenewError,
    error::{InvalidRequest, InvalidResource},
    event::Event,
    status::{ServerState, ServerStatus, Unlocked},
    testing::MemoryServer,
};
use test_support::{assert_matches, extract};
use tokio_stream::{Stream, StreamExt};

/// A resource of each of two groups; the tests of the mapping pin them.
const OF_FIRST: &str = "a";
const OF_SECOND: &str = "b";

/// Groups of different sizes, so that a server's place in its group is not its place among all.
fn two_groups() -> [Vec<MemoryServer>; 2] {
    [start(1), start(3)]
}

fn builder(groups: &[Vec<MemoryServer>]) -> Builder {
    let builder = Redlock::builder().id("here").reconnect(ms(1), ms(1));
    groups.iter().fold(builder, Builder::group)
}

async fn connect(groups: &[Vec<MemoryServer>]) -> Redlock {
    let redlock = builder(groups).build().unwrap();
    all_up(&redlock).await;
    redlock
}

/// How many of the servers have the key.
fn holding(servers: &[MemoryServer], key: &str) -> usize {
    servers.iter().filter(|server| server.get(key).is_some()).count()
}

/// Events in short: `1:up` for a server, `group 1 up 2/3` for a group, `up by group 1` for the client.
async fn drain(events: &mut (impl Stream<Item = Event> + Unpin)) -> Vec<String> {
    let mut told = Vec::new();
    while let Ok(Some(event)) = tokio::time::timeout(ms(1), events.next()).await {
        told.push(match event {
            Event::ServerUp { group, .. } => format!("{group}:up"),
            Event::ServerDown { group, .. } => format!("{group}:down"),
            Event::GroupConnected(q) => format!("group {} up {}/{}", q.group, q.reachable, q.servers),
            Event::GroupDisconnected(q) => format!("group {} down {}/{}", q.group, q.reachable, q.servers),
            Event::Connected(q) => format!("up by group {}", q.group),
            Event::Disconnected(q) => format!("down by group {}", q.group),
            Event::Lagged { .. } => "lagged".into(),
            other => panic!("nothing else happened, but {other:?}"),
        });
    }
    // A server that stays down may be told with one reason after another.
    told.dedup();
    told
}

#[tokio::test(start_paused = true)]
async fn each_resource_is_locked_renewed_and_unlocked_on_the_servers_of_its_group_alone() {
    let groups = [start(1), start(3), start(2)];
    let redlock = connect(&groups).await;
    let mut used = [0; 3];
    for i in 0..60 {
        let resource = format!("order:{i}");
        let group = redlock.group_of(&resource).unwrap();
        used[group] += 1;
        let lock = redlock.lock(&resource, secs(10)).await.unwrap();
        let lock = redlock.renew(&lock, secs(20)).await.unwrap();
        tokio::task::yield_now().await;
        for (number, servers) in groups.iter().enumerate() {
            let expected = if number == group { servers.len() } else { 0 };
            assert_eq!(holding(servers, &resource), expected, "{resource} in group {number}");
        }
        let held = redlock.try_lock(&resource, secs(10)).await.unwrap_err();
        assert_matches!(&held, LockError::Held { failure, .. } if failure.votes.len() == groups[group].len());
        assert_eq!(redlock.unlock(&lock).counts().await.removed, groups[group].len());
    }
    assert!(used.iter().all(|count| *count > 10), "{used:?}");
    assert!(groups.iter().flatten().all(MemoryServer::is_empty));
}

#[tokio::test(start_paused = true)]
async fn the_key_prefix_plays_no_part_in_the_group() {
    let groups = two_groups();
    for prefix in ["", "x:", "{x}"] {
        let redlock = builder(&groups).key_prefix(prefix).build().unwrap();
        all_up(&redlock).await;
        let expected = (Ok(0), Ok(1));
        assert_eq!((redlock.group_of(OF_FIRST), redlock.group_of(OF_SECOND)), expected);
        let lock = redlock.lock(OF_SECOND, secs(10)).await.unwrap();
        assert_eq!(holding(&groups[1], &format!("{prefix}{OF_SECOND}")), 3);
        redlock.unlock(&lock).counts().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_without_its_majority_takes_only_its_own_resources_along() {
    let groups = two_groups();
    let redlock = connect(&groups).await;
    let mut events = redlock.events();
    drain(&mut events).await;

    groups[1][0].crash();
    groups[1][1].crash();
    up(&redlock, 2).await;
    let expected = ["1:down", "group 1 down 1/3", "down by group 1", "1:down"];
    assert_eq!(drain(&mut events).await, expected);
    assert!(!redlock.is_connected());
    let _lock = redlock.lock(OF_FIRST, secs(10)).await.unwrap();
    let refused = redlock.try_lock(OF_SECOND, secs(10)).await.unwrap_err();
    assert_matches!(refused, LockError::NoQuorum { reachable: 1, .. });

    groups[0][0].crash();
    up(&redlock, 1).await;
    // The client is disconnected already.
    assert_eq!(drain(&mut events).await, ["0:down", "group 0 down 0/1", "0:down"]);
    groups[1][0].restart();
    up(&redlock, 2).await;
    assert_eq!(drain(&mut events).await, ["1:up", "group 1 up 2/3"]);
    let _lock = redlock.lock(OF_SECOND, secs(10)).await.unwrap();
    assert!(!redlock.is_connected());
    groups[0][0].restart();
    up(&redlock, 3).await;
    assert_eq!(drain(&mut events).await, ["0:up", "group 0 up 1/1", "up by group 0"]);
    assert!(redlock.is_connected());
}

#[tokio::test(start_paused = true)]
async fn a_client_is_connected_once_every_group_is() {
    let groups = two_groups();
    groups[1].iter().for_each(MemoryServer::crash);
    let redlock = builder(&groups).build().unwrap();
    let (mut connected, mut disconnected) = (redlock.connected(), redlock.disconnected());
    up(&redlock, 1).await;
    assert!(!redlock.is_connected());
    let _lock = redlock.lock(OF_FIRST, secs(10)).await.unwrap();

    groups[1][0].restart();
    groups[1][1].restart();
    assert_eq!(redlock.wait_connected().await, Ok(()));
    let quorum = connected.next().await.unwrap();
    assert_eq!(
        (quorum.group, quorum.reachable, quorum.needed, quorum.servers),
        (1, 2, 2, 3)
    );
    groups[0][0].crash();
    let quorum = disconnected.next().await.unwrap();
    assert_eq!(
        (quorum.group, quorum.reachable, quorum.needed, quorum.servers),
        (0, 0, 1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_late_subscriber_is_told_the_state_of_each_group_that_was_reached() {
    let groups = [start(1), start(1), start(1)];
    groups[2][0].crash();
    let redlock = builder(&groups).build().unwrap();
    up(&redlock, 2).await;
    groups[1][0].crash();
    up(&redlock, 1).await;
    let told = drain(&mut redlock.events()).await;
    let states = ["0:up", "1:down", "2:down", "group 0 up 1/1", "group 1 down 0/1"];
    // The last group was never reached, and so neither was the client.
    assert_eq!(told[..5], states, "{told:?}");
    assert!(told[5..].iter().all(|event| event.ends_with(":down")), "{told:?}");

    groups[1][0].restart();
    groups[2][0].restart();
    up(&redlock, 3).await;
    let states = ["group 0 up 1/1", "group 1 up 1/1", "group 2 up 1/1", "up by group"];
    let told = drain(&mut redlock.events()).await;
    assert_eq!(told[..3], ["0:up", "1:up", "2:up"]);
    assert_eq!(told[3..6], states[..3]);
    assert!(told[6].starts_with(states[3]), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_sleeps_is_told_the_state_of_each_group_when_it_wakes() {
    let groups = [start(1), start(1)];
    let redlock = connect(&groups).await;
    let mut sleeper = redlock.events();
    let mut disconnected = redlock.disconnected();
    for _ in 0..100 {
        groups[1][0].crash();
        up(&redlock, 1).await;
        groups[1][0].restart();
        up(&redlock, 2).await;
    }
    groups[0][0].crash();
    up(&redlock, 1).await;
    let told = drain(&mut sleeper).await;
    let lagged = told.iter().position(|event| event == "lagged").unwrap();
    let state = [
        "0:down",
        "1:up",
        "group 0 down 0/1",
        "group 1 up 1/1",
        "down by group 0",
    ];
    assert_eq!(told[lagged + 1..][..5], state);
    assert_eq!(disconnected.next().await.unwrap().group, 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_with_one_group_tells_nothing_of_groups() {
    let groups = [start(1)];
    let redlock = builder(&groups).build().unwrap();
    let mut events = redlock.events();
    up(&redlock, 1).await;
    groups[0][0].crash();
    up(&redlock, 0).await;
    let expected = ["0:up", "up by group 0", "0:down", "down by group 0", "0:down"];
    assert_eq!(drain(&mut events).await, expected);
    assert_eq!(redlock.group_of([OF_FIRST, OF_SECOND]), Ok(0));
}

#[tokio::test(start_paused = true)]
async fn resources_of_two_groups_in_one_lock_are_refused_before_anything_is_sent() {
    let groups = two_groups();
    let redlock = connect(&groups).await;
    let both = [OF_SECOND, OF_FIRST];
    let error = redlock.group_of(both).unwrap_err();
    let (first, second) = extract!(
        &error,
        InvalidResource::Groups { first, first_group: 0, second, second_group: 1, .. } => (first, second)
    );
    assert_eq!([first, second], [OF_FIRST, OF_SECOND]);
    let refused = redlock.lock(both, secs(10)).await.unwrap_err();
    assert_eq!(refused, LockError::Invalid(InvalidRequest::Resource(error.clone())));
    assert!(groups.iter().flatten().all(MemoryServer::is_empty));

    let lock = redlock.lock(OF_FIRST, secs(10)).await.unwrap();
    let both = Lock::from_parts(both, lock.value());
    let expected = RenewError::Invalid(InvalidRequest::Resource(error));
    assert_eq!(redlock.renew(&both, secs(20)).await.unwrap_err(), expected);
    let Unlocked {
        removed,
        not_ours,
        unreachable,
        ..
    } = redlock.unlock(&both).counts().await;
    assert_eq!((removed, not_ours, unreachable), (0, 0, 0));
    assert_eq!(holding(&groups[0], OF_FIRST), 1);
}

#[tokio::test(start_paused = true)]
async fn resources_with_one_tag_are_locked_together_in_its_group() {
    let groups = two_groups();
    let redlock = connect(&groups).await;
    let lock = redlock.lock(["x{b}", "y{b}", OF_SECOND], secs(10)).await.unwrap();
    tokio::task::yield_now().await;
    assert!(groups[1].iter().all(|server| server.len() == 3));
    assert!(groups[0].iter().all(MemoryServer::is_empty));
    assert_eq!(redlock.unlock(&lock).counts().await.removed, 3);
}

#[tokio::test(start_paused = true)]
async fn servers_are_listed_with_their_group_and_their_own_round_trip() {
    let groups = two_groups();
    groups[1][2].delay(ms(7));
    let redlock = connect(&groups).await;
    tokio::time::sleep(secs(3)).await;
    let status = redlock.servers();
    let address = |status: &ServerStatus| status.address.to_string();
    let configured = groups
        .iter()
        .flatten()
        .map(|server| server.server().address().to_string());
    assert!(status.iter().map(address).eq(configured));
    let expected = [0, 1, 1, 1];
    assert_eq!(status.iter().map(|server| server.group).collect::<Vec<_>>(), expected);
    assert_eq!(
        status.iter().rposition(|server| server.round_trip == Some(ms(7))),
        Some(3)
    );
    assert_eq!(status[0].round_trip, Some(ms(0)));
    groups[1][0].crash();
    up(&redlock, 3).await;
    assert_ne!(redlock.servers()[1].state, ServerState::Up);
    let quorums = redlock.quorums().into_iter();
    let told: Vec<_> = quorums.map(|q| (q.group, q.reachable, q.needed, q.servers)).collect();
    assert_eq!(told, [(0, 1, 1, 1), (1, 2, 2, 3)]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_client_ends_the_tasks_of_every_group_and_sends_what_was_submitted() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for close in [true, false] {
        let groups = two_groups();
        let before = tasks();
        let redlock = connect(&groups).await;
        let locks = [OF_FIRST, OF_SECOND].map(|resource| redlock.lock(resource, secs(60)));
        for lock in locks {
            let lock = lock.await.unwrap();
            redlock.unlock(&lock);
        }
        if close {
            redlock.close().await;
            assert_eq!(redlock.lock(OF_SECOND, secs(1)).await.unwrap_err(), LockError::Closed);
        } else {
            drop(redlock);
        }
        eventually("no task is left", async || tasks() == before).await;
        assert!(groups.iter().flatten().all(MemoryServer::is_empty));
    }
}
