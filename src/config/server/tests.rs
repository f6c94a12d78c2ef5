//! What the methods of a server set.

use super::*;

#[test]
fn a_host_is_a_name_or_an_address() {
    for host in ["10.0.0.1", "::1", "redis-1.example.com"] {
        assert_eq!(Server::new(host).check(), Ok(()), "{host}");
    }
    for host in [
        "",
        "10.0.0.1:6380",
        "redis://h",
        "[::1]",
        "a b",
        "u:p@h",
        "a\u{1b}[2J",
        "a&b=c",
    ] {
        assert!(Server::new(host).check().is_err(), "{host}");
    }
}

#[cfg(feature = "tls")]
#[test]
fn tls_is_refused_where_it_would_not_be_used() {
    for server in [
        Server::unix("/run/redis.sock"),
        Server::unix("/run/redis.sock").untrusted(),
        Server::memory("a"),
    ] {
        assert_eq!(server.check(), Ok(()));
        let built = crate::Redlock::builder().servers([server.tls(Tls::new())]).build();
        let problem = AddressProblem::NotOverTls;
        assert!(matches!(built, Err(ConfigError::Address { problem: found, .. }) if found == problem));
    }
}

#[test]
fn a_server_of_several_nodes_is_told_apart_by_the_first() {
    let cluster = Server::cluster([("A", 7000), ("::1", 7001)]);
    assert_eq!(cluster.address().as_str(), "redis-cluster://a:7000");
    let sentinel = Server::sentinel("locks", [("::1", 26379), ("b", 26379)]);
    assert_eq!(sentinel.address().as_str(), "redis-sentinel://locks@[::1]:26379");
}

#[test]
fn a_server_of_several_nodes_is_checked_as_others_are() {
    let none: [(&str, u16); 0] = [];
    for (server, problem) in [
        (Server::cluster(none), "`redis-cluster://`: the host is missing"),
        (
            Server::cluster([("a", 1), ("b", 0)]),
            "`redis-cluster://a:1`: port 0 is not between 1 and 65535",
        ),
        (
            Server::cluster([("a", 1)]).database(3),
            "`redis-cluster://a:1`: a cluster has no database but 0, and not 3",
        ),
        (
            Server::cluster([("a", 1)]).untrusted(),
            "`redis-cluster://a:1`: a cluster cannot be untrusted",
        ),
        (
            Server::sentinel("", [("a", 1)]),
            "`redis-sentinel://…@a:1`: the name of the service is missing",
        ),
        (
            Server::sentinel("s", [("a", 1), ("u:p@b", 1)]),
            "`redis-sentinel://…@a:1`: the host is neither a name nor an IP address",
        ),
    ] {
        let error = server.check().unwrap_err();
        assert_eq!(error.to_string(), format!("server address {problem}"));
    }
    assert_eq!(Server::sentinel("s", [("a", 1)]).database(3).check(), Ok(()));
}

#[test]
fn the_credentials_of_sentinels_are_hidden_and_theirs_alone() {
    let server = Server::sentinel("s", [("a", 1)])
        .sentinel_username("u")
        .sentinel_password("hunter2");
    assert!(!format!("{server:?} {}", server.address()).contains("hunter2"));
    assert_eq!(
        Server::new("a").sentinel_username("u").sentinel_password("p"),
        Server::new("a")
    );
}
