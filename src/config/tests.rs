//! What a builder accepts and refuses.

use super::*;

fn error(builder: Builder) -> String {
    builder.check().unwrap_err().to_string()
}

#[test]
fn the_defaults_are_those_of_the_original() {
    let config = Builder::default().check().unwrap();
    assert_eq!(config.groups, [[Server::new("localhost").port(6379)]]);
    assert_eq!(config.id, hostname::get().unwrap().to_str().unwrap());
    assert_eq!(config.drift, Drift::fixed(Duration::from_millis(100)));
    assert_eq!(config.retry, Retry::new(3, Duration::from_millis(100)));
}

#[test]
fn servers_are_one_group_and_each_group_is_another() {
    let groups = |builder: Builder| -> Vec<Vec<String>> {
        let config = builder.check().unwrap();
        let addresses = |servers: Vec<Server>| servers.iter().map(|server| server.address().to_string()).collect();
        config.groups.into_iter().map(addresses).collect()
    };
    let builder = Builder::default;
    assert_eq!(
        groups(builder().group(["a"]).group(["b", "c"])),
        [vec!["a:6379"], vec!["b:6379", "c:6379"]]
    );
    assert_eq!(groups(builder().servers(["a"]).group(["b"])), [["a:6379"], ["b:6379"]]);
    assert_eq!(
        groups(builder().servers(["a"]).servers(["b"]).group(["c"])),
        [["b:6379"], ["c:6379"]]
    );
}

#[test]
fn servers_that_would_replace_groups_are_refused() {
    let words = |groups| format!("`servers` must come before `group`: it would replace the {groups} groups before it");
    let builder = Builder::default;
    assert_eq!(error(builder().group(["a"]).group(["b"]).servers(["c"])), words(2));
    assert_eq!(
        error(builder().servers(["a"]).group(["b"]).group(["c"]).servers(["d"])),
        words(3)
    );
}

#[test]
fn a_group_that_makes_no_sense_is_named() {
    let builder = Builder::default;
    let none: [&str; 0] = [];
    assert_eq!(error(builder().servers(["a"]).group(none)), "group 1 has no server");
    assert_eq!(error(builder().group(none).group(["a"])), "group 0 has no server");
    assert_eq!(
        error(builder().group(["a", "b"]).group(["c"]).group(["redis://u:p@B/1", "a"])),
        "group 2 is group 0 again: both have the same servers"
    );
    assert_eq!(
        error(builder().group(["a", "b"]).group(["c", "b"])),
        "server b:6379 is configured twice"
    );
    assert_eq!(
        error(builder().group(["a"]).group(["b", "b"])),
        "server b:6379 is configured twice"
    );
    assert_eq!(
        error(builder().group(["a", "b"]).group(["c", "d:0"])),
        "server address `d:0`: port 0 is not between 1 and 65535"
    );
}

#[test]
fn a_wrong_setting_is_named_with_its_value() {
    let builder = Builder::default;
    assert_eq!(error(builder().servers([] as [&str; 0])), "no server is configured");
    assert_eq!(
        error(builder().servers(["redis://a/1", "valkey://user:secret@A:6379/2"])),
        "server a:6379 is configured twice"
    );
    assert_eq!(
        error(builder().servers(["a", "http://b"])),
        "server address `http://b`: unknown scheme `http`, expected redis, rediss, valkey or valkeys, \
         each also with -cluster or -sentinel, redis+unix, or memory"
    );
    for (builder, name) in [
        (builder().acquire_timeout(Duration::ZERO), "acquire_timeout"),
        (builder().attempt_timeout(Duration::ZERO), "attempt_timeout"),
        (builder().heartbeat_interval(Duration::ZERO), "heartbeat_interval"),
        (builder().heartbeat_timeout(Duration::ZERO), "heartbeat_timeout"),
        (
            builder().reconnect(Duration::ZERO, Duration::ZERO),
            "the shortest wait before a reconnection",
        ),
        (builder().restart_guard(Duration::ZERO), "restart_guard"),
    ] {
        assert_eq!(error(builder), format!("{name} must be longer than 0"));
    }
    assert_eq!(
        error(builder().heartbeat_timeout(Duration::ZERO)),
        "heartbeat_timeout must be longer than 0"
    );
    assert_eq!(
        error(builder().id("x".repeat(1_025))),
        "the id is 1025 bytes long, 1024 is the most"
    );
    assert_eq!(
        error(builder().fence_expiry(Duration::MAX)),
        "the fence expiry (18446744073709551615.999999999s) must not exceed 9007199254740.992s"
    );
    assert_eq!(
        error(builder().fence_expiry(Duration::from_secs(1))),
        "the fence expiry (1s) must be at least 2s"
    );
    assert_eq!(
        error(builder().remember(0)),
        "a client that remembers locks must remember at least 1"
    );
    assert_eq!(
        error(builder().reconnect(Duration::from_secs(2), Duration::from_secs(1))),
        "the shortest wait before a reconnection (2s) must not exceed the longest (1s)"
    );
    assert_eq!(
        error(builder().servers([Server::new("a").port(0)])),
        "server address `a:0`: port 0 is not between 1 and 65535"
    );
}

#[test]
fn what_the_system_lacks_is_named() {
    // No test can take the hostname away.
    let hostname = ConfigError::Hostname("no such file".into());
    assert_eq!(
        hostname.to_string(),
        "the hostname is unknown, so an id has to be given: no such file"
    );
    let outside = Builder::default().servers(["memory://a"]).build().unwrap_err();
    assert_eq!(outside, ConfigError::NoRuntime);
    assert_eq!(outside.to_string(), "a client has to be built within a tokio runtime");
}

#[test]
fn nodes_of_one_cluster_and_sentinels_of_one_service_are_one_server() {
    let twice = |servers: [&str; 2]| Builder::default().servers(servers).check().is_err();
    for servers in [
        ["redis-cluster://a:1?node=b:1", "redis-cluster://b:1?node=a:1"],
        ["redis-cluster://a:1?node=b:1", "valkeys-cluster://c:1?node=B:1"],
        ["redis-cluster://a:1?node=b:1", "redis://b:1"],
        [
            "redis-sentinel://a?sentinelServiceName=s&node=b",
            "redis-sentinel://b:26379?sentinelServiceName=s",
        ],
    ] {
        assert!(twice(servers), "{servers:?}");
    }
    for servers in [
        ["redis-cluster://a:1", "redis-cluster://a:2"],
        ["redis-cluster://a:1?node=a:1", "redis-cluster://b:1?node=b:1"],
        [
            "redis-sentinel://a?sentinelServiceName=s",
            "redis-sentinel://a?sentinelServiceName=t",
        ],
        [
            "redis-sentinel://a?sentinelServiceName=s",
            "redis-sentinel://b?sentinelServiceName=s",
        ],
    ] {
        assert!(!twice(servers), "{servers:?}");
    }
}
