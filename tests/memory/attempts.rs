//! What an attempt decides, when, and how often it is made.

use crate::support::{
    Together, builder, connected, eventually_free, locked, ms, secs, servers_and, servers_and_client, start, up,
};
use multiredlock::{
    Drift, LockError, Redlock, Retry,
    error::{InvalidRequest, InvalidResource, InvalidTtl, Vote},
    status::Ownership,
    testing::MemoryServer,
};
use test_support::assert_matches;
use tokio::time::Instant;

/// What a server does in an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Gate {
    Ok,
    Held,
    Slow,
    Frozen,
    Crashed,
}

const GATES: [Gate; 5] = [Gate::Ok, Gate::Held, Gate::Slow, Gate::Frozen, Gate::Crashed];

/// Every mix of gates for this many servers, regardless of their order.
fn mixes(servers: usize) -> Vec<Vec<Gate>> {
    let mut mixes = vec![vec![]];
    for _ in 0..servers {
        mixes = mixes
            .into_iter()
            .flat_map(|mix: Vec<Gate>| {
                let from = mix
                    .last()
                    .map_or(0, |last| GATES.iter().position(|gate| gate == last).unwrap());
                GATES[from..].iter().map(move |gate| [&mix[..], &[*gate]].concat())
            })
            .collect();
    }
    mixes
}

async fn arrange(gates: &[Gate]) -> (Vec<MemoryServer>, Redlock) {
    let servers = start(gates.len());
    let redlock = connected(builder(&servers).heartbeat_interval(secs(3_600))).await;
    for (server, gate) in servers.iter().zip(gates) {
        match gate {
            Gate::Ok => {}
            Gate::Held => {
                let other = Redlock::builder().servers([server]).id("other").build().unwrap();
                other.wait_connected().await.unwrap();
                let _held = other.lock("r", secs(60)).await.unwrap();
            }
            Gate::Slow => server.delay(ms(20)),
            Gate::Frozen => server.freeze(),
            Gate::Crashed => server.crash(),
        }
    }
    let crashed = gates.iter().filter(|gate| **gate == Gate::Crashed).count();
    up(&redlock, gates.len() - crashed).await;
    (servers, redlock)
}

#[tokio::test(start_paused = true)]
async fn every_mix_of_servers_decides_as_a_majority_does_and_no_later_than_it_must() {
    for gates in (1..=5).flat_map(mixes) {
        let count = |gate| gates.iter().filter(|other| **other == gate).count();
        let (servers, quorum) = (gates.len(), gates.len() / 2 + 1);
        let (kept, redlock) = arrange(&gates).await;

        let before = Instant::now();
        let result = redlock.try_lock("r", secs(10)).await;
        let took = before.elapsed();

        let at_once_against = count(Gate::Held) + count(Gate::Crashed);
        let granted = count(Gate::Ok) + count(Gate::Slow);
        let expected = if count(Gate::Ok) >= quorum || at_once_against > servers - quorum {
            ms(0)
        } else if granted >= quorum {
            ms(20)
        } else {
            secs(1)
        };
        assert_eq!(took.as_millis(), expected.as_millis(), "{gates:?}: {result:?}");
        match result {
            Ok(lock) => {
                assert!(granted >= quorum, "{gates:?}");
                assert_eq!(lock.validity(), ms(9_900).saturating_sub(took));
                drop(lock);
            }
            Err(LockError::Held { owner, .. }) => {
                assert!(granted < quorum && count(Gate::Held) > 0, "{gates:?}");
                assert!(
                    servers - count(Gate::Crashed) >= quorum,
                    "{gates:?}: unreachable was called held"
                );
                assert_eq!(owner.unwrap().id, "other");
            }
            Err(LockError::NoQuorum { failure, .. }) => {
                assert!(granted < quorum, "{gates:?}");
                assert_eq!(failure.needed, quorum);
                let unreachable = |vote: &Vote| matches!(vote, Vote::Unreachable(_));
                let down = failure.votes.iter().filter(|vote| unreachable(&vote.vote)).count();
                assert_eq!(down, count(Gate::Crashed), "{gates:?}");
            }
            Err(other) => panic!("{gates:?}: {other}"),
        }
        drop(kept);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_tried_as_often_as_the_policy_says_and_says_who_holds_it() {
    let (_servers, redlock, _first) = locked(3, secs(10)).await;
    for (request, attempts) in [
        (redlock.lock("r", secs(10)), 4),
        (redlock.try_lock("r", secs(10)), 1),
        (redlock.lock("r", secs(10)).retry(Retry::new(7, ms(1))), 8),
    ] {
        match request.await.unwrap_err() {
            LockError::Held {
                owner,
                retry_after,
                failure,
                ..
            } => {
                assert_eq!(failure.attempts, attempts);
                assert!(failure.held() >= 2);
                assert_eq!(owner.unwrap().id, "here");
                assert!(retry_after.unwrap() > secs(9));
            }
            other => panic!("{other}"),
        }
    }
    redlock.set_retry(Retry::new(1, ms(5)));
    let error = redlock.clone().lock("r", secs(10)).await.unwrap_err().to_string();
    assert!(
        error.starts_with(
            "could not lock `r` in 2 attempts: 0 of 3 servers granted it, 2 required; held by here since "
        ),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_waits_between_the_rounds_lie_within_their_bound() {
    let (_servers, redlock, _first) = locked(1, secs(60)).await;
    let before = Instant::now();
    redlock
        .lock("r", secs(60))
        .retry(Retry::new(100, ms(40)))
        .await
        .unwrap_err();
    let took = before.elapsed();
    assert!(took > ms(100 * 40 / 4) && took < ms(100 * 40 * 3 / 4), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_resource_is_free_again_once_the_ttl_is_over_and_not_before() {
    let (_servers, redlock, lock) = locked(3, secs(1)).await;
    tokio::time::sleep(ms(899)).await;
    assert!(lock.is_valid());
    tokio::time::sleep(ms(1)).await;
    assert!(!lock.is_valid());
    redlock.try_lock("r", secs(1)).await.unwrap_err();
    tokio::time::sleep(ms(101)).await;
    let _second = redlock.try_lock("r", secs(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn votes_that_come_too_late_are_no_lock() {
    let (servers, redlock) = servers_and_client(3).await;
    servers.delay(ms(150));
    let error = redlock
        .try_lock("r", ms(200))
        .attempt_timeout(secs(1))
        .await
        .unwrap_err();
    assert_matches!(error, LockError::Expired { elapsed, ttl, .. } if elapsed == ms(100) && ttl == ms(200));
    eventually_free(&servers).await;
}

#[tokio::test(start_paused = true)]
async fn bad_input_names_its_values_and_nothing_is_sent() {
    let (servers, redlock) = servers_and_client(1).await;
    let error = async |resource: &str, ttl| redlock.lock(resource, ttl).await.unwrap_err();
    let expected = LockError::Invalid(InvalidRequest::Resource(InvalidResource::Empty));
    assert_eq!(error("", secs(1)).await, expected);
    let words = "ttl (100ms) must exceed the drift (100ms) by at least 1ms";
    assert_eq!(error("r", ms(100)).await.to_string(), words);
    assert_matches!(
        error("r", std::time::Duration::MAX).await,
        LockError::Invalid(InvalidRequest::Ttl(InvalidTtl::TooLong { .. }))
    );
    let per_call = redlock
        .lock("r", ms(150))
        .drift(Drift::fixed(ms(200)))
        .await
        .unwrap_err();
    let words = "ttl (150ms) must exceed the drift (200ms) by at least 1ms";
    assert_eq!(per_call.to_string(), words);
    let huge = vec![0; (512 << 20) + 1];
    assert_matches!(redlock.lock(&huge, secs(1)).await.unwrap_err(), LockError::Invalid(InvalidRequest::Resource(InvalidResource::TooLong { length, .. })) if length == huge.len());
    assert!(servers[0].is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_key_is_the_prefix_and_the_resource_and_any_bytes_are_fine() {
    let (servers, redlock) = servers_and(1, |builder| builder.key_prefix("locks:")).await;
    let lock = redlock.lock([0xff, 0, b'\n'], secs(1)).await.unwrap();
    assert_eq!(lock.resource(), [0xff, 0, b'\n']);
    assert_eq!(servers[0].get(b"locks:\xff\0\n").as_deref(), Some(lock.value()));
    assert_eq!(redlock.unlock(&lock).counts().await.removed, 1);
}

#[tokio::test(start_paused = true)]
async fn servers_that_are_far_away_have_as_long_as_a_few_round_trips() {
    let (servers, redlock) = servers_and_client(3).await;
    servers.delay(ms(150));
    // So that the round trip is known.
    tokio::time::sleep(secs(3)).await;
    let lock = redlock.try_lock("r", secs(1)).await.unwrap();
    assert_eq!(lock.validity(), ms(750));
    let lock = redlock.renew(&lock, secs(1)).await.unwrap();
    redlock.unlock(&lock).counts().await;
    let guard = redlock.acquire("r", secs(1)).await.unwrap();
    assert!(tokio::time::timeout(secs(5), guard.lost()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_may_not_take_as_long_as_a_round_trip_says_so_and_blames_nobody() {
    let (servers, redlock) = servers_and_client(3).await;
    servers.delay(ms(150));
    tokio::time::sleep(secs(3)).await;
    let error = redlock.lock("r", secs(1)).attempt_timeout(ms(100)).await.unwrap_err();
    assert_matches!(&error, LockError::TooSlow { timeout, round_trip, .. } if *timeout == ms(100) && *round_trip == ms(150));
    assert_eq!(
        error.to_string(),
        "could not lock `r`: attempts take longer than their timeout of 100ms, since a round trip takes 150ms"
    );
    // Nor does a look name the attempts of its own client.
    let waiting = redlock.acquire("s", secs(1)).attempt_timeout(ms(100)).timeout(secs(30));
    let waiting = tokio::spawn(waiting);
    for _ in 0..20 {
        let owner = redlock.owner("s").await.unwrap();
        assert!(!matches!(owner, Ownership::Held(_)), "{owner:?}");
        tokio::time::sleep(ms(437)).await;
    }
    // The answers to attempts that failed let a later one wait for long enough, as they say that the servers are not silent.
    if let Err(error) = waiting.await.unwrap() {
        assert_matches!(&error, LockError::TimedOut { cause: Some(cause), .. } if matches!(**cause, LockError::TooSlow { .. }));
    }
}
