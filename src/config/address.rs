//! Server addresses as text.

use super::Server;
#[cfg(feature = "tls")]
use super::Tls;
use crate::error::AddressProblem;
use url::Url;

/// Reads an address in any of the forms that [`Server::parse`] names.
pub(super) fn parse(address: &str) -> Result<Server, AddressProblem> {
    let Some((scheme, rest)) = address.split_once("://") else {
        return parse_tcp(&format!("redis://{address}"));
    };
    match scheme {
        "redis" | "valkey" => parse_tcp(address),
        "rediss" | "valkeys" => with_tls(parse_tcp(address)?),
        "redis+unix" => parse_path(rest, "the path of the socket").map(Server::unix),
        "memory" => parse_path(rest, "the name").map(Server::memory),
        _ => Err(AddressProblem::Scheme(scheme.into())),
    }
}

/// Reads what stands for itself after the scheme: a path or a name.
fn parse_path<'a>(rest: &'a str, what: &'static str) -> Result<&'a str, AddressProblem> {
    if let Some((_, query)) = rest.split_once('?') {
        return Err(unexpected_query(query));
    }
    match rest {
        "" | "/" => Err(AddressProblem::Missing(what)),
        _ => Ok(rest),
    }
}

#[cfg(feature = "tls")]
#[expect(clippy::unnecessary_wraps, reason = "it fails without the feature")]
fn with_tls(server: Server) -> Result<Server, AddressProblem> {
    Ok(server.tls(Tls::new()))
}

#[cfg(not(feature = "tls"))]
fn with_tls(_: Server) -> Result<Server, AddressProblem> {
    Err(AddressProblem::NoTls)
}

fn parse_tcp(url: &str) -> Result<Server, AddressProblem> {
    let authority = authority(url);
    if url.contains('@') && !authority.contains('@') {
        // What looks like a port or a path would be a part of the password, which no error may show.
        return Err(AddressProblem::Credentials);
    }
    let url = Url::parse(url).map_err(|error| match error {
        url::ParseError::InvalidPort => AddressProblem::Port(port_text(authority).into()),
        url::ParseError::EmptyHost => AddressProblem::Missing("the host"),
        error => AddressProblem::Syntax(error.to_string()),
    })?;
    let host = match url.host() {
        Some(url::Host::Ipv6(address)) => address.to_string(),
        Some(host) => host.to_string(),
        None => return Err(AddressProblem::Missing("the host")),
    };
    if host.is_empty() {
        return Err(AddressProblem::Missing("the host"));
    }
    if let Some(query) = url.query() {
        return Err(unexpected_query(query));
    }
    if url.fragment().is_some() {
        return Err(AddressProblem::Fragment);
    }
    let mut server = Server::new(host);
    if let Some(port) = url.port() {
        if port == 0 {
            return Err(AddressProblem::Port("0".into()));
        }
        server = server.port(port);
    }
    let database = url.path().trim_start_matches('/');
    if !database.is_empty() {
        let number = database
            .parse()
            .map_err(|_| AddressProblem::Database(database.into()))?;
        server = server.database(number);
    }
    if !url.username().is_empty() {
        server = server.username(decoded(url.username()));
    }
    if let Some(password) = url.password() {
        server = server.password(decoded(password));
    }
    Ok(server)
}

/// Names the first parameter, but not its value, which may be a password.
fn unexpected_query(query: &str) -> AddressProblem {
    AddressProblem::Parameter(query.split(['=', '&']).next().unwrap_or_default().into())
}

/// The port that the URL parser did not take.
fn port_text(authority: &str) -> &str {
    authority.rsplit_once(':').map_or("", |(_, port)| port)
}

/// What stands between the scheme and the path.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

/// The address with what could be a password taken out, whatever else is wrong with it.
pub(super) fn without_credentials(address: &str) -> String {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), address),
    };
    let rest = match rest.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => rest.into(),
    };
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    scheme + &rest[..end]
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tcp(address: &str) -> (String, u8) {
        let server = Server::parse(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        (server.address().to_string(), server.database)
    }

    #[test]
    fn a_tcp_address_is_read_in_every_form() {
        assert_eq!(tcp("localhost"), ("localhost:6379".into(), 0));
        assert_eq!(tcp("10.0.0.1:6380"), ("10.0.0.1:6380".into(), 0));
        assert_eq!(tcp("redis://Example.com"), ("example.com:6379".into(), 0));
        assert_eq!(tcp("valkey://example.com:1/15"), ("example.com:1".into(), 15));
        assert_eq!(tcp("redis://example.com/"), ("example.com:6379".into(), 0));
        assert_eq!(tcp("[::1]:7000"), ("[::1]:7000".into(), 0));
        assert_eq!(tcp("redis://[fe80::1]"), ("[fe80::1]:6379".into(), 0));
    }

    #[test]
    fn credentials_are_decoded() {
        let server = Server::parse("redis://bill%3Aing:p%40ss%2F@h").unwrap();
        assert_eq!(server.username.as_deref(), Some("bill:ing"));
        assert_eq!(server.password.as_deref(), Some("p@ss/"));
        let server = Server::parse("redis://:foobared@h").unwrap();
        assert_eq!((server.username, server.password.as_deref()), (None, Some("foobared")));
    }

    #[test]
    fn a_socket_and_a_name_are_read() {
        let path = "redis+unix:///run/redis/redis.sock";
        assert_eq!(Server::parse(path).unwrap(), Server::unix("/run/redis/redis.sock"));
        assert_eq!(Server::parse("memory://a").unwrap().address().as_str(), "memory://a");
    }

    #[test]
    fn what_is_not_understood_is_an_error_that_names_it() {
        for (address, problem) in [
            (
                "ftp://h",
                "unknown scheme `ftp`, expected redis, rediss, valkey, valkeys, redis+unix, or memory",
            ),
            ("h:0", "port 0 is not between 1 and 65535"),
            ("redis://h:65536", "port 65536 is not between 1 and 65535"),
            ("redis://h:x/1", "port x is not between 1 and 65535"),
            ("redis://h/256", "database 256 is not between 0 and 255"),
            ("redis://h/-1", "database -1 is not between 0 and 255"),
            ("redis://h/zero", "database zero is not between 0 and 255"),
            ("", "the host is missing"),
            ("redis://", "the host is missing"),
            ("redis:///1", "the host is missing"),
            ("redis+unix://", "the path of the socket is missing"),
            ("memory://", "the name is missing"),
        ] {
            let error = Server::parse(address).unwrap_err();
            assert_eq!(error.to_string(), format!("server address `{address}`: {problem}"));
        }
    }

    #[test]
    fn a_parameter_is_named_without_its_value() {
        for (address, error) in [
            (
                "redis://h?timeout=3",
                "`redis://h`: query parameter `timeout` is not understood",
            ),
            (
                "redis+unix:///s?db=3&a=b",
                "`redis+unix:///s`: query parameter `db` is not understood",
            ),
            ("redis://h#1", "`redis://h`: a fragment is not understood"),
        ] {
            assert_eq!(
                Server::parse(address).unwrap_err().to_string(),
                format!("server address {error}")
            );
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn tls_is_asked_for_by_the_scheme() {
        for scheme in ["rediss", "valkeys"] {
            assert!(Server::parse(&format!("{scheme}://h")).unwrap().tls.is_some());
        }
        assert!(Server::parse("redis://h").unwrap().tls.is_none());
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_is_never_replaced_by_plaintext() {
        let error = Server::parse("rediss://h").unwrap_err();
        assert!(error.to_string().contains("without its feature `tls`"), "{error}");
    }

    #[test]
    fn a_password_is_never_printed() {
        let server = Server::parse("redis://user:hunter2@h").unwrap();
        assert!(!format!("{server:?} {}", server.address()).contains("hunter2"));
        for wrong in [
            "redis://u:hunter2@h:0",
            "ftp://u:hunter2@h",
            "u:hunter2@h:99999",
            "redis://u:hunter2@",
            "redis://u:/hunter2@h",
            "redis://u:1?hunter2@h",
            "u:1#hunter2@h",
            "redis://u:hunter2/@h/1",
            "redis://h?password=hunter2",
            "redis://h#hunter2",
            "redis+unix:///s?db=1&pass=hunter2",
            "unix:///s?pass=hunter2",
        ] {
            let error = Server::parse(wrong).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(address in ".*") {
            let _ = Server::parse(&address);
        }

        #[test]
        fn an_address_that_was_printed_is_read_again(host in "[a-z][a-z0-9.-]{0,20}[a-z]", port in 1_u16.., database: u8) {
            let server = Server::new(host).port(port).database(database);
            let url = format!("redis://{}/{database}", server.address());
            prop_assert_eq!(Server::parse(&url).unwrap(), server);
        }
    }
}
