//! This library, with every default but the servers; and with one more setting each.

use std::{marker::PhantomData, net::SocketAddr, time::Duration};

use multiredlock::{Builder, Lock, Redlock, ServerState};

use super::Contender;
use crate::{
    Result,
    measure::{TTL, eventually},
};

pub struct Multiredlock<S = Defaults> {
    pub(super) redlock: Redlock,
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
        let builder = Redlock::builder().servers(addresses.iter().map(|address| format!("redis://{address}")));
        let redlock = S::set(builder).build()?;
        // A majority would do for the library, but not for a comparison: all others have every server too.
        let all_up = || {
            let servers = redlock.servers();
            servers.iter().all(|server| matches!(server.state, ServerState::Up))
        };
        eventually("every server is up", all_up)
            .await
            .map_err(|error| format!("{error}: {:?}", redlock.servers()))?;
        Ok(Self {
            redlock,
            settings: PhantomData,
        })
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
