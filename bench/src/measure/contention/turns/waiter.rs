//! One waiter of many, in a closed loop: it waits, has its turn, and waits again.

use std::{convert::Infallible, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{super::TTL, Waiting, numbers::Turn};
use crate::{Result, clock};

const RESOURCE: &str = "bench:contended";

pub struct Waiter<C> {
    pub contender: Arc<C>,
    pub number: u32,
}

/// What one waiter saw, or several of them.
#[derive(Default, Serialize, Deserialize)]
pub struct Seen {
    pub turns: Vec<Turn>,
    pub longest_wait: Duration,
    pub failed: u64,
}

impl Seen {
    pub fn add(&mut self, other: Self) {
        self.turns.extend(other.turns);
        self.longest_wait = self.longest_wait.max(other.longest_wait);
        self.failed += other.failed;
    }
}

/// What a waiter has seen so far, and since when it waits, if it does.
#[derive(Default)]
struct Diary {
    seen: Seen,
    waiting_since: Option<Duration>,
}

impl<C: Waiting> Waiter<C> {
    pub async fn run(self, until: Duration) -> Seen {
        let mut diary = Diary::default();
        tokio::select! {
            never = self.take_turns(&mut diary) => match never {},
            () = clock::sleep_until(until) => {}
        }
        // Whoever waits until the end counts, too: a waiter that never has a turn must not go unseen.
        diary.wait_ended(clock::now());
        diary.seen
    }

    async fn take_turns(&self, diary: &mut Diary) -> Infallible {
        loop {
            if self.take_turn(diary).await.is_err() {
                diary.seen.failed += 1;
                // A failure may need no time at all, and a loop that never waits could not be ended.
                tokio::task::yield_now().await;
            }
        }
    }

    async fn take_turn(&self, diary: &mut Diary) -> Result<()> {
        // A wait that fails goes on with the next one.
        diary.waiting_since.get_or_insert_with(clock::now);
        let turn = self.contender.acquire(RESOURCE, TTL).await?;
        let at = clock::now();
        diary.wait_ended(at);
        diary.seen.turns.push(Turn::new(at, self.number));
        self.contender.end_turn(turn).await
    }
}

impl Diary {
    fn wait_ended(&mut self, at: Duration) {
        if let Some(since) = self.waiting_since.take() {
            self.seen.longest_wait = self.seen.longest_wait.max(at.saturating_sub(since));
        }
    }
}
