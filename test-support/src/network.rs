//! The way to a server: it delays, holds back, cuts and resets.
//!
//! As in a network with TCP, no bytes are lost while a connection lasts: what is held back is passed on later, or lost with the
//! connection.

use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::listener::Listener;

/// What becomes of the bytes on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They arrive at once.
    Pass,
    /// They arrive so much later, in each direction. A new connection takes a round trip.
    Delay(Duration),
    /// They are held back until the mode is another.
    Hold {
        /// Those to the server.
        requests: bool,
        /// Those to the client.
        replies: bool,
    },
    /// Connections end, and so do new ones.
    Cut,
    /// The same with a reset, which drops what is on its way.
    Reset,
}

/// A proxy that carries bytes and does not look at them. Gone on drop.
#[derive(Debug)]
pub struct Network {
    listener: Listener,
    mode: watch::Sender<Mode>,
}

impl Network {
    /// A way to a server on which nothing happens yet.
    pub async fn to(server: SocketAddr) -> Self {
        let (mode, modes) = watch::channel(Mode::Pass);
        let listener = Listener::start(move |client| carry(client, server, modes.clone())).await;
        Self { listener, mode }
    }

    /// Changes what becomes of the bytes, on open connections as well.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Deref for Network {
    type Target = Listener;

    fn deref(&self) -> &Listener {
        &self.listener
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr, mut modes: watch::Receiver<Mode>) -> io::Result<()> {
    let mode = *modes.borrow();
    if let Mode::Delay(delay) = mode {
        sleep(2 * delay).await;
    }
    let mut server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let holds_requests = |mode: &Mode| matches!(mode, Mode::Hold { requests: true, .. });
        let holds_replies = |mode: &Mode| matches!(mode, Mode::Hold { replies: true, .. });
        // Whatever fails ends the connection, which is what the client is to see.
        tokio::select! {
            _ = pass(from_client, to_server, modes.clone(), holds_requests) => {}
            _ = pass(from_server, to_client, modes.clone(), holds_replies) => {}
            _ = modes.wait_for(|mode| matches!(mode, Mode::Cut | Mode::Reset)) => {}
        }
    }
    if *modes.borrow() == Mode::Reset {
        client.set_zero_linger()?;
        server.set_zero_linger()?;
    }
    Ok(())
}

/// Passes on what it reads until either end is closed.
async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut modes: watch::Receiver<Mode>,
    is_held: impl Fn(&Mode) -> bool,
) -> io::Result<()> {
    let (sent, mut arriving) = mpsc::unbounded_channel();
    let read = async move {
        let mut piece = vec![0; 16 << 10];
        loop {
            let length = from.read(&mut piece).await?;
            // Without the proxy there is no mode, and its connections end.
            let Ok(mode) = modes.wait_for(|mode| !is_held(mode)).await.map(|mode| *mode) else {
                return Ok(());
            };
            let at = match mode {
                Mode::Delay(delay) => Instant::now() + delay,
                _ => Instant::now(),
            };
            if length == 0 || sent.send((at, piece[..length].to_vec())).is_err() {
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

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::finishes;

    /// A connection through a network to a server that says again what it hears.
    async fn echo(mode: Mode) -> (Listener, Network, TcpStream) {
        let echo = Listener::start(async |mut client: TcpStream| {
            let (mut from, mut to) = client.split();
            tokio::io::copy(&mut from, &mut to).await.map(drop)
        });
        let echo = echo.await;
        let network = Network::to(echo.address()).await;
        network.set(mode);
        let client = TcpStream::connect(network.address()).await.unwrap();
        (echo, network, client)
    }

    #[tokio::test]
    async fn bytes_take_a_round_trip_after_the_connection_took_one() {
        let delay = Duration::from_millis(40);
        let start = Instant::now();
        let (_echo, _network, mut client) = echo(Mode::Delay(delay)).await;
        client.write_all(b"a").await.unwrap();
        assert_eq!(finishes("the echo", client.read_u8()).await.unwrap(), b'a');
        assert!(start.elapsed() >= 4 * delay, "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn bytes_that_were_held_back_arrive_later_and_a_cut_ends_the_connection() {
        for (requests, replies) in [(true, false), (false, true), (true, true)] {
            let (_echo, network, mut client) = echo(Mode::Hold { requests, replies }).await;
            client.write_all(b"a").await.unwrap();
            timeout(Duration::from_millis(50), client.read_u8()).await.unwrap_err();
            network.set(Mode::Pass);
            assert_eq!(finishes("the echo", client.read_u8()).await.unwrap(), b'a');
            network.set(Mode::Cut);
            assert_eq!(finishes("the end", client.read(&mut [0])).await.unwrap(), 0);
        }
    }
}
