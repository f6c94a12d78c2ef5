//! The configuration file.

use crate::{
    duration,
    exit::{self, Failure},
};
use serde::{Deserialize, Deserializer, de};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// What the help says of the file.
pub(crate) const FILE_HELP: &str = "\
The file of --config, in TOML; all but the servers can be left out:
  servers = [\"redis://10.0.0.1\", \"redis://10.0.0.2\", \"redis://10.0.0.3\"]
  # or, for several groups: groups = [[\"redis://a\", …], [\"redis://d\", …]]
  username = \"locks\"          # for those of these servers whose address has none
  password = \"…\"
  key_prefix = \"lock:\"
  id = \"web-3\"
  drift = \"100ms\"             # or a factor of the ttl, as 0.01
  acquire_timeout = \"30s\"     # how long run and lock wait without --wait; default: as long as it takes
  attempt_timeout = \"200ms\"
  restart_guard = \"60s\"       # the longest ttl that anybody uses
  fence_expiry = \"7d\"
  heartbeat_interval = \"1s\"
  heartbeat_timeout = \"1s\"
  tls = { ca = \"ca.pem\", cert = \"client.pem\", key = \"client.key\", server_name = \"redis\" }
  # in tls, besides: pinned = \"server.pem\" for this certificate and no other; any_name = true for any name in it;
  # insecure_accept_any_certificate = true for tests alone: who intercepts the connection reads the password
The paths in it begin in the file's folder. If the servers are named elsewhere, the user, the password and the client certificate
of a file with servers are not used. The first of these that has a setting counts: the arguments, the file of --config, the
environment, the file of MULTIREDLOCK_CONFIG.";

/// What a configuration file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) servers: Option<Vec<String>>,
    pub(super) groups: Option<Vec<Vec<String>>>,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) key_prefix: Option<String>,
    pub(super) id: Option<String>,
    pub(super) drift: Option<FileDrift>,
    #[serde(deserialize_with = "some_duration")]
    pub(super) attempt_timeout: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    pub(super) acquire_timeout: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    pub(super) restart_guard: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    pub(super) fence_expiry: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    pub(super) heartbeat_interval: Option<Duration>,
    #[serde(deserialize_with = "some_duration")]
    pub(super) heartbeat_timeout: Option<Duration>,
    pub(super) tls: FileTls,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileTls {
    pub(super) ca: Option<PathBuf>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) server_name: Option<String>,
    pub(super) pinned: Option<PathBuf>,
    pub(super) any_name: bool,
    pub(super) insecure_accept_any_certificate: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum FileDrift {
    Factor(f64),
    Fixed(String),
}

impl File {
    /// Reads a file, whose paths begin in its folder.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = String::from_utf8(read(path)?)
            .map_err(|_| Failure::new(exit::CONFIG, format!("{}: not UTF-8", path.display())))?;
        let mut file: Self = toml::from_str(&text).map_err(|error| {
            let before = error.span().map_or("", |span| &text[..span.start]);
            let line = 1 + before.matches('\n').count();
            let problem = without_value(error.message()).replace('\n', ", ");
            Failure::new(exit::CONFIG, format!("{}, line {line}: {problem}", path.display()))
        })?;
        if file.servers.is_some() && file.groups.is_some() {
            let problem = format!("{}: it has both `servers` and `groups`", path.display());
            return Err(Failure::new(exit::CONFIG, problem));
        }
        let FileTls {
            ca, cert, key, pinned, ..
        } = &mut file.tls;
        for named in [ca, cert, key, pinned].into_iter().flatten() {
            *named = path.with_file_name("").join(&*named);
        }
        Ok(file)
    }

    /// Whether it names any server.
    pub(super) fn has_servers(&self) -> bool {
        let groups = self.groups.iter().flatten().flatten();
        self.servers.iter().flatten().chain(groups).next().is_some()
    }

    /// The servers of each group, if the file says anything of them.
    pub(super) fn groups(&self) -> Option<Vec<Vec<String>>> {
        let servers = self.servers.clone().map(|servers| vec![servers]);
        servers.or_else(|| self.groups.clone())
    }

    /// Takes away what only the servers of the file may see.
    pub(super) fn drop_credentials(&mut self) {
        self.username = None;
        self.password = None;
        self.tls.cert = None;
        self.tls.key = None;
    }
}

/// What is wrong, without a value that is shown in it: that may be a password, or an address with one.
fn without_value(problem: &str) -> String {
    match problem.rsplit_once(", expected ") {
        Some((found, expected)) if problem.starts_with("invalid ") => {
            let kind = found.split(['"', '`']).next().unwrap_or_default().trim_end();
            format!("{kind}, expected {expected}")
        }
        _ => problem.to_owned(),
    }
}

pub(super) fn read(path: impl AsRef<Path>) -> Result<Vec<u8>, Failure> {
    let path = path.as_ref();
    fs::read(path).map_err(|error| Failure::new(exit::CONFIG, format!("{}: {error}", path.display())))
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration::parse(&text).map(Some).map_err(de::Error::custom)
}
