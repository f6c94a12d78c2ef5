//! Redis servers that belong to a run, gone when dropped.

use std::{net::SocketAddr, ops::Deref};

use test_support::RedisServer;
pub use test_support::program as binary;

use crate::Result;

/// A group of independent servers, killed when dropped.
pub struct Servers(Vec<RedisServer>);

impl Servers {
    pub fn start(count: usize) -> Result<Self> {
        let servers = (0..count).map(|_| Ok(RedisServer::builder().try_start()?));
        servers.collect::<Result<_>>().map(Self)
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().map(RedisServer::address).collect()
    }
}

impl Deref for Servers {
    type Target = [RedisServer];

    fn deref(&self) -> &[RedisServer] {
        &self.0
    }
}
