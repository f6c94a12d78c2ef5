//! A server that greets, grants and tells as a real one does, until it turns.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use multiredlock::Server;
#[cfg(feature = "tls")]
use multiredlock::Tls;
use test_support::{RedisServer, Visits};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::watch;
use tokio::time::sleep;

use super::ms;

/// What a server says in place of its answer to a lock, and what it does then.
#[derive(Debug, Clone)]
pub(crate) struct Malice {
    pub(crate) words: Vec<u8>,
    pub(crate) then: Then,
}

#[derive(Debug, Clone)]
pub(crate) enum Then {
    Silence,
    HangsUp,
    /// It hangs up on a request that it has not read, which resets the connection.
    Resets,
    /// It says the words again to each request.
    SaysItAgain,
    /// It sends this again and again, as fast as it is taken.
    Repeats(Vec<u8>),
    /// It sends this byte again and again, a thousand times a second.
    Drips(u8),
}

impl Malice {
    pub(crate) fn new(words: impl Into<Vec<u8>>, then: Then) -> Self {
        Self {
            words: words.into(),
            then,
        }
    }
}

/// How it is reached.
pub(crate) enum Door {
    Tcp,
    Unix,
    #[cfg(feature = "tls")]
    Tls(super::Certificates),
}

/// A real server, and a way to it on which somebody else may speak in its place. Gone on drop.
#[derive(Debug)]
pub(crate) struct Turncoat {
    address: Server,
    malice: watch::Sender<Option<Malice>>,
    strikes: Arc<AtomicUsize>,
    _visits: Visits,
    // Killed on drop.
    _behind: RedisServer,
}

impl Turncoat {
    pub(crate) async fn start(door: Door) -> Self {
        let server = RedisServer::start();
        let (malice, told) = watch::channel(None);
        let strikes = Arc::new(AtomicUsize::new(0));
        let way = Way {
            to: server.address(),
            malice: told,
            strikes: strikes.clone(),
        };
        let (address, visits) = open(door, &server, way).await.expect("there is room for a listener");
        Self {
            address,
            malice,
            strikes,
            _visits: visits,
            _behind: server,
        }
    }

    pub(crate) fn address(&self) -> Server {
        self.address.clone()
    }

    /// From now on it does this to whoever asks it for a lock.
    pub(crate) fn turn(&self, malice: Malice) {
        self.malice.send_replace(Some(malice));
    }

    pub(crate) fn is_honest_again(&self) {
        self.malice.send_replace(None);
    }

    /// How many connections it did that to.
    pub(crate) fn strikes(&self) -> usize {
        self.strikes.load(Ordering::Relaxed)
    }
}

async fn open(door: Door, server: &RedisServer, way: Way) -> io::Result<(Server, Visits)> {
    if let Door::Unix = door {
        let path = server.socket().with_file_name("turncoat.sock");
        let visits = Visits::receive(UnixListener::bind(&path)?, move |visitor| way.clone().receive(visitor));
        return Ok((Server::unix(path), visits));
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = Server::new("127.0.0.1").port(listener.local_addr()?.port());
    #[cfg(feature = "tls")]
    if let Door::Tls(certificates) = door {
        let address = address.tls(Tls::new().ca_pem(certificates.authority.as_str()));
        let lock = certificates.lock();
        let visits = Visits::receive(listener, move |visitor| {
            let (way, lock) = (way.clone(), lock.clone());
            async move { way.receive(lock.accept(visitor).await?).await }
        });
        return Ok((address, visits));
    }
    Ok((
        address,
        Visits::receive(listener, move |visitor| way.clone().receive(visitor)),
    ))
}

/// The way of one visitor to the real server.
#[derive(Clone)]
struct Way {
    to: SocketAddr,
    malice: watch::Receiver<Option<Malice>>,
    strikes: Arc<AtomicUsize>,
}

impl Way {
    async fn receive(mut self, visitor: impl AsyncRead + AsyncWrite) -> io::Result<()> {
        let (mut requests, mut answers) = split(visitor);
        let Some(malice) = self.lead(&mut requests, &mut answers).await? else {
            return Ok(());
        };
        self.strikes.fetch_add(1, Ordering::Relaxed);
        self.malice.mark_unchanged();
        tokio::select! {
            struck = strike(&malice, requests, answers) => struck,
            // Whoever is to be treated in another way comes again.
            _ = self.malice.changed() => Ok(()),
        }
    }

    /// Passes on what both say, until a lock is asked for of a server that has turned.
    async fn lead(
        &self,
        requests: &mut (impl AsyncRead + Unpin),
        answers: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<Option<Malice>> {
        let mut server = TcpStream::connect(self.to).await?;
        server.set_nodelay(true)?;
        let (mut request, mut answer) = (vec![0; 16 << 10], vec![0; 16 << 10]);
        loop {
            tokio::select! {
                length = requests.read(&mut request) => {
                    let request = &request[..length?];
                    let malice = self.malice.borrow().clone();
                    if request.is_empty() || (malice.is_some() && asks_for_a_lock(request)) {
                        return Ok(malice);
                    }
                    server.write_all(request).await?;
                }
                length = server.read(&mut answer) => {
                    let answer = &answer[..length?];
                    if answer.is_empty() {
                        return Ok(None);
                    }
                    answers.write_all(answer).await?;
                    answers.flush().await?;
                }
            }
        }
    }
}

/// The probe of a connection has the source of a script in it, but neither command.
fn asks_for_a_lock(request: &[u8]) -> bool {
    [&b"\r\nSET\r\n"[..], b"\r\nEVALSHA\r\n"]
        .iter()
        .any(|command| request.windows(command.len()).any(|words| words == *command))
}

async fn strike(
    malice: &Malice,
    mut requests: impl AsyncRead + Unpin,
    mut answers: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    answers.write_all(&malice.words).await?;
    answers.flush().await?;
    let mut ignored = [0; 4096];
    match &malice.then {
        Then::HangsUp => Ok(()),
        Then::Resets => {
            requests.read_exact(&mut ignored[..1]).await?;
            Ok(())
        }
        Then::Silence => {
            while requests.read(&mut ignored).await? > 0 {}
            Ok(())
        }
        Then::SaysItAgain => {
            while requests.read(&mut ignored).await? > 0 {
                answers.write_all(&malice.words).await?;
                answers.flush().await?;
            }
            Ok(())
        }
        Then::Repeats(words) => {
            let many = words.repeat((16 << 10) / words.len() + 1);
            tokio::select! {
                end = async { loop { answers.write_all(&many).await? } } => end,
                end = async { while requests.read(&mut ignored).await? > 0 {} Ok(()) } => end,
            }
        }
        Then::Drips(byte) => loop {
            answers.write_all(&[*byte]).await?;
            answers.flush().await?;
            sleep(ms(1)).await;
        },
    }
}
