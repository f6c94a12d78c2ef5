//! The blocking API, in real time: threads do not wait for a paused clock.

use crate::support::{Together, builder, ms, runtime, secs, start};
use multiredlock::{
    ConfigError, Drift, LockError, LockLost, ReleaseError, RenewError, Retry,
    blocking::{AcquireRequest, Events, Guard, LockRequest, OwnerRequest, Redlock, RenewRequest, Unlocking, WaitError},
    error::{InsideRuntime, InvalidRequest, OwnerError, UsingError},
    event::Event,
    status::Ownership,
    testing::MemoryServer,
};
use std::{
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};
use test_support::assert_matches;
use tokio::task::{block_in_place, spawn_blocking, unconstrained};

/// Three servers, and a client that has reached them.
fn servers_and_client() -> (Vec<MemoryServer>, Redlock) {
    let servers = start(3);
    let redlock = connect(&servers);
    (servers, redlock)
}

fn connect(servers: &[MemoryServer]) -> Redlock {
    let redlock = builder(servers).build_blocking().unwrap();
    let up = |event: Result<Event, InsideRuntime>| matches!(event, Ok(Event::ServerUp { .. }));
    assert_eq!(
        redlock
            .events()
            .filter(|event| up(event.clone()))
            .take(servers.len())
            .count(),
        3
    );
    redlock
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < secs(60), "this never came: {what}");
        thread::sleep(ms(1));
    }
}

#[test]
fn every_type_can_be_shared_between_threads_and_printed() {
    fn is_shared<T: Send + Sync + Debug + 'static>() {}
    fn is_sent<T: Send + Debug + 'static>() {}
    is_shared::<Redlock>();
    is_shared::<Guard>();
    is_shared::<Unlocking>();
    is_shared::<Events>();
    is_shared::<WaitError>();
    is_sent::<LockRequest>();
    is_sent::<RenewRequest>();
    is_sent::<OwnerRequest>();
    is_sent::<AcquireRequest>();
}

#[test]
fn a_lock_is_taken_renewed_and_unlocked() {
    let (servers, redlock) = servers_and_client();
    let lock = redlock.lock("r", secs(10)).wait().unwrap();
    assert_eq!(servers.holding(&lock), 3);
    let lock = redlock.renew(&lock, secs(60)).wait().unwrap();
    assert!(lock.validity() > secs(50));
    let error = redlock.try_lock("r", secs(10)).wait().unwrap_err();
    assert_matches!(error, LockError::Held { ref failure, .. } if failure.attempts == 1);
    let owner = redlock.owner("r").wait().unwrap();
    assert_matches!(owner, Ownership::Held(ref holder) if holder.owner.as_ref().is_some_and(|owner| owner.id == "here"));
    assert_eq!(redlock.owner("r").survey().unwrap().votes.len(), 3);
    redlock.unlock(&lock).wait().unwrap();
    assert!(servers.are_empty());
    assert_eq!(redlock.owner("r").wait(), Ok(Ownership::Free));
    assert_matches!(redlock.renew(&lock, secs(10)).wait(), Err(RenewError::Lost { .. }));
    assert_matches!(redlock.unlock(&lock).wait(), Err(ReleaseError::Gone { .. }));
    assert_eq!(redlock.unlock(&lock).counts().unwrap().not_ours, 3);
}

#[test]
fn the_setters_of_requests_are_those_of_the_async_ones() {
    let (_servers, redlock) = servers_and_client();
    let lock = redlock
        .lock("r", secs(10))
        .drift(Drift::fixed(secs(5)))
        .fenced()
        .wait()
        .unwrap();
    assert!(lock.validity() < secs(5) && lock.token().is_some());
    let lock = redlock
        .renew(&lock, secs(10))
        .drift(Drift::fixed(secs(6)))
        .wait()
        .unwrap();
    assert!(lock.validity() < secs(4));
    let again = redlock.lock("r", secs(10)).retry(Retry::new(1, ms(1)));
    assert_matches!(again.wait(), Err(LockError::Held { ref failure, .. }) if failure.attempts == 2);
    let none = ms(0);
    let error = redlock.lock("r", secs(10)).attempt_timeout(none).wait().unwrap_err();
    assert_matches!(error, LockError::Invalid(InvalidRequest::Zero { .. }));
    let error = redlock.renew(&lock, secs(10)).attempt_timeout(none).wait().unwrap_err();
    assert_matches!(error, RenewError::Invalid(InvalidRequest::Zero { .. }));
    let error = redlock.owner("r").attempt_timeout(none).wait().unwrap_err();
    assert_matches!(error, OwnerError::Invalid(InvalidRequest::Zero { .. }));
    let error = redlock.acquire("r", secs(10)).attempt_timeout(none).wait().unwrap_err();
    assert_matches!(error, LockError::Invalid(InvalidRequest::Zero { .. }));
    let guard = redlock
        .acquire("s", secs(10))
        .drift(Drift::fixed(secs(5)))
        .fenced()
        .wait()
        .unwrap();
    assert!(guard.validity() < secs(5) && guard.token() == guard.lock().token() && guard.token().is_some());
    let guard = redlock.acquire("t", ms(300)).max_hold(ms(300)).wait().unwrap();
    assert_matches!(guard.wait_lost(secs(60)), Ok(Some(LockLost::MaxHold { .. })));
}

#[test]
fn what_does_not_wait_is_that_of_the_async_client() {
    let servers = start(3);
    let redlock = builder(&servers).remember(10).build_blocking().unwrap();
    redlock.wait_connected().unwrap();
    assert!(redlock.is_connected());
    assert_eq!(redlock.servers().len(), 3);
    assert_eq!(redlock.quorums().len(), 1);
    assert_eq!(redlock.group_of("r"), Ok(0));
    redlock.set_retry(Retry::none());
    assert_eq!(redlock.clone().retry(), Retry::none());
    let lock = redlock.acquire("r", secs(10)).wait().unwrap().into_lock();
    assert_eq!(
        redlock.held("r").map(|held| held.value().to_owned()),
        Some(lock.value().to_owned())
    );
    let shown = format!("{redlock:?}");
    assert!(shown.contains("is_connected: true"), "{shown}");
}

#[test]
fn threads_that_contend_exclude_each_other_and_all_are_served() {
    let (servers, redlock) = servers_and_client();
    let other = connect(&servers);
    let inside = Arc::<AtomicUsize>::default();
    let worker = |redlock: &Redlock| {
        let (redlock, inside) = (redlock.clone(), Arc::clone(&inside));
        thread::spawn(move || {
            for _ in 0..10 {
                redlock
                    .using("r", secs(30), |guard| {
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        thread::yield_now();
                        assert!(guard.is_valid());
                        inside.fetch_sub(1, Ordering::SeqCst);
                    })
                    .unwrap();
            }
        })
    };
    for worker in [&redlock, &redlock, &other].map(worker) {
        worker.join().unwrap();
    }
    eventually("no key anywhere", || servers.are_empty());
}

#[test]
fn waiting_ends_at_its_time_limit() {
    let (_servers, redlock) = servers_and_client();
    let guard = redlock.try_acquire("r", secs(10)).wait().unwrap();
    let request = redlock.acquire("r", secs(10)).timeout(ms(20));
    assert_matches!(request.wait(), Err(LockError::TimedOut { waited, .. }) if waited == ms(20));
    let request = redlock.acquire("r", secs(10)).timeout(ms(20));
    let error = request.using(|_| panic!("there is no lock")).unwrap_err();
    assert_matches!(error, UsingError::Lock(LockError::TimedOut { .. }));
    assert_eq!(guard.wait_lost(ms(20)), Ok(None));
}

#[test]
fn a_guard_is_renewed_until_its_keys_are_removed() {
    let (servers, redlock) = servers_and_client();
    let guard = redlock.acquire("r", ms(600)).wait().unwrap();
    assert_eq!(guard.wait_lost(ms(1_200)), Ok(None));
    assert!(guard.is_valid() && guard.loss().is_none());
    guard.ensure_valid_for(ms(1)).unwrap();
    servers.forget("r");
    let loss = guard.wait_lost(secs(60)).unwrap().unwrap();
    assert_eq!(guard.loss(), Some(loss.clone()));
    assert_matches!(loss, LockLost::Gone { .. });
    assert!(!guard.is_valid() && guard.ensure_valid_for(ms(0)).is_err());
    assert_matches!(guard.release().wait(), Err(ReleaseError::Gone { .. }));
}

#[test]
fn work_whose_lock_is_lost_ends_with_the_loss() {
    let (servers, redlock) = servers_and_client();
    let result = redlock.using("r", ms(300), |guard| {
        servers.forget("r");
        guard.wait_lost(secs(60)).unwrap()
    });
    assert_matches!(result, Err(UsingError::Lost(LockLost::Gone { .. })));
}

#[test]
fn a_panic_of_the_work_goes_on_and_releases_the_lock() {
    let (servers, redlock) = servers_and_client();
    let work = || redlock.using("r", secs(60), |_| panic!("on purpose"));
    let panic = catch_unwind(AssertUnwindSafe(work)).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
    eventually("no key anywhere", || servers.are_empty());
    redlock.using("r", secs(60), |_| {}).unwrap();
}

#[test]
fn dropping_a_guard_releases_its_lock() {
    let (servers, redlock) = servers_and_client();
    drop(redlock.acquire("r", secs(60)).wait().unwrap());
    eventually("no key anywhere", || servers.are_empty());
    redlock.acquire("r", secs(60)).wait().unwrap().release().wait().unwrap();
    assert!(servers.are_empty());
}

#[test]
fn a_guard_outlives_its_client_and_its_drop_waits_for_the_unlock() {
    let (servers, redlock) = servers_and_client();
    let guard = redlock.acquire("r", ms(600)).wait().unwrap();
    drop(redlock);
    assert_eq!(guard.wait_lost(ms(1_200)), Ok(None));
    servers.delay(ms(30));
    let since = Instant::now();
    drop(guard);
    assert!(since.elapsed() >= ms(30), "{:?}", since.elapsed());
    eventually("no key anywhere", || servers.are_empty());
}

#[test]
fn a_drop_does_not_wait_for_servers_that_do_not_answer() {
    let servers = start(3);
    let redlock = builder(&servers)
        .heartbeat_interval(secs(90))
        .heartbeat_timeout(secs(90));
    let redlock = redlock.build_blocking().unwrap();
    redlock.wait_connected().unwrap();
    let guard = redlock.acquire("r", secs(60)).wait().unwrap();
    servers.freeze();
    drop(redlock);
    let since = Instant::now();
    drop(guard);
    assert!(since.elapsed() < secs(60));
    // The unlock is under way.
    servers.thaw();
    eventually("no key anywhere", || servers.are_empty());
}

#[test]
fn close_ends_waiting_calls_and_later_ones() {
    let (servers, redlock) = servers_and_client();
    let guard = redlock.acquire("r", secs(60)).wait().unwrap();
    let clone = redlock.clone();
    let waiter = thread::spawn(move || clone.acquire("r", secs(60)).wait().map(|_| ()));
    let mut events = redlock.events();
    let lock = redlock.lock("s", secs(60)).wait().unwrap();
    redlock.unlock(&lock);
    redlock.close().unwrap();
    assert!(
        servers.iter().all(|server| server.get("s").is_none()),
        "the unlock was sent"
    );
    assert_eq!(waiter.join().unwrap(), Err(LockError::Closed));
    redlock.close().unwrap();
    assert!(guard.is_valid(), "until its TTL is over");
    assert_matches!(redlock.lock("r", secs(1)).wait(), Err(LockError::Closed));
    assert_matches!(redlock.renew(&lock, secs(1)).wait(), Err(RenewError::Closed));
    assert_matches!(redlock.owner("r").wait(), Err(OwnerError::Closed));
    assert_eq!(redlock.wait_connected(), Err(WaitError::Closed));
    assert_eq!(redlock.wait_connected_timeout(secs(60)), Err(WaitError::Closed));
    assert!(events.by_ref().all(|event| event.is_ok()), "they end");
    assert_eq!(events.recv_timeout(secs(60)), Err(WaitError::Closed));
}

#[test]
fn events_are_waited_for_until_the_client_is_dropped() {
    let (servers, redlock) = servers_and_client();
    let mut events = redlock.events();
    while events.recv_timeout(ms(20)).is_ok() {}
    let error = events.recv_timeout(ms(20)).unwrap_err();
    assert_eq!(error.to_string(), "no event came within 20ms");
    let stop = servers[0].clone();
    let stopping = thread::spawn(move || stop.crash());
    assert_matches!(events.next(), Some(Ok(Event::ServerDown { .. })));
    stopping.join().unwrap();
    drop(redlock);
    assert!(events.all(|event| event.is_ok()), "they end");
}

#[test]
fn a_client_without_a_majority_is_not_connected_in_time() {
    let servers = start(3);
    servers.crash();
    let redlock = builder(&servers).build_blocking().unwrap();
    let error = redlock.wait_connected_timeout(ms(20)).unwrap_err();
    let text = error.to_string();
    assert_matches!(error, WaitError::NotConnected(_));
    assert!(
        text.contains("within 20ms") && text.contains("connection refused"),
        "{text}"
    );
    assert_matches!(redlock.try_lock("r", secs(10)).wait(), Err(LockError::NoQuorum { .. }));
    servers.restart();
    redlock.wait_connected_timeout(secs(60)).unwrap();
}

#[test]
fn a_wrong_setting_is_an_error_and_leaves_no_thread() {
    let none: [&str; 0] = [];
    let error = Redlock::builder().servers(none).build_blocking().unwrap_err();
    assert_eq!(error, ConfigError::NoServer);
    Redlock::new().unwrap();
}

/// Calls everything that waits where it must not, and checks that it refuses.
fn is_refused_everywhere(servers: &[MemoryServer], redlock: &Redlock, guard: &Guard) {
    let refused = InvalidRequest::from(InsideRuntime);
    let ttl = secs(60);
    let lock = guard.lock();
    assert_eq!(redlock.lock("r", ttl).wait().unwrap_err(), refused.clone().into());
    assert_eq!(redlock.try_lock("r", ttl).wait().unwrap_err(), refused.clone().into());
    assert_eq!(redlock.renew(&lock, ttl).wait().unwrap_err(), refused.clone().into());
    assert_eq!(redlock.owner("r").wait().unwrap_err(), refused.clone().into());
    assert_eq!(redlock.owner("r").survey().unwrap_err(), refused.clone().into());
    let error = LockError::from(refused);
    assert_eq!(redlock.acquire("r", ttl).wait().unwrap_err(), error);
    assert_eq!(redlock.try_acquire("r", ttl).wait().unwrap_err(), error);
    assert_eq!(
        redlock.using("r", ttl, |_| panic!("it is refused")),
        Err(UsingError::Lock(error))
    );
    assert_eq!(redlock.wait_connected(), Err(InsideRuntime.into()));
    assert_eq!(redlock.wait_connected_timeout(ttl), Err(InsideRuntime.into()));
    assert_eq!(guard.wait_lost(ttl), Err(InsideRuntime));
    let refusals: Vec<_> = redlock.events().take(3).collect();
    assert_eq!(
        refusals,
        [Err(InsideRuntime)],
        "an iterator that goes on would never end"
    );
    let mut events = redlock.events();
    assert_eq!(events.next(), Some(Err(InsideRuntime)));
    assert_eq!(events.recv_timeout(ttl), Err(InsideRuntime.into()));
    assert!(servers.iter().all(|server| server.len() == 1), "nothing was sent");
}

#[test]
fn inside_a_runtime_every_call_that_waits_is_refused() {
    for is_multi in [false, true] {
        let mut runtime = if is_multi {
            tokio::runtime::Builder::new_multi_thread()
        } else {
            tokio::runtime::Builder::new_current_thread()
        };
        let runtime = runtime.enable_all().build().unwrap();
        let (servers, redlock) = servers_and_client();
        let guard = redlock.acquire("held", secs(60)).wait().unwrap();
        runtime.block_on(async {
            is_refused_everywhere(&servers, &redlock, &guard);
            let (servers, redlock) = (servers.clone(), redlock.clone());
            let task = async move {
                is_refused_everywhere(&servers, &redlock, &guard);
                // The unlock is sent all the same.
                assert_eq!(guard.release().wait(), Err(ReleaseError::InsideRuntime(InsideRuntime)));
            };
            tokio::spawn(task).await.unwrap();
        });
        eventually("no key anywhere", || servers.are_empty());
        let lock = redlock.lock("r", secs(60)).wait().unwrap();
        runtime.block_on(async { assert_eq!(redlock.unlock(&lock).counts(), Err(InsideRuntime)) });
        eventually("no key anywhere", || servers.are_empty());
        runtime.block_on(async { assert_eq!(redlock.close(), Err(InsideRuntime)) });
        // It is closed all the same.
        assert_matches!(redlock.lock("r", secs(60)).wait(), Err(LockError::Closed));
    }
}

#[test]
fn threads_for_blocking_work_may_wait() {
    let (_servers, redlock) = servers_and_client();
    let lock_and_unlock = move || {
        let lock = redlock.lock("r", secs(60)).wait()?;
        redlock.unlock(&lock).wait().unwrap();
        Ok::<_, LockError>(())
    };
    let again = lock_and_unlock.clone();
    let current = runtime(false);
    let entered = current.enter();
    lock_and_unlock().unwrap();
    drop(entered);
    current
        .block_on(async { spawn_blocking(lock_and_unlock.clone()).await })
        .unwrap()
        .unwrap();
    let multi = tokio::runtime::Runtime::new().unwrap();
    let task = multi.spawn(async move { block_in_place(lock_and_unlock) });
    multi.block_on(task).unwrap().unwrap();
    multi.block_on(async { block_in_place(again) }).unwrap();
}

#[test]
fn in_a_task_without_a_budget_a_call_blocks_and_does_not_panic() {
    let (_servers, redlock) = servers_and_client();
    let locked = runtime(false).block_on(unconstrained(async { redlock.lock("r", secs(60)).wait() }));
    assert!(locked.unwrap().is_valid());
}

#[test]
fn a_client_can_be_built_and_dropped_inside_a_runtime() {
    let servers = start(3);
    runtime(false).block_on(async {
        let redlock = builder(&servers).build_blocking().unwrap();
        let lock = spawn_blocking(move || {
            redlock.wait_connected().unwrap();
            redlock.lock("r", secs(60)).wait().map(|lock| (redlock, lock))
        });
        let (redlock, lock) = lock.await.unwrap().unwrap();
        redlock.unlock(&lock);
        drop(redlock);
    });
    eventually("no key anywhere", || servers.are_empty());
}

/// How many threads of this process have the name that clients give theirs.
#[cfg(target_os = "linux")]
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    // A thread may end while it is looked at.
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "multiredlock").count()
}

#[cfg(target_os = "linux")]
#[test]
fn no_thread_is_left_when_the_last_clone_and_guard_are_dropped() {
    let (_servers, redlock) = servers_and_client();
    let guard = redlock.acquire("r", secs(60)).wait().unwrap();
    drop(redlock.clone());
    drop(redlock);
    assert!(threads() >= 1 && guard.is_valid());
    drop(guard);
    // Those of the other tests end as well.
    eventually("no thread of a client", || threads() == 0);
}
