//! This library, with every default but the servers; and with one more setting each.

use std::{net::SocketAddr, time::Duration};

use multiredlock::{Builder, Guard, Lock, Redlock, status::ServerState};

use super::{Contender, Waiting};
use crate::{
    Result,
    measure::{TTL, eventually},
};

/// One of the settings below.
pub struct Multiredlock<const SETTING: u8 = DEFAULTS> {
    redlock: Redlock,
}

const DEFAULTS: u8 = 0;
const TOKENS: u8 = 1;
const RESTART_GUARD: u8 = 2;

/// Every lock has a fencing token.
pub type Fenced = Multiredlock<TOKENS>;

/// Servers that were just started do not vote.
pub type Guarded = Multiredlock<RESTART_GUARD>;

impl<const SETTING: u8> Contender for Multiredlock<SETTING> {
    type Held = Lock;

    async fn connect(addresses: &[SocketAddr]) -> Result<Self> {
        let builder = builder(addresses);
        let builder = match SETTING {
            TOKENS => builder.fenced(),
            RESTART_GUARD => builder.restart_guard(TTL),
            _ => builder,
        };
        let redlock = connected(builder).await?;
        Ok(Self { redlock })
    }

    async fn lock(&self, resource: &str, ttl: Duration) -> Result<Lock> {
        Ok(self.redlock.lock(resource, ttl).await?)
    }

    async fn unlock(&self, held: Lock) -> Result<()> {
        let answer = self.redlock.unlock(&held).counts().await;
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

/// Waits in the wait queue of its client.
impl Waiting for Multiredlock {
    type Turn = Guard;

    async fn acquire(&self, resource: &str, ttl: Duration) -> Result<Guard> {
        Ok(self.redlock.acquire(resource, ttl).await?)
    }

    async fn end_turn(&self, turn: Guard) -> Result<()> {
        Ok(turn.release().await?)
    }
}

pub fn builder(addresses: &[SocketAddr]) -> Builder {
    Redlock::builder().servers(addresses.iter().map(|address| format!("redis://{address}")))
}

/// A client that is connected to every server. A majority would do for the library, but not for a comparison: all others
/// have every server too.
pub async fn connected(builder: Builder) -> Result<Redlock> {
    let redlock = builder.build()?;
    let all_up = || {
        let servers = redlock.servers();
        servers.iter().all(|server| matches!(server.state, ServerState::Up))
    };
    eventually("every server is up", all_up)
        .await
        .map_err(|error| format!("{error}: {:?}", redlock.servers()))?;
    Ok(redlock)
}
