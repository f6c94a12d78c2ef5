//! A server that is far away.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::redis::{RedisServer, are_distrusted};

/// A way to a server on which everything takes its time. Gone on drop.
#[derive(Debug)]
pub(crate) struct Distance {
    address: SocketAddr,
    listener: AbortHandle,
}

impl Distance {
    /// With this round trip, which the connection itself takes as well.
    pub(crate) async fn to(server: &RedisServer, round_trip: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("the loopback has a free port");
        let (address, to) = (
            listener.local_addr().expect("a bound socket has an address"),
            server.address(),
        );
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((visitor, _)) = listener.accept().await {
                open.spawn(async move {
                    sleep(round_trip).await;
                    let server = TcpStream::connect(to).await?;
                    server.set_nodelay(true)?;
                    visitor.set_nodelay(true)?;
                    let (from_visitor, to_visitor) = visitor.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::try_join!(
                        carry(from_visitor, to_server, round_trip / 2),
                        carry(from_server, to_visitor, round_trip / 2),
                    )
                });
            }
        });
        Self {
            address,
            listener: task.abort_handle(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}?distrusted={}", self.address, are_distrusted())
    }
}

impl Drop for Distance {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Delivers each piece a while after it came.
async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, takes: Duration) -> io::Result<()> {
    let (sent, mut arriving) = mpsc::unbounded_channel();
    let read = async {
        let mut piece = vec![0; 16 << 10];
        loop {
            let length = from.read(&mut piece).await?;
            if length == 0 || sent.send((Instant::now() + takes, piece[..length].to_vec())).is_err() {
                drop(sent);
                return Ok(());
            }
        }
    };
    let write = async {
        while let Some((at, piece)) = arriving.recv().await {
            sleep_until(at).await;
            to.write_all(&piece).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(read, write).map(|_| ())
}
