//! A Redis or Valkey server, reached through fred. Nothing outside this folder names that crate.
//!
//! fred's own reconnection keeps neither our order nor our promise that nothing is replayed, so each connection is a new
//! client that is thrown away when its connection ends.

mod info;
mod inline;
mod preflight;
#[cfg(feature = "tls")]
mod tls;
mod wire;

use super::{
    DownReason, Refusal, Text,
    link::{Answer, Change, Command, Connected, Ended, Facts, Feed, Form, Link, Script, Task},
};
use crate::config::{ConnectionConfig, Endpoint, Server};
use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::{ClientLike, EventInterface, Resp3Frame, TrackingInterface},
    types::{
        ClusterHash, CustomCommand, RespVersion, Value,
        config::{
            Config, ConnectionConfig as FredConnection, PerformanceConfig, Server as FredServer, ServerConfig,
            TcpConfig,
        },
    },
};
use inline::Replies;
use std::{fmt, future::Future, sync::Arc, time::Duration};
use tokio::{runtime, task::AbortHandle, time::timeout};
use tokio_stream::{
    StreamExt,
    wrappers::{BroadcastStream, errors::BroadcastStreamRecvError},
};

const SOURCE: Form = Form {
    script: Script::Source,
    declares: false,
};

/// How many changes of keys are kept until they are passed on. If there are more, everything may have changed.
const CHANGES_KEPT: usize = 512;

/// Makes connections to one server.
pub(crate) struct Connector {
    config: Config,
    endpoint: Endpoint,
    speaks_tls: bool,
    timeout: Duration,
    /// The server before this connection: its run id and the connection's id there.
    previous: Option<(String, i64)>,
}

impl Connector {
    /// Fails only on TLS settings that make no sense.
    pub(crate) fn new(server: &Server, connection: &ConnectionConfig) -> Result<Self, String> {
        let target = match &server.endpoint {
            Endpoint::Unix(path) => ServerConfig::Unix { path: path.clone() },
            Endpoint::Tcp { host, port } => ServerConfig::Centralized {
                server: fred_server(server, host, *port),
            },
            Endpoint::Memory(_) => unreachable!("an in-memory server has a connector of its own"),
        };
        let mut config = Config {
            fail_fast: true,
            server: target,
            username: server.username.clone(),
            password: password(server),
            database: Some(server.database).filter(|database| *database != 0),
            version: RespVersion::RESP3,
            ..Config::default()
        };
        let speaks_tls = set_tls(&mut config, server)?;
        Ok(Self {
            config,
            endpoint: server.endpoint.clone(),
            speaks_tls,
            timeout: connection.heartbeat_timeout,
            previous: None,
        })
    }

    /// Connects, finds out what the server is, and teaches it the script.
    pub(crate) async fn connect(&mut self) -> Result<Connected, DownReason> {
        preflight::check(&self.endpoint, self.speaks_tls, self.timeout).await?;
        let (client, mut router) = self.open().await?;
        let link = RedisLink {
            client,
            router: router.handle(),
            replies: Replies::new(runtime::Handle::current()),
            has_pushes: self.config.version == RespVersion::RESP3,
        };
        let facts = match timeout(self.timeout, self.probe(&link)).await {
            Ok(facts) => facts?,
            Err(_) => return Err(DownReason::ConnectTimeout),
        };
        Ok(Connected {
            feed: feed(&link.client),
            link: Arc::new(link),
            facts,
            ended: Ended::new(async move { router.ended().await }),
        })
    }

    /// Opens a connection with RESP3, or with RESP2 where the server has no HELLO.
    async fn open(&mut self) -> Result<(Client, Router), DownReason> {
        match self.open_once().await {
            Err(error) if self.config.version == RespVersion::RESP3 && lacks_resp3(&error) => {
                self.config.version = RespVersion::RESP2;
                self.open_once().await
            }
            other => other,
        }
        .map_err(|error| self.reason(&error))
    }

    async fn open_once(&self) -> Result<(Client, Router), Error> {
        let connection = FredConnection {
            connection_timeout: self.timeout,
            internal_command_timeout: self.timeout,
            // Nothing is ever sent twice.
            max_command_attempts: 1,
            tcp: TcpConfig {
                nodelay: Some(true),
                ..TcpConfig::default()
            },
            ..FredConnection::default()
        };
        let client = Client::new(
            self.config.clone(),
            Some(PerformanceConfig {
                broadcast_channel_capacity: CHANGES_KEPT,
                ..PerformanceConfig::default()
            }),
            Some(connection),
            None,
        );
        let mut connected = client.reconnect_rx();
        let mut router = Router(client.connect());
        tokio::select! {
            result = &mut router.0 => Err(match result {
                Ok(Err(error)) => error,
                _ => Error::new(ErrorKind::Canceled, "connection lost"),
            }),
            _ = connected.recv() => Ok((client, router)),
        }
    }

    async fn probe(&mut self, link: &RedisLink) -> Result<Facts, DownReason> {
        let mut facts = match link.command("INFO", vec![]).await? {
            Ok(frame) => info::parse(&wire::text(&frame)).ok_or_else(|| not_redis("INFO tells no version"))?,
            Err(error) if Refusal::parse(&error) == Refusal::NoPermission => Facts {
                is_hidden: true,
                ..Facts::default()
            },
            Err(error) => return Err(rejected(&error)),
        };
        let id = match link.command("CLIENT", vec!["ID".into()]).await? {
            Ok(Resp3Frame::Number { data, .. }) => Some(data),
            _ => None,
        };
        facts.old_connection_lives = !self.end_previous(link, &facts).await?;
        self.previous = facts.run_id.clone().zip(id);
        if !facts.is_replica && !facts.is_loading {
            let (name, args) = wire::command(&[], SOURCE);
            let answer = link.command(name, args).await?.map_err(|error| rejected(&error))?;
            if !wire::is_empty_answer(&answer) {
                return Err(not_redis("it does not run scripts"));
            }
        }
        Ok(facts)
    }

    /// Makes the server drop our previous connection, with all that it was sent and has not carried out yet.
    ///
    /// A server that was stopped still finds in its socket what was written to it. A SET among that could run after the
    /// unlock that this connection is about to send.
    async fn end_previous(&self, link: &RedisLink, facts: &Facts) -> Result<bool, DownReason> {
        match &self.previous {
            Some((run_id, id)) if facts.run_id.as_ref() == Some(run_id) => {
                let kill = vec!["KILL".into(), "ID".into(), id.to_string().into()];
                Ok(link.command("CLIENT", kill).await?.is_ok())
            }
            // It was started again, so its connections ended, and the id may be another client's by now.
            _ => Ok(true),
        }
    }

    fn reason(&self, error: &Error) -> DownReason {
        let details = error.details();
        let has = |word: &str| details.contains(word);
        let is_auth = *error.kind() == ErrorKind::Auth
            || ["WRONGPASS", "NOAUTH", "invalid password", "AUTH"]
                .iter()
                .any(|word| has(word));
        match error.kind() {
            _ if is_auth => DownReason::Auth(Text::new(details)),
            _ if has("LOADING") => DownReason::Loading,
            _ if has("NOPERM") => DownReason::NoPermission(Text::new(details)),
            _ if self.speaks_tls && is_about_tls(details) => DownReason::Tls(Text::new(details)),
            ErrorKind::Timeout => DownReason::ConnectTimeout,
            ErrorKind::Protocol | ErrorKind::Parse => DownReason::NotRedis(Text::new(details)),
            ErrorKind::IO if has("refused") => DownReason::ConnectionRefused,
            ErrorKind::IO if has("closed") => DownReason::ConnectionLost,
            ErrorKind::IO => DownReason::Io(Text::new(details)),
            ErrorKind::Canceled => DownReason::ConnectionLost,
            _ => DownReason::Refused(Text::new(details)),
        }
    }
}

/// fred's own `Debug` of the settings shows the password.
impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// What the server tells of changed keys.
fn feed(client: &Client) -> Feed {
    let told = BroadcastStream::new(client.invalidation_rx());
    Box::pin(told.map(|told| match told {
        Ok(invalidation) => Change::Keys(invalidation.keys.iter().map(|key| key.as_bytes().into()).collect()),
        Err(BroadcastStreamRecvError::Lagged(_)) => Change::Anything,
    }))
}

/// Reads an error reply to a command of the probe.
fn rejected(error: &str) -> DownReason {
    match Refusal::parse(error) {
        Refusal::Loading => DownReason::Loading,
        Refusal::NoPermission => DownReason::NoPermission(Text::new(error)),
        _ => DownReason::Refused(Text::new(error)),
    }
}

/// fred passes rustls' errors on in words only.
fn is_about_tls(details: &str) -> bool {
    let details = details.to_ascii_lowercase();
    let words = [
        "certificate",
        "alertreceived",
        "received fatal alert",
        "invalidmessage",
        "invaliddata",
        "handshake",
        "tls",
    ];
    words.iter().any(|word| details.contains(word))
}

fn not_redis(problem: &str) -> DownReason {
    DownReason::NotRedis(Text::new(problem))
}

fn lacks_resp3(error: &Error) -> bool {
    let details = error.details();
    ["unknown command", "NOPROTO", "NOPERM"]
        .iter()
        .any(|words| details.contains(words))
}

/// fred names the user to the server only beside a password, and we would be the default user. A user without a password
/// accepts any.
fn password(server: &Server) -> Option<String> {
    let any = || server.username.as_ref().map(|_| String::from("-"));
    server.password.clone().or_else(any)
}

#[cfg(feature = "tls")]
fn fred_server(server: &Server, host: &str, port: u16) -> FredServer {
    let name = server.tls.as_ref().and_then(|tls| tls.server_name.clone());
    FredServer::new_with_tls(host, port, name)
}

#[cfg(not(feature = "tls"))]
fn fred_server(_: &Server, host: &str, port: u16) -> FredServer {
    FredServer::new(host, port)
}

#[cfg(feature = "tls")]
fn set_tls(config: &mut Config, server: &Server) -> Result<bool, String> {
    if let Some(tls) = &server.tls {
        config.tls = Some(tls::connector(tls)?.into());
    }
    Ok(server.tls.is_some())
}

#[cfg(not(feature = "tls"))]
#[expect(clippy::unnecessary_wraps, reason = "it fails with the feature")]
fn set_tls(_: &mut Config, _: &Server) -> Result<bool, String> {
    Ok(false)
}

/// fred's task that owns the socket. It ends when this is dropped.
#[derive(Debug)]
struct Router(tokio::task::JoinHandle<Result<(), Error>>);

impl Router {
    fn handle(&self) -> AbortHandle {
        self.0.abort_handle()
    }

    async fn ended(&mut self) -> DownReason {
        match (&mut self.0).await {
            Ok(Err(error)) if matches!(error.kind(), ErrorKind::Protocol | ErrorKind::Parse) => {
                DownReason::NotRedis(Text::new(error.details()))
            }
            _ => DownReason::ConnectionLost,
        }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One connection.
struct RedisLink {
    client: Client,
    router: AbortHandle,
    replies: Replies,
    /// Whether the server can tell something that is no reply.
    has_pushes: bool,
}

impl fmt::Debug for RedisLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLink").finish_non_exhaustive()
    }
}

impl RedisLink {
    /// The command is queued on the connection at the first poll.
    fn start(
        &self,
        name: &'static str,
        args: Vec<Value>,
    ) -> impl Future<Output = Result<Resp3Frame, Error>> + Send + use<> {
        let client = self.client.clone();
        let ended = self.router.is_finished();
        async move {
            if ended {
                // fred would keep the command for ever.
                return Err(Error::new(ErrorKind::Canceled, "connection lost"));
            }
            let command = CustomCommand::new_static(name, ClusterHash::FirstKey, false);
            client.custom_raw(command, args).await
        }
    }

    /// Runs a command of the probe. The inner error is the server's reply.
    async fn command(&self, name: &'static str, args: Vec<Value>) -> Result<Result<Resp3Frame, String>, DownReason> {
        match self.start(name, args).await {
            Ok(frame) => Ok(wire::error(&frame).map_or(Ok(frame), Err)),
            Err(_) => Err(DownReason::ConnectionLost),
        }
    }
}

impl Link for RedisLink {
    fn send(&self, command: Command) {
        let form = command.form;
        let (name, args) = wire::command(&command.operations, form);
        let reply = self.start(name, args);
        self.replies.when_ready(reply, move |reply| {
            let answer = match reply {
                Some(Ok(frame)) => wire::answer(&frame, name, form),
                Some(Err(_)) | None => Answer::Lost,
            };
            command.answer(answer);
        });
    }

    fn track(&self, done: Box<dyn FnOnce(bool) + Send>) -> bool {
        if !self.has_pushes {
            return false;
        }
        // A change that we made ourselves is known here.
        let reply = self.start("CLIENT", vec!["TRACKING".into(), "ON".into(), "NOLOOP".into()]);
        self.replies.when_ready(reply, |reply| {
            done(matches!(reply, Some(Ok(frame)) if wire::error(&frame).is_none()));
        });
        true
    }

    fn ping(&self) -> Task<Result<(), DownReason>> {
        let reply = self.start("PING", vec![]);
        Box::pin(async move { reply.await.map(|_| ()).map_err(|_| DownReason::ConnectionLost) })
    }

    fn end(&self) {
        self.router.abort();
        self.replies.cancel();
    }
}
