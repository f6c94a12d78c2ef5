//! Something that listens where a server should be.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::listener::Listener;

/// How a fake server treats whoever connects.
#[derive(Debug, Clone, Copy)]
pub enum Manner {
    /// It hangs up at once.
    HangsUp,
    /// It listens and says nothing.
    Silent,
    /// It says this to each request, and hangs up where it is told to.
    Says {
        /// The bytes that it sends.
        words: &'static [u8],
        /// Whether it hangs up after them.
        hangs_up: bool,
    },
    /// It answers a PING as a server does, and says this to any other request.
    Pongs(&'static [u8]),
    /// It sends this again and again without being asked.
    Floods(&'static [u8]),
    /// It opens this many arrays, one inside the other.
    Nests(usize),
}

/// A listener on a port of its own, gone on drop.
#[derive(Debug)]
pub struct FakeServer {
    listener: Listener,
    visits: Arc<AtomicUsize>,
}

impl FakeServer {
    /// Treats each visitor in this manner.
    pub async fn start(manner: Manner) -> Self {
        let visits = Arc::new(AtomicUsize::new(0));
        let counter = visits.clone();
        let listener = Listener::start(move |visitor| {
            counter.fetch_add(1, Ordering::Relaxed);
            receive(visitor, manner)
        });
        Self {
            listener: listener.await,
            visits,
        }
    }

    /// How often somebody has connected.
    pub fn visits(&self) -> usize {
        self.visits.load(Ordering::Relaxed)
    }
}

impl Deref for FakeServer {
    type Target = Listener;

    fn deref(&self) -> &Listener {
        &self.listener
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
