//! Several groups of servers, of which each resource belongs to one.

use multiredlock::{
    LockError, Redlock,
    error::{InvalidRequest, InvalidResource},
    event::Event,
};
use tokio_stream::StreamExt;

use crate::support::{LONG, RedisServer, Servers, Together, all_up, assert_matches, connect, finishes, quick};

/// A client that has reached every server of both groups.
async fn connected(groups: &[Servers; 2]) -> Redlock {
    let [first, second] = groups;
    connect(
        quick()
            .group(first.iter().map(RedisServer::url))
            .group(second.iter().map(RedisServer::url)),
    )
    .await
}

fn start() -> [Servers; 2] {
    [Servers::start(3), Servers::start(3)]
}

/// The first so many resources of a group.
fn resources_of(redlock: &Redlock, group: usize, count: usize) -> Vec<String> {
    let names = (0..).map(|i| format!("order:{i}"));
    let of_group = names.filter(|name| redlock.group_of(name) == Ok(group));
    of_group.take(count).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_are_spread_over_the_groups_and_each_is_on_one() {
    let groups = start();
    let redlock = connected(&groups).await;
    for (group, servers) in groups.iter().enumerate() {
        let others = &groups[1 - group];
        for resource in resources_of(&redlock, group, 10) {
            let lock = redlock.lock(&resource, LONG).await.unwrap();
            servers.all_hold(&lock).await;
            assert_eq!(others.holding(&lock), 0);
            let lock = redlock.renew(&lock, 2 * LONG).await.unwrap();
            assert_matches!(redlock.try_lock(&resource, LONG).await, Err(LockError::Held { .. }));
            redlock.unlock(&lock).counts().await;
        }
        servers.empty().await;
    }
    // The first 20 orders are in both.
    let first = (0..20).map(|i| redlock.group_of(format!("order:{i}")).unwrap());
    assert!((5..=15).contains(&first.sum::<usize>()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_killed_disconnects_while_the_other_still_locks() {
    let groups = start();
    let redlock = connected(&groups).await;
    let [kept, lost] = [0, 1].map(|group| resources_of(&redlock, group, 1).remove(0));
    let (mut connected, mut disconnected) = (redlock.connected(), redlock.disconnected());
    let mut events = redlock.events();
    assert!(
        finishes("the current state", connected.next())
            .await
            .unwrap()
            .is_reached()
    );

    groups[1].crash();
    let told = finishes("the crossing", disconnected.next()).await.unwrap();
    assert_eq!((told.group, told.is_reached(), told.servers), (1, false, 3));
    assert!(!redlock.is_connected());
    let lock = redlock.lock(&kept, LONG).await.unwrap();
    let lock = redlock.renew(&lock, LONG).await.unwrap();
    assert_eq!(redlock.unlock(&lock).counts().await.removed, 3);
    assert_matches!(redlock.try_lock(&lost, LONG).await, Err(LockError::NoQuorum { .. }));

    groups[1].restart();
    let told = finishes("the crossing", connected.next()).await.unwrap();
    assert_eq!((told.group, told.is_reached()), (1, true));
    all_up(&redlock).await;
    let _lock = redlock.lock(&lost, LONG).await.unwrap();

    redlock.close().await;
    let mut crossings = Vec::new();
    while let Some(event) = finishes("the events", events.next()).await {
        match event {
            Event::GroupConnected(quorum) => crossings.push(format!("group {} up", quorum.group)),
            Event::GroupDisconnected(quorum) => crossings.push(format!("group {} down", quorum.group)),
            Event::Connected(_) => crossings.push("up".into()),
            Event::Disconnected(_) => crossings.push("down".into()),
            Event::ServerDown { group, reason, .. } => assert_eq!(group, 1, "{reason}"),
            _ => {}
        }
    }
    let told = [
        "group 0 up",
        "group 1 up",
        "up",
        "group 1 down",
        "down",
        "group 1 up",
        "up",
    ];
    assert_eq!(crossings, told);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_resources_are_locked_together_in_one_group_and_refused_in_two() {
    let groups = start();
    let redlock = connected(&groups).await;
    groups.iter().for_each(Servers::forget_calls);
    let [first, second] = [0, 1].map(|group| resources_of(&redlock, group, 1).remove(0));

    let refused = redlock.lock([&first, &second], LONG).await.unwrap_err();
    let error = redlock.group_of([&first, &second]).unwrap_err();
    assert_matches!(&error, InvalidResource::Groups { .. });
    assert_eq!(refused, LockError::Invalid(InvalidRequest::Resource(error)));
    for servers in &groups {
        servers.empty().await;
        assert!(servers.iter().all(|server| server.calls("set") == 0));
    }

    let tagged = [format!("x{{{second}}}"), format!("y{{{second}}}")];
    let lock = redlock.lock(&tagged, LONG).await.unwrap();
    groups[1].each("it has both", |server| server.keys().len() == 2).await;
    groups[0].empty().await;
    redlock.unlock(&lock).counts().await;
    groups[1].empty().await;
}
