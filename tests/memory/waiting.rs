//! Waiting in line: who is next, what wakes, and what a waiter that gives up leaves behind.

use crate::support::{
    Together, all_up, builder, connect, connected, eventually_free, guarded, locked, ms, runtime, secs, servers_and,
    servers_and_client, servers_and_two, settle, start, up, wait,
};
use multiredlock::{Guard, LockError, Redlock, future::AcquireRequest, testing::MemoryServer};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::{
    error::Error,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};
use test_support::{assert_matches, extract};
use tokio::{
    task::{JoinHandle, yield_now},
    time::{Instant, sleep, timeout},
};

/// How many hold a resource, which is never more than one.
#[derive(Clone, Default)]
struct Owners(Arc<AtomicUsize>);

impl Owners {
    async fn own(&self, guard: Guard, hold: std::time::Duration) {
        assert_eq!(self.0.fetch_add(1, Ordering::SeqCst), 0, "two owners");
        sleep(hold).await;
        assert!(guard.is_valid());
        self.0.fetch_sub(1, Ordering::SeqCst);
        guard.release().await.unwrap();
    }
}

/// A client whose servers have told what tracks keys, and a waiter that has asked and listens.
async fn waiter_of_another_client(servers: &[MemoryServer]) -> (Redlock, JoinHandle<Result<Guard, LockError>>) {
    let other = builder(servers).id("there").build().unwrap();
    all_up(&other).await;
    let waiter = wait(&other, "r");
    // The first polls come soon after each other, before it is known that the servers tell of changes.
    sleep(secs(11)).await;
    assert!(!waiter.is_finished());
    (other, waiter)
}

#[tokio::test(start_paused = true)]
async fn waiters_of_a_client_are_served_in_the_order_in_which_they_came() {
    let (servers, redlock, held) = guarded(secs(60)).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for i in 0..50 {
        let (request, order) = (redlock.clone().acquire("r", secs(60)), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            let guard = request.await.unwrap();
            order.lock().unwrap().push(i);
            sleep(ms(1)).await;
            guard.release().await.unwrap();
        }));
        yield_now().await;
    }
    held.release().await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), (0..50).collect::<Vec<_>>());
    eventually_free(&servers).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_hands_over_at_once_without_a_poll() {
    for servers in [1, 3, 5] {
        let (_servers, redlock) = servers_and_client(servers).await;
        let mut guard = redlock.acquire("r", secs(60)).await.unwrap();
        let waiters: Vec<_> = (0..20).map(|_| wait(&redlock, "r")).collect();
        settle().await;
        let before = Instant::now();
        for waiter in waiters {
            drop(guard);
            guard = waiter.await.unwrap().unwrap();
        }
        // A run of turns is ended now and then for others, by a few milliseconds.
        assert!(before.elapsed() < ms(30), "{:?}", before.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn another_client_gets_turns_while_this_one_has_endless_waiters() {
    for (hold, delay) in [(1, 0), (1, 1), (5, 2), (40, 1)] {
        let (servers, busy, other) = servers_and_two(3).await;
        servers.delay(ms(delay));
        let (owners, is_over) = (Owners::default(), Arc::new(AtomicBool::new(false)));
        let mut tasks = Vec::new();
        for _ in 0..4 {
            let (busy, owners, is_over) = (busy.clone(), owners.clone(), Arc::clone(&is_over));
            tasks.push(tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    owners.own(busy.acquire("r", secs(60)).await.unwrap(), ms(hold)).await;
                }
            }));
        }
        sleep(ms(200)).await;
        for turn in 0..10 {
            let longest = secs(3);
            let guard = other.acquire("r", secs(60)).timeout(longest).await;
            let guard = guard.unwrap_or_else(|_| panic!("turn {turn} of the other within {longest:?}"));
            owners.own(guard, ms(hold)).await;
        }
        is_over.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await.unwrap();
        }
        eventually_free(&servers).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_elsewhere_wakes_the_front_without_a_poll() {
    let (servers, _redlock, held) = guarded(secs(600)).await;
    let (_other, waiter) = waiter_of_another_client(&servers).await;
    let before = Instant::now();
    held.release().await.unwrap();
    let _guard = waiter.await.unwrap().unwrap();
    assert!(before.elapsed() <= ms(5), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_front_is_woken_when_the_holders_keys_expire() {
    let (servers, redlock) = servers_and_client(3).await;
    let before = Instant::now();
    let _held = redlock.lock("r", ms(12_300)).await.unwrap();
    let (_other, waiter) = waiter_of_another_client(&servers).await;
    let _guard = waiter.await.unwrap().unwrap();
    let took = before.elapsed();
    assert!(took >= ms(12_300) && took <= ms(12_310), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_front_is_woken_when_a_majority_forgets_the_key_and_not_by_less() {
    let (servers, _redlock, _held) = locked(5, secs(600)).await;
    let (_other, waiter) = waiter_of_another_client(&servers).await;
    servers[0].forget("r");
    servers[3].forget("r");
    settle().await;
    assert!(!waiter.is_finished());
    let before = Instant::now();
    servers[4].forget("r");
    let _guard = waiter.await.unwrap().unwrap();
    assert!(before.elapsed() <= ms(5), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_front_is_woken_when_a_majority_can_be_reached_again() {
    let (servers, redlock) = servers_and(3, |builder| builder.reconnect(ms(1), ms(1))).await;
    servers[..2].crash();
    up(&redlock, 1).await;
    let waiter = wait(&redlock, "r");
    sleep(secs(60)).await;
    assert!(!waiter.is_finished());
    servers[0].restart();
    let before = Instant::now();
    let _guard = waiter.await.unwrap().unwrap();
    assert!(before.elapsed() <= ms(10), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn waiters_end_at_once_when_their_client_is_closed_also_while_servers_are_away_or_silent() {
    for (what, fault, is_noticed) in [
        ("away", MemoryServer::crash as fn(&MemoryServer), true),
        ("silent", MemoryServer::freeze, false),
    ] {
        let (servers, redlock) = servers_and_client(3).await;
        servers.iter().for_each(fault);
        if is_noticed {
            up(&redlock, 0).await;
        }
        let waiters = [wait(&redlock, "r"), wait(&redlock, "r")];
        if is_noticed {
            sleep(secs(10)).await;
        } else {
            settle().await;
        }
        redlock.close().await;
        for waiter in waiters {
            let ended = timeout(ms(10), waiter).await.expect("at once").unwrap();
            assert_eq!(ended.unwrap_err(), LockError::Closed, "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_outlives_all_servers() {
    let servers = start(3);
    let redlock = builder(&servers).reconnect(ms(1), ms(1)).build().unwrap();
    servers.crash();
    up(&redlock, 0).await;
    let waiter = wait(&redlock, "r");
    for _ in 0..5 {
        sleep(secs(7)).await;
        servers[0].restart();
        sleep(secs(7)).await;
        servers[0].crash();
    }
    assert!(!waiter.is_finished());
    servers.restart();
    let _guard = waiter.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_nobody_is_told_of_is_noticed_by_the_next_poll() {
    let (servers, _redlock, _held) = locked(3, secs(600)).await;
    let (_other, waiter) = waiter_of_another_client(&servers).await;
    servers.forget_all();
    let before = Instant::now();
    let _guard = waiter.await.unwrap().unwrap();
    assert!(before.elapsed() <= ms(7_500), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_told_who_held_it() {
    let (servers, holder) = servers_and(3, |builder| builder.id("web-3")).await;
    let redlock = connect(&servers).await;
    let _held = holder.acquire("r", secs(60)).await.unwrap();
    let before = Instant::now();
    let error = redlock.acquire("r", secs(60)).timeout(secs(2)).await.unwrap_err();
    assert_eq!(before.elapsed(), secs(2));
    assert_eq!(error.to_string(), "could not lock `r` within 2s");
    assert!(error.source().unwrap().to_string().contains("held by web-3"));
    assert_matches!(error, LockError::TimedOut { waited, .. } if waited == secs(2));
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_for_servers_is_told_that_they_were_missing() {
    let (servers, redlock) = servers_and_client(3).await;
    servers[..2].crash();
    up(&redlock, 1).await;
    let error = redlock.acquire("r", secs(60)).timeout(secs(2)).await.unwrap_err();
    let cause = extract!(error, LockError::TimedOut { cause: Some(cause), .. } => cause);
    assert_matches!(*cause, LockError::NoQuorum { reachable: 1, .. });
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_for_this_clients_own_lock_times_out_as_well() {
    let (servers, redlock, first) = guarded(secs(60)).await;
    // The line is new, so its front asks the servers.
    let error = redlock.acquire("r", secs(60)).timeout(secs(1)).await.unwrap_err();
    assert!(
        error.source().unwrap().to_string().contains("held by here"),
        "{error:?}"
    );
    first.release().await.unwrap();

    // Both stand in one line, and the second has nothing to ask.
    servers.delay(ms(1));
    let first = wait(&redlock, "r");
    yield_now().await;
    let second = redlock.acquire("r", secs(60)).timeout(secs(1));
    assert_matches!(second.await.unwrap_err(), LockError::TimedOut { cause: None, .. });
    drop(first.await);
    eventually_free(&servers).await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_not_told_of_a_holder_that_is_gone() {
    let (servers, holder) = servers_and(3, |builder| builder.id("web-3")).await;
    let redlock = connect(&servers).await;
    let held = holder.acquire("r", secs(60)).await.unwrap();
    let first = wait(&redlock, "r");
    let second = tokio::spawn(redlock.acquire("r", secs(60)).timeout(secs(2)));
    sleep(secs(1)).await;
    held.release().await.unwrap();
    let _first = first.await.unwrap().unwrap();
    let error = second.await.unwrap().unwrap_err();
    let told = error.source().map(ToString::to_string).unwrap_or_default();
    assert!(!told.contains("web-3"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_times_out_in_the_middle_of_the_line_holds_nobody_up() {
    let (_servers, redlock, held) = guarded(secs(60)).await;
    let first = wait(&redlock, "r");
    settle().await;
    let second = tokio::spawn(redlock.acquire("r", secs(60)).timeout(ms(500)));
    settle().await;
    let third = wait(&redlock, "r");
    assert_matches!(second.await.unwrap(), Err(LockError::TimedOut { .. }));
    held.release().await.unwrap();
    let before = Instant::now();
    drop(first.await.unwrap().unwrap());
    let _guard = timeout(secs(60), third).await.expect("it is next").unwrap().unwrap();
    assert!(before.elapsed() <= ms(10), "{:?}", before.elapsed());
}

/// Polls a request so often, with a few turns of all other tasks in between, unless it is ready before.
async fn poll(request: &mut AcquireRequest, polls: usize, rng: &mut SmallRng) -> Option<Guard> {
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..polls {
        if let Poll::Ready(guard) = Pin::new(&mut *request).poll(&mut cx) {
            return Some(guard.unwrap());
        }
        for _ in 0..rng.gen_range(0..4) {
            yield_now().await;
        }
        if rng.gen_ratio(1, 4) {
            tokio::time::advance(ms(1)).await;
        }
    }
    None
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_gives_up_after_any_number_of_polls_leaves_the_line_intact() {
    for seed in 0..20 {
        for polls in 0..24 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let (servers, redlock, other) = servers_and_two(3).await;
            servers.delay(ms(rng.gen_range(0..3)));
            // Nobody, this client, or another has it meanwhile.
            let holder = match seed % 3 {
                0 => None,
                1 => Some(&redlock),
                _ => Some(&other),
            };
            let mut held = None;
            if let Some(holder) = holder {
                held = Some(holder.acquire("r", secs(600)).await.unwrap());
            }
            let mut requests: Vec<AcquireRequest> = Vec::new();
            for _ in 0..3 {
                requests.push(redlock.acquire("r", secs(600)));
                // It takes its place.
                let _ = poll(requests.last_mut().unwrap(), 1, &mut rng).await.map(drop);
            }
            let mut leaver = requests.remove(rng.gen_range(0..3));
            let others: Vec<_> = requests.into_iter().map(tokio::spawn).collect();
            let before = polls / 2;
            let mut got = poll(&mut leaver, before, &mut rng).await;
            drop(held);
            if got.is_none() {
                got = poll(&mut leaver, polls - before, &mut rng).await;
            }
            drop((leaver, got));
            for waiter in others {
                let guard = timeout(secs(1), waiter).await;
                let guard = guard.unwrap_or_else(|_| panic!("stuck: seed {seed}, {polls} polls"));
                guard.unwrap().unwrap().release().await.unwrap();
            }
            eventually_free(&servers).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_gives_up_just_when_it_is_handed_the_lock_passes_it_on() {
    for yields in 0..30 {
        let (servers, redlock) = servers_and_client(3).await;
        servers.delay(ms(1));
        let held = redlock.acquire("r", secs(600)).await.unwrap();
        let front = wait(&redlock, "r");
        settle().await;
        let next = wait(&redlock, "r");
        // The front listens when the lock is released.
        sleep(secs(1)).await;
        drop(held);
        for _ in 0..yields {
            yield_now().await;
        }
        front.abort();
        let before = Instant::now();
        let guard = timeout(secs(60), next).await.expect("it is next").unwrap().unwrap();
        assert!(
            before.elapsed() <= ms(20),
            "{:?} after {yields} turns",
            before.elapsed()
        );
        drop((guard, front.await));
        eventually_free(&servers).await;
    }
}

#[tokio::test(start_paused = true)]
async fn all_waiters_of_many_clients_are_served_and_nothing_is_left() {
    for (count, delay) in [(1, 0), (3, 0), (3, 1), (5, 3)] {
        let servers = start(count);
        let mut rng = SmallRng::seed_from_u64(count as u64 + delay);
        let owners = Owners::default();
        let mut tasks = Vec::new();
        for _ in 0..6 {
            let redlock = connect(&servers).await;
            for _ in 0..15 {
                let (redlock, owners) = (redlock.clone(), owners.clone());
                let (pause, hold) = (ms(rng.gen_range(0..300)), ms(rng.gen_range(0..6)));
                tasks.push(tokio::spawn(async move {
                    sleep(pause).await;
                    owners.own(redlock.acquire("r", secs(600)).await.unwrap(), hold).await;
                }));
            }
        }
        servers.delay(ms(rng.gen_range(0..=delay)));
        for task in tasks {
            timeout(secs(60), task).await.expect("everybody gets a turn").unwrap();
        }
        eventually_free(&servers).await;
    }
}

#[tokio::test(start_paused = true)]
async fn all_waiters_are_served_while_servers_come_and_go() {
    let servers = start(3);
    let owners = Owners::default();
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let redlock = connected(builder(&servers).reconnect(ms(1), ms(5))).await;
        for _ in 0..20 {
            let (redlock, owners) = (redlock.clone(), owners.clone());
            tasks.push(tokio::spawn(async move {
                let guard = redlock.acquire("r", secs(5)).await.unwrap();
                assert_eq!(owners.0.fetch_add(1, Ordering::SeqCst), 0, "two owners");
                sleep(ms(7)).await;
                owners.0.fetch_sub(1, Ordering::SeqCst);
                // A server may be away.
                let _ = guard.release().await;
            }));
        }
    }
    for attempt in 0..30 {
        servers[attempt % 3].crash();
        sleep(ms(13)).await;
        servers[attempt % 3].restart();
        sleep(ms(9)).await;
    }
    for task in tasks {
        timeout(secs(60), task).await.expect("everybody gets a turn").unwrap();
    }
    eventually_free(&servers).await;
}

#[tokio::test(start_paused = true)]
async fn overlapping_sets_exclude_each_other_and_all_are_served() {
    for clients in [1, 3] {
        let servers = start(3);
        let mut redlocks = Vec::new();
        for _ in 0..clients {
            redlocks.push(connect(&servers).await);
        }
        servers.delay(ms(1));
        let owners = [Owners::default(), Owners::default()];
        let mut tasks = Vec::new();
        for i in 0..60 {
            let redlock = redlocks[i / 3 % clients].clone();
            let owners = owners.clone();
            let (set, of): (&[&str], &[usize]) =
                [(&["a"][..], &[0][..]), (&["a", "b"], &[0, 1]), (&["b"], &[1])][i % 3];
            tasks.push(tokio::spawn(async move {
                let guard = redlock.acquire(set, secs(600)).await.unwrap();
                for key in of {
                    assert_eq!(owners[*key].0.fetch_add(1, Ordering::SeqCst), 0, "two owners");
                }
                sleep(ms(4)).await;
                for key in of {
                    owners[*key].0.fetch_sub(1, Ordering::SeqCst);
                }
                guard.release().await.unwrap();
            }));
        }
        for task in tasks {
            timeout(secs(60), task).await.expect("everybody gets a turn").unwrap();
        }
        eventually_free(&servers).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_of_a_set_wakes_the_lines_of_its_parts_at_once() {
    let (_servers, redlock) = servers_and_client(3).await;
    let held = redlock.acquire(["a", "b"], secs(600)).await.unwrap();
    let parts = [wait(&redlock, "a"), wait(&redlock, "b")];
    sleep(secs(11)).await;
    let before = Instant::now();
    held.release().await.unwrap();
    for part in parts {
        let _guard = part.await.unwrap().unwrap();
    }
    assert!(before.elapsed() <= ms(5), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_is_left_to_others_after_a_run_is_offered_to_the_sets_of_this_client_at_once() {
    let (_servers, redlock) = servers_and_client(3).await;
    let held = redlock.acquire("a", secs(600)).await.unwrap();
    let next = wait(&redlock, "a");
    let set = tokio::spawn(redlock.acquire(["a", "b"], secs(600)));
    sleep(secs(11)).await;
    held.release().await.unwrap();
    // It is the second turn in a row, and long. So the third has to wait.
    let held = next.await.unwrap().unwrap();
    let _third = wait(&redlock, "a");
    sleep(ms(100)).await;
    assert!(!set.is_finished());
    held.release().await.unwrap();
    let _guard = timeout(ms(3), set)
        .await
        .expect("no server reports the unlock")
        .unwrap()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn closing_the_client_ends_every_waiter() {
    let (_servers, redlock, other) = servers_and_two(3).await;
    let _held = other.acquire("r", secs(600)).await.unwrap();
    let own = redlock.acquire("s", secs(600)).await.unwrap();
    let mut waiters: Vec<_> = (0..5)
        .flat_map(|_| [wait(&redlock, "r"), wait(&redlock, "s")])
        .collect();
    sleep(secs(1)).await;
    // These have not asked yet, or are asking.
    waiters.push(wait(&redlock, "t"));
    let late = redlock.acquire("t", secs(600));
    redlock.close().await;
    for waiter in waiters {
        let took = timeout(secs(1), waiter).await.expect("it ends").unwrap();
        assert_matches!(took, Err(LockError::Closed));
    }
    assert_matches!(late.await, Err(LockError::Closed));
    drop(own);
}

/// A waker that polls its future at once, as an executor may that runs tasks where they are woken.
struct Inline {
    future: Mutex<Option<AcquireRequest>>,
    served: AtomicBool,
}

impl Inline {
    /// Waits for a resource, of which nothing is awaited.
    fn wait(redlock: &Redlock, resource: &str) -> Arc<Self> {
        let waiter = Arc::new(Self {
            future: Mutex::new(Some(redlock.acquire(resource, secs(60)))),
            served: AtomicBool::new(false),
        });
        Waker::from(Arc::clone(&waiter)).wake();
        waiter
    }

    fn is_served(&self) -> bool {
        self.served.load(Ordering::SeqCst)
    }
}

impl std::task::Wake for Inline {
    fn wake(self: Arc<Self>) {
        let mut future = self.future.lock().unwrap();
        let waker = Waker::from(Arc::clone(&self));
        let polled = future
            .as_mut()
            .map(|future| Pin::new(future).poll(&mut Context::from_waker(&waker)));
        if let Some(Poll::Ready(guard)) = polled {
            *future = None;
            self.served.store(true, Ordering::SeqCst);
            drop(future);
            drop(guard);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_for_a_waiter_that_leaves_is_undone_before_the_next_asks() {
    let servers = start(3);
    // So far away that nothing that is sent waits for what is on its way.
    servers.delay(ms(10));
    let redlock = connect(&servers).await;
    let held = redlock.acquire("r", secs(60)).await.unwrap();
    let mut called = Box::pin(redlock.acquire("r", secs(60)));
    assert!(timeout(secs(1), &mut called).await.is_err());
    // It asks as soon as it is woken, within the drop of the one before it.
    let next = Inline::wait(&redlock, "r");
    drop(held);
    let before = Instant::now();
    drop(called);
    while !next.is_served() {
        sleep(ms(1)).await;
    }
    assert!(before.elapsed() <= ms(12), "{:?}", before.elapsed());
}

#[test]
fn wakers_that_poll_at_once_find_no_lock_held() {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        runtime(true).block_on(async {
            let (_servers, redlock, other) = servers_and_two(3).await;
            let held = other.acquire("r", secs(60)).await.unwrap();
            let waiters: Vec<_> = (0..10).map(|_| Inline::wait(&redlock, "r")).collect();
            sleep(secs(1)).await;
            // One that leaves wakes the next, an unlock elsewhere wakes the first, and one here the next.
            *waiters[0].future.lock().unwrap() = None;
            held.release().await.unwrap();
            sleep(secs(1)).await;
            assert!(waiters[1..].iter().all(|waiter| waiter.is_served()));
            redlock.close().await;
        });
        let _ = done.send(());
    });
    let outcome = is_done.recv_timeout(secs(60));
    assert!(outcome.is_ok(), "it waits for a lock that it holds, or failed");
}
