//! What a client reaches a server through: it delays, holds back, cuts and resets.
//!
//! As in a network with TCP, no bytes are lost while a connection lasts: what is held back is passed on later, or lost with the
//! connection.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinHandle,
    time::sleep,
};

use crate::Result;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Pass,
    /// Each piece that is read is passed on so much later.
    Delay(Duration),
    /// What goes to the server or to the client is held back until the mode is another.
    Hold {
        requests: bool,
        replies: bool,
    },
    /// Connections end, and new ones are refused.
    Cut,
    /// The same with a reset, that drops what is on its way.
    Reset,
}

/// Listens until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub async fn start(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (mode, modes) = watch::channel(Mode::Pass);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, server, modes.clone()));
            }
        });
        Ok(Self { address, mode, task })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, server: SocketAddr, mut modes: watch::Receiver<Mode>) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    // Whatever fails from here on ends the connection, which is what the client is to see.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let holds_requests = |mode: &Mode| matches!(mode, Mode::Hold { requests: true, .. });
        let holds_replies = |mode: &Mode| matches!(mode, Mode::Hold { replies: true, .. });
        tokio::select! {
            _ = pass(from_client, to_server, modes.clone(), holds_requests) => {}
            _ = pass(from_server, to_client, modes.clone(), holds_replies) => {}
            _ = modes.wait_for(|mode| matches!(mode, Mode::Cut | Mode::Reset)) => {}
        }
    }
    if *modes.borrow() == Mode::Reset {
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
}

/// Passes on what it reads until either end is closed.
async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut modes: watch::Receiver<Mode>,
    is_held: impl Fn(&Mode) -> bool,
) -> Option<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let length = from.read(&mut buffer).await.ok().filter(|length| *length > 0)?;
        let mode = *modes.wait_for(|mode| !is_held(mode)).await.ok()?;
        if let Mode::Delay(delay) = mode {
            sleep(delay).await;
        }
        to.write_all(&buffer[..length]).await.ok()?;
    }
}
