//! A client that locks a resource again and again leaves turns to others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use multiredlock::{LockError, Redlock, Retry};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::support::{LONG, Servers, Together, ms, servers_and_two};

/// Takes the resource again as soon as it has given it back, by guards or by plain locks, until it is over.
fn take_turns(redlock: &Redlock, guards: bool, hold: Duration, is_over: &Arc<AtomicBool>) -> JoinHandle<()> {
    let (redlock, is_over) = (redlock.clone(), Arc::clone(is_over));
    tokio::spawn(async move {
        while !is_over.load(Ordering::Relaxed) {
            if guards {
                let guard = redlock.acquire("r", LONG).await.unwrap();
                sleep(hold).await;
                guard.release().await.unwrap();
            } else {
                match redlock.lock("r", LONG).retry(Retry::new(u32::MAX, ms(10))).await {
                    Ok(lock) => {
                        sleep(hold).await;
                        redlock.unlock(&lock).counts().await;
                    }
                    Err(LockError::Held { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_locks_again_at_once_leaves_turns_to_another_client() {
    for guards in [true, false] {
        for hold in [0, 1, 20] {
            let (servers, greedy, other) = servers_and_two().await;
            let is_over = Arc::default();
            let task = take_turns(&greedy, guards, ms(hold), &is_over);
            for turn in 0..10 {
                let guard = other.acquire("r", LONG).timeout(LONG).await;
                let guard = guard.unwrap_or_else(|error| panic!("turn {turn} beside turns of {hold} ms: {error}"));
                guard.release().await.unwrap();
                // The other has it again.
                sleep(ms(10)).await;
            }
            is_over.store(true, Ordering::Relaxed);
            task.await.unwrap();
            servers.empty().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_several_that_want_it_all_the_time_get_their_turns() {
    const TURNS: usize = 20;
    let servers = Servers::start(3);
    let owners = Arc::<AtomicUsize>::default();
    let mut tasks = Vec::new();
    for _ in 0..5 {
        let (client, owners) = (servers.connected().await, Arc::clone(&owners));
        tasks.push(tokio::spawn(async move {
            for _ in 0..TURNS {
                let guard = client.acquire("r", LONG).timeout(LONG).await.unwrap();
                assert_eq!(owners.fetch_add(1, Ordering::SeqCst), 0, "two owners");
                sleep(ms(2)).await;
                owners.fetch_sub(1, Ordering::SeqCst);
                guard.release().await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    servers.empty().await;
}
