//! A guard renews its lock, and knows when it is lost.

use crate::support::{
    Together, eventually_free, guarded, ms, runtime, secs, servers_and, servers_and_client, start, up,
};
use multiredlock::{Drift, Guard, LockError, LockLost, Redlock, ReleaseError, RenewError, error::EnsureError};
use std::{fmt::Debug, time::Duration};
use test_support::{assert_matches, extract};
use tokio::time::{Instant, sleep, timeout};

/// Waits for the loss, and returns it with the time that took.
async fn lost(guard: &Guard) -> (LockLost, Duration) {
    let before = Instant::now();
    let loss = timeout(secs(3_600), guard.lost()).await.expect("it is lost at last");
    assert_eq!(guard.loss(), Some(loss.clone()));
    assert!(!guard.is_valid() && guard.validity().is_zero());
    (loss, before.elapsed())
}

/// Waits for the loss of a lock that a majority does not have any more, which takes at most so long.
async fn gone_within(guard: &Guard, limit: Duration) {
    let (loss, took) = lost(guard).await;
    assert_matches!(loss, LockLost::Gone { .. });
    assert!(took <= limit, "{took:?}");
}

/// Waits for so long, and fails if the guard is lost.
async fn is_kept(guard: &Guard, duration: Duration, what: impl Debug) {
    let lost = timeout(duration, guard.lost()).await;
    assert!(lost.is_err(), "{lost:?} with {what:?}");
}

#[tokio::test(start_paused = true)]
async fn a_guard_is_renewed_at_a_third_of_its_validity_for_many_ttls() {
    let (servers, _redlock, guard) = guarded(secs(3)).await;
    let value = guard.lock().value().to_owned();
    for _ in 0..100 {
        // The timers have steps of a millisecond, so that each renewal may be late by one.
        sleep(guard.validity().saturating_sub(ms(1_936))).await;
        assert!(guard.validity() <= ms(1_936), "renewed too early");
        sleep(ms(5)).await;
        assert!(guard.validity() > ms(2_890), "not renewed in time");
        assert_eq!(servers.holding(&guard.lock()), 3);
        assert_eq!(guard.loss(), None);
    }
    assert_eq!(guard.lock().value(), value);
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_guard_is_renewed_in_time_however_little_the_drift_leaves_of_its_ttl() {
    for (ttl, drift) in [
        (ms(110), Drift::default()),
        (ms(150), Drift::default()),
        (secs(60), Drift::factor(0.67).unwrap()),
        (secs(60), Drift::factor(0.99).unwrap()),
    ] {
        let (_servers, redlock) = servers_and_client(3).await;
        let guard = redlock.acquire("r", ttl).drift(drift).await.unwrap();
        is_kept(&guard, 5 * ttl, (ttl, drift)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_whose_servers_all_stop_is_lost_exactly_at_the_end_of_its_validity() {
    let (servers, _redlock, guard) = guarded(secs(10)).await;
    sleep(secs(5)).await;
    servers.freeze();
    let left = guard.validity();
    let (loss, took) = lost(&guard).await;
    assert_eq!(took.as_millis(), left.as_millis());
    let (resource, cause) = extract!(loss, LockLost::Expired { resource, cause, .. } => (resource, cause));
    assert_eq!(resource, "r");
    assert_matches!(*cause.unwrap(), RenewError::Unknown { .. });
    assert_eq!(guard.lost().await, guard.loss().unwrap(), "the reason stays");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_a_majority_refuses_is_a_loss_at_once() {
    let (servers, _redlock, guard) = guarded(secs(10)).await;
    sleep(secs(1)).await;
    // Of this the servers tell nothing.
    servers[..2].forget_all();
    let (loss, took) = lost(&guard).await;
    assert_matches!(&loss, LockLost::Gone { failure, .. } if failure.needed == 2 && failure.granted() <= 1);
    assert!(took > secs(2) && took < secs(3), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_guard_is_told_that_a_majority_forgot_its_key_before_and_after_renewals() {
    for held_for in [ms(150), secs(11), secs(41)] {
        let (servers, _redlock, guard) = guarded(secs(30)).await;
        sleep(held_for).await;
        servers[..2].forget("r");
        let (loss, took) = lost(&guard).await;
        assert_matches!(&loss, LockLost::Gone { failure, .. } if failure.attempts == 1);
        assert!(took < ms(100), "after {held_for:?} it took {took:?}");
        assert_matches!(
            guard.release().await,
            Err(ReleaseError::Gone {
                removed: 1,
                servers: 3,
                needed: 2,
                ..
            })
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_a_minority_forgot_is_put_back_at_once_every_time() {
    let (servers, _redlock, guard) = guarded(secs(30)).await;
    for wait in [ms(150), ms(100), ms(100), secs(11), secs(1), secs(25)] {
        sleep(wait).await;
        assert_eq!(servers.holding(&guard.lock()), 3);
        servers[1].forget("r");
        sleep(ms(100)).await;
        assert_eq!(servers.holding(&guard.lock()), 3, "after another {wait:?}");
        assert_eq!(guard.loss(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_a_minority_forgot_before_the_first_look_is_put_back_after_it() {
    let (servers, _redlock, guard) = guarded(secs(30)).await;
    sleep(ms(50)).await;
    servers[1].forget("r");
    // It looks after 100 ms, and renews after another 10.
    sleep(ms(55)).await;
    assert_eq!(servers.holding(&guard.lock()), 2, "no server is asked without a pause");
    sleep(ms(20)).await;
    assert_eq!(servers.holding(&guard.lock()), 3);
}

#[tokio::test(start_paused = true)]
async fn a_guard_of_a_short_ttl_is_told_of_its_loss_before_the_next_renewal() {
    let (servers, _redlock, guard) = guarded(ms(220)).await;
    // It was renewed after 40 ms, and will be after 80.
    sleep(ms(50)).await;
    servers[..2].forget("r");
    gone_within(&guard, ms(15)).await;
}

#[tokio::test(start_paused = true)]
async fn a_majority_that_forgets_the_key_right_after_a_renewal_is_a_loss_at_once() {
    let (servers, _redlock, guard) = guarded(secs(30)).await;
    sleep(secs(9)).await;
    // The renewal is sent after 9.97 s and arrives after 10.07 s, and the look that follows arrives after 10.17 s.
    servers.delay(ms(100));
    sleep(ms(1_100)).await;
    // Of this the servers tell nothing.
    servers[..2].forget_all();
    gone_within(&guard, ms(100)).await;
}

#[tokio::test(start_paused = true)]
async fn a_minority_that_another_holds_is_put_right_once_it_is_free_and_costs_no_renewals_until_then() {
    let (servers, _redlock, guard) = guarded(secs(30)).await;
    sleep(ms(150)).await;
    servers[2].forget("r");
    assert!(servers[2].set("r", "another", None));
    sleep(secs(3)).await;
    assert!(guard.validity() < secs(28), "renewed again and again");
    servers[2].forget("r");
    sleep(ms(100)).await;
    assert_eq!(servers.holding(&guard.lock()), 3);
}

#[tokio::test(start_paused = true)]
async fn renewals_of_a_guard_keep_to_its_drift_and_its_time_limit() {
    let (servers, redlock) = servers_and(3, |builder| builder.heartbeat_interval(secs(60))).await;
    let request = redlock.acquire("r", secs(30)).drift(Drift::fixed(secs(15)));
    let guard = request.attempt_timeout(secs(5)).await.unwrap();
    sleep(ms(4_900)).await;
    // Longer than a server has by default, and than was measured before.
    servers.delay(ms(1_500));
    sleep(ms(1_800)).await;
    let remaining = guard.validity();
    assert!(remaining > secs(13) && remaining < ms(13_400), "{remaining:?}");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_failed_is_tried_again_however_little_the_drift_leaves_of_the_ttl() {
    let (servers, redlock) = servers_and(3, |builder| builder.reconnect(ms(50), ms(50))).await;
    let request = redlock.acquire("r", secs(60)).drift(Drift::fixed(secs(57)));
    let guard = request.await.unwrap();
    sleep(ms(500)).await;
    servers[..2].crash();
    // The renewal after 1 s fails.
    sleep(secs(1)).await;
    servers[..2].restart();
    is_kept(&guard, secs(30), "a failed renewal").await;
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_failed_is_tried_again_after_a_twentieth_of_the_ttl() {
    let (servers, redlock) = servers_and(3, |builder| builder.reconnect(ms(50), ms(50))).await;
    let guard = redlock.acquire("r", secs(60)).await.unwrap();
    sleep(secs(19)).await;
    servers[..2].crash();
    // The renewal after 20 s fails.
    sleep(secs(2)).await;
    servers[..2].restart();
    sleep(secs(1)).await;
    assert!(guard.validity() < secs(38), "{:?}", guard.validity());
    sleep(secs(2)).await;
    assert!(guard.validity() > secs(58), "{:?}", guard.validity());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_forgets_the_key_whenever_it_is_put_back_is_not_asked_without_end() {
    let (servers, _redlock, guard) = guarded(secs(30)).await;
    servers[1].delay(ms(2));
    for _ in 0..3_000 {
        // Of this the server tells nothing.
        servers[1].forget_all();
        sleep(ms(1)).await;
    }
    // The look after 100 ms let it be renewed once.
    assert!(guard.validity() < ms(27_100), "{:?}", guard.validity());
    assert!(guard.validity() > ms(26_950), "{:?}", guard.validity());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_keeps_forgetting_the_key_delays_no_renewal() {
    let (servers, _redlock, guard) = guarded(ms(500)).await;
    for _ in 0..400 {
        servers[0].forget("r");
        sleep(ms(5)).await;
        assert_eq!(guard.loss(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_prints_its_lock_and_its_loss_but_not_the_value() {
    let (_servers, redlock, guard) = guarded(secs(10)).await;
    let printed = format!("{guard:?}");
    assert!(
        printed.starts_with("Guard { lock: Lock {") && printed.contains("loss: None"),
        "{printed}"
    );
    assert!(!printed.contains(guard.lock().value()), "{printed}");
    redlock.unlock(&guard.lock());
    assert!(format!("{guard:?}").contains("loss: Some(Expired"), "{guard:?}");
}

#[tokio::test(start_paused = true)]
async fn a_frozen_minority_costs_no_guard_its_lock_however_short_its_ttl() {
    for ttl in [ms(200), ms(500), secs(1), secs(3)] {
        let (servers, _redlock, guard) = guarded(ttl).await;
        servers[2].freeze();
        is_kept(&guard, 20 * ttl, ttl).await;

        // Also if it freezes while the guard looks.
        let (servers, redlock) = servers_and_client(5).await;
        let guard = redlock.acquire("r", ttl).await.unwrap();
        sleep(2 * ttl).await;
        servers[4].freeze();
        servers[0].forget("r");
        is_kept(&guard, 5 * ttl, ttl).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_comes_back_after_the_end_does_not_bring_the_lock_back() {
    let (servers, redlock) = servers_and(3, |builder| builder.heartbeat_interval(secs(3_600))).await;
    let guard = redlock.acquire("r", secs(10)).attempt_timeout(secs(60)).await.unwrap();
    sleep(secs(1)).await;
    // The renewal is sent after a third, and carried out while the keys are still there; its answer is of no use.
    servers.delay(ms(6_600));
    let (loss, _) = lost(&guard).await;
    assert_matches!(&loss, LockLost::Expired { .. });
    sleep(ms(20)).await;
    assert_eq!(servers.holding(&guard.lock()), 3, "it was renewed, but too late");
    servers.delay(Duration::ZERO);
    assert!(!guard.is_valid() && guard.validity().is_zero());
    assert_eq!(guard.loss(), Some(loss.clone()));
    assert_eq!(guard.ensure_valid_for(ms(1)), Err(EnsureError::Lost(loss)));
    sleep(secs(60)).await;
    assert!(servers.are_empty(), "no later renewal is sent");
}

#[tokio::test(start_paused = true)]
async fn ensure_says_whether_enough_is_left() {
    let (servers, _redlock, guard) = guarded(secs(3)).await;
    assert_eq!(guard.ensure_valid_for(ms(2_900)), Ok(()));
    sleep(ms(500)).await;
    assert_eq!(guard.ensure_valid_for(ms(2_400)), Ok(()));
    let error = guard.ensure_valid_for(ms(2_401)).unwrap_err();
    assert_matches!(&error, EnsureError::TooLittle { remaining, at_least, .. }
        if (*remaining, *at_least) == (ms(2_400), ms(2_401)));
    assert_eq!(error.to_string(), "2.4s of the validity is left, 2.401s is needed");
    let error = guard.ensure_valid_for(ms(2_901)).unwrap_err();
    assert_matches!(&error, EnsureError::Never { at_least, ttl, drift, .. }
        if (*at_least, *ttl, *drift) == (ms(2_901), secs(3), ms(100)));
    assert_eq!(
        error.to_string(),
        "2.901s can never be left of the ttl (3s) less the drift (100ms)"
    );
    servers.freeze();
    let (loss, _) = lost(&guard).await;
    assert_eq!(guard.ensure_valid_for(Duration::ZERO), Err(EnsureError::Lost(loss)));
}

#[tokio::test(start_paused = true)]
async fn a_guard_is_renewed_no_more_once_it_was_held_for_as_long_as_it_may_be() {
    let ttl = secs(3);
    for max_hold in [ms(3_000), ms(3_500), ms(4_500), ms(60_000)] {
        let (servers, redlock) = servers_and_client(3).await;
        let before = Instant::now();
        let guard = redlock.acquire("r", ttl).max_hold(max_hold).await.unwrap();
        let (loss, _) = lost(&guard).await;
        assert_matches!(&loss, LockLost::MaxHold { resource, max_hold: longest, .. }
            if resource == "r" && *longest == max_hold);
        let held_for = before.elapsed();
        assert!(held_for >= max_hold, "{max_hold:?}: lost after {held_for:?}");
        assert!(
            held_for <= max_hold + ttl,
            "{max_hold:?}: renewed later, lost after {held_for:?}"
        );
        sleep(ms(101)).await;
        assert!(servers.are_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_is_lost_sooner_than_it_may_be_held_names_the_cause() {
    let (servers, redlock) = servers_and_client(3).await;
    let guard = redlock.acquire("r", secs(3)).max_hold(secs(60)).await.unwrap();
    servers.freeze();
    let (loss, _) = lost(&guard).await;
    assert_matches!(loss, LockLost::Expired { cause: Some(_), .. });
}

#[tokio::test(start_paused = true)]
async fn a_guard_may_be_held_for_ever() {
    let (_servers, redlock) = servers_and_client(3).await;
    let guard = redlock
        .acquire("r", secs(1))
        .max_hold(Duration::MAX)
        .timeout(Duration::MAX)
        .await
        .unwrap();
    is_kept(&guard, secs(30), "no limit").await;
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_may_be_held_for_less_than_its_ttl_is_an_error_and_nothing_is_sent() {
    let (servers, redlock) = servers_and_client(1).await;
    servers[0].delay(ms(1));
    for request in [redlock.acquire("r", secs(3)), redlock.try_acquire("r", secs(3))] {
        let before = Instant::now();
        let error = request.max_hold(ms(2_999)).await.unwrap_err();
        let words = "max_hold (2.999s) must not be less than the ttl (3s)";
        assert_eq!(error.to_string(), words);
        assert!(before.elapsed().is_zero(), "no server is asked");
    }
    sleep(ms(2)).await;
    assert!(servers[0].is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_release_is_sent_when_it_returns_and_says_that_a_majority_removed_the_key() {
    let (servers, _redlock, guard) = guarded(secs(3)).await;
    let releasing = guard.release();
    assert!(servers.are_empty());
    assert_eq!(releasing.await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_release_waits_for_no_minority() {
    let (servers, _redlock, guard) = guarded(secs(60)).await;
    servers[2].freeze();
    let before = Instant::now();
    guard.release().await.unwrap();
    assert!(before.elapsed() < ms(1), "{:?}", before.elapsed());
    servers[2].thaw();
    eventually_free(&servers).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_without_a_majority_is_unknown_and_still_reaches_the_servers() {
    let (servers, _redlock, guard) = guarded(secs(600)).await;
    servers[..2].freeze();
    let before = Instant::now();
    let error = guard.release().await.unwrap_err();
    assert_matches!(&error, ReleaseError::Unknown { resource, removed: 1, servers: 3, needed: 2, .. } if resource == "r");
    assert!(before.elapsed() <= ms(1_001), "{:?}", before.elapsed());
    servers.thaw();
    eventually_free(&servers).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_renewed_after_a_release_even_if_a_renewal_is_just_under_way() {
    for released_after in 990..1_020 {
        let (servers, _redlock, guard) = guarded(secs(3)).await;
        for (server, delay) in servers.iter().zip([0, 3, 6]) {
            server.delay(ms(delay));
        }
        // It went missing where the answer comes late, so that it would be put back.
        servers[1].forget_all();
        sleep(ms(released_after)).await;
        if released_after % 2 == 0 {
            drop(guard.release());
        } else {
            drop(guard);
        }
        sleep(ms(10)).await;
        for _ in 0..40 {
            assert!(servers.are_empty(), "released after {released_after} ms");
            sleep(ms(100)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_guard_is_released() {
    let (servers, _redlock, guard) = guarded(secs(60)).await;
    drop(guard);
    assert!(servers.are_empty());
}

#[test]
fn a_guard_that_is_dropped_outside_a_runtime_is_released() {
    let runtime = runtime(false);
    let (servers, redlock, guard) = runtime.block_on(guarded(secs(600)));
    drop(guard);
    assert!(servers.are_empty());
    let guard = runtime.block_on(redlock.try_acquire("r", secs(600))).unwrap();
    drop(redlock);
    drop(runtime);
    // Nobody is left to send it.
    drop(guard);
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_taken_out_of_its_guard_stays_locked_and_is_not_renewed() {
    let (servers, redlock, guard) = guarded(secs(3)).await;
    sleep(ms(500)).await;
    let lock = guard.into_lock();
    assert_eq!(lock.validity(), ms(2_400));
    sleep(ms(2_000)).await;
    assert_eq!(lock.validity(), ms(400));
    assert_eq!(servers.holding(&lock), servers.len());
    let lock = redlock.renew(&lock, secs(3)).await.unwrap();
    sleep(ms(3_001)).await;
    assert!(!lock.is_valid() && servers.are_empty());
}

#[tokio::test(start_paused = true)]
async fn try_acquire_makes_one_round() {
    let (servers, redlock) = servers_and_client(3).await;
    let guard = redlock.try_acquire("r", secs(3)).await.unwrap();
    match redlock.try_acquire("r", secs(3)).await.unwrap_err() {
        LockError::Held { owner, failure, .. } => {
            assert_eq!(failure.attempts, 1);
            assert_eq!(owner.unwrap().id, "here");
        }
        other => panic!("{other}"),
    }
    is_kept(&guard, secs(10), "it is renewed as any other").await;
    guard.release().await.unwrap();
    servers[..2].freeze();
    assert_matches!(redlock.try_acquire("r", secs(3)).await, Err(LockError::NoQuorum { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_guard_survives_a_majority_that_is_frozen_for_less_than_its_ttl() {
    for frozen_for in [ms(500), secs(3), secs(5)] {
        let (servers, redlock, guard) = guarded(secs(10)).await;
        sleep(secs(1)).await;
        for _ in 0..5 {
            servers[..2].freeze();
            sleep(frozen_for).await;
            servers.thaw();
            up(&redlock, 3).await;
            sleep(secs(2)).await;
            assert_eq!(guard.loss(), None, "frozen for {frozen_for:?}");
            assert_eq!(servers.holding(&guard.lock()), 3);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_survives_a_majority_that_is_down_for_less_than_its_ttl() {
    let servers = start(3);
    // A server that nobody has noticed to be back is as good as down.
    let builder = Redlock::builder().servers(&servers).reconnect(ms(50), secs(1));
    let redlock = builder.build().unwrap();
    redlock.wait_connected().await.unwrap();
    let guard = redlock.acquire("r", secs(10)).await.unwrap();
    for _ in 0..5 {
        servers[..2].crash();
        sleep(secs(4)).await;
        servers[..2].restart();
        up(&redlock, 3).await;
        sleep(secs(1)).await;
        assert!(guard.validity() > secs(5), "{:?}", guard.loss());
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_of_a_closed_client_is_lost_at_the_end_of_its_validity() {
    let (_servers, redlock, guard) = guarded(secs(10)).await;
    sleep(secs(1)).await;
    redlock.close().await;
    let left = guard.validity();
    assert!(left > secs(8));
    let (loss, took) = lost(&guard).await;
    assert_eq!(took.as_millis(), left.as_millis());
    assert_matches!(&loss, LockLost::Expired { cause: Some(cause), .. } if **cause == RenewError::Closed);
    assert_matches!(guard.release().await, Err(ReleaseError::Unknown { removed: 0, .. }));
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_is_the_last_owner_of_its_client_keeps_it_alive_and_closes_it() {
    let (servers, redlock, guard) = guarded(secs(3)).await;
    let closed = redlock.disconnected();
    drop(redlock);
    drop(closed);
    sleep(secs(30)).await;
    assert!(guard.is_valid());
    assert_eq!(servers.holding(&guard.lock()), 3);
    servers.delay(ms(5));
    drop(guard);
    sleep(ms(10)).await;
    assert!(servers.are_empty(), "the unlock goes out before the end");
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_was_unlocked_behind_its_guards_back_is_lost() {
    let (_servers, redlock, guard) = guarded(secs(30)).await;
    sleep(secs(1)).await;
    redlock.unlock(&guard.lock());
    assert!(!guard.is_valid());
    let (_, took) = lost(&guard).await;
    assert!(took < ms(100), "{took:?}");
}
