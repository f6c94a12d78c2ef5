//! Several resources that are locked together.

use crate::support::{
    Together, builder, connect, eventually, eventually_free, ms, secs, servers_and_client, settle, start, up,
};
use multiredlock::{
    LockError, RenewError,
    error::{InvalidRequest, InvalidResource, OwnerError},
    testing::MemoryServer,
};
use std::{
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Waker},
};
use test_support::assert_matches;
use tokio::{task::yield_now, time::sleep};

fn have(servers: &[MemoryServer], keys: &[&str], value: &str) -> bool {
    let has = |server: &MemoryServer| keys.iter().all(|key| server.get(key).as_deref() == Some(value));
    servers.iter().all(has)
}

#[tokio::test(start_paused = true)]
async fn several_resources_are_locked_with_one_value_and_unlocked_together() {
    let (servers, redlock) = servers_and_client(3).await;
    let lock = redlock.lock(["b", "a", "b"], secs(10)).await.unwrap();
    assert_eq!(lock.resources().collect::<Vec<_>>(), [b"a", b"b"]);
    assert!(have(&servers, &["a", "b"], lock.value()));
    assert!(servers.iter().all(|server| server.len() == 2));
    assert_eq!(redlock.unlock(&lock).counts().await.removed, 3);
    eventually_free(&servers).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_set_is_locked_while_a_part_of_it_is_held() {
    for held in [&["a"][..], &["b"], &["c"], &["a", "c"]] {
        let (servers, redlock) = servers_and_client(3).await;
        let lock = redlock.lock(held, secs(60)).await.unwrap();
        let error = redlock.try_lock(["a", "b", "c"], secs(60)).await.unwrap_err();
        assert_matches!(error, LockError::Held { .. });
        assert!(servers.iter().all(|server| server.len() == held.len()), "{held:?}");
        assert!(have(&servers, held, lock.value()));
        redlock.unlock(&lock).counts().await;
        let _lock = redlock.lock(["a", "b", "c"], secs(60)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn sets_in_any_order_exclude_each_other_without_a_deadlock() {
    static OWNERS: AtomicUsize = AtomicUsize::new(0);
    let servers = start(3);
    let redlocks = [connect(&servers).await, connect(&servers).await];
    let mut tasks = Vec::new();
    for i in 0..20 {
        let redlock = redlocks[i % 2].clone();
        tasks.push(tokio::spawn(async move {
            let set = if i % 4 < 2 { ["a", "b"] } else { ["b", "a"] };
            let guard = redlock.acquire(set, secs(10)).await.unwrap();
            assert_eq!(OWNERS.fetch_add(1, Ordering::SeqCst), 0);
            sleep(ms(3)).await;
            OWNERS.fetch_sub(1, Ordering::SeqCst);
            guard.release().await.unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    eventually_free(&servers).await;
}

#[tokio::test(start_paused = true)]
async fn too_few_and_too_many_resources_are_refused_before_anything_is_sent() {
    let (servers, redlock) = servers_and_client(3).await;
    // Nobody would answer.
    servers.freeze();
    let many: Vec<_> = (0..129).map(|i| format!("r{i}")).collect();
    let too_many = redlock.group_of(&many).unwrap_err();
    assert_matches!(
        &too_many,
        InvalidResource::TooMany {
            count: 129,
            most: 128,
            ..
        }
    );
    for (names, expected) in [(Vec::new(), InvalidResource::None), (many, too_many)] {
        let before = tokio::time::Instant::now();
        let invalid = Err(LockError::Invalid(InvalidRequest::Resource(expected.clone())));
        assert_eq!(redlock.lock(&names, secs(10)).await.map(drop), invalid);
        assert_eq!(redlock.acquire(&names, secs(10)).await.map(drop), invalid);
        assert_eq!(redlock.try_acquire(&names, secs(10)).await.map(drop), invalid);
        assert_eq!(
            redlock.owner(&names).await.map(drop),
            Err(OwnerError::Invalid(InvalidRequest::Resource(expected)))
        );
        assert!(before.elapsed().is_zero());
    }
    servers.thaw();
    settle().await;
    assert!(servers.are_empty());
}

#[tokio::test(start_paused = true)]
async fn a_hundred_and_twenty_eight_resources_are_locked_together() {
    let (servers, redlock) = servers_and_client(3).await;
    let names: Vec<_> = (0..128).map(|i| format!("r{i}")).collect();
    let lock = redlock.lock(&names, secs(10)).await.unwrap();
    assert!(servers.iter().all(|server| server.len() == 128));
    redlock.unlock(&lock).counts().await;
    eventually_free(&servers).await;
}

#[tokio::test(start_paused = true)]
async fn a_renewal_puts_a_key_back_that_a_minority_lost() {
    let (servers, redlock) = servers_and_client(3).await;
    let lock = redlock.lock(["a", "b"], secs(10)).await.unwrap();
    servers[1].forget("b");
    let lock = redlock.renew(&lock, secs(20)).await.unwrap();
    sleep(ms(1)).await;
    assert!(have(&servers, &["a", "b"], lock.value()));
    sleep(secs(15)).await;
    assert!(have(&servers, &["a", "b"], lock.value()), "they live for the new ttl");
    assert_eq!(redlock.unlock(&lock).counts().await.removed, 3);
}

#[tokio::test(start_paused = true)]
async fn a_set_is_lost_when_a_majority_lost_one_of_its_keys_each() {
    let (servers, redlock) = servers_and_client(3).await;
    let lock = redlock.lock(["a", "b"], secs(10)).await.unwrap();
    servers[0].forget("a");
    servers[1].forget("b");
    assert_matches!(redlock.renew(&lock, secs(10)).await, Err(RenewError::Lost { .. }));
    sleep(ms(1)).await;
    assert_eq!((servers[0].get("a"), servers[1].get("b")), (None, None));
    redlock.unlock(&lock).counts().await;
    eventually_free(&servers).await;
}

#[tokio::test(start_paused = true)]
async fn an_unlock_of_a_set_leaves_keys_that_others_took() {
    let (servers, redlock) = servers_and_client(3).await;
    let lock = redlock.lock(["a", "b"], secs(10)).await.unwrap();
    servers.forget("a");
    let other = redlock.lock("a", secs(10)).await.unwrap();
    redlock.unlock(&lock).counts().await;
    assert!(have(&servers, &["a"], other.value()));
    assert!(servers.iter().all(|server| server.len() == 1));
}

#[tokio::test(start_paused = true)]
async fn a_set_that_a_minority_granted_is_undone_there() {
    let (servers, redlock) = servers_and_client(3).await;
    let other = builder(&servers[..2]).build().unwrap();
    up(&other, 2).await;
    let held = other.lock("b", secs(60)).await.unwrap();
    let error = redlock.try_lock(["a", "b"], secs(60)).await.unwrap_err();
    assert_matches!(&error, LockError::Held { failure, .. } if failure.held() == 2);
    eventually("nothing on the third", async || servers[2].is_empty()).await;
    assert!(servers[..2].iter().all(|server| server.get("a").is_none()));
    assert!(have(&servers[..2], &["b"], held.value()));
}

#[tokio::test(start_paused = true)]
async fn a_set_that_is_dropped_after_any_number_of_polls_leaves_no_key() {
    let mut was_ready = false;
    for polls in 0..60 {
        let (servers, redlock) = servers_and_client(3).await;
        for (server, delay) in servers.iter().zip([1, 2, 3]) {
            server.delay(ms(delay));
        }
        let mut cx = Context::from_waker(Waker::noop());
        {
            let mut lock = pin!(redlock.lock(["a", "b"], secs(600)));
            let mut acquire = pin!(redlock.acquire(["c", "a"], secs(600)));
            for _ in 0..polls {
                if let std::task::Poll::Ready(lock) = lock.as_mut().poll(&mut cx) {
                    redlock.unlock(&lock.unwrap());
                    was_ready = true;
                    break;
                }
                if acquire.as_mut().poll(&mut cx).is_ready() {
                    break;
                }
                yield_now().await;
                if polls % 3 == 0 {
                    tokio::time::advance(ms(1)).await;
                }
            }
        }
        eventually_free(&servers).await;
    }
    assert!(was_ready, "some were polled to their end");
}
