//! A fenced lock has a token larger than that of any lock before it.

use crate::support::{
    Together, builder, connect, connected, eventually, eventually_free, ms, secs, servers_and, servers_and_client,
    start, up,
};
use multiredlock::{
    Builder, ConfigError, FencingToken, Lock, LockError, Redlock, RenewError,
    error::{InvalidRequest, InvalidResource, InvalidTtl},
    testing::MemoryServer,
};
use std::time::Duration;
use test_support::assert_matches;
use tokio::time::{Instant, sleep};

async fn token(redlock: &Redlock) -> FencingToken {
    let lock = redlock.lock("r", secs(10)).fenced().await.unwrap();
    redlock.unlock(&lock).counts().await;
    lock.token().expect("it is fenced")
}

/// Servers, and a client whose locks are all fenced.
async fn fenced(count: usize) -> (Vec<MemoryServer>, Redlock) {
    servers_and(count, Builder::fenced).await
}

#[tokio::test(start_paused = true)]
async fn tokens_grow_from_lock_to_lock_whoever_takes_it() {
    let servers = start(3);
    let clients = [connect(&servers).await, connect(&servers).await];
    let mut last = FencingToken::from(0);
    for turn in 0..100 {
        let next = token(&clients[turn % 2]).await;
        assert!(next > last, "{next} after {last}");
        last = next;
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_lock_that_asks_for_it_has_a_token() {
    let (servers, redlock) = servers_and_client(3).await;
    assert_eq!(redlock.lock("a", secs(10)).await.unwrap().token(), None);
    assert!(redlock.lock("b", secs(10)).fenced().await.unwrap().token().is_some());
    assert!(redlock.acquire("c", secs(10)).fenced().await.unwrap().token().is_some());
    assert_eq!(redlock.acquire("d", secs(10)).await.unwrap().token(), None);
    let guard = redlock.try_acquire("g", secs(10)).fenced().await.unwrap();
    assert_eq!(guard.token(), servers[0].token("g"));

    let redlock = connected(builder(&servers).fenced()).await;
    assert!(redlock.lock("e", secs(10)).await.unwrap().token().is_some());
    assert!(redlock.try_acquire("f", secs(10)).await.unwrap().token().is_some());
}

#[tokio::test(start_paused = true)]
async fn tokens_grow_over_changing_majorities() {
    let (servers, redlock) = fenced(5).await;
    let mut last = FencingToken::from(0);
    for turn in 0..20 {
        let away = [turn % 5, (turn * 2 + 1) % 5];
        for server in away {
            servers[server].crash();
        }
        sleep(ms(10)).await;
        let next = token(&redlock).await;
        assert!(next > last, "{next} after {last}");
        last = next;
        for server in away {
            servers[server].restart();
        }
        up(&redlock, 5).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_larger_than_that_of_an_owner_whose_keys_are_gone() {
    let (servers, redlock) = fenced(3).await;
    for _ in 0..10 {
        let first = redlock.lock("r", secs(10)).await.unwrap();
        servers[..2].forget("r");
        let second = redlock.lock("r", secs(10)).await.unwrap();
        assert!(second.token() > first.token());
        redlock.unlock(&first).counts().await;
        redlock.unlock(&second).counts().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_majority_stores_the_largest_of_the_tokens_before_the_lock_is_granted() {
    let (servers, redlock) = fenced(3).await;
    // The clock of the last is ahead, so that what it comes to is larger than what the others do.
    servers[2].set_clock_ahead(secs(3_600));
    let lock = redlock.lock("r", secs(10)).await.unwrap();
    let stored = |server: &MemoryServer| server.token("r");
    let has_it = |server: &&MemoryServer| stored(server) == lock.token();
    assert!(servers.iter().filter(has_it).count() >= 2);
    redlock.unlock(&lock).counts().await;

    // So it does not matter which majority grants the next.
    servers[2].crash();
    up(&redlock, 2).await;
    assert!(token(&redlock).await > lock.token().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_lock_whose_largest_token_is_on_a_minority_is_not_granted() {
    let (servers, redlock) = fenced(3).await;
    servers[2].set_clock_ahead(secs(3_600));
    servers[0].crash();
    up(&redlock, 2).await;
    servers[1].delay(ms(20));
    let request = tokio::spawn(redlock.try_lock("r", secs(10)));
    // Between the two attempts the key of the one that has to raise its token goes away.
    sleep(ms(30)).await;
    servers[1].forget("r");
    let error = request.await.unwrap().unwrap_err();
    assert_matches!(error, LockError::NoQuorum { .. } | LockError::Refused { .. });
    eventually_free(&servers).await;
}

#[tokio::test(start_paused = true)]
async fn a_renewal_keeps_the_token_and_brings_it_to_servers_that_lost_it() {
    let (servers, redlock) = fenced(3).await;
    let lock = redlock.lock("r", secs(10)).await.unwrap();
    let token = lock.token();
    servers[0].restart_empty();
    up(&redlock, 2).await;
    up(&redlock, 3).await;
    assert_eq!(servers[0].token("r"), None);
    let lock = redlock.renew(&lock, secs(10)).await.unwrap();
    assert_eq!(lock.token(), token);
    eventually("it is put back", async || servers[0].token("r") == token).await;

    let guard = redlock.acquire("g", secs(3)).await.unwrap();
    let token = guard.token();
    sleep(secs(60)).await;
    assert!(guard.is_valid());
    assert_eq!(guard.token(), token);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_remembered_for_as_long_as_a_guard_holds_the_lock() {
    let (servers, redlock) = servers_and(3, |builder| builder.fenced().fence_expiry(secs(10))).await;
    let guard = redlock.acquire("r", secs(3)).await.unwrap();
    for _ in 0..20 {
        sleep(secs(4)).await;
        assert_eq!(servers[0].token("r"), guard.token());
    }
    guard.release().await.unwrap();
    sleep(secs(11)).await;
    assert_eq!(servers[0].token("r"), None);
}

#[tokio::test(start_paused = true)]
async fn of_several_resources_the_token_is_larger_than_those_of_each() {
    let (_servers, redlock) = fenced(3).await;
    let a = redlock.lock("a", secs(10)).await.unwrap();
    let b = redlock.lock("b", secs(10)).await.unwrap();
    redlock.unlock(&a).counts().await;
    redlock.unlock(&b).counts().await;
    let both = redlock.lock(["a", "b"], secs(10)).await.unwrap();
    assert!(both.token() > a.token().max(b.token()));
    redlock.unlock(&both).counts().await;
    for name in ["a", "b"] {
        let one = redlock.lock(name, secs(10)).await.unwrap();
        assert!(one.token() > both.token());
    }
}

#[tokio::test(start_paused = true)]
async fn waiters_in_line_get_tokens_in_the_order_of_their_turns() {
    let (_servers, redlock) = fenced(3).await;
    let first = redlock.acquire("r", secs(10)).await.unwrap();
    let mut waiters = tokio::task::JoinSet::new();
    let (told, mut turns) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..20 {
        let (redlock, told) = (redlock.clone(), told.clone());
        waiters.spawn(async move {
            let guard = redlock.acquire("r", secs(10)).await.unwrap();
            told.send(guard.token()).unwrap();
            guard.release().await.unwrap();
        });
    }
    drop(told);
    let mut last = first.token();
    sleep(ms(10)).await;
    first.release().await.unwrap();
    waiters.join_all().await;
    while let Some(next) = turns.recv().await {
        assert!(next > last);
        last = next;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_handed_over_with_its_token_keeps_it() {
    let (_servers, redlock) = fenced(3).await;
    let lock = redlock.lock("r", secs(10)).await.unwrap();
    let there = Lock::from_parts("r", lock.value()).with_token(lock.token().unwrap());
    let renewed = redlock.renew(&there, secs(10)).await.unwrap();
    assert_eq!(renewed.token(), lock.token());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_lies_about_the_time_costs_nobody_anything() {
    let servers = start(3);
    servers[2].set_clock_ahead(Duration::from_micros(u64::MAX));
    let redlock = connected(builder(&servers).fenced()).await;
    sleep(secs(3)).await;
    let lock = redlock.lock("r", secs(10)).await.unwrap();
    assert!(redlock.unlock(&lock).counts().await.removed >= 2);
}

#[tokio::test(start_paused = true)]
async fn a_fence_that_no_server_could_keep_for_so_long_is_refused_by_both_values() {
    let fence_expiry = Duration::MAX;
    let longest = Duration::from_millis(1 << 53);
    let error = builder(&start(3)).fence_expiry(fence_expiry).build().unwrap_err();
    assert_matches!(error, ConfigError::FenceExpiry { fence_expiry: expiry, longest: most, .. }
        if (expiry, most) == (fence_expiry, longest));
    assert!(builder(&start(3)).fence_expiry(longest).build().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_fence_that_expires_while_a_token_may_be_ahead_of_the_clock_is_refused_by_both_values() {
    let shortest = secs(2);
    for fence_expiry in [Duration::ZERO, ms(300), ms(1_999)] {
        let error = builder(&start(3)).fence_expiry(fence_expiry).build().unwrap_err();
        assert_matches!(error, ConfigError::ShortFenceExpiry { fence_expiry: expiry, shortest: least, .. }
            if (expiry, least) == (fence_expiry, shortest));
    }
    let error = builder(&start(3)).fence_expiry(ms(300)).build().unwrap_err();
    assert_eq!(error.to_string(), "the fence expiry (300ms) must be at least 2s");
    assert!(builder(&start(3)).fence_expiry(shortest).build().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_larger_than_one_that_was_as_far_ahead_as_can_be_and_is_forgotten() {
    let servers = start(3);
    let redlock = |servers: &[MemoryServer]| builder(servers).fenced().fence_expiry(secs(2)).build().unwrap();
    let near = redlock(&servers);
    up(&near, 3).await;
    // The further away a server is, the further ahead is the token that it is sent.
    servers.delay(ms(230));
    let far = redlock(&servers);
    up(&far, 3).await;
    sleep(secs(12)).await;
    let request = far.lock("r", secs(1)).attempt_timeout(secs(1));
    let asked = Instant::now();
    let first = request.await.unwrap().token().unwrap();
    let granted = asked.elapsed();
    servers.delay(ms(0));
    eventually("it is forgotten", async || {
        servers.iter().all(|server| server.token("r").is_none())
    })
    .await;
    assert!(asked.elapsed() >= secs(2));
    let second = near.lock("r", secs(1)).await.unwrap().token().unwrap();
    let apart = Duration::from_micros(u64::from(second).checked_sub(first.into()).expect("it is larger"));
    // It was indeed ahead: less time lies between the tokens than between the locks.
    assert!(apart + ms(500) + granted < asked.elapsed(), "{apart:?}");
}

#[tokio::test(start_paused = true)]
async fn the_validity_of_a_lock_whose_token_is_raised_counts_from_when_it_was_asked_for() {
    let (servers, redlock) = fenced(3).await;
    // This one comes to a larger token than the others, so that one of them has to raise its own.
    servers[2].set_clock_ahead(secs(3_600));
    servers[0].crash();
    up(&redlock, 2).await;
    servers[1].delay(ms(500));
    let asked = Instant::now();
    let lock = redlock.lock("r", secs(10)).attempt_timeout(secs(1)).await.unwrap();
    assert!(asked.elapsed() >= secs(1), "there were two attempts");
    assert_eq!(lock.validity() + asked.elapsed(), ms(9_900));

    // And if it is over by the end of the second, the lock is not granted.
    let request = redlock.try_lock("s", ms(1_050)).attempt_timeout(secs(1));
    assert_matches!(request.await.unwrap_err(), LockError::Expired { .. });
    eventually_free(&servers[1..2]).await;
}

#[tokio::test(start_paused = true)]
async fn a_resource_whose_key_is_a_fence_cannot_be_locked() {
    let (_servers, redlock) = servers_and(3, |builder| builder.key_prefix("app:")).await;
    let error = redlock.lock("a:fence:{app:a}", secs(10)).await.unwrap_err();
    let words = "cannot lock `a:fence:{app:a}`: its key is reserved for the fencing token of the key `app:a`";
    assert_eq!(error.to_string(), words);
    let error = redlock.acquire(["b", "a:fence:{app:a}"], secs(10)).await.unwrap_err();
    assert_matches!(
        error,
        LockError::Invalid(InvalidRequest::Resource(InvalidResource::Fence { .. }))
    );
    let _other_key = redlock.lock("a:fence:{a}", secs(10)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_token_that_no_script_could_count_spoils_no_fence() {
    let (servers, redlock) = fenced(3).await;
    let lock = redlock.lock("r", secs(10)).await.unwrap();
    let forged = Lock::from_parts("r", lock.value()).with_token(u64::MAX.into());
    let _renewed = redlock.renew(&forged, secs(10)).await.unwrap();
    assert_eq!(servers[0].token("r"), lock.token());
    redlock.unlock(&lock).counts().await;
    assert!(token(&redlock).await > lock.token().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_fence_that_expires_before_the_lock_is_refused_by_both_names() {
    let (servers, redlock) = servers_and(3, |builder| builder.fence_expiry(secs(5))).await;
    let error = redlock.lock("r", secs(10)).fenced().await.unwrap_err();
    let words = "ttl (10s) of a fenced lock must not exceed the fence expiry (5s)";
    assert_eq!(error.to_string(), words);
    let error = redlock.acquire("r", secs(6)).fenced().await.unwrap_err();
    let is_expected = |invalid: &InvalidRequest| {
        matches!(invalid, InvalidRequest::Ttl(InvalidTtl::OutlivesFence { ttl, fence_expiry, .. })
            if (*ttl, *fence_expiry) == (secs(6), secs(5)))
    };
    assert_matches!(&error, LockError::Invalid(invalid) if is_expected(invalid));
    let lock = redlock.lock("r", secs(5)).fenced().await.unwrap();
    let error = redlock.renew(&lock, secs(6)).await.unwrap_err();
    assert_matches!(&error, RenewError::Invalid(invalid) if is_expected(invalid));
    let _unfenced = redlock.lock("s", secs(10)).await.unwrap();
    assert_eq!(servers[0].len(), 2);
}
