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
        let words = "neither a Unix socket nor an in-memory server can use TLS";
        assert!(built.unwrap_err().to_string().ends_with(words));
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
fn the_credentials_of_sentinels_are_hidden() {
    let server = Server::sentinel("s", [("a", 1)])
        .sentinel_username("u")
        .sentinel_password("hunter2");
    assert!(!format!("{server:?} {}", server.address()).contains("hunter2"));
}

#[test]
fn a_setting_that_this_kind_of_server_does_not_have_is_named() {
    let unix = || Server::unix("/run/redis.sock");
    let cluster = || Server::cluster([("a", 1)]);
    let sentinel = || Server::sentinel("s", [("a", 1)]);
    let memory = || Server::memory("a");
    for (server, problem) in [
        (
            unix().port(1),
            "`/run/redis.sock`: `port(1)` does not apply to a Unix socket",
        ),
        (
            cluster().port(2),
            "`redis-cluster://a:1`: `port(2)` does not apply to a cluster",
        ),
        (
            sentinel().port(3),
            "`redis-sentinel://…@a:1`: `port(3)` does not apply to a master that sentinels name",
        ),
        (
            memory().port(4),
            "`memory://a`: `port(4)` does not apply to an in-memory server",
        ),
        (
            Server::new("a").sentinel_username("u").port(1),
            "`a:1`: `sentinel_username` does not apply to a server at one host",
        ),
        (
            cluster().sentinel_password("hunter2"),
            "`redis-cluster://a:1`: `sentinel_password` does not apply to a cluster",
        ),
        (
            unix().sentinel_password("hunter2").port(1),
            "`/run/redis.sock`: `sentinel_password` does not apply to a Unix socket",
        ),
        (
            memory().username("u"),
            "`memory://a`: `username` does not apply to an in-memory server",
        ),
        (
            memory().password("hunter2"),
            "`memory://a`: `password` does not apply to an in-memory server",
        ),
        (
            memory().database(3),
            "`memory://a`: `database(3)` does not apply to an in-memory server",
        ),
        (
            memory().untrusted(),
            "`memory://a`: `untrusted` does not apply to an in-memory server",
        ),
    ] {
        let error = crate::Redlock::builder().servers([server]).build().unwrap_err();
        assert_eq!(error.to_string(), format!("server address {problem}"));
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

#[cfg(feature = "tls")]
#[test]
fn a_tls_setting_that_has_no_effect_beside_another_is_named() {
    let server = |tls| Server::new("h").tls(tls);
    let any = || Tls::new().insecure_accept_any_certificate();
    for (tls, problem) in [
        (
            any().any_name(),
            "`any_name` has no effect beside `insecure_accept_any_certificate`",
        ),
        (
            any().ca_pem("c"),
            "`ca_pem` has no effect beside `insecure_accept_any_certificate`",
        ),
        (
            any().pinned_pem("p"),
            "`pinned_pem` has no effect beside `insecure_accept_any_certificate`",
        ),
        (
            Tls::new().pinned_pem("p").any_name(),
            "`any_name` has no effect beside `pinned_pem`",
        ),
        (
            Tls::new().pinned_pem("p").ca_pem("c"),
            "`ca_pem` has no effect beside `pinned_pem`",
        ),
    ] {
        let error = crate::Redlock::builder().servers([server(tls)]).build().unwrap_err();
        assert_eq!(error.to_string(), format!("TLS settings of server h:6379: {problem}"));
    }
    for tls in [
        any().server_name("n").identity_pem("c", "k"),
        Tls::new().pinned_pem("p").server_name("n"),
        Tls::new().ca_pem("c").any_name().server_name("n"),
    ] {
        assert_eq!(server(tls).check(), Ok(()));
    }
}

#[test]
fn servers_with_the_same_settings_are_equal_and_have_one_hash() {
    let server = || {
        Server::new("h")
            .port(1)
            .username("u")
            .password("p")
            .database(2)
            .untrusted()
    };
    let mut different = vec![
        server(),
        server().port(2),
        server().username("v"),
        server().password("q"),
        server().database(3),
        server().sentinel_username("s"),
        Server::new("h"),
        Server::unix("h"),
        Server::cluster([("h", 1)]),
        Server::sentinel("s", [("h", 1)]),
        Server::sentinel("s", [("h", 1)]).sentinel_password("p"),
        Server::memory("h"),
    ];
    #[cfg(feature = "tls")]
    different.extend([server().tls(Tls::new()), server().tls(Tls::new().any_name())]);
    let again = different.clone();
    let set: HashSet<Server> = different.iter().cloned().collect();
    assert_eq!(set.len(), different.len());
    assert!(again.iter().all(|server| set.contains(server)));
    for server in ["redis://u:p@h:1/2?untrusted=true", "memory://h"] {
        assert!(set.contains(&Server::parse(server).unwrap()), "{server}");
    }
}
