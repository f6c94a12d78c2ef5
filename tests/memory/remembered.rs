//! Locks that a client remembers by name.

use crate::support::{all_up, builder, connect, connected, ms, secs, start};
use multiredlock::{Lock, Redlock, Retry};
use tokio::time::sleep;

async fn remembering(capacity: usize) -> Redlock {
    let redlock = builder(&start(3)).remember(capacity).build().unwrap();
    all_up(&redlock).await;
    redlock
}

fn value(lock: Option<Lock>) -> Option<String> {
    lock.map(|lock| lock.value().into())
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_found_by_name_until_it_is_unlocked() {
    let redlock = remembering(10).await;
    let lock = redlock.lock("r", secs(10)).await.unwrap();
    let held = redlock.clone().held("r").unwrap();
    assert_eq!(held.value(), lock.value());
    assert!(redlock.held("other").is_none());
    assert_eq!(redlock.unlock(&held).counts().await.removed, 3);
    assert!(redlock.held("r").is_none());
    let _ = redlock.lock("r", secs(10)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_remembered_as_it_was_renewed_last() {
    let redlock = remembering(10).await;
    let lock = redlock.lock("r", secs(1)).await.unwrap();
    let _ = redlock.renew(&lock, secs(60)).await.unwrap();
    sleep(secs(30)).await;
    assert!(redlock.held("r").is_some_and(|lock| lock.validity() > secs(29)));
}

#[tokio::test(start_paused = true)]
async fn a_lock_leaves_at_the_end_of_its_validity() {
    let redlock = remembering(10).await;
    let _ = redlock.lock("r", secs(1)).await.unwrap();
    sleep(ms(899)).await;
    assert!(redlock.held("r").is_some());
    sleep(ms(1)).await;
    assert!(redlock.held("r").is_none());
}

#[tokio::test(start_paused = true)]
async fn of_too_many_the_one_goes_that_was_used_least_recently() {
    let redlock = remembering(2).await;
    for resource in ["a", "b"] {
        let _ = redlock.lock(resource, secs(10)).await.unwrap();
    }
    let _ = redlock.held("a").unwrap();
    let _ = redlock.lock("c", secs(10)).await.unwrap();
    let held = ["a", "b", "c"].map(|resource| redlock.held(resource).is_some());
    assert_eq!(held, [true, false, true]);
    // What is forgotten is locked nevertheless.
    redlock.try_lock("b", secs(10)).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_makes_room_first() {
    let redlock = remembering(2).await;
    let _ = redlock.lock("short", ms(200)).await.unwrap();
    let _ = redlock.lock("long", secs(60)).await.unwrap();
    sleep(secs(1)).await;
    let _ = redlock.lock("new", secs(60)).await.unwrap();
    assert!(redlock.held("long").is_some() && redlock.held("new").is_some());
}

#[tokio::test(start_paused = true)]
async fn an_old_lock_does_not_make_a_new_one_forgotten() {
    let redlock = remembering(10).await;
    let old = redlock.lock("r", ms(200)).await.unwrap();
    sleep(ms(300)).await;
    let new = redlock.lock("r", secs(10)).await.unwrap();
    redlock.unlock(&old);
    assert_eq!(value(redlock.held("r")).as_deref(), Some(new.value()));
}

#[tokio::test(start_paused = true)]
async fn several_resources_are_remembered_together_in_any_order() {
    let redlock = remembering(10).await;
    let lock = redlock.lock(["a", "b"], secs(10)).await.unwrap();
    assert_eq!(value(redlock.held(["b", "a"])).as_deref(), Some(lock.value()));
    assert!(redlock.held("a").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_guard_keeps_its_lock_to_itself_until_it_gives_it_up() {
    let redlock = remembering(10).await;
    let guard = redlock.acquire("r", secs(3)).await.unwrap();
    // It was renewed meanwhile.
    sleep(secs(5)).await;
    assert!(redlock.held("r").is_none());
    let lock = guard.into_lock();
    assert_eq!(value(redlock.held("r")).as_deref(), Some(lock.value()));
    redlock.unlock(&lock);
    assert!(redlock.held("r").is_none());
}

#[tokio::test(start_paused = true)]
async fn what_was_not_granted_is_not_remembered() {
    let servers = start(3);
    let other = connect(&servers).await;
    let redlock = connected(builder(&servers).remember(10).retry(Retry::none())).await;
    let _ = other.lock("r", secs(10)).await.unwrap();
    redlock.lock("r", secs(10)).await.unwrap_err();
    assert!(redlock.held("r").is_none());
}

#[tokio::test]
async fn a_client_remembers_nothing_unless_it_is_told_to() {
    let redlock = connect(&start(3)).await;
    let _ = redlock.lock("r", secs(10)).await.unwrap();
    assert!(redlock.held("r").is_none());
    let error = builder(&start(3)).remember(0).build().unwrap_err();
    let words = "a client that remembers locks must remember at least 1";
    assert_eq!(error.to_string(), words);
}
