//! Addresses in every form, and those that are refused.

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
            "unknown scheme `ftp`, expected redis, rediss, valkey or valkeys, each also with -cluster or -sentinel, \
             redis+unix, or memory",
        ),
        ("h:0", "port 0 is not between 1 and 65535"),
        ("redis://h:65536", "port 65536 is not between 1 and 65535"),
        ("redis://h/256", "database 256 is not between 0 and 255"),
        ("redis://h/-1", "database -1 is not between 0 and 255"),
        ("redis://h/zero", "database zero is not between 0 and 255"),
        ("", "the host is missing"),
        ("redis://", "the host is missing"),
        ("redis:///1", "the host is missing"),
        ("redis+unix://", "the path of the socket is missing"),
        ("memory://", "the name is missing"),
        ("redis-cluster://", "the host is missing"),
        ("redis-cluster://h/3", "a cluster has no database but 0, and not 3"),
        (
            "redis-sentinel://h",
            "the query parameter `sentinelServiceName` is missing",
        ),
    ] {
        let error = Server::parse(address).unwrap_err();
        assert_eq!(error.to_string(), format!("server address `{address}`: {problem}"));
    }
}

#[test]
fn what_is_no_port_is_not_shown_since_it_may_be_a_password() {
    for (address, shown) in [
        ("redis://h:x/1", "redis://h:…/1"),
        ("redis://u:hunter2", "redis://u:…"),
        ("u:hunter2", "u:…"),
        ("redis://u:hunter2,h", "redis://u:…"),
        ("redis://u:123456", "redis://u:…"),
        ("redis://h:6379:hunter2", "redis://h:…"),
        ("redis://u:hunter2:6379", "redis://u:…"),
        ("redis://a@u:hunter2", "redis://…@u:…"),
        ("redis://[::1]:x", "redis://[::1]:…"),
    ] {
        let error = Server::parse(address).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("server address `{shown}`: the text after the `:` is not a port (1 to 65535)")
        );
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn an_ipv6_address_without_brackets_is_told_to_stand_in_brackets() {
    for (address, shown) in [
        ("::1", "::1"),
        ("::", "::"),
        ("2001:db8::7", "2001:db8::7"),
        ("2001:db8:0:0:0:0:0:7", "2001:db8:0:0:0:0:0:7"),
        ("::1:6379", "::1:6379"),
        ("2001:db8:0:0:0:0:0:7:6379", "2001:db8:0:0:0:0:0:7:6379"),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.1"),
        ("::ffff:10.0.0.1:6379", "::ffff:10.0.0.1:6379"),
        ("redis://fe80::1/3", "redis://fe80::1/3"),
        ("redis://:p@::1", "redis://…@::1"),
        ("redis-cluster://::1", "redis-cluster://::1"),
        ("redis-cluster://h?node=::1", "redis-cluster://h"),
        (
            "redis-sentinel://h?sentinelServiceName=s&node=::1",
            "redis-sentinel://h",
        ),
    ] {
        assert_eq!(
            Server::parse(address).unwrap_err().to_string(),
            format!("server address `{shown}`: an IPv6 address stands in brackets, such as `[::1]:6379`")
        );
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
        (
            "redis://h?node=a",
            "`redis://h`: query parameter `node` is not understood",
        ),
        (
            "redis-cluster://h?node=a&sentinelServiceName=s",
            "`redis-cluster://h`: query parameter `sentinelServiceName` is not understood",
        ),
        (
            "redis-cluster://h?node=a:b",
            "`redis-cluster://h`: query parameter `node` is neither `host` nor `host:port`",
        ),
        (
            "redis-sentinel://h?sentinelServiceName=s&db=1",
            "`redis-sentinel://h`: query parameter `db` is not understood",
        ),
        (
            "redis-sentinel://h?sentinelServiceName=s&sentinelServiceName=t",
            "`redis-sentinel://h`: query parameter `sentinelServiceName` is given twice",
        ),
        (
            "redis-sentinel://h?sentinelServiceName=",
            "`redis-sentinel://h`: the name of the service is missing",
        ),
        (
            "redis+unix://u:hunter2@/run/redis.sock",
            "`redis+unix://…@/run/redis.sock`: neither a socket nor an in-memory server is named with credentials",
        ),
        (
            "redis://h?untrusted",
            "`redis://h`: query parameter `untrusted` is neither `true` nor `false`",
        ),
        (
            "redis+unix:///s?untrusted=true&untrusted=false",
            "`redis+unix:///s`: query parameter `untrusted` is given twice",
        ),
        (
            "redis-cluster://h?untrusted=true",
            "`redis-cluster://h`: query parameter `untrusted` is not understood",
        ),
        (
            "memory://a?untrusted=true",
            "`memory://a`: query parameter `untrusted` is not understood",
        ),
    ] {
        assert_eq!(
            Server::parse(address).unwrap_err().to_string(),
            format!("server address {error}")
        );
    }
}

#[test]
fn a_cluster_is_read_with_all_its_nodes() {
    for scheme in ["redis-cluster", "valkey-cluster"] {
        let url = format!("{scheme}://u:p%40@A:7000/0?node=b&node=[::1]:7001");
        let typed = Server::cluster([("A", 7000), ("b", 6379), ("::1", 7001)]);
        assert_eq!(Server::parse(&url).unwrap(), typed.username("u").password("p@"));
    }
}

#[test]
fn sentinels_are_read_with_the_service_and_their_own_credentials() {
    for scheme in ["redis-sentinel", "valkey-sentinel"] {
        let url = format!(
            "{scheme}://u:p@a/3?sentinelServiceName=my%20master&node=b:1&sentinelUsername=v&sentinelPassword=q%26%2B"
        );
        let typed = Server::sentinel("my master", [("a", 26379), ("b", 1)]);
        let typed = typed.username("u").password("p").database(3);
        let typed = typed.sentinel_username("v").sentinel_password("q&+");
        assert_eq!(Server::parse(&url).unwrap(), typed);
    }
}

#[test]
fn untrusted_is_a_parameter() {
    for (address, typed) in [
        ("h?untrusted=true", Server::new("h").untrusted()),
        ("h?untrusted=false", Server::new("h")),
        ("redis+unix:///s?untrusted=true", Server::unix("/s").untrusted()),
        (
            "redis-sentinel://h?untrusted=true&sentinelServiceName=s",
            Server::sentinel("s", [("h", 26379)]).untrusted(),
        ),
    ] {
        assert_eq!(Server::parse(address).unwrap(), typed, "{address}");
    }
}

#[cfg(feature = "tls")]
#[test]
fn tls_is_asked_for_by_the_scheme() {
    let tls = |url: &str| Server::parse(url).unwrap().tls;
    for scheme in ["rediss", "valkeys", "rediss-cluster", "valkeys-cluster"] {
        assert!(tls(&format!("{scheme}://h")).is_some(), "{scheme}");
    }
    for scheme in ["rediss-sentinel", "valkeys-sentinel"] {
        assert!(
            tls(&format!("{scheme}://h?sentinelServiceName=s")).is_some(),
            "{scheme}"
        );
    }
    for url in [
        "redis://h",
        "redis-cluster://h",
        "redis-sentinel://h?sentinelServiceName=s",
    ] {
        assert!(tls(url).is_none(), "{url}");
    }
}

#[test]
fn a_build_without_tls_says_so() {
    assert_eq!(
        AddressProblem::NoTls.to_string(),
        "TLS is asked for, but the crate was built without its feature `tls`"
    );
}

#[cfg(not(feature = "tls"))]
#[test]
fn tls_is_never_replaced_by_plaintext() {
    for url in [
        "rediss://h",
        "rediss-cluster://h",
        "rediss-sentinel://h?sentinelServiceName=s",
    ] {
        let error = Server::parse(url).unwrap_err();
        assert!(
            error.to_string().ends_with(AddressProblem::NoTls.to_string().as_str()),
            "{error}"
        );
    }
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
        "redis+unix://u:hunter2@/s",
        "u:hunter2@h?next=http://h",
        "u:hunter2://@h",
        "u@redis://:hunter2@h/3",
        "redis://x@u:1?hunter2@h",
        "memory://:hunter2@a",
        "redis-cluster://h?node=hunter2:x",
        "redis-cluster://u:hunter2@h?node=:",
        "redis-sentinel://h?sentinelPassword=hunter2",
        "redis-sentinel://h?sentinelPassword=a@hunter2",
        "redis-sentinel://u:p@h?sentinelPassword=a@hunter2",
        "redis-sentinel://u:p@h?sentinelPassword=hunter2&sentinelPassword=hunter2",
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
