//! Something that listens where a server should be.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::are_distrusted;

/// How a fake server treats whoever connects.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Manner {
    /// It hangs up at once.
    HangsUp,
    /// It listens and says nothing.
    Silent,
    /// It says this to each request, and hangs up where it is told to.
    Says { words: &'static [u8], hangs_up: bool },
    /// It answers a PING as a server does, and says this to any other request.
    Pongs(&'static [u8]),
    /// It sends this again and again without being asked.
    Floods(&'static [u8]),
    /// It opens this many arrays, one inside the other.
    Nests(usize),
}

/// A listener on a port of its own, gone on drop.
#[derive(Debug)]
pub(crate) struct FakeServer {
    address: SocketAddr,
    visits: Arc<AtomicUsize>,
    listener: AbortHandle,
}

impl FakeServer {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("the loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let visits = Arc::new(AtomicUsize::new(0));
        let counter = visits.clone();
        let task = tokio::spawn(async move {
            // Dropped with the listener's task, which ends every visit.
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                open.spawn(receive(stream, manner));
            }
        });
        Self {
            address,
            visits,
            listener: task.abort_handle(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}?distrusted={}", self.address, are_distrusted())
    }

    /// How often somebody has connected.
    pub(crate) fn visits(&self) -> usize {
        self.visits.load(Ordering::Relaxed)
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn receive(mut visitor: TcpStream, manner: Manner) -> std::io::Result<()> {
    let mut request = [0; 4096];
    match manner {
        Manner::HangsUp => Ok(()),
        Manner::Silent => {
            while visitor.read(&mut request).await? > 0 {}
            Ok(())
        }
        Manner::Says { words, hangs_up } => {
            while visitor.read(&mut request).await? > 0 {
                visitor.write_all(words).await?;
                if hangs_up {
                    break;
                }
            }
            Ok(())
        }
        Manner::Pongs(words) => loop {
            let length = visitor.read(&mut request).await?;
            if length == 0 {
                return Ok(());
            }
            let is_ping = request[..length]
                .windows(4)
                .any(|word| word.eq_ignore_ascii_case(b"ping"));
            visitor.write_all(if is_ping { b"+PONG\r\n" } else { words }).await?;
        },
        Manner::Floods(words) => loop {
            visitor.write_all(words).await?;
        },
        Manner::Nests(depth) => {
            visitor.write_all(&b"*1\r\n".repeat(depth)).await?;
            while visitor.read(&mut request).await? > 0 {}
            Ok(())
        }
    }
}
