//! Servers that are far away, reached with the settings that nobody changed.

use multiredlock::{Redlock, Retry};
use tokio::time::timeout;

use crate::support::{LONG, Mode, Network, Servers, connect, finishes, ms};

/// Connects, locks, renews, guards and unlocks at this round trip.
async fn works_at(round_trip: u64) {
    let servers = Servers::start(3);
    let mut ways = Vec::new();
    for server in servers.iter() {
        let way = Network::to(server.address()).await;
        way.set(Mode::Delay(ms(round_trip) / 2));
        ways.push(way);
    }
    let redlock = connect(Redlock::builder().servers(ways.iter().map(|way| way.url()))).await;

    let lock = redlock.lock("console", LONG).retry(Retry::none());
    let lock = finishes("the lock", lock).await.unwrap();
    let lock = finishes("the renewal", redlock.renew(&lock, LONG)).await.unwrap();
    let unlocked = redlock.unlock(&lock).counts().await;
    assert!(unlocked.removed >= 2, "{unlocked:?}");
    let guard = finishes("the guard", redlock.acquire("console", ms(4_000)))
        .await
        .unwrap();
    let lost = timeout(ms(5_000), guard.lost()).await;
    assert!(lost.is_err(), "it is renewed in time: {lost:?}");
    finishes("the release", guard.release()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_at_a_quarter_and_at_half_a_second_work_with_the_defaults() {
    tokio::join!(works_at(250), works_at(500));
}
