//! What every proxy and fake server listens with.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::are_untrusted;

/// A socket that accepts visitors.
pub trait Accept: Send + Sync + 'static {
    /// The stream of one visitor.
    type Visitor: Send;

    /// Waits for the next visitor.
    fn visitor(&self) -> impl Future<Output = io::Result<Self::Visitor>> + Send;
}

impl Accept for TcpListener {
    type Visitor = TcpStream;

    async fn visitor(&self) -> io::Result<TcpStream> {
        let (visitor, _) = self.accept().await?;
        // It fails only for a visitor that has gone, which its visit finds out.
        let _ = visitor.set_nodelay(true);
        Ok(visitor)
    }
}

impl Accept for UnixListener {
    type Visitor = UnixStream;

    async fn visitor(&self) -> io::Result<UnixStream> {
        Ok(self.accept().await?.0)
    }
}

/// A task that receives visitors. On drop it ends with all visits.
#[derive(Debug)]
pub struct Visits(JoinHandle<()>);

impl Visits {
    /// Spawns a visit for each visitor.
    pub fn receive<L: Accept, F>(listener: L, visit: impl Fn(L::Visitor) -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        Self(tokio::spawn(async move {
            // Dropped with this task, which ends every visit.
            let mut open = JoinSet::new();
            while let Ok(visitor) = listener.visitor().await {
                open.spawn(visit(visitor));
                while open.try_join_next().is_some() {}
            }
        }))
    }
}

impl Drop for Visits {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A listener on a loopback port of its own, gone on drop.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    _visits: Visits,
}

impl Listener {
    /// Spawns a visit for each connection.
    pub async fn start<F>(visit: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("the loopback has a free port");
        Self {
            address: listener.local_addr().expect("a bound socket has an address"),
            _visits: Visits::receive(listener, visit),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a client of the library takes it.
    pub fn url(&self) -> String {
        format!("redis://{}?untrusted={}", self.address, are_untrusted())
    }
}
