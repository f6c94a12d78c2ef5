//! Addresses as texts, for the client that looks into the servers.
//!
//! The library reads the same texts and has refused by now what is none of its forms, so that this only has to tell them apart.

use crate::settings::{Settings, has_credentials, is_tls};
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};
use std::net::IpAddr;

/// How a server is reached.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) place: Place,
    pub(super) kind: Kind,
    pub(super) is_tls: bool,
    pub(super) has_password: bool,
    /// Who we are to the server, if that is not its default user.
    pub(super) user: Option<String>,
    /// How to connect to it; or why that is left to the library.
    pub(super) target: Result<ConnectionInfo, String>,
}

/// What one address leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Single,
    Cluster,
    Sentinel,
}

/// Where a server is, as far as its address tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A socket or a loopback address.
    ThisMachine,
    Host(String),
}

/// What the settings say of every server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Defaults<'a> {
    username: Option<&'a str>,
    password: Option<&'a str>,
    /// Whom the certificates are for, if not for the hosts.
    server_name: Option<&'a str>,
    /// Whether certificates are checked in another way than by an authority and a name.
    has_own_checks: bool,
}

impl<'a> From<&'a Settings> for Defaults<'a> {
    fn from(settings: &'a Settings) -> Self {
        Self {
            username: settings.username.as_deref(),
            password: settings.password.as_deref(),
            server_name: settings.tls.server_name.as_deref(),
            has_own_checks: settings.tls.has_own_checks(),
        }
    }
}

impl Way {
    pub(super) fn new(address: &str, defaults: &Defaults) -> Self {
        let address = address.trim();
        let (scheme, rest) = address.split_once("://").unwrap_or(("redis", address));
        let kind = match scheme.rsplit_once('-') {
            Some((_, "cluster")) => Kind::Cluster,
            Some((_, "sentinel")) => Kind::Sentinel,
            _ => Kind::Single,
        };
        let is_tls = is_tls(address);
        let info = if scheme == "redis+unix" {
            unix(rest)
        } else {
            tcp(rest, is_tls)
        };
        let mut way = Self {
            place: Place::Host(String::new()),
            kind,
            is_tls,
            has_password: false,
            user: None,
            target: Err(String::new()),
        };
        let info = match info {
            Ok(info) => info,
            Err(problem) => {
                return Self {
                    target: Err(problem),
                    ..way
                };
            }
        };
        let info = if has_credentials(address) {
            info
        } else {
            with_credentials(info, defaults)
        };
        let host = host(info.addr());
        way.place = host.map_or(Place::ThisMachine, Place::of);
        way.has_password = info.redis_settings().password().is_some();
        way.user = info.redis_settings().username().map(str::to_owned);
        let certified = defaults.server_name.filter(|_| is_tls);
        way.target = match (kind, certified) {
            (Kind::Cluster, _) => Err("it is a cluster, whose nodes only the library knows".into()),
            (Kind::Sentinel, _) => Err("it is named by sentinels, which only the library asks".into()),
            (Kind::Single, _) if is_tls && defaults.has_own_checks => {
                Err("its certificate is checked in a way that only the library knows".into())
            }
            (Kind::Single, Some(name)) if host != Some(name) => Err(format!(
                "its certificate is for `{name}`, which only the library can expect"
            )),
            (Kind::Single, _) if is_distrusted(rest) => {
                Err("it is distrusted, and only the library bounds what it may send".into())
            }
            (Kind::Single, _) => Ok(as_the_library_does(info)),
        };
        way
    }
}

impl Place {
    fn of(host: &str) -> Self {
        let is_local = match host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => host == "localhost" || host.ends_with(".localhost"),
        };
        if is_local {
            Self::ThisMachine
        } else {
            Self::Host(host.into())
        }
    }
}

/// Whatever is not plainly trusted is not.
fn is_distrusted(rest: &str) -> bool {
    let parameters = rest.split_once('?').map_or("", |(_, query)| query).split('&');
    let mut values = parameters.filter_map(|parameter| parameter.strip_prefix("distrusted="));
    values.any(|value| value != "false")
}

/// Without the query: what it says is the library's, and some of it would be misread.
fn without_query(rest: &str) -> &str {
    rest.split('?').next().unwrap_or(rest)
}

fn tcp(rest: &str, is_tls: bool) -> Result<ConnectionInfo, String> {
    let scheme = if is_tls { "rediss" } else { "redis" };
    let url = format!("{scheme}://{}", without_query(rest));
    // Its errors have nothing of the URL in them.
    url.into_connection_info().map_err(|error| error.to_string())
}

fn unix(rest: &str) -> Result<ConnectionInfo, String> {
    let address = ConnectionAddr::Unix(without_query(rest).into());
    address.into_connection_info().map_err(|error| error.to_string())
}

fn host(address: &ConnectionAddr) -> Option<&str> {
    match address {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => Some(host),
        _ => None,
    }
}

fn with_credentials(info: ConnectionInfo, defaults: &Defaults) -> ConnectionInfo {
    let mut redis = info.redis_settings().clone();
    if let Some(username) = defaults.username {
        redis = redis.set_username(username);
    }
    if let Some(password) = defaults.password {
        redis = redis.set_password(password);
    }
    info.set_redis_settings(redis)
}

/// Logs in as the library does, also where one half of the credentials is missing.
fn as_the_library_does(info: ConnectionInfo) -> ConnectionInfo {
    let redis = info.redis_settings().clone().set_skip_set_lib_name();
    let redis: RedisConnectionInfo = match (redis.username(), redis.password()) {
        // A user without a password accepts any.
        (Some(_), None) => redis.set_password("-"),
        // With a name a server without a password takes it, too.
        (None, Some(_)) => redis.set_username("default"),
        _ => redis,
    };
    info.set_redis_settings(redis)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The place that is connected to, the user, the password, and the database.
    fn read(address: &str) -> (String, Option<String>, Option<String>, i64) {
        let info = Way::new(address, &Defaults::default()).target.unwrap();
        let redis = info.redis_settings();
        (
            info.addr().to_string(),
            redis.username().map(Into::into),
            redis.password().map(Into::into),
            redis.db(),
        )
    }

    #[test]
    fn an_address_is_read_in_every_form() {
        for (address, expected, database) in [
            ("localhost", "localhost:6379", 0),
            ("10.0.0.1:6380", "10.0.0.1:6380", 0),
            (" redis://10.0.0.1 ", "10.0.0.1:6379", 0),
            ("valkey://db.example:1/15", "db.example:1", 15),
            ("[::1]:7000", "::1:7000", 0),
            ("redis://h?distrusted=false", "h:6379", 0),
            ("redis://h/3?distrusted=false", "h:6379", 3),
            ("redis+unix:///run/redis.sock", "/run/redis.sock", 0),
            ("redis+unix:///run/r%20s?distrusted=false", "/run/r%20s", 0),
        ] {
            assert_eq!(read(address), (expected.into(), None, None, database), "{address}");
        }
    }

    #[test]
    fn whoever_has_half_of_the_credentials_logs_in_as_the_library_does() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            read("redis://bill%3Aing:p%40ss%2F@h"),
            ("h:6379".into(), some("bill:ing"), some("p@ss/"), 0)
        );
        assert_eq!(
            read("redis://:secret@h"),
            ("h:6379".into(), some("default"), some("secret"), 0)
        );
        assert_eq!(read("redis://open@h"), ("h:6379".into(), some("open"), some("-"), 0));
    }

    #[test]
    fn the_credentials_of_the_file_are_for_addresses_without_any() {
        let defaults = Defaults {
            username: Some("locks"),
            password: Some("secret"),
            server_name: None,
            has_own_checks: false,
        };
        for (address, user, password) in [
            ("h", "locks", "secret"),
            ("redis+unix:///s", "locks", "secret"),
            ("redis://u:p@h", "u", "p"),
            ("redis://:p@h", "default", "p"),
        ] {
            let way = Way::new(address, &defaults);
            assert!(way.has_password, "{address}");
            let info = way.target.unwrap();
            let redis = info.redis_settings();
            assert_eq!(
                (redis.username(), redis.password()),
                (Some(user), Some(password)),
                "{address}"
            );
        }
        assert!(!Way::new("redis://u@h", &defaults).has_password);
    }

    #[test]
    fn what_is_more_than_one_process_is_left_to_the_library_and_its_place_is_known() {
        for (address, kind, words) in [
            (
                "redis-cluster://:p@db.example:7000?node=b:7000",
                Kind::Cluster,
                "cluster",
            ),
            (
                "valkey-sentinel://:p@db.example?sentinelServiceName=m",
                Kind::Sentinel,
                "sentinels",
            ),
        ] {
            let way = Way::new(address, &Defaults::default());
            assert_eq!(
                (way.kind, way.place),
                (kind, Place::Host("db.example".into())),
                "{address}"
            );
            assert!(way.has_password, "{address}");
            let reason = way.target.unwrap_err();
            assert!(reason.contains(words), "{reason}");
        }
    }

    #[test]
    fn a_loopback_address_and_a_socket_are_this_machine() {
        for address in ["localhost", "a.localhost:1", "127.0.0.9", "[::1]", "redis+unix:///s"] {
            assert_eq!(
                Way::new(address, &Defaults::default()).place,
                Place::ThisMachine,
                "{address}"
            );
        }
        for host in ["10.0.0.1", "local.example", "2001:db8::1"] {
            assert_eq!(Place::of(host), Place::Host(host.into()));
        }
    }

    #[test]
    fn a_server_that_is_distrusted_is_left_to_the_library() {
        for address in [
            "redis://h?distrusted=true",
            "redis+unix:///s?distrusted=true",
            "redis://:p@h/3?distrusted=%74rue",
        ] {
            let way = Way::new(address, &Defaults::default());
            assert!(way.target.unwrap_err().contains("distrusted"), "{address}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_name_that_only_the_library_can_expect_is_left_to_it() {
        for address in ["rediss://h", "valkeys://h", "rediss://h/2?distrusted=false"] {
            let way = Way::new(address, &Defaults::default());
            assert!(
                way.is_tls
                    && matches!(
                        way.target.unwrap().addr(),
                        ConnectionAddr::TcpTls { insecure: false, .. }
                    )
            );
        }
        let named = Defaults {
            server_name: Some("redis.test"),
            ..Defaults::default()
        };
        assert!(
            Way::new("rediss://h", &named)
                .target
                .unwrap_err()
                .contains("`redis.test`")
        );
        assert!(Way::new("rediss://redis.test", &named).target.is_ok());
        assert!(Way::new("redis://h", &named).target.is_ok());
    }

    #[test]
    fn what_the_client_cannot_read_is_told_without_a_password() {
        let reason = Way::new("redis://user:secret@0.0.0.0", &Defaults::default())
            .target
            .unwrap_err();
        assert!(reason.contains("wildcard") && !reason.contains("secret"), "{reason}");
    }
}
