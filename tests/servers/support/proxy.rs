//! A real server behind a proxy that answers some commands itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::redis::{RedisServer, are_distrusted};

/// What becomes of a command.
#[derive(Debug)]
pub(crate) enum Ruling {
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
pub(crate) struct Proxy {
    address: SocketAddr,
    listener: AbortHandle,
}

impl Proxy {
    pub(crate) async fn start(server: &RedisServer, rule: impl FnMut(&[Vec<u8>]) -> Ruling + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("the loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(rule));
        let to = server.address();
        let task = tokio::spawn(async move {
            // Dropped with the listener's task, which ends every connection.
            let mut open = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                open.spawn(serve(client, to, rule.clone()));
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

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// The first word of a command in upper case.
pub(crate) fn name(words: &[Vec<u8>]) -> String {
    let name = words.first().map(|word| String::from_utf8_lossy(word).to_uppercase());
    name.unwrap_or_default()
}

/// Answers one command after the other, so that the answers keep their order.
async fn serve(mut client: TcpStream, server: SocketAddr, rule: Arc<Mutex<Rule>>) -> std::io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut requests, mut replies) = (Vec::new(), Vec::new());
    loop {
        let Some((words, length)) = command(&requests) else {
            if client.read_buf(&mut requests).await? == 0 {
                return Ok(());
            }
            continue;
        };
        requests.drain(..length);
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
        server.write_all(&encoded(&words)).await?;
        let mut is_answered = false;
        while !is_answered {
            let Some(length) = reply(&replies) else {
                if server.read_buf(&mut replies).await? == 0 {
                    return Ok(());
                }
                continue;
            };
            is_answered = replies[0] != b'>';
            client.write_all(&replies[..length]).await?;
            replies.drain(..length);
        }
    }
}

fn encoded(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The line that starts there, and where the next one does.
fn line(bytes: &[u8], start: usize) -> Option<(&[u8], usize)> {
    let length = bytes.get(start..)?.windows(2).position(|end| end == b"\r\n")?;
    Some((&bytes[start..start + length], start + length + 2))
}

fn number(digits: &[u8]) -> i64 {
    let digits = std::str::from_utf8(digits).ok();
    let number = digits.and_then(|digits| digits.parse().ok());
    number.expect("both sides count in whole numbers")
}

/// The words of the first command, an array or a line, and its length, if all of it is there.
fn command(bytes: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let (first, mut at) = line(bytes, 0)?;
    let Some(count) = first.strip_prefix(b"*") else {
        let words = first.split(|byte| *byte == b' ');
        return Some((words.map(<[u8]>::to_vec).collect(), at));
    };
    let mut words = Vec::new();
    for _ in 0..number(count) {
        let (length, start) = line(bytes, at)?;
        let end = start + usize::try_from(number(&length[1..])).expect("no word of a command is missing");
        words.push(bytes.get(start..end)?.to_vec());
        at = end + 2;
    }
    (at <= bytes.len()).then_some((words, at))
}

/// The length of the first reply, if all of it is there.
fn reply(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut missing) = (0, 1);
    while missing > 0 {
        let (first, next) = line(bytes, at)?;
        let count = || usize::try_from(number(&first[1..])).unwrap_or(0);
        missing -= 1;
        at = next;
        match first.first()? {
            b'$' | b'=' | b'!' if first[1] != b'-' => at += count() + 2,
            b'*' | b'~' | b'>' => missing += count(),
            b'%' => missing += 2 * count(),
            _ => {}
        }
    }
    (at <= bytes.len()).then_some(at)
}
