//! A way through ourselves to a server that is untrusted, which passes on nothing but whole replies within bounds.
//!
//! fred's decoder follows lists in lists by recursion, keeps what it is sent until a reply is complete, and can be told neither
//! a depth nor a length to stop at. So the connection to the server, with its TLS, is made here. fred connects to a Unix socket
//! that nobody else can reach.

use super::{bounds::Bounds, failure::is_about_tls, preflight, reach, words};
use crate::{decision::DownReason, server::held_up::answer_within, text::Text};
use fred::types::{
    RespVersion,
    config::{Config, ServerConfig},
};
#[cfg(feature = "tls")]
use fred::{rustls::pki_types::ServerName, types::config::TlsConnector};
use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    pin::pin,
    time::Duration,
};
#[cfg(feature = "tls")]
use tokio::net::TcpStream;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
    time::timeout,
};

/// How much is read at once.
const CHUNK: usize = 16 << 10;

/// The task between fred and a server. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Relay {
    /// Yields why it hung up, unless one of the others did.
    task: JoinHandle<Option<DownReason>>,
    limit: Duration,
}

impl Relay {
    /// Connects to the server of this configuration, and puts itself in its place there.
    pub(super) async fn to_server_of(config: &mut Config, limit: Duration) -> Result<Self, DownReason> {
        // The connection and the handshake of TLS take up to three round trips.
        let connected = answer_within(limit.saturating_mul(3), connect(config, limit)).await;
        let server = connected.unwrap_or(Err(DownReason::ConnectTimeout))?;
        let door = Door::open().map_err(|error| preflight::reason(&error))?;
        config.server = ServerConfig::Unix { path: door.socket() };
        #[cfg(feature = "tls")]
        {
            config.tls = None;
        }
        let bounds = Bounds::new(config.version == RespVersion::RESP3);
        let task = tokio::spawn(async move {
            let fred = answer_within(limit, door.listener.accept()).await.ok()?.ok()?.0;
            drop(door);
            pass_on(fred, server, bounds).await
        });
        Ok(Self { task, limit })
    }

    /// Waits until the server has all that fred left behind, and returns why this hung up, if it did.
    pub(super) async fn ended(&mut self) -> Option<DownReason> {
        timeout(self.limit, &mut self.task).await.ok()?.ok()?
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A socket in a folder that only this user can enter. Both are gone on drop.
struct Door {
    folder: PathBuf,
    listener: UnixListener,
}

impl Door {
    fn open() -> io::Result<Self> {
        // The path of a socket has room for some 100 bytes.
        let id = uuid::Uuid::from_u128(rand::random()).simple().to_string();
        let folder = std::env::temp_dir().join(format!("redlock-{}", &id[..16]));
        DirBuilder::new().mode(0o700).create(&folder)?;
        match UnixListener::bind(folder.join("s")) {
            Ok(listener) => Ok(Self { folder, listener }),
            Err(error) => {
                let _ = fs::remove_dir(folder);
                Err(error)
            }
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("s")
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // What stays behind is an empty folder at most, and there is nobody to tell.
        let _ = fs::remove_file(self.socket());
        let _ = fs::remove_dir(&self.folder);
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn connect(config: &Config, limit: Duration) -> Result<Box<dyn Stream>, DownReason> {
    let failed = |error: io::Error| preflight::reason(&error);
    match &config.server {
        ServerConfig::Unix { path } => Ok(Box::new(UnixStream::connect(path).await.map_err(failed)?)),
        ServerConfig::Centralized { server } => {
            let stream = reach::connect(&server.host, server.port, limit).await?;
            stream.set_nodelay(true).map_err(failed)?;
            #[cfg(feature = "tls")]
            if let Some(tls) = &config.tls {
                let name = server.tls_server_name.as_ref().unwrap_or(&server.host);
                return with_tls(&tls.connector, name, stream).await;
            }
            Ok(Box::new(stream))
        }
        _ => unreachable!("only what is one process is connected to through a relay"),
    }
}

#[cfg(feature = "tls")]
async fn with_tls(connector: &TlsConnector, name: &str, stream: TcpStream) -> Result<Box<dyn Stream>, DownReason> {
    #[allow(
        irrefutable_let_patterns,
        reason = "another crate of the same program may give fred a second kind"
    )]
    let TlsConnector::Rustls(connector) = connector else {
        return Err(DownReason::Tls(Text::new("no connection by rustls")));
    };
    let name = ServerName::try_from(name.to_owned())
        .map_err(|error| DownReason::Tls(Text::new(words::plain(&format!("{error:?}")))))?;
    match connector.connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(lost(&error).unwrap_or(DownReason::ConnectionLost)),
    }
}

/// Passes on what both say until one of them hangs up, or the server breaks a bound. Returns the reason then.
async fn pass_on(fred: UnixStream, server: impl Stream, bounds: Bounds) -> Option<DownReason> {
    let (from_server, to_server) = split(server);
    let (from_fred, to_fred) = fred.into_split();
    let mut requests = pin!(pass_requests(from_fred, to_server));
    let mut replies = pin!(pass_replies(from_server, to_fred, bounds));
    tokio::select! {
        end = &mut requests => match end {
            // fred is gone, and all that it left behind is with the server.
            Ok(()) => None,
            // The server takes nothing more. It may have said why.
            Err(_) => replies.await.err(),
        },
        end = &mut replies => match end {
            // fred takes nothing more. An unlock may be the last that it left behind.
            Ok(Hangup::Fred) => {
                let _ = requests.await;
                None
            }
            Ok(Hangup::Server) => None,
            Err(reason) => Some(reason),
        },
    }
}

/// Fails once the server takes nothing more.
async fn pass_requests(mut fred: impl AsyncRead + Unpin, mut server: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut requests = Vec::with_capacity(CHUNK);
    while let Ok(1..) = fred.read_buf(&mut requests).await {
        server.write_all(&requests).await?;
        server.flush().await?;
        requests.clear();
    }
    server.shutdown().await
}

/// Who hung up.
enum Hangup {
    Fred,
    Server,
}

/// Fails if the server broke a bound, or TLS did not let it speak.
async fn pass_replies(
    mut server: impl AsyncRead + Unpin,
    mut fred: impl AsyncWrite + Unpin,
    mut bounds: Bounds,
) -> Result<Hangup, DownReason> {
    let mut replies = Vec::with_capacity(CHUNK);
    loop {
        match server.read_buf(&mut replies).await {
            Ok(0) => return Ok(Hangup::Server),
            Ok(_) => {}
            Err(error) => return lost(&error).map_or(Ok(Hangup::Server), Err),
        }
        let whole = bounds.whole(&mut replies)?;
        if fred.write_all(&replies[..whole]).await.is_err() {
            return Ok(Hangup::Fred);
        }
        replies.drain(..whole);
        if replies.is_empty() && replies.capacity() > CHUNK {
            replies = Vec::with_capacity(CHUNK);
        }
    }
}

/// What an error of the connection says beyond that the connection is lost.
fn lost(error: &io::Error) -> Option<DownReason> {
    let words = error.to_string();
    let is_of_tls = error.kind() == io::ErrorKind::InvalidData || is_about_tls(&words);
    is_of_tls.then(|| DownReason::Tls(Text::new(words::plain(&format!("{error:?}")))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use tokio::io::{DuplexStream, duplex};

    /// Both ends of a relay, of which the server's takes no more than a few bytes at once.
    fn ends() -> (UnixStream, DuplexStream, JoinHandle<Option<DownReason>>) {
        let (fred, to_fred) = UnixStream::pair().unwrap();
        let (server, to_server) = duplex(8);
        let task = tokio::spawn(pass_on(to_fred, to_server, Bounds::new(true)));
        (fred, server, task)
    }

    #[tokio::test]
    async fn a_server_is_sent_all_that_fred_left_behind() {
        let (mut fred, mut server, task) = ends();
        server.write_all(b"+OK\r\n").await.unwrap();
        fred.write_all(&[b'x'; 1000]).await.unwrap();
        drop(fred);
        let mut sent = Vec::new();
        server.read_to_end(&mut sent).await.unwrap();
        assert_eq!(sent, [b'x'; 1000]);
        assert_eq!(task.await.unwrap(), None);
    }

    #[tokio::test]
    async fn fred_is_sent_whole_replies_and_nothing_of_one_that_breaks_a_bound() {
        let (mut fred, mut server, task) = ends();
        server.write_all(b":1\r\n$3\r\n").await.unwrap();
        let mut told = [0; 4];
        fred.read_exact(&mut told).await.unwrap();
        assert_eq!(&told, b":1\r\n");
        server.write_all(b"abc\r\n*1\r\n*9999\r\n").await.unwrap();
        let mut told = Vec::new();
        fred.read_to_end(&mut told).await.unwrap();
        assert_eq!(told, b"$3\r\nabc\r\n");
        assert!(matches!(task.await.unwrap(), Some(DownReason::Excessive(_))));
    }

    #[tokio::test]
    async fn fred_is_told_what_a_server_said_before_it_hung_up() {
        let (mut fred, mut server, task) = ends();
        server.write_all(b"-ERR\r\n").await.unwrap();
        drop(server);
        let mut told = Vec::new();
        fred.read_to_end(&mut told).await.unwrap();
        assert_eq!(told, b"-ERR\r\n");
        assert_eq!(task.await.unwrap(), None);
    }

    #[tokio::test]
    async fn nobody_else_can_come_in_and_nothing_stays_behind() {
        let door = Door::open().unwrap();
        let (folder, socket) = (door.folder.clone(), door.socket());
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(UnixStream::connect(&socket).await.is_ok());
        drop(door);
        assert!(!folder.exists());
    }
}
