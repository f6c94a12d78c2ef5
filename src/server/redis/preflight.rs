//! A look at what listens there before fred speaks to it.
//!
//! fred's parser follows nested replies by recursion and keeps whatever it is sent until a reply is complete, so that a
//! wrong or hostile listener could exhaust the stack or the memory. One PING, of whose answer we read a line at the most,
//! weeds out what is no Redis server. It also yields the operating system's own error where nothing listens.

use super::{reach, withheld::is_missing};
use crate::{address::Endpoint, decision::DownReason, server::held_up::answer_within, text::Text};
use std::{io, net::SocketAddr, time::Duration};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest line that is read. Redis' own longest greeting, about protected mode, has some 1000 bytes.
pub(super) const LONGEST_LINE: usize = 2048;

/// Fails unless a Redis server answers. Returns the address that was reached, if it is one of a host.
///
/// If the server speaks TLS, only the connection is tried: TLS itself proves who the server is.
pub(super) async fn check(
    endpoint: &Endpoint,
    speaks_tls: bool,
    limit: Duration,
) -> Result<Option<SocketAddr>, DownReason> {
    let attempt = async {
        match endpoint {
            Endpoint::Tcp { host, port } => {
                let stream = reach::connect(host, *port, limit).await?;
                let reached = stream.peer_addr().map_err(|error| reason(&error))?;
                if !speaks_tls {
                    greet(stream).await?;
                }
                return Ok(Some(reached));
            }
            Endpoint::Unix(path) => greet(unix(path).await?).await?,
            Endpoint::Cluster(_) | Endpoint::Sentinel(_) | Endpoint::Memory(_) => {}
        }
        Ok(None)
    };
    // Both the connection and the answer may take that long. If a proxy accepts the connection at once, the answer takes both.
    answer_within(limit.saturating_mul(2), attempt)
        .await
        .unwrap_or(Err(DownReason::ConnectTimeout))
}

#[cfg(unix)]
async fn unix(path: &std::path::Path) -> Result<tokio::net::UnixStream, DownReason> {
    tokio::net::UnixStream::connect(path)
        .await
        .map_err(|error| reason(&error))
}

#[cfg(not(unix))]
#[expect(clippy::unused_async, reason = "it waits on other systems")]
async fn unix(_: &std::path::Path) -> Result<tokio::io::Empty, DownReason> {
    Err(DownReason::Io(Text::new("this system has no Unix sockets")))
}

pub(super) async fn greet(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), DownReason> {
    stream
        .write_all(b"*1\r\n$4\r\nPING\r\n")
        .await
        .map_err(|error| reason(&error))?;
    let mut line = Vec::new();
    let mut answer = stream.take(LONGEST_LINE as u64);
    while !line.ends_with(b"\n") {
        if answer.read_buf(&mut line).await.map_err(|error| reason(&error))? == 0 {
            break;
        }
        if !matches!(line.first(), Some(b'+' | b'-')) {
            break;
        }
        if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            line.truncate(end + 1);
        }
    }
    read(&String::from_utf8_lossy(&line))
}

fn read(line: &str) -> Result<(), DownReason> {
    let text = line.trim_end();
    let complete = line.ends_with('\n');
    match text {
        "" => Err(DownReason::ConnectionLost),
        "+PONG" if complete => Ok(()),
        // What these ask for comes with the real connection, whose errors say more.
        _ if complete
            && ["-NOAUTH", "-NOPERM", "-LOADING", "-MASTERDOWN", "-MISCONF", "-BUSY"]
                .iter()
                .any(|code| text.starts_with(code)) =>
        {
            Ok(())
        }
        // A PING may be renamed as well as forbidden.
        _ if complete && text.starts_with("-ERR ") && is_missing(text) => Ok(()),
        _ if complete && text.starts_with('-') => Err(DownReason::Refused(Text::new(&text[1..]))),
        _ => Err(DownReason::NotRedis(Text::new(text))),
    }
}

/// What an error of the operating system says of a server.
pub(super) fn reason(error: &io::Error) -> DownReason {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => DownReason::ConnectionRefused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
            DownReason::ConnectionLost
        }
        _ => DownReason::Io(Text::new(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answered(answer: &[u8]) -> Result<(), DownReason> {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let answer = answer.to_vec();
        let server = tokio::spawn(async move {
            let _ = theirs.write_all(&answer).await;
        });
        let result = greet(ours).await;
        server.abort();
        result
    }

    #[tokio::test]
    async fn a_redis_server_passes_also_before_it_lets_us_in() {
        for answer in [
            "+PONG\r\n",
            "-NOAUTH Authentication required.\r\n",
            "-LOADING Redis is loading\r\n",
            "-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.\r\n",
            "-ERR unknown command 'PING', with args beginning with: \r\n",
        ] {
            assert_eq!(answered(answer.as_bytes()).await, Ok(()), "{answer}");
        }
    }

    #[tokio::test]
    async fn what_is_no_redis_server_is_told_apart_from_one_that_refuses() {
        let refusal = "DENIED Redis is running in protected mode";
        assert_eq!(
            answered(format!("-{refusal}\r\n").as_bytes()).await,
            Err(DownReason::Refused(Text::new(refusal)))
        );
        assert_eq!(answered(b"").await, Err(DownReason::ConnectionLost));
        for answer in [
            "HTTP/1.1 400 Bad Request\r\n",
            "*1\r\n*1\r\n",
            "$99999999999\r\n",
            "+PON",
            "+OK\r\n",
            "\u{0}",
        ] {
            assert!(
                matches!(answered(answer.as_bytes()).await, Err(DownReason::NotRedis(_))),
                "{answer}"
            );
        }
    }

    #[tokio::test]
    async fn an_endless_line_is_not_read_to_its_end() {
        let endless = vec![b'+'; 1 << 20];
        assert!(matches!(answered(&endless).await, Err(DownReason::NotRedis(_))));
    }
}
