//! Where the servers are and how they are spoken to: from the arguments, the environment, or a file.

mod addresses;
mod file;

pub(crate) use file::FILE_HELP;

use crate::{
    duration,
    exit::{self, Failure},
};
use clap::{ArgMatches, Args, parser::ValueSource};
use file::{File, FileDrift, read};
#[cfg(feature = "tls")]
use multiredlock::Tls;
use multiredlock::{Builder, ConfigError, Drift, Redlock, Server};
use std::{ffi::OsString, path::PathBuf, time::Duration};

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
    #[arg(long, global = true, env = "MULTIREDLOCK_CONFIG", value_name = "FILE")]
    config: Option<OsString>,
    /// What is put before each resource to make the Redis key
    #[arg(long, global = true, env = "MULTIREDLOCK_KEY_PREFIX", value_name = "PREFIX")]
    key_prefix: Option<String>,
    /// The name by which others see who holds a resource [default: the hostname]
    #[arg(long, global = true, env = "MULTIREDLOCK_ID", value_name = "NAME")]
    id: Option<String>,
    /// Certificate authorities for rediss://, in PEM [default: those of the system]
    #[arg(long, global = true, env = "MULTIREDLOCK_TLS_CA", value_name = "FILE")]
    ca: Option<OsString>,
    /// A client certificate for rediss://, in PEM
    #[arg(long, global = true, env = "MULTIREDLOCK_TLS_CERT", value_name = "FILE")]
    cert: Option<OsString>,
    /// The private key of the client certificate, in PEM
    #[arg(long, global = true, env = "MULTIREDLOCK_TLS_KEY", value_name = "FILE")]
    key: Option<OsString>,
    /// Which of these are arguments. The others come from the environment.
    #[arg(skip)]
    arguments: Vec<String>,
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
    pub(crate) acquire_timeout: Option<Duration>,
    pub(crate) attempt_timeout: Option<Duration>,
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
    pub(crate) pinned: Option<Vec<u8>>,
    pub(crate) any_name: bool,
    pub(crate) accepts_any_certificate: bool,
}

impl TlsFiles {
    /// Whether a server's certificate is checked in another way than by an authority and a name.
    pub(crate) fn has_own_checks(&self) -> bool {
        self.pinned.is_some() || self.any_name || self.accepts_any_certificate
    }
}

impl Connection {
    /// Notes which of the settings are arguments, since these go before a file, and a file that is one before the environment.
    pub(crate) fn note_arguments(&mut self, matches: &ArgMatches) {
        let is_argument = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let ids = matches.ids().map(clap::Id::as_str);
        self.arguments = ids.filter(is_argument).map(Into::into).collect();
    }

    fn is_argument(&self, name: &str) -> bool {
        self.arguments.iter().any(|argument| argument == name)
    }

    /// Whether what the file says goes before the argument or variable of this name.
    fn is_file_first(&self, name: &str) -> bool {
        self.is_argument("config") && !self.is_argument(name)
    }

    fn first<T>(&self, name: &str, own: Option<T>, file: Option<T>) -> Option<T> {
        if self.is_file_first(name) {
            file.or(own)
        } else {
            own.or(file)
        }
    }

    /// The servers of each group. A file whose servers are not among them loses its credentials.
    fn groups(&self, file: &mut File) -> Result<Vec<Vec<String>>, Failure> {
        let has_own = !self.servers.concat().trim().is_empty();
        if has_own && !(self.is_file_first("servers") && file.has_servers()) {
            if file.has_servers() {
                file.drop_credentials();
            }
            let lists = self.servers.iter().map(|list| addresses::split(list));
            return Ok(vec![lists.collect::<Result<Vec<_>, _>>()?.concat()]);
        }
        file.groups().ok_or_else(|| {
            let problem = "no servers: give them with --servers, MULTIREDLOCK_SERVERS, or a file with --config";
            Failure::new(exit::CONFIG, problem)
        })
    }

    /// Reads the file, if there is one, and settles what goes before what.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        let file = given(self.config.as_ref()).map(|path| File::read(&path));
        let mut file = file.transpose()?.unwrap_or_default();
        let groups = self.groups(&mut file)?;
        let mut addresses = groups.iter().flatten();
        if let Some(address) = addresses.find(|address| address.trim().starts_with("memory:")) {
            let problem = format!("{address}: nobody else reaches a server within this process");
            return Err(Failure::new(exit::CONFIG, problem));
        }
        let drift = match file.drift {
            None => Drift::default(),
            Some(FileDrift::Factor(factor)) => {
                Drift::factor(factor).map_err(|invalid| Failure::new(exit::CONFIG, invalid.to_string()))?
            }
            Some(FileDrift::Fixed(text)) => Drift::fixed(
                duration::parse(&text).map_err(|problem| Failure::new(exit::CONFIG, format!("drift: {problem}")))?,
            ),
        };
        let cert = self.first("cert", given(self.cert.as_ref()), file.tls.cert);
        let key = self.first("key", given(self.key.as_ref()), file.tls.key);
        let identity = match (cert, key) {
            (Some(cert), Some(key)) => Some((read(cert)?, read(key)?)),
            (None, None) => None,
            _ => return Err(Failure::new(exit::CONFIG, "tls: a certificate and its key go together")),
        };
        let ca = self.first("ca", given(self.ca.as_ref()), file.tls.ca);
        let tls = TlsFiles {
            ca: ca.map(read).transpose()?,
            identity,
            server_name: file.tls.server_name,
            pinned: file.tls.pinned.map(read).transpose()?,
            any_name: file.tls.any_name,
            accepts_any_certificate: file.tls.insecure_accept_any_certificate,
        };
        Ok(Settings {
            groups,
            username: file.username.filter(|name| !name.is_empty()),
            password: file.password.filter(|word| !word.is_empty()),
            tls,
            key_prefix: self.first("key_prefix", self.key_prefix.clone(), file.key_prefix),
            drift,
            restart_guard: file.restart_guard,
            id: self.first("id", self.id.clone(), file.id),
            acquire_timeout: file.acquire_timeout,
            attempt_timeout: file.attempt_timeout,
            fence_expiry: file.fence_expiry,
            heartbeat_interval: file.heartbeat_interval,
            heartbeat_timeout: file.heartbeat_timeout,
        })
    }
}

impl Settings {
    /// Connects in the background, by the library.
    pub(crate) fn redlock(&self) -> Result<Redlock, Failure> {
        Ok(self.builder()?.build()?)
    }

    pub(crate) fn builder(&self) -> Result<Builder, Failure> {
        let mut groups = self.servers()?.into_iter();
        let builder = Redlock::builder().servers(groups.next().unwrap_or_default());
        let builder = groups.fold(builder, Builder::group);
        Ok(self.set_up(builder))
    }

    /// The servers of each group.
    pub(crate) fn servers(&self) -> Result<Vec<Vec<Server>>, ConfigError> {
        let group = |group: &Vec<String>| group.iter().map(|address| self.server(address)).collect();
        self.groups.iter().map(group).collect()
    }

    /// Sets all that does not concern single servers.
    pub(crate) fn set_up(&self, builder: Builder) -> Builder {
        let builder = builder.drift(self.drift);
        let builder = set(builder, self.key_prefix.as_ref(), Builder::key_prefix);
        let builder = set(builder, self.id.as_ref(), Builder::id);
        let builder = set(builder, self.acquire_timeout, Builder::acquire_timeout);
        let builder = set(builder, self.attempt_timeout, Builder::attempt_timeout);
        let builder = set(builder, self.restart_guard, Builder::restart_guard);
        let builder = set(builder, self.fence_expiry, Builder::fence_expiry);
        let builder = set(builder, self.heartbeat_interval, Builder::heartbeat_interval);
        set(builder, self.heartbeat_timeout, Builder::heartbeat_timeout)
    }

    fn server(&self, address: &str) -> Result<Server, ConfigError> {
        let mut server = Server::parse(address.trim())?;
        let parts = server.parts();
        let has_credentials = parts.username.or(parts.password).is_some();
        #[cfg(feature = "tls")]
        let is_encrypted = parts.is_encrypted;
        if !has_credentials {
            server = set(server, self.username.as_ref(), Server::username);
            server = set(server, self.password.as_ref(), Server::password);
        }
        #[cfg(feature = "tls")]
        if is_encrypted {
            let mut tls = set(Tls::new(), self.tls.ca.as_deref(), Tls::ca_pem);
            if let Some((cert, key)) = &self.tls.identity {
                tls = tls.identity_pem(cert.clone(), key.clone());
            }
            tls = set(tls, self.tls.pinned.as_deref(), Tls::pinned_pem);
            if self.tls.any_name {
                tls = tls.any_name();
            }
            if self.tls.accepts_any_certificate {
                tls = tls.insecure_accept_any_certificate();
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

/// The path of a file, unless it is empty, as a variable may be that was meant not to be there.
fn given(path: Option<&OsString>) -> Option<PathBuf> {
    path.filter(|path| !path.is_empty()).map(PathBuf::from)
}
