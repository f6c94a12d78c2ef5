//! Where the servers are and how they are spoken to: from the arguments, the environment, or a file.

use crate::{
    addresses, duration,
    exit::{self, Failure},
};
use clap::Args;
#[cfg(feature = "tls")]
use multiredlock::Tls;
use multiredlock::{Builder, ConfigError, Drift, Redlock, Server};
use serde::{Deserialize, Deserializer, de};
use std::{
    convert::Infallible,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// The options that every command has.
#[derive(Args, Debug)]
#[command(next_help_heading = "Servers")]
pub(crate) struct Connection {
    /// Addresses, separated by commas: `redis://user:password@host:port/db`, `rediss://…` for TLS, `redis+unix:///path`,
    /// `redis-cluster://…`, `redis-sentinel://…`. An odd number of independent servers. A comma in a password is `%2C`
    #[arg(
        long,
        global = true,
        env = "MULTIREDLOCK_SERVERS",
        value_name = "ADDRESS,…",
        hide_env_values = true
    )]
    servers: Vec<String>,
    /// A TOML file that says the same, and more: see `multiredlock help`
    #[arg(long, global = true, env = "MULTIREDLOCK_CONFIG", value_name = "FILE", value_parser = path)]
    config: Option<PathBuf>,
    /// What is put before each resource to make the Redis key
    #[arg(long, global = true, env = "MULTIREDLOCK_KEY_PREFIX", value_name = "PREFIX")]
    key_prefix: Option<String>,
    /// The name by which others see who holds a resource [default: the hostname]
    #[arg(long, global = true, env = "MULTIREDLOCK_ID", value_name = "NAME")]
    id: Option<String>,
    /// Certificate authorities for rediss://, in PEM [default: those of the system]
    #[arg(long, global = true, env = "MULTIREDLOCK_TLS_CA", value_name = "FILE", value_parser = path)]
    ca: Option<PathBuf>,
    /// A client certificate for rediss://, in PEM
    #[arg(
        long,
        global = true,
        env = "MULTIREDLOCK_TLS_CERT",
        value_name = "FILE",
        value_parser = path
    )]
    cert: Option<PathBuf>,
    /// The private key of the client certificate, in PEM
    #[arg(
        long,
        global = true,
        env = "MULTIREDLOCK_TLS_KEY",
        value_name = "FILE",
        value_parser = path
    )]
    key: Option<PathBuf>,
}

/// What the help says of the file.
pub(crate) const FILE_HELP: &str = "\
The file of --config, in TOML; all but the servers can be left out:
  servers = [\"redis://10.0.0.1\", \"redis://10.0.0.2\", \"redis://10.0.0.3\"]
  # or, for several groups: groups = [[\"redis://a\", …], [\"redis://d\", …]]
  username = \"locks\"          # for all servers whose address has none
  password = \"…\"
  key_prefix = \"lock:\"
  id = \"web-3\"
  drift = \"100ms\"             # or a factor of the ttl, as 0.01
  round_timeout = \"200ms\"
  restart_guard = \"60s\"       # the longest ttl that anybody uses
  fence_expiry = \"7d\"
  heartbeat_interval = \"1s\"
  heartbeat_timeout = \"1s\"
  tls = { ca = \"ca.pem\", cert = \"client.pem\", key = \"client.key\", server_name = \"redis\" }
The arguments go before the environment, and that before the file.";

/// What a configuration file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    servers: Option<Vec<String>>,
    groups: Option<Vec<Vec<String>>>,
    username: Option<String>,
    password: Option<String>,
    key_prefix: Option<String>,
    id: Option<String>,
    drift: Option<FileDrift>,
    #[serde(deserialize_with = "some_duration")]
    round_timeout: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    restart_guard: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    fence_expiry: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    heartbeat_interval: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    heartbeat_timeout: Option<Duration>,
    tls: FileTls,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileTls {
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    server_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum FileDrift {
    Factor(f64),
    Fixed(String),
}

/// All that is known of the servers, checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The addresses as they were given, which may have passwords in them, of each group.
    pub(crate) groups: Vec<Vec<String>>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) tls: TlsFiles,
    pub(crate) key_prefix: Option<String>,
    pub(crate) drift: Drift,
    pub(crate) restart_guard: Option<Duration>,
    pub(crate) round_timeout: Option<Duration>,
    id: Option<String>,
    fence_expiry: Option<Duration>,
    heartbeat_interval: Option<Duration>,
    heartbeat_timeout: Option<Duration>,
}

/// What the files of a TLS setting hold.
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "they are checked all the same"))]
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsFiles {
    pub(crate) ca: Option<Vec<u8>>,
    pub(crate) identity: Option<(Vec<u8>, Vec<u8>)>,
    pub(crate) server_name: Option<String>,
}

impl Connection {
    /// Reads the file, if there is one, and settles what goes before what.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        let file = given(self.config.as_ref())
            .map(|path| File::read(path))
            .transpose()?
            .unwrap_or_default();
        let groups = match (file.servers, file.groups) {
            _ if !self.servers.concat().trim().is_empty() => {
                let lists = self.servers.iter().map(|list| addresses::split(list));
                vec![lists.collect::<Result<Vec<_>, _>>()?.concat()]
            }
            (Some(_), Some(_)) => {
                return Err(Failure::new(
                    exit::CONFIG,
                    "the configuration has both `servers` and `groups`",
                ));
            }
            (Some(servers), None) => vec![servers],
            (None, Some(groups)) => groups,
            (None, None) => {
                let problem = "no servers: give them with --servers, MULTIREDLOCK_SERVERS, or a file with --config";
                return Err(Failure::new(exit::CONFIG, problem));
            }
        };
        if let Some(address) = groups
            .iter()
            .flatten()
            .find(|address| address.trim().starts_with("memory:"))
        {
            let problem = format!("{address}: nobody else reaches a server within this process");
            return Err(Failure::new(exit::CONFIG, problem));
        }
        let drift = match file.drift {
            None => Drift::default(),
            Some(FileDrift::Factor(factor)) => Drift::factor(factor),
            Some(FileDrift::Fixed(text)) => Drift::fixed(
                duration::parse(&text).map_err(|problem| Failure::new(exit::CONFIG, format!("drift: {problem}")))?,
            ),
        };
        let cert = given(self.cert.as_ref()).or(file.tls.cert.as_ref());
        let key = given(self.key.as_ref()).or(file.tls.key.as_ref());
        let identity = match (cert, key) {
            (Some(cert), Some(key)) => Some((read(cert)?, read(key)?)),
            (None, None) => None,
            _ => return Err(Failure::new(exit::CONFIG, "tls: a certificate and its key go together")),
        };
        let tls = TlsFiles {
            ca: given(self.ca.as_ref()).or(file.tls.ca.as_ref()).map(read).transpose()?,
            identity,
            server_name: file.tls.server_name,
        };
        Ok(Settings {
            groups,
            username: file.username.filter(|name| !name.is_empty()),
            password: file.password.filter(|word| !word.is_empty()),
            tls,
            key_prefix: self.key_prefix.clone().or(file.key_prefix),
            drift,
            restart_guard: file.restart_guard,
            id: self.id.clone().or(file.id),
            round_timeout: file.round_timeout,
            fence_expiry: file.fence_expiry,
            heartbeat_interval: file.heartbeat_interval,
            heartbeat_timeout: file.heartbeat_timeout,
        })
    }
}

impl File {
    fn read(path: &Path) -> Result<Self, Failure> {
        let text = String::from_utf8(read(path)?)
            .map_err(|_| Failure::new(exit::CONFIG, format!("{}: not UTF-8", path.display())))?;
        toml::from_str(&text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            let problem = error.message().replace('\n', ", ");
            Failure::new(exit::CONFIG, format!("{}, line {line}: {problem}", path.display()))
        })
    }
}

impl Settings {
    /// Connects in the background, by the library.
    pub(crate) fn redlock(&self) -> Result<Redlock, Failure> {
        Ok(self.builder()?.build()?)
    }

    pub(crate) fn builder(&self) -> Result<Builder, Failure> {
        let mut groups = self.groups.iter().map(|group| {
            let servers = group.iter().map(|address| self.server(address));
            servers.collect::<Result<Vec<Server>, ConfigError>>()
        });
        let mut builder = Redlock::builder().servers(groups.next().transpose()?.unwrap_or_default());
        for group in groups {
            builder = builder.group(group?);
        }
        builder = builder.drift(self.drift);
        let Self {
            key_prefix,
            id,
            round_timeout,
            restart_guard,
            fence_expiry,
            heartbeat_interval,
            heartbeat_timeout,
            ..
        } = self;
        builder = set(builder, key_prefix.as_ref(), Builder::key_prefix);
        builder = set(builder, id.as_ref(), Builder::id);
        builder = set(builder, *round_timeout, Builder::round_timeout);
        builder = set(builder, *restart_guard, Builder::restart_guard);
        builder = set(builder, *fence_expiry, Builder::fence_expiry);
        builder = set(builder, *heartbeat_interval, Builder::heartbeat_interval);
        Ok(set(builder, *heartbeat_timeout, Builder::heartbeat_timeout))
    }

    fn server(&self, address: &str) -> Result<Server, ConfigError> {
        let mut server = Server::parse(address.trim())?;
        if !has_credentials(address) {
            server = set(server, self.username.as_ref(), Server::username);
            server = set(server, self.password.as_ref(), Server::password);
        }
        #[cfg(feature = "tls")]
        if is_tls(address) {
            let mut tls = set(Tls::new(), self.tls.ca.as_deref(), Tls::ca_pem);
            if let Some((cert, key)) = &self.tls.identity {
                tls = tls.identity_pem(cert.clone(), key.clone());
            }
            server = server.tls(set(tls, self.tls.server_name.as_ref(), Tls::server_name));
        }
        Ok(server)
    }
}

/// Sets what is given, and leaves the default otherwise.
fn set<B, V>(builder: B, value: Option<V>, with: impl FnOnce(B, V) -> B) -> B {
    match value {
        Some(value) => with(builder, value),
        None => builder,
    }
}

pub(crate) fn is_tls(address: &str) -> bool {
    let scheme = address.trim().split_once("://").map_or("", |(scheme, _)| scheme);
    scheme.starts_with("rediss") || scheme.starts_with("valkeys")
}

pub(crate) fn has_credentials(address: &str) -> bool {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.split(['/', '?'])
        .next()
        .is_some_and(|authority| authority.contains('@'))
}

fn read(path: impl AsRef<Path>) -> Result<Vec<u8>, Failure> {
    let path = path.as_ref();
    fs::read(path).map_err(|error| Failure::new(exit::CONFIG, format!("{}: {error}", path.display())))
}

/// Takes an empty text too, which a variable may have that was meant not to be there.
#[expect(clippy::unnecessary_wraps, reason = "clap asks for it")]
fn path(text: &str) -> Result<PathBuf, Infallible> {
    Ok(text.into())
}

fn given(path: Option<&PathBuf>) -> Option<&PathBuf> {
    path.filter(|path| !path.as_os_str().is_empty())
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration::parse(&text).map(Some).map_err(de::Error::custom)
}
