//! The `rslock` crate through its multi-server `LockManager`, one manager shared by all callers, as its examples do.
//!
//! It waits for every server in `lock` and in `unlock`, and has no way not to.

use std::{net::SocketAddr, time::Duration};

use redis::{Client, IntoConnectionInfo, io::tcp::TcpSettings};
use rslock::{Lock, LockGuard, LockManager};

use super::{Contender, Waiting};
use crate::Result;

pub struct Rslock {
    manager: LockManager,
}

impl Contender for Rslock {
    type Held = Lock;

    async fn connect(addresses: &[SocketAddr]) -> Result<Self> {
        let clients = addresses
            .iter()
            .map(|address| client(*address))
            .collect::<Result<_>>()?;
        let rslock = Self {
            manager: LockManager::from_clients(clients),
        };
        // A manager connects with its first lock.
        let held = rslock.lock("bench:connect", Duration::from_secs(1)).await?;
        rslock.unlock(held).await?;
        Ok(rslock)
    }

    async fn lock(&self, resource: &str, ttl: Duration) -> Result<Lock> {
        Ok(self.manager.lock(resource, ttl).await?)
    }

    async fn unlock(&self, held: Lock) -> Result<()> {
        self.manager.unlock(&held).await;
        Ok(())
    }

    fn release(&self, held: Lock) {
        // Its unlock is only sent while it is awaited, so not waiting for it takes a task.
        tokio::spawn(held.release());
    }

    async fn close(self) {}
}

/// It asks again: in rounds of three attempts with a random wait of less than 200 ms between them, and without one between two
/// rounds.
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

/// A client without Nagle's algorithm, which `LockManager::new` would leave on: the others send at once, too.
fn client(address: SocketAddr) -> Result<Client> {
    let info = format!("redis://{address}").into_connection_info()?;
    let tcp = TcpSettings::default().set_nodelay(true);
    Ok(Client::open(info.set_tcp_settings(tcp))?)
}
