//! A server that turns among two that do not, and what has to hold meanwhile.

use std::time::{Duration, Instant};

use multiredlock::{Redlock, Retry, Server, event::Event, status::DownReason};
use tokio::time::timeout;
use tokio_stream::StreamExt;

use super::{Door, LONG, Malice, Servers, Together, Turncoat, all_up, eventually, finishes, memory, ms, quick};

/// By how much the memory of the process may grow. What is kept of what a server tells unasked takes most of it.
const BOUND: usize = 100 << 20;

/// Two servers that stay honest and one that does not, all of which are up.
pub(crate) struct Scene {
    honest: Servers,
    turncoat: Turncoat,
    redlock: Redlock,
}

impl Scene {
    pub(crate) async fn set(door: Door, trust: fn(Server) -> Server) -> Self {
        let honest = Servers::start(2);
        let turncoat = Turncoat::start(door).await;
        let addresses = honest.iter().map(|server| Server::parse(&server.url()).unwrap());
        let servers = addresses.chain([trust(turncoat.address())]);
        let redlock = quick().attempt_timeout(LONG).servers(servers).build().unwrap();
        all_up(&redlock).await;
        let scene = Self {
            honest,
            turncoat,
            redlock,
        };
        scene.works_with_all().await;
        scene
    }

    /// The server is down again and again, for these reasons, and is as the others are once it is honest.
    pub(crate) async fn withstands(&self, malice: Malice, expected: fn(&DownReason) -> bool) {
        let mut events = self.redlock.events();
        let before = memory("VmRSS");
        self.turncoat.turn(malice.clone());
        let (mut reasons, mut waits) = (Vec::new(), Vec::new());
        // It comes back each time, greets as before, and turns as soon as it is asked for a lock.
        while reasons.len() < 2 {
            assert!(waits.len() < 10_000, "{malice:?} goes unnoticed: {reasons:?}");
            waits.push(self.lock_with_two().await);
            while let Ok(Some(event)) = timeout(Duration::ZERO, events.next()).await {
                if let Event::ServerDown { server, reason, .. } = event {
                    assert_eq!(server, self.turncoat.address().address());
                    assert!(expected(&reason), "{malice:?}: {reason:?}");
                    reasons.push(reason);
                }
            }
        }
        is_bounded(before);
        waits.sort_unstable();
        let median = waits[waits.len() / 2];
        assert!(
            median < ms(400),
            "a lock that waits for a silent server takes 800 ms: {median:?}"
        );
        self.recovers().await;
    }

    /// The server stays up, and nothing that it says is taken for a vote.
    pub(crate) async fn is_told_nothing(&self, malice: Malice) {
        let strikes = self.turncoat.strikes();
        self.turncoat.turn(malice);
        for _ in 0..10 {
            self.lock_with_two().await;
        }
        assert_eq!(self.turncoat.strikes(), strikes + 1, "the connection lasts");
        let lock = finishes("the lock", self.redlock.lock("console", LONG)).await.unwrap();
        let unlocked = finishes("the unlock", self.redlock.unlock(&lock).counts()).await;
        assert_eq!((unlocked.removed, unlocked.unreachable), (2, 1));
        self.recovers().await;
    }

    async fn recovers(&self) {
        self.turncoat.is_honest_again();
        all_up(&self.redlock).await;
        self.works_with_all().await;
    }

    /// The time that a lock took which the two others granted.
    async fn lock_with_two(&self) -> Duration {
        let start = Instant::now();
        let lock = self.redlock.lock("console", LONG).retry(Retry::none());
        let lock = finishes("the lock", lock).await.expect("two servers are a majority");
        let took = start.elapsed();
        // The third may have been believed before the second was heard.
        eventually("both hold it", async || self.honest.holding(&lock) == 2).await;
        // What the third says of it is worth nothing, and may never come.
        drop(self.redlock.unlock(&lock));
        self.honest.empty().await;
        took
    }

    async fn works_with_all(&self) {
        eventually("all three hold a lock", async || {
            let lock = finishes("the lock", self.redlock.lock("console", LONG)).await.unwrap();
            finishes("the unlock", self.redlock.unlock(&lock).counts())
                .await
                .removed
                == 3
        })
        .await;
        self.honest.empty().await;
    }
}
/// Checks the memory that the process took at the most, where the system tells.
fn is_bounded(before: Option<usize>) {
    let Some((before, most)) = before.zip(memory("VmHWM")) else {
        return;
    };
    let grown = most.saturating_sub(before);
    assert!(grown < BOUND, "grown by {} MiB", grown >> 20);
}
