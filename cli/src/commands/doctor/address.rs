//! How the client that inspects the servers reaches them.

use crate::settings::TlsFiles;
use multiredlock::{
    Server,
    status::{Location, ServerParts},
};
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
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

impl Way {
    pub(super) fn new(server: &Server, tls: &TlsFiles) -> Self {
        let parts = server.parts();
        let host = match &parts.location {
            Location::Tcp { host, .. } => Some(*host),
            Location::Cluster { nodes, .. } | Location::Sentinel { nodes, .. } => nodes.first().map(|(host, _)| *host),
            _ => None,
        };
        Self {
            place: host.map_or(Place::ThisMachine, Place::of),
            kind: match &parts.location {
                Location::Cluster { .. } => Kind::Cluster,
                Location::Sentinel { .. } => Kind::Sentinel,
                _ => Kind::Single,
            },
            is_tls: parts.is_encrypted,
            has_password: parts.password.is_some(),
            user: parts.username.map(str::to_owned),
            target: target(&parts, tls),
        }
    }
}

/// How to connect to a server, or why that is left to the library.
fn target(parts: &ServerParts, tls: &TlsFiles) -> Result<ConnectionInfo, String> {
    let expected = tls.server_name.as_deref().filter(|_| parts.is_encrypted);
    let address = match parts.location {
        Location::Cluster { .. } => return Err("it is a cluster, whose nodes only the library knows".into()),
        Location::Sentinel { .. } => return Err("it is named by sentinels, which only the library asks".into()),
        _ if parts.is_encrypted && tls.has_own_checks() => {
            return Err("its certificate is checked in a way that only the library knows".into());
        }
        _ if parts.is_untrusted => {
            return Err("it is untrusted, and only the library bounds what it may send".into());
        }
        Location::Tcp { host, port, .. } => match expected {
            Some(name) if name != host => {
                let problem = format!("its certificate is for `{name}`, which only the library can expect");
                return Err(problem);
            }
            _ if parts.is_encrypted => ConnectionAddr::TcpTls {
                host: host.into(),
                port,
                insecure: false,
                tls_params: None,
            },
            _ => ConnectionAddr::Tcp(host.into(), port),
        },
        Location::Unix(path) => ConnectionAddr::Unix(path.into()),
        _ => return Err("only the library can reach it".into()),
    };
    let info = address.into_connection_info().map_err(|error| error.to_string())?;
    let mut redis = info.redis_settings().clone().set_skip_set_lib_name();
    redis = redis.set_db(parts.database.into());
    // As the library does: a user without a password accepts any, and with a name a server without a password takes it, too.
    if parts.username.is_some() || parts.password.is_some() {
        redis = redis
            .set_username(parts.username.unwrap_or("default"))
            .set_password(parts.password.unwrap_or("-"));
    }
    Ok(info.set_redis_settings(redis))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn way(address: &str) -> Way {
        way_with(address, &TlsFiles::default())
    }

    fn way_with(address: &str, tls: &TlsFiles) -> Way {
        Way::new(&Server::parse(address.trim()).unwrap(), tls)
    }

    /// The location of the server, the database, and the user.
    fn read(address: &str) -> String {
        let info = way(address).target.unwrap();
        let redis = info.redis_settings();
        let who = redis.username().zip(redis.password());
        let who = who.map_or_else(String::new, |(name, password)| format!(" as {name}, {password}"));
        format!("{}/{}{who}", info.addr(), redis.db())
    }

    #[test]
    fn an_address_is_read_in_every_form_and_half_of_the_credentials_as_the_library_reads_them() {
        for (address, expected) in [
            ("localhost", "localhost:6379/0"),
            ("10.0.0.1:6380", "10.0.0.1:6380/0"),
            (" redis://10.0.0.1 ", "10.0.0.1:6379/0"),
            ("valkey://db.example:1/15", "db.example:1/15"),
            ("[::1]:7000", "::1:7000/0"),
            ("redis://h?untrusted=false", "h:6379/0"),
            ("redis://h/3?untrusted=false", "h:6379/3"),
            ("redis+unix:///run/redis.sock", "/run/redis.sock/0"),
            ("redis+unix:///run/r%20s?untrusted=false", "/run/r%20s/0"),
            ("redis://bill%3Aing:p%40ss%2F@h", "h:6379/0 as bill:ing, p@ss/"),
            ("redis://:secret@h", "h:6379/0 as default, secret"),
            ("redis://open@h", "h:6379/0 as open, -"),
        ] {
            assert_eq!(read(address), expected, "{address}");
        }
    }

    #[test]
    fn what_is_more_than_one_process_is_left_to_the_library_and_its_place_is_known() {
        let cluster = "redis-cluster://:p@db.example:7000?node=b:7000";
        let sentinel = "valkey-sentinel://:p@db.example?sentinelServiceName=m";
        for (address, kind, words) in [
            (cluster, Kind::Cluster, "cluster"),
            (sentinel, Kind::Sentinel, "sentinels"),
        ] {
            let way = way(address);
            assert_eq!((way.kind, way.place), (kind, Place::Host("db.example".into())));
            assert!(way.has_password, "{address}");
            let reason = way.target.unwrap_err();
            assert!(reason.contains(words), "{reason}");
        }
    }

    #[test]
    fn a_loopback_address_and_a_socket_are_this_machine() {
        for address in ["localhost", "a.localhost:1", "127.0.0.9", "[::1]", "redis+unix:///s"] {
            assert_eq!(way(address).place, Place::ThisMachine, "{address}");
        }
        for host in ["10.0.0.1", "local.example", "2001:db8::1"] {
            assert_eq!(Place::of(host), Place::Host(host.into()));
        }
    }

    #[test]
    fn a_server_that_is_untrusted_is_left_to_the_library() {
        for address in [
            "redis://h?untrusted=true",
            "redis+unix:///s?untrusted=true",
            "redis://:p@h/3?untrusted=%74rue",
        ] {
            let reason = way(address).target.unwrap_err();
            assert!(reason.contains("untrusted"), "{address}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_name_that_only_the_library_can_expect_is_left_to_it() {
        for address in ["rediss://h", "valkeys://h", "rediss://h/2?untrusted=false"] {
            let Way { is_tls, target, .. } = way(address);
            let target = target.unwrap();
            let is_checked = matches!(target.addr(), ConnectionAddr::TcpTls { insecure: false, .. });
            assert!(is_tls && is_checked, "{address}");
        }
        let named = TlsFiles {
            server_name: Some("redis.test".into()),
            ..TlsFiles::default()
        };
        let reason = way_with("rediss://h", &named).target.unwrap_err();
        assert!(reason.contains("`redis.test`"), "{reason}");
        assert!(way_with("rediss://redis.test", &named).target.is_ok());
        assert!(way_with("redis://h", &named).target.is_ok());
    }
}
