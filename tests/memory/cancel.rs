//! A future that is dropped leaves nothing locked, wherever it is dropped.

use crate::support::{Together, builder, eventually, eventually_free, locked, ms, secs, servers_and_client, up};
use std::{
    pin::pin,
    task::{Context, Waker},
};
use tokio::time::{sleep, timeout};

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_dropped_after_any_number_of_polls_leaves_no_key() {
    for polls in 0..20 {
        let (servers, redlock) = servers_and_client(3).await;
        servers.delay(ms(1));
        {
            let mut lock = pin!(redlock.lock("r", secs(600)));
            let mut cx = Context::from_waker(Waker::noop());
            for _ in 0..polls {
                if lock.as_mut().poll(&mut cx).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        eventually_free(&servers).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_dropped_at_any_moment_leaves_no_key() {
    // The three answer after 10, 20 and 30 ms, so each drop meets another mix of answers.
    for dropped_after in 0..20 {
        let (servers, redlock) = servers_and_client(3).await;
        for (server, delay) in servers.iter().zip([10, 20, 30]) {
            server.delay(ms(delay));
        }
        let lock = timeout(ms(dropped_after), redlock.lock("r", secs(600))).await;
        assert!(lock.is_err(), "the second answer comes after 20 ms");
        sleep(ms(100)).await;
        eventually_free(&servers).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_dropped_between_two_rounds_leaves_no_key() {
    let (servers, redlock) = servers_and_client(3).await;
    // Two of three are held elsewhere, so each attempt is granted one key, and fails.
    let other = builder(&servers[..2]).build().unwrap();
    up(&other, 2).await;
    let held = other.lock("r", secs(600)).await.unwrap();
    for dropped_after in 0..100 {
        let _ = timeout(ms(dropped_after), redlock.lock("r", secs(600))).await;
        eventually("no key on the third server", async || servers[2].is_empty()).await;
    }
    assert_eq!(servers[0].get("r").as_deref(), Some(held.value()));
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_an_unlock_that_nobody_awaits_is_no_loss() {
    let (servers, redlock, lock) = locked(3, secs(600)).await;
    drop(redlock.unlock(&lock));
    assert!(servers.are_empty(), "it is sent when unlock returns");
}
