//! `rslock` asks again: in rounds of three attempts with a random wait of less than 200 ms between them, and without one
//! between two rounds.

use std::time::Duration;

use rslock::LockGuard;

use super::Waiting;
use crate::{Result, contenders::Rslock};

impl Waiting for Rslock {
    type Turn = LockGuard;

    async fn acquire(&self, resource: &str, ttl: Duration) -> Result<LockGuard> {
        Ok(self.manager.acquire(resource, ttl).await?)
    }

    async fn end_turn(&self, turn: LockGuard) -> Result<()> {
        turn.release().await;
        Ok(())
    }
}
