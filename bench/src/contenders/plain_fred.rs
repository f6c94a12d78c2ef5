//! The straightforward lock on fred: one command an operation and a server, and nothing beside.

use std::{net::SocketAddr, time::Duration};

use fred::{
    prelude::{
        Builder, Client, ClientLike, Config, Expiration, FredResult, KeysInterface, LuaInterface, ServerConfig,
        SetOptions, TcpConfig,
    },
    types::ConnectHandle,
};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};

use super::{Contender, Held, UNLOCK, quorum};
use crate::Result;

pub struct PlainFred {
    servers: Vec<Server>,
}

impl Contender for PlainFred {
    type Held = Held;

    async fn connect(addresses: &[SocketAddr]) -> Result<Self> {
        let mut servers = Vec::with_capacity(addresses.len());
        for address in addresses {
            servers.push(Server::connect(address).await?);
        }
        Ok(Self { servers })
    }

    async fn lock(&self, resource: &str, ttl: Duration) -> Result<Held> {
        let held = Held::new(resource);
        let majority = quorum(self.servers.len());
        let (mut granted, mut refused) = (0, 0);
        let mut votes: FuturesUnordered<_> = self.servers.iter().map(|server| server.lock(&held, ttl)).collect();
        // Once polled, a command is on its way, so dropping the answers that are still out loses no vote.
        while let Some(vote) = votes.next().await {
            match vote {
                Ok(true) => granted += 1,
                Ok(false) | Err(_) => refused += 1,
            }
            if granted == majority || refused > self.servers.len() - majority {
                break;
            }
        }
        drop(votes);
        if granted == majority {
            Ok(held)
        } else {
            self.release(held);
            Err("no majority".into())
        }
    }

    async fn unlock(&self, held: Held) -> Result<()> {
        let mut answers: FuturesUnordered<_> = self.servers.iter().map(|server| server.unlock(&held)).collect();
        while let Some(answer) = answers.next().await {
            answer?;
        }
        Ok(())
    }

    fn release(&self, held: Held) {
        for server in &self.servers {
            // One poll puts the command in the client's queue; its answer has nobody to wait for it.
            let _ = server.unlock(&held).now_or_never();
        }
    }

    async fn close(self) {
        for server in self.servers {
            // fred's own `quit` waits behind whatever a frozen server still owes.
            server.connection.abort();
        }
    }
}

struct Server {
    client: Client,
    connection: ConnectHandle,
    unlock: String,
}

impl Server {
    async fn connect(address: &SocketAddr) -> Result<Self> {
        let config = Config {
            server: ServerConfig::new_centralized(address.ip().to_string(), address.port()),
            fail_fast: true,
            ..Config::default()
        };
        let client = Builder::from_config(config)
            .with_connection_config(|connection| {
                connection.tcp = TcpConfig {
                    nodelay: Some(true),
                    ..TcpConfig::default()
                };
            })
            .build()?;
        let connection = client.init().await?;
        let unlock = client.script_load(UNLOCK).await?;
        Ok(Self {
            client,
            connection,
            unlock,
        })
    }

    async fn lock(&self, held: &Held, ttl: Duration) -> FredResult<bool> {
        let milliseconds = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        // A refusal is nil, which fred would also turn into `()`: only the text tells a grant.
        let answer: Option<String> = self
            .client
            .set(
                held.resource.as_str(),
                held.value.as_str(),
                Some(Expiration::PX(milliseconds)),
                Some(SetOptions::NX),
                false,
            )
            .await?;
        Ok(answer.is_some())
    }

    async fn unlock(&self, held: &Held) -> FredResult<i64> {
        self.client
            .evalsha(self.unlock.as_str(), held.resource.as_str(), held.value.as_str())
            .await
    }
}
