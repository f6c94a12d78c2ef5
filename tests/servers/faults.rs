//! What goes wrong on a minority costs nobody anything, and what goes wrong on a majority is told.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use multiredlock::{LockError, Redlock, RenewError};

use tokio::task::JoinSet;
use tokio_stream::StreamExt;

use crate::support::{
    LONG, Servers, Together, all_up, assert_matches, connect, eventually, extract, finishes, locked_on_three, ms,
    patient, quick, servers_and_client, unhurried_on, up,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_minority_does_not_slow_a_lock_down() {
    let (servers, redlock) = five_with_two_frozen().await;

    // Attempts and heartbeats last longer than this test may, so only three votes can have ended these.
    let lock = finishes("the lock", redlock.lock("console", LONG)).await.unwrap();
    let lock = finishes("the renewal", redlock.renew(&lock, LONG)).await.unwrap();

    assert_eq!(up(&redlock), 5, "nothing was noticed yet");
    redlock.unlock(&lock);
    servers[..2].thaw();
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_minority_does_not_slow_a_refusal_down() {
    let (servers, redlock) = five_with_two_frozen().await;
    servers[2..].command(&["SET", "console", "somebody else", "PX", "60000"]);

    let refused = finishes("the refusal", redlock.lock("console", LONG)).await;

    let failure = extract!(refused, Err(LockError::Held { failure, .. }) => failure);
    assert_eq!(failure.held(), 3);
    servers[..2].thaw();
    servers[..2].empty().await;
}

async fn five_with_two_frozen() -> (Servers, Redlock) {
    let (servers, redlock) = unhurried_on(5).await;
    servers[..2].freeze();
    (servers, redlock)
}

#[tokio::test(flavor = "multi_thread")]
async fn flushing_the_scripts_costs_nothing() {
    let (servers, redlock) = servers_and_client(3).await;
    for _ in 0..10 {
        servers.command(&["SCRIPT", "FLUSH"]);
        let lock = redlock.try_lock("console", LONG).await.unwrap();
        servers.command(&["SCRIPT", "FLUSH"]);
        let lock = redlock.renew(&lock, LONG).await.unwrap();
        servers.command(&["SCRIPT", "FLUSH"]);
        let unlocked = finishes("the unlock", redlock.unlock(&lock).counts()).await;
        // A minority that has to be taught the script first may learn it only after the decision, so it sets no key.
        assert!(unlocked.removed >= 2, "{unlocked:?}");
    }
    assert_eq!(up(&redlock), 3);
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flushing_the_scripts_all_the_time_leaves_no_key() {
    let (servers, redlock) = servers_and_client(3).await;
    let mut tasks = JoinSet::new();
    for task in 0..16 {
        let redlock = redlock.clone();
        tasks.spawn(async move {
            for _ in 0..50 {
                let resource = format!("resource {task}");
                let lock = redlock.lock(resource, LONG).retry(patient()).await.unwrap();
                redlock.unlock(&lock);
            }
        });
    }
    let tasks = tokio::spawn(tasks.join_all());
    eventually("every task has ended", async || {
        servers.command(&["SCRIPT", "FLUSH"]);
        tasks.is_finished()
    })
    .await;
    tasks.await.unwrap();
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_lock_outlives_its_connections() {
    let (servers, redlock) = servers_and_client(3).await;
    let mut disconnected = redlock.disconnected();
    let lock = redlock.lock("console", LONG).await.unwrap();
    servers.all_hold(&lock).await;

    servers.kill_clients();
    finishes("the loss is told", tokio_stream::StreamExt::next(&mut disconnected))
        .await
        .unwrap();
    all_up(&redlock).await;

    let lock = redlock.renew(&lock, LONG).await.unwrap();
    let unlocked = finishes("the unlock", redlock.unlock(&lock).counts()).await;
    assert_eq!(unlocked.removed, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_whose_keys_were_flushed_is_lost() {
    let (servers, redlock, lock) = locked_on_three().await;

    servers[0].command(&["FLUSHALL"]);
    let lock = redlock.renew(&lock, LONG).await.unwrap();
    eventually("a minority gets its key back", async || servers.holding(&lock) == 3).await;

    servers[..2].command(&["FLUSHALL"]);
    let lost = redlock.renew(&lock, LONG).await;
    assert_matches!(&lost, Err(RenewError::Lost { .. }));
    assert_eq!(servers.holding(&lock), 1, "a lost lock is not put back, nor removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_puts_back_the_key_that_a_minority_lost() {
    let (servers, redlock) = servers_and_client(3).await;
    let lock = redlock.lock("console", LONG).await.unwrap();
    for server in servers.iter() {
        servers.all_hold(&lock).await;
        server.command(&["FLUSHALL"]);
        let _renewed = redlock.renew(&lock, LONG).await.unwrap();
    }
    servers.all_hold(&lock).await;
    assert_eq!(finishes("the unlock", redlock.unlock(&lock).counts()).await.removed, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_not_put_back_behind_its_unlock() {
    let (servers, redlock) = servers_and_client(3).await;
    for server in servers.iter().cycle().take(30) {
        let lock = redlock.lock("console", LONG).await.unwrap();
        servers.all_hold(&lock).await;
        server.command(&["FLUSHALL"]);
        let lock = redlock.renew(&lock, LONG).await.unwrap();
        let unlocked = finishes("the unlock", redlock.unlock(&lock).counts()).await;
        assert!(unlocked.removed >= 2, "{unlocked:?}");
        servers.empty().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_majority_that_grants_too_late_grants_nothing() {
    let (servers, redlock) = unhurried_on(3).await;
    servers.forget_calls();
    servers[1..].freeze();
    let late = tokio::spawn(redlock.try_lock("console", ms(500)));

    eventually("the first server granted it", async || servers[0].calls("set") > 0).await;
    eventually("and it expired there", async || servers[0].keys().is_empty()).await;
    servers[1..].thaw();

    let refused = finishes("the lock", late).await.unwrap();
    let (elapsed, ttl) = extract!(refused, Err(LockError::Expired { elapsed, ttl, .. }) => (elapsed, ttl));
    assert!(ttl == ms(500) && elapsed >= ms(400), "{elapsed:?} of {ttl:?}");
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_without_a_majority_is_unknown_and_leaves_the_keys() {
    let (servers, redlock, lock) = locked_on_three().await;
    servers[..2].crash();
    eventually("they are down", async || up(&redlock) == 1).await;

    let remaining = extract!(redlock.renew(&lock, LONG).await, Err(RenewError::Unknown { remaining, .. }) => remaining);
    assert!(remaining <= lock.validity() + LONG && !remaining.is_zero());
    assert_eq!(servers[2].get("console").as_deref(), Some(lock.value()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_future_that_is_no_longer_polled_holds_nobody_up() {
    let (servers, redlock) = servers_and_client(3).await;
    let mut forgotten: Vec<_> = (0..20)
        .map(|number| redlock.lock(format!("forgotten {number}"), LONG))
        .collect();
    for future in &mut forgotten {
        // Rarely, three answers are there before the first poll is over.
        if let Poll::Ready(lock) = Pin::new(future).poll(&mut Context::from_waker(Waker::noop())) {
            redlock.unlock(&lock.unwrap());
        }
    }

    for _ in 0..20 {
        let lock = finishes("the lock", redlock.lock("console", LONG)).await.unwrap();
        let lock = finishes("the renewal", redlock.renew(&lock, LONG)).await.unwrap();
        let unlocked = finishes("the unlock", redlock.unlock(&lock).counts()).await;
        assert_eq!(unlocked.unreachable, 0, "{unlocked:?}");
    }
    let beats = servers[0].calls("time");
    eventually("heartbeats go on", async || servers[0].calls("time") > beats + 5).await;
    assert_eq!(up(&redlock), 3);
    drop(forgotten);
    servers.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_lock_outlives_the_crash_of_every_server() {
    let (servers, redlock, first) = locked_on_three().await;
    let second = tokio::spawn(redlock.lock("console", LONG).retry(patient()));

    servers.crash();
    servers.restart();

    let second = finishes("the second lock", second).await.unwrap().unwrap();
    assert_ne!(second.value(), first.value());
}

#[tokio::test(flavor = "current_thread")]
async fn a_client_that_was_held_up_reads_what_has_arrived_before_it_judges_a_server() {
    let servers = Servers::start(3);
    // What a untrusted server sends passes through one more socket, which takes some more turns of the scheduler.
    let urls = servers
        .iter()
        .map(|server| format!("redis://{}?untrusted=true", server.address()));
    let builder = quick().servers(urls).heartbeat_timeout(ms(400));
    let redlock = connect(builder).await;
    let mut events = redlock.events();
    for _ in 0..3 {
        servers.freeze();
        // Longer than the heartbeat interval, so that each heartbeat is on its way.
        tokio::time::sleep(ms(150)).await;
        let lock = tokio::spawn(redlock.try_lock("r", LONG).attempt_timeout(ms(300)));
        tokio::task::yield_now().await;
        servers.thaw();
        // The answers arrive, and nothing here can run meanwhile.
        std::thread::sleep(ms(1_000));
        let lock = lock.await.unwrap().expect("its votes had arrived");
        redlock.unlock(&lock).counts().await;
    }
    assert_eq!(up(&redlock), 3);
    let down = tokio::time::timeout(ms(500), async {
        while let Some(event) = events.next().await {
            assert!(
                !matches!(event, multiredlock::event::Event::ServerDown { .. }),
                "{event:?}"
            );
        }
    });
    assert!(down.await.is_err(), "the events go on");
}
