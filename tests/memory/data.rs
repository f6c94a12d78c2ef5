//! Data that makes no sense: an error that names it, and never a panic.

use crate::support::{builder, eventually_free, locked, ms, runtime, secs, servers_and_client, start};
use multiredlock::{
    Drift, Lock, LockError, Redlock, ReleaseError, Retry, Server,
    error::{EnsureError, InvalidRequest},
    testing::MemoryServer,
};
use proptest::{collection::vec, prelude::*};
use std::{cell::Cell, panic, sync::Once, time::Duration};
use test_support::assert_matches;
use tokio::time::{Instant, timeout};

thread_local! {
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

/// Counts panics of this thread from now on, also those that end a task of the library.
fn count_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            before(info);
        }));
    });
}

fn any_duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::from_nanos(1)),
        Just(Duration::MAX),
        (1..20_000_u64).prop_map(ms),
        any::<Duration>(),
    ]
}

fn any_drift() -> impl Strategy<Value = Drift> {
    prop_oneof![
        any_duration().prop_map(Drift::fixed),
        (0.0..1.0).prop_map(|factor| Drift::factor(factor).unwrap()),
    ]
}

fn any_retry() -> impl Strategy<Value = Retry> {
    // Without any wait the clock of a test stands still however often it is tried.
    let passes = any_duration().prop_map(|wait| wait.max(ms(1)));
    prop_oneof![
        (0..3_u32, any_duration(), any_duration()),
        (any::<u32>(), passes, any_duration())
    ]
    .prop_map(|(retries, base, max)| Retry::exponential(retries, base, max.max(base)))
}

fn any_names() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let name = prop_oneof![Just(b"a".to_vec()), Just(b"{a}b".to_vec()), vec(any::<u8>(), 0..4)];
    prop_oneof![vec(name, 0..4), vec(vec(any::<u8>(), 2), 120..140)]
}

/// What is asked for in one case.
#[derive(Clone, Debug)]
struct Asked {
    names: Vec<Vec<u8>>,
    value: String,
    token: u64,
    ttl: Duration,
    attempt_timeout: Duration,
    within: Duration,
    max_hold: Duration,
    at_least: Duration,
    drift: Drift,
    retry: Retry,
}

prop_compose! {
    fn any_request()(
        names in any_names(),
        value in any::<String>(),
        token in prop_oneof![Just(u64::MAX), any::<u64>()],
        (ttl, attempt_timeout, within) in (any_duration(), any_duration(), any_duration()),
        (max_hold, at_least) in (any_duration(), any_duration()),
        drift in any_drift(),
        retry in any_retry(),
    ) -> Asked {
        Asked { names, value, token, ttl, attempt_timeout, within, max_hold, at_least, drift, retry }
    }
}

/// Awaits a request, but not for ever: many of these never end, as a TTL of years that is waited for.
async fn bounded<T>(request: impl Future<Output = T>) -> Option<T> {
    timeout(secs(3), request).await.ok()
}

async fn ask(redlock: &Redlock, asked: &Asked) {
    let Asked { names, ttl, drift, .. } = asked.clone();
    let _ = format!("{:?}", redlock.group_of(&names));
    redlock.set_retry(asked.retry);
    let _ = format!("{:?} {:?}", redlock.retry().longest_wait(), redlock.held(&names));

    let parts = Lock::from_parts(&names, asked.value.clone()).with_token(asked.token.into());
    let _ = format!("{parts:?} {:?} {:?}", parts.resource(), parts.resources().len());
    let renewal = redlock
        .renew(&parts, ttl)
        .drift(drift)
        .attempt_timeout(asked.attempt_timeout);
    if let Some(Err(error)) = bounded(renewal).await {
        let _ = format!("{error} {error:?}");
    }
    if let Some(Err(error)) = bounded(redlock.unlock(&parts)).await {
        let _ = format!("{error} {error:?}");
    }

    let request = redlock.lock(&names, ttl).drift(drift).retry(asked.retry);
    match bounded(request.attempt_timeout(asked.attempt_timeout).fenced()).await {
        Some(Ok(lock)) => {
            let renewed = bounded(redlock.renew(&lock, ttl).attempt_timeout(asked.attempt_timeout)).await;
            let _ = format!("{lock:?} {renewed:?} {:?}", lock.validity());
            bounded(redlock.unlock(&lock)).await;
        }
        Some(Err(error)) => drop(format!("{error} {error:?}")),
        None => {}
    }
    let _ = bounded(
        redlock
            .try_lock(&names, secs(10))
            .attempt_timeout(asked.attempt_timeout),
    )
    .await;
    let _ = bounded(redlock.owner(&names).attempt_timeout(asked.attempt_timeout)).await;
    let _ = bounded(redlock.owner(&names).attempt_timeout(asked.attempt_timeout).survey()).await;
}

async fn hold(redlock: &Redlock, asked: &Asked) {
    for ttl in [asked.ttl, secs(1)] {
        let request = redlock
            .acquire(&asked.names, ttl)
            .drift(asked.drift)
            .timeout(asked.within);
        let request = request.max_hold(asked.max_hold).attempt_timeout(asked.attempt_timeout);
        let untimed = redlock
            .try_acquire([b"once"], ttl)
            .attempt_timeout(asked.attempt_timeout);
        for request in [request, untimed] {
            match bounded(request).await {
                Some(Ok(guard)) => {
                    let _ = format!("{guard:?} {:?}", guard.ensure_valid_for(asked.at_least));
                    // For a look at the servers, and perhaps a renewal.
                    let _ = timeout(secs(1), guard.lost()).await;
                    let _ = bounded(guard.release()).await;
                }
                Some(Err(error)) => drop(format!("{error} {error:?}")),
                None => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_request_panics_whatever_it_is_asked_for(
        asked in any_request(), groups in 1..3_usize, delay in any_duration(), ahead in any_duration(),
    ) {
        count_panics();
        let before = PANICS.get();
        runtime(true).block_on(async {
            let servers: Vec<_> = (0..groups).map(|_| start(3)).collect();
            let mut builder = Redlock::builder().id("here").remember(1);
            for group in &servers {
                builder = builder.group(group);
            }
            let redlock = builder.build().unwrap();
            redlock.wait_connected().await.unwrap();
            ask(&redlock, &asked).await;
            hold(&redlock, &asked).await;
            for server in servers.iter().flatten() {
                server.set_clock_ahead(ahead);
                server.delay(delay);
                let _ = (server.get(&asked.value), server.token(&asked.value), server.len());
                server.forget(&asked.value);
            }
            ask(&redlock, &asked).await;
        });
        prop_assert_eq!(PANICS.get(), before, "a call or a task of the library panicked");
    }

    #[test]
    fn no_client_panics_whatever_it_is_built_with(
        asked in any_request(), durations in vec(any_duration(), 6), capacity in any::<usize>(), prefix in vec(any::<u8>(), 0..4),
    ) {
        count_panics();
        let before = PANICS.get();
        runtime(true).block_on(async {
            let servers = start(3);
            let builder = builder(&servers).id(asked.value.clone()).key_prefix(prefix).remember(capacity.min(1_000));
            let builder = builder.drift(asked.drift).retry(asked.retry).attempt_timeout(durations[0]);
            let builder = builder.heartbeat_interval(durations[1]).heartbeat_timeout(durations[2]);
            let builder = builder.fence_expiry(durations[3]).reconnect(durations[4], durations[5]);
            let builders = [builder.clone(), builder.restart_guard(asked.ttl)];
            for builder in builders {
                match builder.build() {
                    Ok(redlock) => {
                        let _ = bounded(redlock.wait_connected()).await;
                        servers[0].restart();
                        ask(&redlock, &asked).await;
                        hold(&redlock, &asked).await;
                        let _ = format!("{redlock:?}");
                        let _ = bounded(redlock.close()).await;
                    }
                    Err(error) => drop(format!("{error} {error:?}")),
                }
            }
        });
        prop_assert_eq!(PANICS.get(), before, "a call or a task of the library panicked");
    }

    #[test]
    fn no_server_panics_whatever_it_is_made_of(text in any::<String>(), host in ".{0,6}", port in any::<u16>(), database in any::<u8>()) {
        runtime(true).block_on(async {
            let server = |server: Server| server.username(&text).password(&text).database(database).port(port);
            let nodes = || [(host.clone(), port), (host.clone(), port)];
            let none: [(String, u16); 0] = [];
            for server in [
                server(Server::new(&host)),
                server(Server::unix(&text)),
                server(Server::cluster(nodes())),
                server(Server::cluster(none.clone())),
                server(Server::sentinel(&text, nodes())),
                server(Server::sentinel(&text, none)),
                server(MemoryServer::named(&text).server()),
            ] {
                let _ = format!("{server:?} {}", server.address());
                if let Err(error) = Redlock::builder().servers([server]).build() {
                    let _ = format!("{error} {error:?}");
                }
            }
            let _ = Server::parse(&text).map_err(|error| error.to_string());
        });
    }
}

#[tokio::test(start_paused = true)]
async fn an_unlock_that_no_server_was_asked_for_says_so() {
    let servers = start(6);
    let redlock = Redlock::builder()
        .group(&servers[..3])
        .group(&servers[3..])
        .build()
        .unwrap();
    redlock.wait_connected().await.unwrap();
    let lock = Lock::from_parts(["order:1", "b"], "v");
    assert_ne!(redlock.group_of("order:1"), redlock.group_of("b"));
    let error = redlock.unlock(&lock).await.unwrap_err();
    assert_matches!(&error, ReleaseError::NotSent { resource, .. } if resource == "b, order:1");
    let words = "could not release `b, order:1`: no server was asked, since it cannot be a lock";
    assert_eq!(error.to_string(), words);
}

#[tokio::test(start_paused = true)]
async fn a_round_timeout_of_zero_is_refused_before_anything_is_sent() {
    let (servers, redlock, lock) = locked(3, secs(60)).await;
    let (before, zero) = (Instant::now(), Duration::ZERO);
    let words = "attempt_timeout must be longer than 0";

    let error = bounded(redlock.lock("s", secs(10)).attempt_timeout(zero)).await;
    let error = error.unwrap().unwrap_err();
    assert_matches!(&error, LockError::Invalid(InvalidRequest::Zero { name, .. }) if *name == "attempt_timeout");
    assert_eq!(error.to_string(), words);
    for request in [redlock.acquire("s", secs(10)), redlock.try_acquire("s", secs(10))] {
        let error = bounded(request.attempt_timeout(zero)).await.expect("at once");
        assert_eq!(error.unwrap_err().to_string(), words);
    }
    let error = bounded(redlock.renew(&lock, secs(10)).attempt_timeout(zero)).await;
    assert_eq!(error.unwrap().unwrap_err().to_string(), words);
    let error = bounded(redlock.owner("r").attempt_timeout(zero)).await;
    assert_eq!(error.unwrap().unwrap_err().to_string(), words);
    let error = bounded(redlock.owner("r").attempt_timeout(zero).survey()).await;
    assert_eq!(error.unwrap().unwrap_err().to_string(), words);

    assert_eq!(before.elapsed(), Duration::ZERO);
    assert!(lock.validity() > secs(59), "it was not renewed");
    assert!(servers.iter().all(|server| server.get("s").is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_may_not_wait_is_told_so_at_once_and_leaves_nothing() {
    let (servers, redlock) = servers_and_client(3).await;
    let before = Instant::now();
    let error = redlock
        .acquire("r", secs(10))
        .timeout(Duration::ZERO)
        .await
        .unwrap_err();
    assert_matches!(
        error,
        LockError::TimedOut {
            waited: Duration::ZERO,
            ..
        }
    );
    assert!(before.elapsed() <= ms(1));
    eventually_free(&servers).await;
}

#[tokio::test(start_paused = true)]
async fn a_guard_may_wait_for_its_votes_for_ever() {
    let (_servers, redlock) = servers_and_client(3).await;
    let guard = redlock
        .acquire("r", secs(10))
        .attempt_timeout(Duration::MAX)
        .await
        .unwrap();
    tokio::time::sleep(secs(60)).await;
    assert_eq!(guard.loss(), None, "it is renewed");
    assert_matches!(
        guard.ensure_valid_for(Duration::MAX).unwrap_err(),
        EnsureError::Never { .. }
    );
    assert!(redlock.owner("r").attempt_timeout(Duration::MAX).await.is_ok());
    guard.release().await.unwrap();
}
