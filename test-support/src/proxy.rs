//! A real server behind a proxy that answers some commands itself.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::listener::Listener;
use crate::resp;
use crate::server::RedisServer;

/// What becomes of a command.
#[derive(Debug)]
pub enum Ruling {
    /// The server answers it.
    Pass,
    /// The server answers this command in its place.
    Becomes(Vec<Vec<u8>>),
    /// The proxy answers it.
    Says(String),
    /// The proxy says nothing more, and reads on.
    HangsUp,
}

/// Decides on each command, whose words are the argument.
type Rule = dyn FnMut(&[Vec<u8>]) -> Ruling + Send;

/// A listener on a port of its own, gone on drop.
#[derive(Debug)]
pub struct Proxy(Listener);

impl Proxy {
    /// A way to a server on which this rule decides on each command.
    pub async fn start(server: &RedisServer, rule: impl FnMut(&[Vec<u8>]) -> Ruling + Send + 'static) -> Self {
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(rule));
        let to = server.address();
        Self(Listener::start(move |client| serve(client, to, rule.clone())).await)
    }
}

impl Deref for Proxy {
    type Target = Listener;

    fn deref(&self) -> &Listener {
        &self.0
    }
}

/// The first word of a command in upper case.
pub fn name(words: &[Vec<u8>]) -> String {
    let name = words.first().map(|word| String::from_utf8_lossy(word).to_uppercase());
    name.unwrap_or_default()
}

/// Answers one command after the other, so that the answers keep their order.
async fn serve(mut client: TcpStream, server: SocketAddr, rule: Arc<Mutex<Rule>>) -> std::io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    let (mut requests, mut replies) = (Vec::new(), Vec::new());
    loop {
        let Some((words, rest)) = resp::command(&requests) else {
            if client.read_buf(&mut requests).await? == 0 {
                return Ok(());
            }
            continue;
        };
        requests = rest.to_vec();
        let ruling = rule.lock().unwrap_or_else(PoisonError::into_inner)(&words);
        let words = match ruling {
            Ruling::Pass => words,
            Ruling::Becomes(words) => words,
            Ruling::Says(words) => {
                client.write_all(words.as_bytes()).await?;
                continue;
            }
            Ruling::HangsUp => {
                client.shutdown().await?;
                while client.read_buf(&mut requests).await? > 0 {}
                return Ok(());
            }
        };
        server.write_all(&resp::encoded(&words)).await?;
        let mut is_answered = false;
        while !is_answered {
            let Some((_, rest)) = resp::reply(&replies) else {
                if server.read_buf(&mut replies).await? == 0 {
                    return Ok(());
                }
                continue;
            };
            is_answered = replies[0] != b'>';
            let length = replies.len() - rest.len();
            client.write_all(&replies[..length]).await?;
            replies.drain(..length);
        }
    }
}
