//! Nobody waits for long while others take a resource again and again, and whoever has no rivals loses little by that.

use crate::support::{Together, connect, eventually_free, ms, secs, servers_and_two, start};
use multiredlock::{LockError, Redlock, Retry, testing::MemoryServer};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

/// How one task takes a resource again as soon as it has given it back.
#[derive(Clone, Copy, Debug)]
enum Loop {
    Guards,
    Locks,
    TryLocks,
}

/// Takes turns until it is told to stop, and counts them.
fn take_turns(
    redlock: &Redlock,
    resources: &'static [&'static str],
    how: Loop,
    hold: Duration,
    is_over: &Arc<AtomicBool>,
) -> (JoinHandle<()>, Arc<AtomicUsize>) {
    let (redlock, is_over, turns) = (redlock.clone(), Arc::clone(is_over), Arc::<AtomicUsize>::default());
    let counted = Arc::clone(&turns);
    let task = tokio::spawn(async move {
        while !is_over.load(Ordering::Relaxed) {
            match how {
                Loop::Guards => {
                    let guard = redlock.acquire(resources, secs(60)).await.unwrap();
                    sleep(hold).await;
                    guard.release().await.unwrap();
                }
                Loop::Locks | Loop::TryLocks => {
                    let request = match how {
                        Loop::Locks => redlock.lock(resources, secs(60)).retry(Retry::new(u32::MAX, ms(10))),
                        _ => redlock.try_lock(resources, secs(60)),
                    };
                    match request.await {
                        Ok(lock) => {
                            sleep(hold).await;
                            redlock.unlock(&lock).counts().await;
                        }
                        Err(LockError::Held { .. }) => sleep(ms(1)).await,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    (task, turns)
}

/// The longest of so many waits for a turn beside others that take turns all the time.
///
/// They are a task like those of the others: what runs in none has its turn after all tasks that are ready.
async fn longest_wait(redlock: &Redlock, resources: &'static [&'static str], turns: u32, limit: Duration) -> Duration {
    let redlock = redlock.clone();
    tokio::spawn(async move { longest_of(&redlock, resources, turns, limit).await })
        .await
        .unwrap()
}

async fn longest_of(redlock: &Redlock, resources: &'static [&'static str], turns: u32, limit: Duration) -> Duration {
    let mut longest = Duration::ZERO;
    for turn in 0..turns {
        let before = Instant::now();
        let guard = redlock.acquire(resources, secs(60)).timeout(limit).await;
        let guard = guard.unwrap_or_else(|error| panic!("turn {turn}: {error}"));
        longest = longest.max(before.elapsed());
        sleep(ms(1)).await;
        guard.release().await.unwrap();
        sleep(ms(3)).await;
    }
    longest
}

fn servers(delay: u64) -> Vec<MemoryServer> {
    let servers = start(3);
    servers.delay(ms(delay));
    servers
}

#[tokio::test(start_paused = true)]
async fn one_that_locks_again_at_once_leaves_turns_to_another_client() {
    for how in [Loop::Guards, Loop::Locks, Loop::TryLocks] {
        for (hold, delay) in [(0, 1), (1, 0), (5, 0), (50, 0), (1, 5), (50, 20)] {
            let servers = servers(delay);
            let (greedy, other) = (connect(&servers).await, connect(&servers).await);
            let is_over = Arc::default();
            let (task, turns) = take_turns(&greedy, &["r"], how, ms(hold), &is_over);
            // So long that its runs have grown.
            sleep(secs(2)).await;
            let unit = delay.max(1);
            let longest = longest_wait(&other, &["r"], 10, secs(5)).await;
            // One run of the other, which has grown, its last turn, and some round trips.
            let bound = ms(160 * unit + 2 * hold + 20 * unit);
            assert!(
                longest <= bound,
                "{longest:?} beside {how:?} of {hold} ms, {delay} ms away"
            );
            is_over.store(true, Ordering::Relaxed);
            task.await.unwrap();
            assert!(turns.load(Ordering::Relaxed) > 2, "{how:?} of {hold} ms");
            eventually_free(&servers).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn none_of_several_that_want_it_all_the_time_waits_for_longer_than_the_runs_of_the_others() {
    for (clients, hold) in [(2, 1), (4, 1), (4, 10), (8, 5), (16, 5)] {
        let servers = servers(1);
        let is_over = Arc::default();
        let mut tasks = Vec::new();
        for _ in 1..clients {
            let client = connect(&servers).await;
            tasks.push(take_turns(&client, &["r"], Loop::Guards, ms(hold), &is_over));
        }
        let one = connect(&servers).await;
        sleep(secs(1)).await;
        let longest = longest_wait(&one, &["r"], 100, secs(5)).await;
        // A run is as long as its shortest limit and one turn. More clients are a crowd, in which chance has a larger part.
        let runs = if clients <= 8 { 3 } else { 7 };
        let bound = ms(runs * clients * (4 + hold) + 20);
        assert!(
            longest <= bound,
            "{longest:?} with {clients} clients that hold it for {hold} ms"
        );
        is_over.store(true, Ordering::Relaxed);
        for (task, turns) in tasks {
            task.await.unwrap();
            assert!(turns.load(Ordering::Relaxed) > 2, "{clients} clients, {hold} ms");
        }
    }
}

/// How long a turn takes, and how many attempts a client makes for it, if so many clients ask for one resource at the same
/// moment, each of them once.
#[cfg(feature = "metrics")]
fn turn_of_a_herd(clients: u32) -> (Duration, u64) {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    let herd = async {
        let servers = servers(1);
        let mut herd = Vec::new();
        for _ in 0..clients {
            herd.push(connect(&servers).await);
        }
        let before = Instant::now();
        let turn = |client: Redlock| async move {
            let guard = client.acquire("r", secs(60)).timeout(secs(60)).await.unwrap();
            sleep(ms(6)).await;
            guard.release().await.unwrap();
            client.close().await;
        };
        let tasks: Vec<_> = herd.into_iter().map(|client| tokio::spawn(turn(client))).collect();
        for task in tasks {
            task.await.unwrap();
        }
        before.elapsed() / clients
    };
    let recorder = DebuggingRecorder::new();
    let turn = metrics::with_local_recorder(&recorder, || crate::support::runtime(true).block_on(herd));
    let metrics = recorder.snapshotter().snapshot().into_vec();
    let attempts = metrics.iter().filter_map(|(key, _, _, value)| match value {
        DebugValue::Counter(count) if key.key().name() == "multiredlock_attempts_total" => Some(*count),
        _ => None,
    });
    (turn, attempts.sum::<u64>() / u64::from(clients))
}

#[cfg(feature = "metrics")]
#[test]
fn a_turn_costs_hardly_more_if_many_clients_wait_for_it() {
    for clients in [20, 60, 200] {
        let (turn, attempts) = turn_of_a_herd(clients);
        assert!(turn <= ms(25), "{clients} clients: {turn:?} a turn");
        assert!(attempts <= 30, "{clients} clients: {attempts} attempts each");
    }
}

#[tokio::test(start_paused = true)]
async fn a_loop_on_a_part_leaves_turns_to_the_whole_in_the_same_client_and_in_another() {
    for hold in [1, 5, 50] {
        for is_same_client in [true, false] {
            let servers = servers(1);
            let greedy = connect(&servers).await;
            let other = if is_same_client {
                greedy.clone()
            } else {
                connect(&servers).await
            };
            let is_over = Arc::default();
            let loops = [
                take_turns(&greedy, &["a"], Loop::Guards, ms(hold), &is_over),
                take_turns(&greedy, &["a", "c"], Loop::Locks, ms(hold), &is_over),
            ];
            sleep(secs(1)).await;
            let longest = longest_wait(&other, &["a", "b"], 10, secs(5)).await;
            assert!(
                longest <= ms(200 + 4 * hold),
                "{longest:?} beside turns of {hold} ms, same client: {is_same_client}"
            );
            is_over.store(true, Ordering::Relaxed);
            for (task, _) in loops {
                task.await.unwrap();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_without_rivals_loses_at_most_a_twentieth_of_its_time() {
    for how in [Loop::Guards, Loop::Locks] {
        for hold in [1, 5, 50] {
            let servers = servers(0);
            let redlock = connect(&servers).await;
            let is_over = Arc::default();
            let (task, turns) = take_turns(&redlock, &["r"], how, ms(hold), &is_over);
            sleep(secs(10)).await;
            is_over.store(true, Ordering::Relaxed);
            let turns = u64::try_from(turns.load(Ordering::Relaxed)).unwrap();
            task.await.unwrap();
            // A timer of tokio takes up to a millisecond more.
            assert!(
                turns * (hold + 1) >= 9_500 || turns * hold >= 9_500,
                "{turns} turns of {hold} ms, {how:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_is_there_in_time_though_a_minority_is_held_by_a_foreign_key_for_good() {
    for foreign in 0..3 {
        for late in 0..3 {
            let (servers, holder, waiter) = servers_and_two(3).await;
            servers[foreign].set("r", "foreign", None);
            let mut guard = holder.acquire("r", secs(600)).await.unwrap();
            // Its first question makes the servers report changes.
            let mut waiting = tokio::spawn(waiter.acquire("r", secs(600)).timeout(secs(60)));
            for attempt in 0..20 {
                sleep(ms(50)).await;
                // Votes come in any order, and at any moment of the release.
                servers[late].delay(ms(attempt % 4));
                let before = Instant::now();
                guard.release().await.unwrap();
                let next = timeout(secs(10), &mut waiting)
                    .await
                    .expect("in time")
                    .unwrap()
                    .unwrap();
                assert!(
                    before.elapsed() <= ms(20),
                    "{:?} in attempt {attempt}, foreign key on {foreign}, late {late}",
                    before.elapsed()
                );
                let second = connect(&servers).await;
                waiting = tokio::spawn(second.acquire("r", secs(600)).timeout(secs(60)));
                guard = next;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_hears_of_a_vote_that_comes_after_the_decision() {
    for foreign_ttl in [None, Some(secs(60))] {
        let (servers, holder, waiter) = servers_and_two(3).await;
        servers[0].set("r", "foreign", foreign_ttl);
        let lock = holder.lock("r", secs(600)).await.unwrap();
        servers[2].delay(ms(10));
        let waiting = tokio::spawn(waiter.acquire("r", secs(600)));
        // Two servers refuse at once. The third grants it later, as its key is gone by then, and that is undone.
        sleep(ms(5)).await;
        servers[2].forget("r");
        sleep(ms(45)).await;
        servers[2].delay(ms(0));
        let before = Instant::now();
        holder.unlock(&lock).counts().await;
        let guard = timeout(secs(10), waiting).await.expect("in time").unwrap().unwrap();
        assert!(before.elapsed() <= ms(5), "{:?}", before.elapsed());
        drop(guard);
    }
}

#[tokio::test(start_paused = true)]
async fn turns_of_others_that_end_within_a_pause_keep_the_runs_short() {
    let (_servers, greedy, other) = servers_and_two(3).await;
    // Only keys that are locked again have runs.
    greedy.acquire("r", secs(60)).await.unwrap().release().await.unwrap();
    for turn in 0..40 {
        let guard = greedy.acquire("r", secs(60)).await.unwrap();
        sleep(ms(5)).await;
        guard.release().await.unwrap();
        let waiting = tokio::spawn(greedy.acquire("r", secs(60)));
        // It is over before the greedy client asks again.
        let lock = other.try_lock("r", secs(60)).await.expect("a pause follows each run");
        other.unlock(&lock).await.unwrap();
        let asked = Instant::now();
        waiting.await.unwrap().unwrap().release().await.unwrap();
        assert!(asked.elapsed() >= ms(2), "turn {turn}: it did not pause");
        sleep(ms(20)).await;
    }
}
