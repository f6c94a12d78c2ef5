//! Renewals count only servers where our value still stood.

use crate::support::{Together, builder, eventually, locked, ms, secs, servers_and_two, start, up};
use multiredlock::{Lock, RenewError};
use test_support::{assert_matches, extract};
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn a_renewal_extends_the_lock_from_now() {
    let (_servers, redlock, lock) = locked(3, secs(1)).await;
    sleep(ms(800)).await;
    let renewed = redlock.renew(&lock, secs(2)).await.unwrap();
    assert_eq!(renewed.validity(), ms(1_900));
    assert_eq!(renewed.value(), lock.value());
    sleep(ms(1_500)).await;
    redlock.try_lock("r", secs(1)).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_key_that_went_missing_on_a_minority_is_put_back_whenever_that_is_known() {
    // Those that forgot it answer before the decision, or after it.
    for (forgetful, faithful) in [(0, 1), (2, 1)] {
        let (servers, redlock, lock) = locked(5, secs(60)).await;
        for (server, delay) in servers.iter().zip([forgetful, forgetful, faithful, faithful, faithful]) {
            server.delay(ms(delay));
        }
        servers[..2].forget("r");
        let lock = redlock.renew(&lock, secs(60)).await.unwrap();
        sleep(ms(10)).await;
        assert_eq!(servers.holding(&lock), servers.len());
        assert_eq!(redlock.unlock(&lock).counts().await.removed, 5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_put_back_for_what_is_left_of_the_renewal() {
    for slow in [false, true] {
        let (servers, redlock, lock) = locked(3, secs(60)).await;
        servers[0].forget("r");
        // The first renewal is decided without this server, or by it.
        servers[0].delay(ms(if slow { 900 } else { 300 }));
        servers[1].delay(ms(if slow { 0 } else { 300 }));
        let asked = Instant::now();
        let renewed = redlock.renew(&lock, secs(10)).attempt_timeout(secs(1)).await.unwrap();
        assert_eq!(asked.elapsed(), if slow { ms(0) } else { ms(300) });
        let value = || servers[0].get("r");
        eventually("it is put back", async || value().as_deref() == Some(renewed.value())).await;
        let put_back = Instant::now();
        eventually("it expires", async || value().is_none()).await;
        // Less what the answer to the renewal took.
        let answered = ms(if slow { 900 } else { 300 });
        assert!(put_back.elapsed() + answered <= secs(10), "{:?}", put_back.elapsed());
        assert!(put_back.elapsed() + answered >= secs(9), "{:?}", put_back.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_put_back_does_not_shorten_what_another_copy_of_the_lock_put_back_for_longer() {
    for resources in [&["r"][..], &["r", "s"]] {
        let (servers, redlock, elsewhere) = servers_and_two(3).await;
        let lock = redlock.lock(resources, secs(60)).await.unwrap();
        let copy = Lock::from_parts(resources, lock.value());
        servers[0].forget("r");
        servers[0].delay(ms(100));
        let (long, short) = tokio::join!(elsewhere.renew(&copy, secs(60)), redlock.renew(&lock, secs(10)));
        let (long, _short) = (long.unwrap(), short.unwrap());
        sleep(ms(300)).await;
        for _ in 0..50 {
            for resource in resources {
                assert_eq!(servers[0].get(resource).as_deref(), Some(long.value()), "{resource}");
            }
            sleep(secs(1)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_not_put_back_after_its_lock_was_unlocked() {
    for unlocked_after in 0..10 {
        let (servers, redlock, lock) = locked(3, secs(60)).await;
        servers[0].forget("r");
        servers[0].delay(ms(5));
        let lock = redlock.renew(&lock, secs(60)).await.unwrap();
        sleep(ms(unlocked_after)).await;
        redlock.unlock(&lock);
        sleep(ms(50)).await;
        assert!(servers.are_empty(), "unlocked after {unlocked_after} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_a_majority_forgot_is_lost_and_not_put_back() {
    let (servers, redlock, lock) = locked(3, secs(60)).await;
    servers[..2].forget("r");
    assert_matches!(redlock.renew(&lock, secs(60)).await, Err(RenewError::Lost { .. }));
    sleep(ms(1)).await;
    assert!(servers[0].is_empty() && servers[1].is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_somebody_else_has_by_now_is_lost() {
    let (servers, redlock, stale) = locked(3, secs(1)).await;
    sleep(secs(2)).await;
    let lock = redlock.lock("r", secs(60)).await.unwrap();
    assert_matches!(redlock.renew(&stale, secs(60)).await, Err(RenewError::Lost { .. }));
    assert_eq!(servers.holding(&lock), servers.len());
}

#[tokio::test(start_paused = true)]
async fn too_few_answers_leave_it_unknown_and_the_keys_as_they_are() {
    let (servers, redlock, lock) = locked(3, secs(60)).await;
    servers[..2].crash();
    up(&redlock, 1).await;
    let left = lock.validity();
    let remaining =
        extract!(redlock.renew(&lock, secs(60)).await.unwrap_err(), RenewError::Unknown { remaining, .. } => remaining);
    assert_eq!(remaining, left);
    // A shorter ttl may have been taken by the one that answered.
    let remaining =
        extract!(redlock.renew(&lock, secs(10)).await.unwrap_err(), RenewError::Unknown { remaining, .. } => remaining);
    assert!(remaining <= ms(9_900));
    servers[..2].restart();
    up(&redlock, 3).await;
    let lock = redlock.renew(&lock, secs(60)).await.unwrap();
    assert_eq!(redlock.unlock(&lock).counts().await.removed, 3);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_without_any_server_is_unknown_and_not_lost() {
    let servers = start(3);
    servers.crash();
    let redlock = builder(&servers).build().unwrap();
    let error = redlock.renew(&Lock::from_parts("r", "v"), secs(1)).await.unwrap_err();
    assert_matches!(error, RenewError::Unknown { remaining, .. } if remaining.is_zero());
}
