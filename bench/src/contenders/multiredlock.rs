//! This library, with every default but the servers.

use std::{net::SocketAddr, time::Duration};

use multiredlock::{Lock, Redlock, ServerState};

use super::Contender;
use crate::{Result, measure::eventually};

pub struct Multiredlock {
    pub(super) redlock: Redlock,
}

impl Contender for Multiredlock {
    type Held = Lock;

    async fn connect(addresses: &[SocketAddr]) -> Result<Self> {
        let redlock = Redlock::builder()
            .servers(addresses.iter().map(|address| format!("redis://{address}")))
            .build()?;
        // A majority would do for the library, but not for a comparison: all others have every server too.
        let all_up = || {
            let servers = redlock.servers();
            servers.iter().all(|server| matches!(server.state, ServerState::Up))
        };
        eventually("every server is up", all_up)
            .await
            .map_err(|error| format!("{error}: {:?}", redlock.servers()))?;
        Ok(Self { redlock })
    }

    async fn lock(&self, resource: &str, ttl: Duration) -> Result<Lock> {
        Ok(self.redlock.lock(resource, ttl).await?)
    }

    async fn unlock(&self, held: Lock) -> Result<()> {
        let answer = self.redlock.unlock(&held).await;
        match answer.unreachable {
            0 => Ok(()),
            unreachable => Err(format!("{unreachable} servers did not answer the unlock").into()),
        }
    }

    fn release(&self, held: Lock) {
        // The answer is optional: the unlock is on its way when the call returns.
        drop(self.redlock.unlock(&held));
    }

    async fn close(self) {
        self.redlock.close().await;
    }
}
