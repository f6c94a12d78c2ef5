//! This library, with every default but the servers; and with one more setting each.

use std::{marker::PhantomData, net::SocketAddr, time::Duration};

use multiredlock::{Builder, Guard, Lock, Redlock, ServerState};

use super::{Contender, Waiting};
use crate::{
    Result,
    measure::{TTL, eventually},
};

pub struct Multiredlock<S = Defaults> {
    redlock: Redlock,
    settings: PhantomData<S>,
}

/// Every lock has a fencing token.
pub type Fenced = Multiredlock<Tokens>;

/// Servers that were just started do not vote.
pub type Guarded = Multiredlock<RestartGuard>;

pub trait Settings: Send + Sync + 'static {
    fn set(builder: Builder) -> Builder;
}

pub struct Defaults;

impl Settings for Defaults {
    fn set(builder: Builder) -> Builder {
        builder
    }
}

pub struct Tokens;

impl Settings for Tokens {
    fn set(builder: Builder) -> Builder {
        builder.fenced()
    }
}

pub struct RestartGuard;

impl Settings for RestartGuard {
    fn set(builder: Builder) -> Builder {
        builder.restart_guard(TTL)
    }
}

impl<S: Settings> Contender for Multiredlock<S> {
    type Held = Lock;

    async fn connect(addresses: &[SocketAddr]) -> Result<Self> {
        Ok(Self {
            redlock: connected(S::set(builder(addresses))).await?,
            settings: PhantomData,
        })
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

/// It waits in line, and is told when it is its turn.
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
