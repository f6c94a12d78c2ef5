//! No copy of a lock reports a longer validity than its servers promise, also while it is not known whether a renewal for
//! less was carried out.

use crate::support::{Together, connect, guarded, locked, ms, secs, servers_and};
use multiredlock::{LockLost, RenewError};
use std::future::pending;
use test_support::{assert_matches, extract};
use tokio::time::{sleep, timeout};

#[tokio::test(start_paused = true)]
async fn a_renewal_for_less_whose_answers_are_late_shortens_every_copy() {
    let (servers, redlock) = servers_and(3, |builder| builder.remember(10)).await;
    let lock = redlock.lock("r", secs(60)).await.unwrap();
    let copy = lock.clone();
    servers.delay(ms(150));
    let error = redlock
        .renew(&lock, secs(1))
        .attempt_timeout(ms(100))
        .await
        .unwrap_err();
    let remaining = extract!(error, RenewError::Unknown { remaining, .. } => remaining);
    assert_eq!(remaining, ms(800));
    for view in [&lock, &copy, &redlock.held("r").unwrap()] {
        assert_eq!(view.validity(), ms(800));
    }
    servers.delay(ms(0));
    sleep(ms(801)).await;
    assert!(!lock.is_valid() && !copy.is_valid() && redlock.held("r").is_none());
    sleep(ms(350)).await;
    assert!(connect(&servers).await.try_lock("r", secs(1)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_for_less_counts_from_its_submission_also_if_its_future_is_dropped() {
    let (servers, redlock, lock) = locked(3, secs(60)).await;
    servers.delay(ms(10));
    assert!(timeout(ms(1), redlock.renew(&lock, secs(1))).await.is_err());
    assert_eq!(lock.validity(), ms(899));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_for_less_that_certainly_was_not_carried_out_shortens_nothing() {
    let (servers, redlock, lock) = locked(3, secs(60)).await;
    servers.crash();
    sleep(secs(5)).await;
    let error = redlock.renew(&lock, secs(1)).await.unwrap_err();
    assert_matches!(error, RenewError::Unknown { remaining, .. } if remaining == lock.validity());
    assert_eq!(lock.validity(), ms(54_900));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_for_more_makes_up_for_one_for_less_that_came_before_it() {
    let (servers, redlock, lock) = locked(3, secs(60)).await;
    servers.delay(ms(150));
    redlock
        .renew(&lock, secs(1))
        .attempt_timeout(ms(100))
        .await
        .unwrap_err();
    let renewed = redlock.renew(&lock, secs(30)).await.unwrap();
    assert_eq!(renewed.validity(), ms(29_700));
    // A copy of the lock as it was before has the same servers.
    assert_eq!(lock.validity(), ms(29_700));
}

#[tokio::test(start_paused = true)]
async fn a_guard_whose_lock_is_renewed_by_hand_for_less_ends_sooner() {
    let (servers, redlock, guard) = guarded(secs(60)).await;
    servers.delay(ms(150));
    redlock
        .renew(&guard.lock(), secs(1))
        .attempt_timeout(ms(100))
        .await
        .unwrap_err();
    assert_eq!(guard.validity(), ms(800));
    // Its keeper takes that as the time until the next renewal is due, which makes up for it.
    servers.delay(ms(0));
    sleep(secs(3)).await;
    assert!(guard.validity() > secs(50), "{guard:?}");

    servers.freeze();
    redlock
        .renew(&guard.lock(), secs(1))
        .attempt_timeout(ms(100))
        .await
        .unwrap_err();
    let loss = timeout(ms(801), guard.lost()).await.expect("in time");
    assert!(guard.loss().is_some(), "{loss:?}");
}

#[tokio::test(start_paused = true)]
async fn a_guard_renews_in_time_a_lock_that_was_renewed_by_hand_for_less() {
    // The guard renews after 20 s, or a third of what is left after the renewal by hand if that is sooner.
    for (held_for, ttl) in [(secs(5), secs(1)), (secs(19), secs(30))] {
        let (_servers, redlock, guard) = guarded(secs(60)).await;
        sleep(held_for).await;
        let lock = redlock.renew(&guard.lock(), ttl).await.unwrap();
        assert_eq!(guard.validity(), lock.validity());
        sleep(secs(2)).await;
        assert!(guard.validity() > secs(57), "{guard:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_waits_for_a_loss_is_told_in_time_when_the_lock_was_renewed_by_hand_for_less() {
    let (servers, redlock, guard) = guarded(secs(60)).await;
    let lock = guard.lock();
    let renewing = async {
        sleep(secs(1)).await;
        servers.freeze();
        let renewal = redlock.renew(&lock, secs(1)).attempt_timeout(ms(100));
        renewal.await.unwrap_err();
        pending::<LockLost>().await
    };
    let loss = tokio::select! {
        loss = timeout(ms(1_902), guard.lost()) => loss.expect("in time"),
        loss = renewing => loss,
    };
    assert_matches!(loss, LockLost::Expired { .. });
}
