//! Waiting in line on a paused clock.

use crate::{all_up, builder, connect, ms, secs, start, up};
use multiredlock::{Guard, LockError, Redlock, testing::MemoryServer};
use std::{
    future::{Future, IntoFuture},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Waker},
};
use tokio::{
    task::{JoinHandle, JoinSet, yield_now},
    time::{Instant, sleep, timeout},
};

fn wait(redlock: &Redlock) -> JoinHandle<Result<Guard, LockError>> {
    let redlock = redlock.clone();
    tokio::spawn(async move { redlock.acquire("r", secs(60)).await })
}

/// Lets everything come to rest that does not wait for a time.
async fn settle() {
    sleep(ms(1)).await;
}

#[tokio::test(start_paused = true)]
async fn waiters_of_a_handle_are_served_in_the_order_in_which_they_came() {
    let redlock = connect(&start(3)).await;
    let guard = redlock.acquire("r", secs(60)).await.unwrap();
    let served = Arc::new(Mutex::new(Vec::new()));
    let mut waiters = JoinSet::new();
    for number in 0..20 {
        let (redlock, served) = (redlock.clone(), Arc::clone(&served));
        waiters.spawn(async move {
            let guard = redlock.acquire("r", secs(60)).await.unwrap();
            served.lock().unwrap().push(number);
            drop(guard);
        });
        yield_now().await;
    }
    settle().await;
    let start = Instant::now();
    drop(guard);
    waiters.join_all().await;
    assert_eq!(*served.lock().unwrap(), (0..20).collect::<Vec<_>>());
    assert!(start.elapsed() < ms(20), "it was handed on: {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_waiter_is_woken_by_an_unlock_an_expiry_and_a_key_that_is_gone() {
    let free: [fn(&Redlock, &multiredlock::Lock, &[MemoryServer]); 3] = [
        |redlock, lock, _| drop(redlock.unlock(lock)),
        |_, _, servers| {
            servers[0].forget("r");
            servers[2].forget("r");
        },
        |_, _, _| {},
    ];
    for (free, within) in free.into_iter().zip([ms(5), ms(5), secs(10)]) {
        let servers = start(3);
        let (holder, other) = (connect(&servers).await, connect(&servers).await);
        let lock = holder.lock("r", secs(10)).await.unwrap();
        let waiting = wait(&other);
        settle().await;
        let start = Instant::now();
        free(&holder, &lock, &servers);
        let _guard = waiting.await.unwrap().unwrap();
        assert!(start.elapsed() <= within + ms(10), "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_is_told_of_is_found_out_by_asking() {
    let servers = start(3);
    let (holder, other) = (connect(&servers).await, connect(&servers).await);
    let _lock = holder.lock("r", secs(3_600)).await.unwrap();
    let waiting = wait(&other);
    settle().await;
    servers.iter().for_each(MemoryServer::forget_all);
    let start = Instant::now();
    let _guard = waiting.await.unwrap().unwrap();
    assert!(start.elapsed() <= secs(10), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_waiter_waits_for_a_majority_and_asks_as_soon_as_there_is_one() {
    let servers = start(3);
    let redlock = builder(&servers).reconnect(ms(10), ms(10)).build().unwrap();
    all_up(&redlock).await;
    servers.iter().for_each(MemoryServer::crash);
    up(&redlock, 0).await;
    let waiting = wait(&redlock);
    sleep(secs(60)).await;
    servers[0].restart();
    sleep(secs(60)).await;
    assert!(!waiting.is_finished());
    servers[1].restart();
    let start = Instant::now();
    let _guard = waiting.await.unwrap().unwrap();
    assert!(start.elapsed() <= ms(30), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_told_why() {
    let servers = start(3);
    let (holder, other) = (connect(&servers).await, connect(&servers).await);
    let _guard = holder.acquire("r", secs(60)).await.unwrap();
    for redlock in [&other, &holder] {
        let start = Instant::now();
        let error = redlock.acquire("r", secs(60)).within(secs(5)).await.unwrap_err();
        assert_eq!(start.elapsed(), secs(5));
        assert_eq!(error.to_string(), "could not lock `r` within 5s");
        let LockError::TimedOut { cause: Some(cause), .. } = error else {
            panic!("{error:?}");
        };
        assert!(matches!(*cause, LockError::Held { .. }), "{cause:?}");
    }
    servers.iter().for_each(MemoryServer::crash);
    up(&other, 0).await;
    let error = other.acquire("q", secs(60)).within(secs(5)).await.unwrap_err();
    let LockError::TimedOut { cause: Some(cause), .. } = error else {
        panic!("{error:?}");
    };
    assert!(matches!(*cause, LockError::NoQuorum { .. }), "{cause:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_is_closed_ends_all_its_waiters() {
    let servers = start(3);
    let (holder, other) = (connect(&servers).await, connect(&servers).await);
    let _guard = holder.acquire("r", secs(60)).await.unwrap();
    let waiting: Vec<_> = (0..5).map(|_| wait(&other)).collect();
    settle().await;
    other.close().await;
    for waiter in waiting {
        assert_eq!(waiter.await.unwrap().unwrap_err(), LockError::Closed);
    }
    assert_eq!(other.acquire("r", secs(1)).await.unwrap_err(), LockError::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_after_any_number_of_polls_leaves_the_line_in_order_and_no_key() {
    for polls in 0..30 {
        // Before it asks, while it asks, while it waits, or only when it has left.
        for unlocked_at in [0, 1, 2, 4, 8, 100] {
            let servers = start(3);
            let redlock = connect(&servers).await;
            let mut guard = redlock.try_acquire("r", secs(60)).await.ok();
            let mut behind = None;
            {
                let mut leaving = pin!(redlock.acquire("r", secs(60)).into_future());
                for poll in 0..polls {
                    if poll == unlocked_at {
                        guard = None;
                    }
                    let context = &mut Context::from_waker(Waker::noop());
                    if leaving.as_mut().poll(context).is_ready() {
                        break;
                    }
                    behind.get_or_insert_with(|| wait(&redlock));
                    yield_now().await;
                }
            }
            drop(guard);
            let behind = behind.unwrap_or_else(|| wait(&redlock));
            let served = timeout(secs(1), behind).await.expect("the next in line is served");
            served.unwrap().unwrap().release().await.unwrap();
            settle().await;
            assert!(
                servers.iter().all(MemoryServer::is_empty),
                "after {polls} polls, unlocked at {unlocked_at}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn everybody_is_served_and_nobody_is_ever_two_whoever_gives_up_when() {
    for seed in 0..20_u64 {
        let servers = start(3);
        for (server, delay) in servers.iter().zip([1, 2, 3]) {
            server.delay(ms((seed + delay) % 3));
        }
        let is_held = Arc::new(AtomicBool::new(false));
        let turns = Arc::new(AtomicUsize::new(0));
        let mut waiters = JoinSet::new();
        for handle in 0..4_u64 {
            let redlock = connect(&servers).await;
            for waiter in 0..4_u64 {
                let (redlock, is_held, turns) = (redlock.clone(), Arc::clone(&is_held), Arc::clone(&turns));
                waiters.spawn(async move {
                    let mut served = 0;
                    for turn in 0.. {
                        let gives_up = (seed + handle * 5 + waiter * 3 + turn) % 4 == 0;
                        let patience = if gives_up {
                            ms((seed * 7 + turn * 13) % 40)
                        } else {
                            secs(3_600)
                        };
                        match redlock.acquire("r", secs(60)).within(patience).await {
                            Ok(guard) => {
                                assert!(!is_held.swap(true, Ordering::SeqCst), "somebody else has it");
                                sleep(ms(turn % 3)).await;
                                is_held.store(false, Ordering::SeqCst);
                                drop(guard);
                                turns.fetch_add(1, Ordering::SeqCst);
                                served += 1;
                            }
                            Err(LockError::TimedOut { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                        if served == 5 {
                            break;
                        }
                    }
                });
            }
        }
        waiters.join_all().await;
        assert_eq!(turns.load(Ordering::SeqCst), 80);
        sleep(secs(1)).await;
        assert!(servers.iter().all(MemoryServer::is_empty), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_handles_get_their_turn_while_one_has_waiters_without_end() {
    let servers = start(3);
    let (greedy, other) = (connect(&servers).await, connect(&servers).await);
    let mut waiters = JoinSet::new();
    for _ in 0..3 {
        let greedy = greedy.clone();
        waiters.spawn(async move {
            loop {
                let guard = greedy.acquire("r", secs(60)).await.unwrap();
                sleep(ms(2)).await;
                drop(guard);
            }
        });
    }
    sleep(ms(100)).await;
    for _ in 0..20 {
        let start = Instant::now();
        let guard = other.acquire("r", secs(60)).await.unwrap();
        assert!(start.elapsed() < ms(700), "{:?}", start.elapsed());
        drop(guard);
        sleep(ms(50)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn sets_of_resources_that_overlap_exclude_each_other_and_all_are_served() {
    let servers = start(3);
    let held: Arc<[AtomicBool; 2]> = Arc::default();
    let mut waiters = JoinSet::new();
    for redlock in [connect(&servers).await, connect(&servers).await] {
        for set in [vec!["a"], vec!["b", "a"], vec!["b"], vec!["a", "b"]] {
            let (redlock, held) = (redlock.clone(), Arc::clone(&held));
            waiters.spawn(async move {
                for _ in 0..10 {
                    let guard = redlock.acquire(&set, secs(60)).await.unwrap();
                    let of = |name: &&str| &held[usize::from(*name == "b")];
                    for name in &set {
                        assert!(!of(name).swap(true, Ordering::SeqCst), "{name} is held twice");
                    }
                    sleep(ms(3)).await;
                    for name in &set {
                        of(name).store(false, Ordering::SeqCst);
                    }
                    drop(guard);
                }
            });
        }
    }
    let start = Instant::now();
    waiters.join_all().await;
    assert!(
        start.elapsed() < secs(60),
        "nobody waits for a poll each time: {:?}",
        start.elapsed()
    );
    sleep(ms(10)).await;
    assert!(servers.iter().all(MemoryServer::is_empty));
}
