//! A Redis or Valkey server, reached through fred. Nothing outside this folder names that crate.
//!
//! fred's own reconnection keeps neither our order nor our promise that nothing is replayed, so each connection is a new
//! client that is thrown away when its connection ends.

#[cfg(unix)]
mod bounds;
mod cluster;
mod failure;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod info;
mod inline;
mod inspect;
mod introduce;
mod link;
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
mod router;
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
    link::{Connected, Ended, Form, Script},
};
use crate::{
    address::Endpoint,
    config::{self, Server},
    decision::DownReason,
};
use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::{ClientLike, EventInterface},
    types::{
        RespVersion,
        config::{
            Config, ConnectionConfig as FredConnection, PerformanceConfig, Server as FredServer, ServerConfig,
            TcpConfig,
        },
    },
};
use link::{RedisLink, feed};
use peer::Peer;
use previous::Previous;
use relay::Relay;
use router::Router;
use std::{
    fmt,
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};
use uninspected::Uninspected;

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
            // Without Unix sockets, the preflight has refused it.
            #[cfg(unix)]
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

    async fn open_once(&self, config: &Config) -> Result<(Client, Router), NotOpened> {
        let mut config = config.clone();
        let mut relay = None;
        if self.server.is_untrusted {
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
}

/// fred's own `Debug` of the settings shows the password.
impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("endpoint", &self.server.endpoint)
            .finish_non_exhaustive()
    }
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
