//! What is counted and measured, and that the documentation lists it.

use crate::support::{Together, builder, connect, ms, runtime, secs, start, up};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use multiredlock::{
    Lock, LockLost, Redlock, Retry,
    metrics::{ATTEMPTS, BATCH, LOCK, LOSSES, RENEWALS, SERVERS_UP, WAIT},
    testing::MemoryServer,
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Mutex,
    time::Duration,
};
use tokio::time::sleep;

/// Runs a future with a recorder, on this thread alone.
fn recorded(work: impl AsyncFnOnce(&dyn Fn(&str, &str) -> f64)) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let total = Mutex::new(HashMap::new());
    let value = |name: &str, label: &str| -> f64 {
        let mut total = total.lock().unwrap();
        add(&mut total, &snapshotter);
        total.get(&(name.to_owned(), label.to_owned())).copied().unwrap_or(0.0)
    };
    ::metrics::with_local_recorder(&recorder, || runtime(true).block_on(work(&value)));
}

/// Adds up what changed since the last time; of a histogram, how often it was told something.
fn add(total: &mut HashMap<(String, String), f64>, snapshotter: &Snapshotter) {
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let labels: Vec<_> = key.key().labels().map(|label| label.value().to_owned()).collect();
        let entry = total
            .entry((key.key().name().to_owned(), labels.join(" ")))
            .or_default();
        match value {
            DebugValue::Gauge(value) => *entry += value.into_inner(),
            #[expect(clippy::cast_precision_loss, reason = "the counts are small")]
            DebugValue::Counter(value) => *entry += value as f64,
            #[expect(clippy::cast_precision_loss, reason = "the counts are small")]
            DebugValue::Histogram(values) => *entry += values.len() as f64,
        }
    }
}

#[test]
#[expect(clippy::float_cmp, reason = "they are counts")]
fn metrics_count_rounds_calls_renewals_losses_and_servers() {
    recorded(async |value| {
        let servers = start(3);
        let redlock = connect(&servers).await;
        assert_eq!(value(SERVERS_UP, "0"), 3.0);

        let lock = redlock.lock("r", secs(10)).await.unwrap();
        redlock
            .lock("r", secs(10))
            .retry(Retry::new(1, ms(1)))
            .await
            .unwrap_err();
        assert_eq!((value(LOCK, "granted"), value(LOCK, "held")), (1.0, 1.0));
        assert_eq!((value(ATTEMPTS, "lock won"), value(ATTEMPTS, "lock lost")), (1.0, 2.0));
        assert!(value(BATCH, "") >= 9.0);

        let lock = redlock.renew(&lock, secs(10)).await.unwrap();
        assert_eq!((value(RENEWALS, "granted"), value(ATTEMPTS, "renew won")), (1.0, 1.0));
        redlock.unlock(&lock).counts().await;

        let guard = redlock.acquire("r", secs(3)).await.unwrap();
        assert_eq!(value(WAIT, "granted"), 1.0);
        for server in &servers[..2] {
            server.forget_all();
        }
        assert!(matches!(guard.lost().await, LockLost::Gone { .. }));
        assert_eq!(value(LOSSES, "gone"), 1.0);

        servers[0].crash();
        crate::support::up(&redlock, 2).await;
        assert_eq!(value(SERVERS_UP, "0"), 2.0);
        drop(guard);
        redlock.close().await;
        sleep(ms(1)).await;
        assert_eq!(value(SERVERS_UP, "0"), 0.0);
    });
}

/// The names, labels and values in the table of the module's documentation, such as `counter x_total verb=lock`.
fn documented() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for row in include_str!("../../src/metrics.rs").lines() {
        let Some(row) = row.strip_prefix("//! | [`") else {
            continue;
        };
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [name, kind, _unit, labels, ""] = cells[..] else {
            panic!("not five cells: {row}");
        };
        let metric = format!("{kind} {}", name.split('`').next().unwrap());
        if labels == "none" {
            all.insert(metric);
            continue;
        }
        for label in labels.split(';') {
            let mut words = label.split('`').skip(1).step_by(2);
            let label = words.next().unwrap();
            all.extend(words.map(|value| format!("{metric} {label}={value}")));
        }
    }
    all
}

/// What was recorded, in the same form. Fails if `describe` is silent about it.
fn seen(snapshotter: &Snapshotter) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (key, unit, description, _) in snapshotter.snapshot().into_vec() {
        let metric = format!("{:?} {}", key.kind(), key.key().name()).to_lowercase();
        assert!(unit.is_some() && description.is_some(), "{metric} is not described");
        let mut labels = key.key().labels().peekable();
        if labels.peek().is_none() {
            all.insert(metric.clone());
        }
        all.extend(labels.map(|label| format!("{metric} {}={}", label.key(), label.value())));
    }
    all
}

/// Fails to lock a resource, and to acquire it.
async fn fail(redlock: &Redlock, resource: &str, ttl: Duration, attempt_timeout: Duration) {
    let request = redlock.try_lock(resource, ttl).attempt_timeout(attempt_timeout);
    request.await.unwrap_err();
    let request = redlock.try_acquire(resource, ttl).attempt_timeout(attempt_timeout);
    request.await.unwrap_err();
}

async fn every_outcome_of_a_call(servers: &[MemoryServer], redlock: &Redlock) {
    let lock = redlock.lock("r", secs(60)).await.unwrap();
    fail(redlock, "r", secs(10), secs(1)).await;
    redlock.acquire("r", secs(10)).timeout(ms(10)).await.unwrap_err();
    fail(redlock, "r", ms(1), secs(1)).await;
    redlock.renew(&lock, ms(1)).await.unwrap_err();

    // Nothing can be counted up from the largest token.
    let last = redlock.lock("last", secs(10)).fenced().await.unwrap();
    let last = Lock::from_parts("last", last.value()).with_token(((1 << 53) - 1).into());
    let last = redlock.renew(&last, secs(10)).await.unwrap();
    redlock.unlock(&last).counts().await;
    redlock.try_lock("last", secs(10)).fenced().await.unwrap_err();
    redlock.try_acquire("last", secs(10)).fenced().await.unwrap_err();

    servers.delay(ms(150));
    fail(redlock, "late", ms(200), secs(1)).await;
    redlock
        .renew(&lock, ms(200))
        .attempt_timeout(secs(1))
        .await
        .unwrap_err();
    // So that the round trip is known.
    sleep(secs(3)).await;
    fail(redlock, "slow", secs(1), ms(100)).await;
    servers.delay(Duration::ZERO);

    redlock.unlock(&lock).counts().await;
    redlock.renew(&lock, secs(10)).await.unwrap_err();
}

async fn every_loss(servers: &[MemoryServer], redlock: &Redlock) {
    let guard = redlock.acquire("long", secs(3)).max_hold(secs(3)).await.unwrap();
    assert!(matches!(guard.lost().await, LockLost::MaxHold { .. }));
    drop(guard);
    let guard = redlock.acquire("gone", secs(3)).await.unwrap();
    servers.iter().for_each(MemoryServer::forget_all);
    assert!(matches!(guard.lost().await, LockLost::Gone { .. }));
    drop(guard);
    let guard = redlock.acquire("r", secs(3)).await.unwrap();
    servers.iter().for_each(MemoryServer::freeze);
    assert!(matches!(guard.lost().await, LockLost::Expired { .. }));
    fail(redlock, "s", secs(10), secs(1)).await;
    servers.iter().for_each(MemoryServer::thaw);
}

#[test]
fn the_documentation_lists_every_metric_with_every_value_of_its_labels_and_no_other() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let all = ::metrics::with_local_recorder(&recorder, || {
        multiredlock::metrics::describe();
        runtime(true).block_on(async {
            let servers = start(3);
            let redlock = connect(&servers).await;
            every_outcome_of_a_call(&servers, &redlock).await;
            every_loss(&servers, &redlock).await;
            up(&redlock, 3).await;

            // One of two servers comes to a larger token, which the other then stores too.
            servers[2].set_clock_ahead(secs(3_600));
            servers[0].crash();
            up(&redlock, 2).await;
            let _fenced = redlock.lock("fenced", secs(10)).fenced().await.unwrap();

            let (first, second) = (start(1), start(1));
            let grouped = builder(&first).group(&second).build().unwrap();
            up(&grouped, 2).await;

            let lock = redlock.lock("closed", secs(10)).await.unwrap();
            redlock.close().await;
            fail(&redlock, "t", secs(10), secs(1)).await;
            redlock.renew(&lock, secs(10)).await.unwrap_err();
            seen(&snapshotter)
        })
    });
    let documented = documented();
    let missing: Vec<_> = all.difference(&documented).collect();
    assert!(missing.is_empty(), "not in the documentation: {missing:#?}");
    let invented: Vec<_> = documented.difference(&all).collect();
    assert!(invented.is_empty(), "in the documentation alone: {invented:#?}");
}
