//! A Redis or Valkey server, reached through fred. Nothing outside this folder names that crate.
//!
//! fred's own reconnection keeps neither our order nor our promise that nothing is replayed, so each connection is a new
//! client that is thrown away when its connection ends.

#[cfg(unix)]
mod bounds;
mod cluster;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod info;
mod inline;
mod introduce;
mod needed;
mod peer;
mod preflight;
mod previous;
mod reach;
#[cfg(unix)]
mod relay;
#[cfg(not(unix))]
#[path = "no_relay.rs"]
mod relay;
#[cfg(all(test, unix))]
mod script_tests;
mod sentinel;
mod speech;
#[cfg(feature = "tls")]
mod tls;
mod uninspected;
#[cfg(feature = "tls")]
mod verify;
mod wire;
mod withheld;
mod words;

#[cfg(test)]
pub(crate) use info::parse as parse_info;

use super::{
    held_up::{TimeIsUp, answer_within},
    link::{Answer, Change, Command, Connected, Ended, Facts, Feed, Form, Link, Script, Task},
};
use crate::{
    address::Endpoint,
    config::{self, Server},
    decision::{DownReason, Refusal},
    text::Text,
};
use cluster::Cluster;
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
use peer::Peer;
use previous::{Connection, Previous};
use relay::Relay;
use std::{
    fmt,
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};
use tokio::{
    runtime,
    task::{AbortHandle, JoinHandle},
    time::timeout,
};
use tokio_stream::{
    StreamExt,
    wrappers::{BroadcastStream, errors::BroadcastStreamRecvError},
};
use uninspected::Uninspected;
use wire::Keys;
use withheld::{is_withheld, without_arguments};

const SOURCE: Form = Form {
    script: Script::Source,
    declares: false,
};

/// How many changes of keys are kept until they are passed on. If there are more, everything may have changed.
const CHANGES_KEPT: usize = 512;

/// Makes connections to one server.
pub(crate) struct Connector {
    /// What every connection is made with. Its server is that of the latest.
    config: Config,
    server: Server,
    speaks_tls: bool,
    timeout: Duration,
    has_restart_guard: bool,
    /// What the keys of locks begin with.
    key_prefix: Vec<u8>,
    /// What operators see as the name of the connections.
    name: String,
    previous: Previous,
    uninspected: Arc<Uninspected>,
}

impl Connector {
    /// Fails only on TLS settings that make no sense.
    pub(crate) fn new(server: &Server, settings: &config::Config) -> Result<Self, String> {
        let mut config = Config {
            fail_fast: true,
            username: server.username.clone(),
            password: password(server.username.as_ref(), server.password.as_ref()),
            database: Some(server.database).filter(|database| *database != 0),
            version: RespVersion::RESP2,
            ..Config::default()
        };
        let speaks_tls = set_tls(&mut config, server)?;
        Ok(Self {
            config,
            server: server.clone(),
            speaks_tls,
            timeout: settings.connection.heartbeat_timeout,
            has_restart_guard: settings.restart_guard.is_some(),
            key_prefix: settings.key_prefix.clone(),
            name: introduce::connection_name(&settings.id),
            previous: Previous::default(),
            uninspected: Arc::default(),
        })
    }

    /// Connects, finds out what the server is, and teaches it the script.
    ///
    /// Where several nodes could tell the way they are tried in turn.
    pub(crate) async fn connect(&mut self) -> Result<Connected, DownReason> {
        let endpoint = self.server.endpoint.clone();
        let nodes = match &endpoint {
            Endpoint::Cluster(nodes) => nodes,
            Endpoint::Sentinel(sentinels) => &sentinels.nodes,
            single => return self.connect_to(single).await,
        };
        let mut failure = None;
        for node in nodes {
            let outcome = match &endpoint {
                Endpoint::Sentinel(sentinels) => self.connect_to_master(sentinels, node).await,
                _ => self.connect_to_cluster(node).await,
            };
            failure = match (outcome, failure) {
                (Ok(connected), _) => return Ok(connected),
                // That others are away as well says less.
                (Err(_), Some(told @ DownReason::Cluster(_))) | (Err(DownReason::Sentinel(_)), Some(told)) => {
                    Some(told)
                }
                (Err(reason), _) => Some(reason),
            };
        }
        Err(failure.unwrap_or(DownReason::NotYet))
    }

    /// Connects to a server that is one process.
    async fn connect_to(&mut self, endpoint: &Endpoint) -> Result<Connected, DownReason> {
        let check = preflight::check(endpoint, self.speaks_tls, self.timeout);
        let reached = self.explained(endpoint, check).await?;
        self.config.server = self.target(endpoint, reached);
        let (link, router) = self.explained(endpoint, Box::pin(self.open())).await?;
        self.connected(link, router).await
    }

    /// What fred connects to: of a host's addresses the one that was reached.
    fn target(&self, endpoint: &Endpoint, reached: Option<SocketAddr>) -> ServerConfig {
        match endpoint {
            Endpoint::Unix(path) => ServerConfig::Unix { path: path.clone() },
            Endpoint::Tcp { host, port } => ServerConfig::Centralized {
                server: fred_server(&self.server, host, *port, reached),
            },
            _ => unreachable!("an in-memory server has a connector of its own, and all others are made up of these"),
        }
    }

    /// Looks at every process that was connected to.
    async fn connected(&mut self, link: RedisLink, mut router: Router) -> Result<Connected, DownReason> {
        let facts = match self.facts(&link).await {
            // The router knows more of it.
            Err(DownReason::ConnectionLost) => Err(router.ended_within(self.timeout).await),
            facts => facts,
        }?;
        Ok(Connected {
            feed: feed(&link.client),
            link: Arc::new(link),
            facts,
            ended: Ended::new(async move { router.ended().await }),
        })
    }

    async fn facts(&mut self, link: &RedisLink) -> Result<Facts, DownReason> {
        let (mut facts, mut connections) = (Vec::new(), Vec::new());
        let peers = link.peers();
        for peer in &peers {
            peer.send_ahead(self.questions(peer)).await;
        }
        for peer in &peers {
            let (of_one, id) = Box::pin(self.inspect(peer)).await?;
            let run_id = of_one.run_id.clone();
            connections.push(Connection { run_id, id });
            facts.push(of_one);
        }
        self.previous.add(connections);
        if link.cluster.is_none() {
            return Ok(facts.swap_remove(0));
        }
        let id = cluster::id(&link.peers()[0]).await?;
        Ok(cluster::facts(&facts, id))
    }

    async fn open_once(&self, config: &Config) -> Result<(Client, Router), NotOpened> {
        let mut config = config.clone();
        let mut relay = None;
        if self.server.is_distrusted {
            let to_server = Relay::to_server_of(&mut config, self.timeout).await;
            relay = Some(to_server.map_err(NotOpened::ByRelay)?);
        }
        let connection = FredConnection {
            // It would count the time in which this process does not run, so the limits are ours: here and by heartbeats.
            connection_timeout: Duration::ZERO,
            internal_command_timeout: Duration::ZERO,
            // Nothing is ever sent twice, and what a cluster redirects goes through the pipeline again.
            max_command_attempts: 1,
            max_redirections: 0,
            // We do that ourselves, and say what is the matter.
            disable_cluster_health_check: true,
            tcp: TcpConfig {
                nodelay: Some(true),
                ..TcpConfig::default()
            },
            ..FredConnection::default()
        };
        let client = Client::new(
            config,
            Some(PerformanceConfig {
                broadcast_channel_capacity: CHANGES_KEPT,
                ..PerformanceConfig::default()
            }),
            Some(connection),
            None,
        );
        // Without a receiver fred logs the error, in which a server may repeat the password.
        let _errors = client.error_rx();
        let (result, mut router) = {
            let mut connected = pin!(client.wait_for_connect());
            // It listens from its first poll on, which must come before there is anything to hear.
            poll_fn(|cx| Poll::Ready(connected.as_mut().poll(cx).is_ready())).await;
            let mut router = Router {
                task: client.connect(),
                relay,
                limit: self.timeout,
            };
            let connected = async {
                tokio::select! {
                    result = &mut router.task => Err(match result {
                        Ok(Err(error)) => error,
                        _ => Error::new(ErrorKind::Canceled, "connection lost"),
                    }),
                    result = connected => result,
                }
            };
            let limit = self.timeout.saturating_mul(self.answers(&client));
            let result = answer_within(limit, Box::pin(connected)).await;
            let result = result.unwrap_or_else(|TimeIsUp| Err(Error::new(ErrorKind::Timeout, "no answer")));
            (result, router)
        };
        match result {
            Ok(()) => Ok((client, router)),
            Err(error) => Err(router
                .hung_up()
                .await
                .map_or(NotOpened::ByFred(error), NotOpened::ByRelay)),
        }
    }

    /// How many answers fred waits for at most, one after the other, until a connection is open. Each may take the whole timeout.
    ///
    /// They are those to connecting, the handshake of TLS, the introduction, `SELECT`, `CLIENT ID` and `INFO`; at a cluster also to
    /// `CLUSTER SLOTS`, and all again at its other nodes.
    fn answers(&self, client: &Client) -> u32 {
        let of_one = if self.speaks_tls { 7 } else { 5 };
        if client.is_clustered() { 2 * of_one + 1 } else { of_one }
    }

    fn why(&self, failed: NotOpened) -> DownReason {
        match failed {
            NotOpened::ByFred(error) => self.reason(&error),
            NotOpened::ByRelay(reason) => reason,
        }
    }

    /// What `inspect` is going to ask whatever the answers are.
    fn questions(&self, peer: &Peer<'_>) -> Vec<(&'static str, Vec<Value>)> {
        let mut questions = vec![
            ("INFO", vec![]),
            ("CLIENT", vec!["ID".into()]),
            ("CLIENT", vec!["TRACKING".into(), "OFF".into()]),
            wire::command(&[], SOURCE, Keys::Watched),
        ];
        if self.has_restart_guard {
            questions.push(("CONFIG", vec!["GET".into(), "repl-backlog-ttl".into()]));
        }
        if peer.is_node() {
            questions.push(("CLUSTER", vec!["INFO".into()]));
        }
        questions
    }

    /// Returns also the id of the connection, if the user may know it.
    async fn inspect(&mut self, peer: &Peer<'_>) -> Result<(Facts, Option<i64>), DownReason> {
        let mut info = String::new();
        let mut facts = match peer.command("INFO", vec![]).await? {
            Ok(frame) => {
                info = wire::text(&frame);
                info::parse(&info).ok_or_else(|| not_redis("INFO tells no version"))?
            }
            Err(error) if is_withheld(&error) => Facts {
                is_hidden: true,
                ..Facts::default()
            },
            Err(error) => return Err(rejected(&error)),
        };
        if self.has_restart_guard {
            let config = vec!["GET".into(), "repl-backlog-ttl".into()];
            facts.backlog_ttl = peer
                .command("CONFIG", config)
                .await?
                .ok()
                .and_then(|frame| wire::seconds(&frame));
            facts.uptime = facts.uptime.max(info::time_as_master(&info, facts.backlog_ttl));
        }
        let id = match peer.command("CLIENT", vec!["ID".into()]).await? {
            Ok(Resp3Frame::Number { data, .. }) => Some(data),
            _ => None,
        };
        // Which changes nothing.
        let untracked = peer.command("CLIENT", vec!["TRACKING".into(), "OFF".into()]).await?;
        facts.tells_nothing = untracked.is_err_and(|error| is_withheld(&error));
        if let To::Node(node) = &peer.to {
            let uninspected = self
                .uninspected
                .take(node, facts.run_id.as_deref(), info::uptime(&info));
            self.previous.add(uninspected);
        }
        facts.old_connection_lives = !self.end_previous(peer, facts.run_id.as_deref()).await?;
        if !facts.is_replica && !facts.is_loading {
            let (name, args) = wire::command(&[], SOURCE, Keys::Watched);
            let answer = peer.command(name, args).await?.map_err(|error| rejected(&error))?;
            if !wire::is_empty_answer(&answer) {
                return Err(not_redis("it does not run scripts"));
            }
            if needed::check(peer, &self.key_prefix).await? {
                peer.link.must_declare.store(true, Ordering::Relaxed);
            }
        }
        if peer.is_node() {
            facts.is_hidden |= !cluster::may_be_checked(peer).await?;
        }
        Ok((facts, id))
    }

    /// Makes the server drop our previous connections, with all that they were sent and that it has not carried out yet.
    ///
    /// A server that was stopped still finds in its socket what was written to it. A SET among that could run after the
    /// unlock that this connection is about to send. A process that was started since has none of them.
    async fn end_previous(&mut self, peer: &Peer<'_>, run_id: Option<&str>) -> Result<bool, DownReason> {
        for id in self.previous.ids(run_id) {
            let kill = vec!["KILL".into(), "ID".into(), id.to_string().into()];
            if peer.command("CLIENT", kill).await?.is_err() {
                return Ok(false);
            }
            self.previous.ended(run_id, id);
        }
        Ok(!self.previous.has_unnamed(run_id))
    }

    fn reason(&self, error: &Error) -> DownReason {
        let details = &*self.without_secrets(error.details());
        let has = |word: &str| details.contains(word);
        let words = || Text::new(words::plain(details));
        let is_auth = *error.kind() == ErrorKind::Auth
            || ["WRONGPASS", "NOAUTH", "invalid password", "AUTH"]
                .iter()
                .any(|word| has(word));
        match error.kind() {
            // First, since a denial names the user, who may be called anything.
            _ if has("NOPERM") => DownReason::NoPermission(Text::new(details)),
            _ if is_auth => DownReason::Auth(Text::new(details)),
            _ if has("LOADING") => DownReason::Loading,
            _ if self.speaks_tls && is_about_tls(details) => DownReason::Tls(words()),
            ErrorKind::Timeout => DownReason::ConnectTimeout,
            ErrorKind::Protocol | ErrorKind::Parse => DownReason::NotRedis(words()),
            ErrorKind::IO if has("refused") => DownReason::ConnectionRefused,
            ErrorKind::IO if has("closed") => DownReason::ConnectionLost,
            ErrorKind::IO => DownReason::Io(words()),
            ErrorKind::Canceled => DownReason::ConnectionLost,
            _ => DownReason::Refused(words()),
        }
    }
}

/// fred's own `Debug` of the settings shows the password.
impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("endpoint", &self.server.endpoint)
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

/// Reads an error reply to a command of the inspection.
fn rejected(error: &str) -> DownReason {
    let words = Text::new(without_arguments(error));
    match Refusal::parse(error) {
        Refusal::Loading => DownReason::Loading,
        Refusal::NoPermission => DownReason::NoPermission(words),
        _ => DownReason::Refused(words),
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
        "invaliddnsname",
        "handshake",
        "tls",
    ];
    words.iter().any(|word| details.contains(word))
}

fn not_redis(problem: &str) -> DownReason {
    DownReason::NotRedis(Text::new(problem))
}

/// fred names the user to the server only beside a password, and we would be the default user. A user without a password
/// accepts any.
fn password(username: Option<&String>, password: Option<&String>) -> Option<String> {
    let any = || username.map(|_| String::from("-"));
    password.cloned().or_else(any)
}

#[cfg(feature = "tls")]
fn fred_server(server: &Server, host: &str, port: u16, reached: Option<SocketAddr>) -> FredServer {
    // The certificate is for the host, whatever its address.
    let tls = server.tls.as_ref();
    let name = tls.map(|tls| tls.server_name.clone().unwrap_or_else(|| host.to_owned()));
    FredServer::new_with_tls(reach::host(host, reached), port, name)
}

#[cfg(not(feature = "tls"))]
fn fred_server(_: &Server, host: &str, port: u16, reached: Option<SocketAddr>) -> FredServer {
    FredServer::new(reach::host(host, reached), port)
}

#[cfg(feature = "tls")]
fn set_tls(config: &mut Config, server: &Server) -> Result<bool, String> {
    if let Some(tls) = &server.tls {
        config.tls = Some(tls::config(tls)?);
    }
    Ok(server.tls.is_some())
}

#[cfg(not(feature = "tls"))]
#[expect(clippy::unnecessary_wraps, reason = "it fails with the feature")]
fn set_tls(_: &mut Config, _: &Server) -> Result<bool, String> {
    Ok(false)
}

/// Whose words there are for why there is no connection.
enum NotOpened {
    ByFred(Error),
    ByRelay(DownReason),
}

/// fred's task that owns the socket, and what it goes through to a server that is distrusted. Both end when this is dropped.
#[derive(Debug)]
struct Router {
    task: JoinHandle<Result<(), Error>>,
    relay: Option<Relay>,
    /// How long each answer to a command of the inspection may take.
    limit: Duration,
}

impl Router {
    fn handle(&self) -> AbortHandle {
        self.task.abort_handle()
    }

    async fn ended(&mut self) -> DownReason {
        let result = (&mut self.task).await;
        match (self.hung_up().await, result) {
            (Some(reason), _) => reason,
            (None, Ok(Err(error))) if matches!(error.kind(), ErrorKind::Protocol | ErrorKind::Parse) => {
                DownReason::NotRedis(Text::new(error.details()))
            }
            (None, _) => DownReason::ConnectionLost,
        }
    }

    /// The same of one that has lost its connection.
    async fn ended_within(&mut self, limit: Duration) -> DownReason {
        timeout(limit, self.ended()).await.unwrap_or(DownReason::ConnectionLost)
    }

    /// Why the relay hung up, if there is one and it did.
    async fn hung_up(&mut self) -> Option<DownReason> {
        self.relay.as_mut()?.ended().await
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection, or one to each node of a cluster.
struct RedisLink {
    client: Client,
    router: AbortHandle,
    limit: Duration,
    replies: Arc<Replies>,
    cluster: Option<Arc<Cluster>>,
    /// Whether scripts have to declare all their keys, as if the server was a cluster.
    must_declare: AtomicBool,
    /// Whether the server can tell something that is no reply.
    has_pushes: bool,
}

impl fmt::Debug for RedisLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLink").finish_non_exhaustive()
    }
}

/// Who a command is for.
#[derive(Clone)]
enum To {
    /// The only process there is.
    Only,
    /// The node of a cluster that has this slot.
    Slot(u16),
    Node(FredServer),
}

impl RedisLink {
    fn new(client: Client, router: &Router, cluster: Option<Cluster>) -> Self {
        Self {
            has_pushes: client.protocol_version() == RespVersion::RESP3,
            client,
            router: router.handle(),
            limit: router.limit,
            replies: Arc::new(Replies::new(runtime::Handle::current())),
            cluster: cluster.map(Arc::new),
            must_declare: AtomicBool::new(false),
        }
    }

    /// The command is queued on the connection at the first poll.
    fn start(
        &self,
        to: To,
        name: &'static str,
        args: Vec<Value>,
    ) -> impl Future<Output = Result<Resp3Frame, Error>> + Send + use<> {
        let client = self.client.clone();
        let ended = self.router.is_finished() || self.cluster.as_ref().is_some_and(|cluster| cluster.has_ended());
        async move {
            if ended {
                // fred would keep the command for ever.
                return Err(Error::new(ErrorKind::Canceled, "connection lost"));
            }
            let command = |hash| CustomCommand::new_static(name, hash, false);
            match to {
                To::Only => client.custom_raw(command(ClusterHash::FirstKey), args).await,
                To::Slot(slot) => client.custom_raw(command(ClusterHash::Custom(slot)), args).await,
                To::Node(node) => {
                    let node = client.with_cluster_node(node);
                    node.custom_raw(command(ClusterHash::Random), args).await
                }
            }
        }
    }

    /// What is read from the answer of each process, or nothing as soon as one gives none. All are asked at the first poll.
    fn ask_all<T: Send + 'static>(
        &self,
        name: &'static str,
        args: fn() -> Vec<Value>,
        read: fn(&Resp3Frame) -> T,
    ) -> impl Future<Output = Option<Vec<T>>> + Send + use<T> {
        let replies = self.destinations().into_iter().map(|to| self.start(to, name, args()));
        let mut replies: Vec<Pin<Box<_>>> = replies.map(Box::pin).collect();
        let mut answers: Vec<Option<T>> = replies.iter().map(|_| None).collect();
        poll_fn(move |cx| {
            for (reply, answer) in replies
                .iter_mut()
                .zip(&mut answers)
                .filter(|(_, answer)| answer.is_none())
            {
                match reply.as_mut().poll(cx) {
                    Poll::Ready(Ok(frame)) => *answer = Some(read(&frame)),
                    Poll::Ready(Err(_)) => return Poll::Ready(None),
                    Poll::Pending => {}
                }
            }
            if answers.iter().any(Option::is_none) {
                Poll::Pending
            } else {
                Poll::Ready(answers.drain(..).collect())
            }
        })
    }

    fn must_declare(&self) -> bool {
        self.must_declare.load(Ordering::Relaxed)
    }

    /// The processes that it leads to.
    fn peers(&self) -> Vec<Peer<'_>> {
        self.destinations().into_iter().map(|to| Peer::new(self, to)).collect()
    }

    fn destinations(&self) -> Vec<To> {
        match &self.cluster {
            None => vec![To::Only],
            Some(cluster) if cluster.is_lone() => vec![To::Only],
            Some(cluster) => cluster.nodes().iter().cloned().map(To::Node).collect(),
        }
    }
}

impl Link for RedisLink {
    fn send(&self, command: Command) {
        let (operations, form) = (&command.operations, command.form);
        let way = self.cluster.clone().map(|cluster| {
            let place = cluster.place(operations);
            (cluster, place)
        });
        let (to, keys) = match &way {
            None if self.must_declare() => (To::Only, Keys::All),
            None => (To::Only, Keys::Watched),
            Some((_, place)) => (To::Slot(place.slot), Keys::All),
        };
        let (name, args) = wire::command(operations, form, keys);
        let reply = self.start(to, name, args);
        let replies = Arc::clone(&self.replies);
        self.replies.when_ready(reply, move |reply| {
            let answer = match (reply, way) {
                (_, Some((cluster, _))) if cluster.has_ended() => Answer::Lost,
                (Some(Ok(frame)), Some((cluster, _))) if cluster.has_ended_for(&frame) => {
                    Answer::Rejected(Refusal::Moving)
                }
                (Some(Ok(frame)), _) => wire::answer(&frame, name, command.operations.len(), form, keys),
                (Some(Err(error)), Some((cluster, place))) => {
                    let then = move |answer| command.answer(answer);
                    return cluster.given_up(&error, (place, form), &replies, then);
                }
                (Some(Err(_)) | None, _) => Answer::Lost,
            };
            command.answer(answer);
        });
    }

    fn takes_one_by_one(&self) -> bool {
        self.cluster.is_some() || self.must_declare()
    }

    fn track(&self, done: Box<dyn FnOnce(bool) + Send>) -> bool {
        if !self.has_pushes {
            return false;
        }
        // A change that we made ourselves is known here.
        let args = || vec!["TRACKING".into(), "ON".into(), "NOLOOP".into()];
        let tracked = self.ask_all("CLIENT", args, |frame| wire::error(frame).is_none());
        self.replies.when_ready(tracked, |tracked| {
            let by_all = |tracked: Vec<bool>| !tracked.contains(&false);
            done(tracked.flatten().is_some_and(by_all));
        });
        true
    }

    fn ping(&self, asks_time: bool) -> Task<Result<Vec<u64>, DownReason>> {
        let command = if asks_time { "TIME" } else { "PING" };
        // That it may not tell the time is a sign of life, too.
        let answers = self.ask_all(command, Vec::new, wire::time);
        Box::pin(async move {
            let times = answers.await.ok_or(DownReason::ConnectionLost)?;
            Ok(times.into_iter().collect::<Option<Vec<_>>>().unwrap_or_default())
        })
    }

    fn end(&self) {
        self.router.abort();
        self.replies.cancel();
    }
}
