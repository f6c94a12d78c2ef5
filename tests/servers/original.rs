//! The scenarios in which node's `multiredlock` was tested, on one, three and five servers.

use std::time::Duration;

use multiredlock::{LockError, Retry};

use crate::support::{
    LONG, Servers, Together, all_up, assert_matches, eventually, extract, finishes, locked_on_three, ms, patient,
    servers_and_client, up,
};

#[tokio::test(flavor = "multi_thread")]
async fn retrying_acquires_a_lock_once_the_first_has_expired() {
    for count in [1, 3, 5] {
        let (servers, redlock) = servers_and_client(count).await;
        let first = redlock.lock("console", ms(800)).attempt_timeout(ms(600)).await.unwrap();

        let second = redlock.lock("console", LONG).retry(patient()).await.unwrap();

        assert!(
            !first.is_valid(),
            "{:?} of the first lock's validity was left",
            first.validity()
        );
        // A server on which the first expires a little later refuses.
        assert!(servers.holding(&second) > count / 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retrying_acquires_a_lock_once_the_first_is_unlocked() {
    for count in [1, 3, 5] {
        let (servers, redlock) = servers_and_client(count).await;
        let first = redlock.lock("console", LONG).await.unwrap();
        let refused = redlock.lock("console", LONG).retry(Retry::none()).await;
        assert_matches!(refused, Err(LockError::Held { .. }));

        let second = tokio::spawn(redlock.lock("console", LONG).retry(patient()));
        redlock.unlock(&first);

        let second = finishes("the second lock", second).await.unwrap().unwrap();
        // An attempt may overtake the unlock on its way to a server, which then refuses.
        eventually("a majority holds it", async || servers.holding(&second) > count / 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retrying_acquires_a_lock_once_the_server_comes_back() {
    for count in [1, 3, 5] {
        let (servers, redlock) = servers_and_client(count).await;
        servers.crash();
        eventually("every server is down", async || up(&redlock) == 0).await;
        let refused = redlock.try_lock("console", LONG).await;
        assert_matches!(refused, Err(LockError::NoQuorum { reachable: 0, .. }));

        let lock = tokio::spawn(redlock.lock("console", LONG).retry(patient()));
        servers.restart();

        let lock = finishes("the lock", lock).await.unwrap().unwrap();
        assert!(servers.holding(&lock) > count / 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn renewing_extends_the_ttl_on_the_server() {
    for count in [1, 3, 5] {
        let (servers, redlock) = servers_and_client(count).await;
        let lock = redlock.lock("console", Duration::from_secs(5)).await.unwrap();
        // A majority decides, so the others may be a little behind.
        let all_within = async |range: std::ops::RangeInclusive<i64>| {
            servers
                .each("every server has the ttl", |server| {
                    range.contains(&server.pttl("console"))
                })
                .await;
        };
        all_within(1..=5_000).await;

        let renewed = redlock.renew(&lock, LONG).await.unwrap();

        all_within(5_001..=60_000).await;
        assert!(renewed.validity() > Duration::from_secs(5));
        eventually("every server holds it", async || servers.holding(&renewed) == count).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_servers_lock_without_one_of_them_and_five_without_two() {
    for (count, crashed) in [(3, 1), (5, 2)] {
        let (servers, redlock) = servers_and_client(count).await;
        servers[..crashed].crash();

        let lock = redlock.lock("console", LONG).await.unwrap();

        let alive = &servers[crashed..];
        alive
            .each("every server that is left has the key", |server| {
                server.get("console").as_deref() == Some(lock.value())
            })
            .await;
        redlock.unlock(&lock);
        alive.empty().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_servers_do_not_lock_without_two_of_them_nor_five_without_three() {
    for (count, crashed) in [(3, 2), (5, 3)] {
        let (servers, redlock) = servers_and_client(count).await;
        servers[..crashed].crash();
        eventually("they are down", async || up(&redlock) == count - crashed).await;

        let refused = redlock.lock("console", LONG).await;

        let Err(LockError::NoQuorum { reachable, failure, .. }) = refused else {
            panic!("{refused:?}")
        };
        let expected = (count - crashed, count / 2 + 1, 4);
        assert_eq!((reachable, failure.needed, failure.attempts), expected);
        let alive = &servers[crashed..];
        alive.empty().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_lock_is_refused_although_one_server_crashed() {
    let (servers, redlock, _lock) = locked_on_three().await;
    servers[0].crash();
    eventually("it is down", async || up(&redlock) == 2).await;

    let refused = redlock.lock("console", LONG).await;

    let (owner, failure) = extract!(refused, Err(LockError::Held { owner, failure, .. }) => (owner, failure));
    assert!(
        failure.held() >= 1,
        "one of the two that are left settles it: {failure:?}"
    );
    assert_eq!((failure.granted(), failure.attempts), (0, 4));
    assert!(owner.is_some(), "our own value tells who we are");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_free_again_although_other_servers_were_up_when_it_was_unlocked() {
    let servers = Servers::start(3);
    let [_, b, c] = &*servers else {
        unreachable!("three servers were started")
    };
    let redlock = servers.connected().await;

    c.crash();
    let lock = redlock.lock("console", LONG).await.unwrap();
    c.restart();
    all_up(&redlock).await;
    b.crash();
    let unlocked = finishes("the unlock", redlock.unlock(&lock).counts()).await;
    assert_eq!(unlocked.removed, 1, "only the first server was up both times");
    b.restart();
    all_up(&redlock).await;
    c.crash();

    let again = redlock.lock("console", LONG).await.unwrap();
    assert_ne!(again.value(), lock.value());
}
