//! This library waits in line, and is told when it is its turn.

use std::time::Duration;

use multiredlock::Guard;

use super::Waiting;
use crate::{Result, contenders::Multiredlock};

impl Waiting for Multiredlock {
    type Turn = Guard;

    async fn acquire(&self, resource: &str, ttl: Duration) -> Result<Guard> {
        Ok(self.redlock.acquire(resource, ttl).await?)
    }

    async fn end_turn(&self, turn: Guard) -> Result<()> {
        Ok(turn.release().await?)
    }
}
