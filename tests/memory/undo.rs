//! What comes late is undone: SETs whose attempt is over, and unlocks for a server that was away.

use crate::support::{
    Together, builder, connect, eventually_free, locked, ms, secs, servers_and, servers_and_client, start, up,
};
use multiredlock::{Lock, LockError, Redlock, ReleaseError};
use test_support::assert_matches;
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn a_set_that_lands_after_its_round_is_undone_on_the_same_connection() {
    let (servers, redlock) = servers_and(3, |builder| builder.heartbeat_interval(secs(3_600))).await;
    servers[..2].freeze();
    let error = redlock
        .try_lock("r", secs(600))
        .attempt_timeout(ms(50))
        .await
        .unwrap_err();
    assert_matches!(error, LockError::NoQuorum { reachable: 1, .. });
    servers[..2].thaw();
    eventually_free(&servers).await;
}

#[tokio::test(start_paused = true)]
async fn a_set_that_lands_after_its_connection_ended_is_undone_on_the_next() {
    for frozen_for in [secs(3), secs(30)] {
        let (servers, redlock) = servers_and_client(3).await;
        servers[..2].freeze();
        // The attempt ends with the connections, so the unlocks cannot follow on them. In the second run the ttl is over
        // before the servers go on, yet the key would live for as long again.
        let error = redlock
            .try_lock("r", secs(20))
            .attempt_timeout(secs(60))
            .await
            .unwrap_err();
        assert_matches!(error, LockError::NoQuorum { .. });
        up(&redlock, 1).await;
        sleep(frozen_for).await;
        servers[..2].thaw();
        assert!(servers[0].get("r").is_some(), "the SET was in the socket");
        up(&redlock, 3).await;
        sleep(ms(1)).await;
        assert!(servers.are_empty(), "frozen for {frozen_for:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_whose_answer_was_lost_is_undone_by_its_attempt_if_the_server_is_back_before_that_fails() {
    let servers = start(3);
    let redlock = builder(&servers).heartbeat_interval(ms(100)).heartbeat_timeout(ms(500));
    let redlock = redlock.reconnect(ms(1), ms(1)).build().unwrap();
    up(&redlock, 3).await;
    for server in &servers[1..] {
        assert!(server.set("r", "of another", None));
        server.delay(ms(450));
    }
    servers[0].freeze();
    // The heartbeat, which is sent before the SET, ends the connection long before the others refuse the lock.
    sleep(ms(300)).await;
    let request = redlock.try_lock("r", secs(600)).attempt_timeout(secs(60));
    let request = tokio::spawn(request);
    up(&redlock, 2).await;
    servers[0].thaw();
    assert!(servers[0].get("r").is_some(), "the SET was in the socket");
    up(&redlock, 3).await;
    sleep(ms(10)).await;
    assert!(
        !request.is_finished() && servers[0].get("r").is_some(),
        "it may be granted yet"
    );
    assert_matches!(request.await.unwrap().unwrap_err(), LockError::Held { .. });
    sleep(ms(1)).await;
    assert_eq!(servers[0].get("r"), None);
}

#[tokio::test(start_paused = true)]
async fn a_set_that_lands_when_its_ttl_would_be_over_is_undone() {
    let (servers, redlock) = servers_and(3, |builder| builder.heartbeat_interval(secs(3_600))).await;
    servers[..2].freeze();
    redlock.try_lock("r", ms(500)).await.unwrap_err();
    sleep(secs(2)).await;
    servers[..2].thaw();
    // The key would live for another 500 ms.
    sleep(ms(10)).await;
    assert!(servers.are_empty());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_lands_after_its_lock_was_unlocked_is_undone() {
    let (servers, redlock) = servers_and(3, |builder| builder.reconnect(secs(6), secs(6))).await;
    let lock = redlock.lock("r", secs(10)).await.unwrap();
    servers[0].freeze();
    let lock = redlock.renew(&lock, secs(10)).await.unwrap();
    up(&redlock, 2).await;
    // The unlock cannot follow the renewal, which is carried out when the key had nearly expired.
    assert_eq!(redlock.unlock(&lock).counts().await.removed, 2);
    sleep(secs(7)).await;
    servers[0].thaw();
    sleep(ms(1)).await;
    assert!(servers[0].get("r").is_some(), "the renewal was in the socket");
    up(&redlock, 3).await;
    sleep(ms(1)).await;
    assert!(servers.are_empty());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_answers_were_lost_takes_nothing_from_whoever_the_lock_was_handed_to() {
    let servers = start(3);
    let redlock = builder(&servers).reconnect(secs(20), secs(20)).build().unwrap();
    let other = builder(&servers).reconnect(ms(1), ms(1)).build().unwrap();
    up(&redlock, 3).await;
    up(&other, 3).await;
    let lock = redlock.lock("r", secs(10)).await.unwrap();
    servers.freeze();
    redlock.renew(&lock, secs(10)).await.unwrap_err();
    up(&redlock, 0).await;
    servers.thaw();
    up(&other, 3).await;
    let handed_over = other
        .renew(&Lock::from_parts("r", lock.value()), secs(600))
        .await
        .unwrap();
    // By then it would be over here.
    sleep(secs(15)).await;
    up(&redlock, 3).await;
    sleep(ms(10)).await;
    assert!(handed_over.is_valid());
    assert!(servers.iter().all(|server| server.get("r").is_some()));
}

#[tokio::test(start_paused = true)]
async fn an_unlock_is_kept_for_as_long_as_a_renewal_that_failed_made_the_key_live() {
    let (servers, redlock) = servers_and(3, |builder| builder.reconnect(ms(1), ms(1))).await;
    let lock = redlock.lock("r", secs(10)).await.unwrap();
    servers[1..].crash();
    up(&redlock, 1).await;
    sleep(secs(5)).await;
    redlock.renew(&lock, secs(10)).await.unwrap_err();
    servers[0].crash();
    up(&redlock, 0).await;
    sleep(secs(6)).await;
    redlock.unlock(&lock).counts().await;
    servers[0].restart();
    up(&redlock, 1).await;
    sleep(ms(1)).await;
    assert!(servers[0].is_empty(), "it would live for another 4 s");
}

#[tokio::test(start_paused = true)]
async fn a_late_set_of_a_lock_that_was_renewed_costs_the_lock_nothing() {
    let (servers, redlock) = servers_and_client(3).await;
    servers[2].freeze();
    let lock = redlock.lock("r", secs(5)).await.unwrap();
    up(&redlock, 2).await;
    let lock = redlock.renew(&lock, secs(600)).await.unwrap();
    sleep(secs(10)).await;
    servers[2].thaw();
    up(&redlock, 3).await;
    sleep(ms(10)).await;
    assert!(lock.is_valid());
    assert!(servers[2].get("r").is_some(), "it is the lock's own");
    let lock = redlock.renew(&lock, secs(600)).await.unwrap();
    sleep(ms(10)).await;
    assert_eq!(redlock.unlock(&lock).counts().await.removed, 3);
}

#[tokio::test(start_paused = true)]
async fn an_unlock_tells_whether_a_majority_held_the_lock_until_then() {
    let (servers, redlock, lock) = locked(3, secs(60)).await;
    servers[0].forget("r");
    assert_eq!(redlock.unlock(&lock).await, Ok(()));
    let gone = redlock.unlock(&lock).await.unwrap_err();
    assert_matches!(&gone, ReleaseError::Gone { resource, removed: 0, servers: 3, needed: 2, .. } if resource == "r");
    let lock = redlock.lock("r", secs(60)).await.unwrap();
    servers[1..].crash();
    up(&redlock, 1).await;
    let unknown = redlock.unlock(&lock).await.unwrap_err();
    assert_matches!(unknown, ReleaseError::Unknown { removed: 1, .. });
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_was_unlocked_is_neither_valid_nor_renewed() {
    let (_servers, redlock, lock) = locked(3, secs(60)).await;
    let clone = lock.clone();
    redlock.unlock(&lock);
    assert!(!lock.is_valid() && !clone.is_valid());
    let before = tokio::time::Instant::now();
    let error = redlock.renew(&clone, secs(60)).await.unwrap_err();
    assert_matches!(error, multiredlock::RenewError::Lost { .. });
    assert!(before.elapsed().is_zero(), "no server is asked");
}

#[tokio::test(start_paused = true)]
async fn a_late_set_of_a_lock_that_is_held_stays_until_the_unlock() {
    let (servers, redlock) = servers_and_client(3).await;
    servers[2].freeze();
    let lock = redlock.lock("r", secs(600)).await.unwrap();
    up(&redlock, 2).await;
    servers[2].thaw();
    up(&redlock, 3).await;
    sleep(ms(1)).await;
    assert_eq!(servers[2].get("r").as_deref(), Some(lock.value()));
    assert_eq!(redlock.unlock(&lock).counts().await.removed, 3);
}

#[tokio::test(start_paused = true)]
async fn an_unlock_reaches_a_server_that_was_away_for_less_than_the_ttl() {
    let (servers, redlock, lock) = locked(3, secs(60)).await;
    servers[1].crash();
    up(&redlock, 2).await;
    let unlocked = redlock.unlock(&lock).counts().await;
    assert_eq!((unlocked.removed, unlocked.unreachable), (2, 1));
    sleep(secs(30)).await;
    servers[1].restart();
    assert!(servers[1].get("r").is_some());
    up(&redlock, 3).await;
    sleep(ms(1)).await;
    assert_eq!(servers[1].get("r"), None);
}

#[tokio::test(start_paused = true)]
async fn nothing_but_an_unlock_is_delivered_to_a_server_that_comes_back() {
    let (servers, redlock) = servers_and_client(3).await;
    servers[1].crash();
    up(&redlock, 2).await;
    let lock = redlock.lock("r", secs(60)).await.unwrap();
    servers[1].restart();
    up(&redlock, 3).await;
    sleep(secs(1)).await;
    assert_eq!(servers[1].get("r"), None, "a SET was replayed");
    let unlocked = redlock.unlock(&lock).counts().await;
    assert_eq!((unlocked.removed, unlocked.not_ours), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_unlock_lands_after_the_set_it_undoes_whatever_the_delay() {
    let (servers, redlock) = servers_and_client(3).await;
    servers[2].delay(ms(30));
    for _ in 0..50 {
        let lock = redlock.lock("r", secs(600)).await.unwrap();
        redlock.unlock(&lock);
    }
    sleep(ms(31)).await;
    eventually_free(&servers).await;
}

#[tokio::test(start_paused = true)]
async fn another_owners_key_is_never_touched() {
    let (servers, redlock, lock) = locked(3, secs(60)).await;
    let forged = multiredlock::Lock::from_parts("r", "somebody_1_else");
    let unlocked = redlock.unlock(&forged).counts().await;
    assert_eq!((unlocked.removed, unlocked.not_ours, unlocked.unreachable), (0, 3, 0));
    redlock.renew(&forged, secs(1)).await.unwrap_err();
    assert_eq!(servers.holding(&lock), servers.len());
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_handed_over_by_its_value() {
    let servers = start(3);
    let here = connect(&servers).await;
    let there: Redlock = connect(&servers).await;
    let lock = here.lock("r", secs(60)).await.unwrap();
    let taken_over = multiredlock::Lock::from_parts("r", lock.value());
    assert!(!taken_over.is_valid());
    let taken_over = there.renew(&taken_over, secs(60)).await.unwrap();
    assert!(taken_over.validity() > secs(59));
    assert_eq!(there.unlock(&taken_over).counts().await.removed, 3);
    assert_eq!(here.unlock(&lock).counts().await.not_ours, 3);
}

#[tokio::test(start_paused = true)]
async fn an_unlock_is_counted_also_after_its_time_limit() {
    let (servers, redlock, lock) = locked(3, secs(60)).await;
    servers[1..].freeze();
    let mut unlocking = redlock.unlock(&lock);
    let unknown = (&mut unlocking).await.unwrap_err();
    assert_matches!(&unknown, ReleaseError::Unknown { removed: 1, .. });
    assert_eq!((&mut unlocking).await, Err(unknown), "also when it is polled again");
    let counts = unlocking.counts().await;
    assert_eq!((counts.removed, counts.unreachable), (1, 2));
}
