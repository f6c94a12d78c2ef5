//! `doctor`, on servers with whatever it is to find.

use crate::common::{Folder, bare, multiredlock, run};
use assert_cmd::Command;
use insta::{
    dynamic_redaction,
    internals::{Content, ContentPath},
};
use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
};
use test_support::{RedisServer, RedisServerBuilder};

/// A server with which nothing is wrong.
fn healthy() -> RedisServerBuilder {
    RedisServer::builder().keep_memory()
}

fn quorum(count: usize) -> Vec<RedisServer> {
    (0..count).map(|_| healthy().start()).collect()
}

/// Two with which nothing is wrong, and this one.
fn quorum_with(last: RedisServer) -> Vec<RedisServer> {
    let mut servers = quorum(2);
    servers.push(last);
    servers
}

fn doctor(servers: &[RedisServer], arguments: &[&str]) -> Command {
    let mut command = multiredlock(servers, &["doctor"]);
    command.args(arguments);
    command
}

/// What it says with `--json`, after its exit code, which has to be the one that is told.
fn report(mut command: Command) -> (i32, Value) {
    command.arg("--json");
    let (code, stdout, stderr) = run(command);
    assert_eq!(stderr, "");
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error} in `{stdout}`"));
    assert_eq!(report["exit_code"], code, "{report}");
    (code, report)
}

/// The finding of a check about a server, or about the quorum.
fn finding<'a>(report: &'a Value, server: Option<&str>, check: &str) -> &'a Value {
    let findings = report["findings"].as_array().unwrap();
    let found = findings
        .iter()
        .find(|finding| finding["server"].as_str() == server && finding["check"] == check);
    found.unwrap_or_else(|| panic!("no {check} of {server:?} in {report:#}"))
}

/// Checks how bad a finding is, what it says, and that it says what to do.
fn is_found(report: &Value, server: Option<&str>, check: &str, level: &str, found: &str) {
    let finding = finding(report, server, check);
    assert_eq!(finding["level"], level, "{finding}");
    assert!(finding["found"].as_str().unwrap().contains(found), "{finding}");
    assert!(finding["advice"].as_str().unwrap().ends_with('.'), "{finding}");
}

fn of(server: &RedisServer) -> String {
    server.address().to_string()
}

fn leaves_nothing(servers: &[RedisServer]) {
    for server in servers {
        assert_eq!(server.keys(), [""; 0]);
    }
}

/// A file in a folder of its own, which is gone when the test is over.
struct File {
    path: String,
    _folder: Folder,
}

impl File {
    fn new(name: &str, text: &str) -> Self {
        let folder = Folder::new();
        let path = folder.path(name);
        fs::write(&path, text).unwrap();
        Self { path, _folder: folder }
    }

    fn path(&self) -> &str {
        &self.path
    }
}

#[test]
fn a_fine_quorum_is_told_as_such_and_nothing_is_left_on_it() {
    let servers = quorum(3);
    let (code, text, stderr) = run(doctor(&servers, &[]));
    assert_eq!((code, stderr.as_str()), (0, ""), "{text}");
    assert!(
        text.starts_with("quorum\n  ✓ majority        3 of 3 servers can vote, 2 needed\n"),
        "{text}"
    );
    for server in &servers {
        assert!(
            text.contains(&format!("\n{}\n  ✓ reachable       it is up\n", server.address())),
            "{text}"
        );
    }
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("fine: 0 unsafe, 0 warnings, 1 note, "), "{last}");
    leaves_nothing(&servers);
    // It did try: the scripts, and a command of each kind by itself.
    assert!(
        servers
            .iter()
            .all(|server| server.calls("pexpire") >= 2 && server.calls("evalsha") >= 2)
    );
}

#[test]
fn the_report_is_one_value_of_json() {
    let servers = quorum(1);
    let (code, report) = report(doctor(&servers, &["--ttl", "20s"]));
    assert_eq!(code, 1);
    let address = |value: Content, _: ContentPath<'_>| value.as_str().map_or(Content::None, |_| "[address]".into());
    let numbers = |value: Content, _: ContentPath<'_>| without_numbers(value.as_str().unwrap());
    insta::assert_json_snapshot!(report, {
        ".findings[].server" => dynamic_redaction(address),
        ".findings[].found" => dynamic_redaction(numbers)
    });
}

/// Without what is another number, or another word, on each machine and in each run.
fn without_numbers(text: &str) -> Content {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' | '.' if shown.ends_with('#') => {}
            '0'..='9' => shown.push('#'),
            c => shown.push(c),
        }
    }
    for (word, other) in [
        ("loses", "gains"),
        ("behind", "ahead of"),
        ("KiB", "MiB"),
        ("Valkey", "Redis"),
    ] {
        shown = shown.replace(word, other);
    }
    shown.into()
}

#[test]
fn a_server_that_is_down_costs_a_warning_and_a_majority_that_is_down_is_unsafe() {
    let servers = quorum(3);
    servers[2].crash();
    let (code, told) = report(doctor(&servers, &[]));
    assert_eq!(code, 1, "{told:#}");
    is_found(
        &told,
        None,
        "majority",
        "warning",
        "2 of 3 servers can vote, 2 needed: no other may fail",
    );
    is_found(
        &told,
        Some(of(&servers[2]).as_str()),
        "reachable",
        "warning",
        "connection refused",
    );
    servers[1].crash();
    let (code, told) = report(doctor(&servers, &[]));
    assert_eq!(code, 2, "{told:#}");
    is_found(&told, None, "majority", "unsafe", "1 of 3 servers can vote, 2 needed");
    is_found(
        &told,
        Some(of(&servers[2]).as_str()),
        "reachable",
        "unsafe",
        "connection refused",
    );
    leaves_nothing(&servers[..1]);
}

#[test]
fn servers_that_are_frozen_do_not_hang_it() {
    let servers = quorum(3);
    servers[1].freeze();
    servers[2].freeze();
    let mut command = doctor(&servers, &[]);
    command.timeout(std::time::Duration::from_secs(20));
    let (code, told) = report(command);
    assert_eq!(code, 2, "{told:#}");
    for server in &servers[1..] {
        is_found(
            &told,
            Some(of(server).as_str()),
            "reachable",
            "unsafe",
            "no answer while connecting",
        );
        server.thaw();
    }
    leaves_nothing(&servers[..1]);
}

#[test]
fn a_wrong_password_is_told_without_showing_it() {
    let servers = quorum_with(healthy().password("right").start());
    let urls = [servers[0].url(), servers[1].url(), servers[2].url_as(":wrong")].join(",");
    let (code, told) = report(bare(&["--servers", &urls, "doctor"]));
    assert_eq!(code, 1, "{told:#}");
    is_found(
        &told,
        Some(of(&servers[2]).as_str()),
        "authentication",
        "warning",
        "not authenticated",
    );
    assert!(!told.to_string().contains("wrong"), "{told}");

    let urls = [servers[0].url(), servers[1].url(), servers[2].url_as(":right")].join(",");
    let (code, told) = report(bare(&["--servers", &urls, "doctor"]));
    assert_eq!(code, 0, "{told:#}");
    assert!(!told.to_string().contains("right"), "{told}");
    // Whoever could not look into it would not know.
    assert_eq!(
        finding(&told, Some(of(&servers[2]).as_str()), "persistence")["level"],
        "ok"
    );
}

#[test]
fn what_is_no_redis_server_gets_no_password() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&heard);
    // It ends with the tests.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut words = [0; 1024];
            let read = stream.read(&mut words).unwrap_or(0);
            told.lock().unwrap().extend_from_slice(&words[..read]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let servers = quorum(2);
    let urls = format!("{},{},redis://:secret@{address}", servers[0].url(), servers[1].url());
    let (code, told) = report(bare(&["--servers", &urls, "doctor"]));
    assert_eq!(code, 1, "{told:#}");
    is_found(
        &told,
        Some(&address.to_string()),
        "reachable",
        "warning",
        "not a Redis server: HTTP",
    );
    let heard = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
    assert!(heard.contains("PING") && !heard.contains("secret"), "{heard}");
}

#[test]
fn a_server_that_is_untrusted_is_tried_by_the_library_alone() {
    let servers = quorum(3);
    let urls: Vec<_> = servers
        .iter()
        .map(|server| format!("redis://{}?untrusted=true", server.address()))
        .collect();
    let (code, told) = report(bare(&["--servers", &urls.join(","), "doctor"]));
    assert_eq!(code, 0, "{told:#}");
    is_found(
        &told,
        Some(of(&servers[0]).as_str()),
        "inspection",
        "note",
        "skipped: it is untrusted",
    );
    assert_eq!(finding(&told, Some(of(&servers[0]).as_str()), "locking")["level"], "ok");
    // On a first connection the library ends none before.
    assert_eq!(servers[0].calls("client|kill"), 0);
    leaves_nothing(&servers);

    // The library warns of what it comes across.
    servers[0].command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    servers[0].command(&["CONFIG", "SET", "maxmemory", "1gb"]);
    let (code, told) = report(bare(&["--servers", &urls.join(","), "doctor"]));
    assert_eq!(code, 2, "{told:#}");
    is_found(
        &told,
        Some(of(&servers[0]).as_str()),
        "eviction",
        "unsafe",
        "allkeys-lru with maxmemory",
    );
}

#[test]
fn a_replica_is_unsafe_as_a_member_and_a_note_on_its_master() {
    let master = healthy().start();
    let replica = healthy().replica_of(&master).start();
    let servers = [healthy().start(), master, replica];
    let (code, told) = report(doctor(&servers, &[]));
    assert_eq!(code, 2, "{told:#}");
    is_found(
        &told,
        Some(of(&servers[2]).as_str()),
        "role",
        "unsafe",
        "it is a replica",
    );
    is_found(&told, None, "majority", "warning", "2 of 3");
}

#[test]
fn a_server_that_is_listed_twice_is_unsafe() {
    let servers = quorum(2);
    let port = servers[1].address().port();
    let urls = format!("{},127.0.0.1:{port},localhost:{port}", servers[0].url());
    let (code, told) = report(bare(&["--servers", &urls, "doctor"]));
    assert_eq!(code, 2, "{told:#}");
    let of_both = |server: &&Value| server["check"] == "distinct" && server["level"] == "unsafe";
    let findings = told["findings"].as_array().unwrap();
    let twice: Vec<_> = findings.iter().filter(of_both).collect();
    assert_eq!(twice.len(), 1, "{told:#}");
    assert!(
        twice[0]["found"].as_str().unwrap().contains(&port.to_string()),
        "{twice:?}"
    );
    is_found(&told, None, "majority", "warning", "2 of 3");
    leaves_nothing(&servers);
}

#[test]
fn an_even_number_and_fewer_than_three_are_warnings() {
    for (count, found) in [
        (4, "4 servers tolerate 1 failure, as 3 do"),
        (1, "no failure is tolerated"),
    ] {
        let (code, told) = report(doctor(&quorum(count), &[]));
        assert_eq!(code, 1, "{told:#}");
        is_found(&told, None, "number", "warning", found);
    }
}

#[test]
fn a_server_that_may_forget_at_a_restart_is_a_warning_unless_a_restart_guard_makes_up_for_it() {
    let servers = quorum_with(RedisServer::start());
    let forgetful = of(&servers[2]);
    let (code, told) = report(doctor(&servers, &[]));
    assert_eq!(code, 1, "{told:#}");
    is_found(
        &told,
        Some(forgetful.as_str()),
        "persistence",
        "warning",
        "appendonly no, and no snapshots",
    );

    servers[2].command(&["CONFIG", "SET", "appendonly", "yes"]);
    let (code, told) = report(doctor(&servers, &[]));
    assert_eq!(code, 1, "{told:#}");
    is_found(
        &told,
        Some(forgetful.as_str()),
        "persistence",
        "warning",
        "appendfsync everysec",
    );

    // They have been up for longer than this by now.
    let file = File::new("guard.toml", "servers = []\nrestart_guard = \"1s\"\n");
    let with_guard = |ttl| doctor(&servers, &["--config", file.path(), "--ttl", ttl]);
    let (code, told) = report(with_guard("1s"));
    assert_eq!(code, 0, "{told:#}");
    assert_eq!(finding(&told, Some(forgetful.as_str()), "persistence")["level"], "ok");
    assert_eq!(finding(&told, Some(forgetful.as_str()), "promotion")["level"], "ok");
    let (code, told) = report(with_guard("1001ms"));
    assert_eq!(code, 2, "{told:#}");
    is_found(&told, None, "restart_guard", "unsafe", "restart_guard (1s)");

    servers[2].command(&["CONFIG", "SET", "repl-backlog-ttl", "1"]);
    let file = File::new("promotion.toml", "servers = []\nrestart_guard = \"1500ms\"\n");
    let (_, told) = report(doctor(&servers, &["--config", file.path(), "--ttl", "1s"]));
    let promotion = finding(&told, Some(forgetful.as_str()), "promotion");
    let words = promotion["found"].as_str().unwrap();
    assert!(
        words.starts_with("repl-backlog-ttl (1s) is shorter than restart_guard (1.5s)"),
        "{told:#}"
    );
}

#[test]
fn a_server_that_was_started_again_does_not_vote_for_as_long_as_the_restart_guard_says() {
    let servers = quorum(3);
    let file = File::new("restart.toml", "servers = []\nrestart_guard = \"10m\"\n");
    let (code, told) = report(doctor(&servers, &["--config", file.path()]));
    assert_eq!(code, 2, "{told:#}");
    is_found(
        &told,
        Some(of(&servers[0]).as_str()),
        "restart",
        "unsafe",
        "it votes again in 9m",
    );
    leaves_nothing(&servers);
}

#[test]
fn an_eviction_policy_is_unsafe_with_a_limit_and_a_warning_without() {
    let servers = quorum_with(healthy().line("maxmemory-policy allkeys-lru").start());
    let (code, told) = report(doctor(&servers, &[]));
    assert_eq!(code, 1, "{told:#}");
    is_found(
        &told,
        Some(of(&servers[2]).as_str()),
        "eviction",
        "warning",
        "allkeys-lru",
    );
    servers[2].command(&["CONFIG", "SET", "maxmemory", "1gb"]);
    let (code, told) = report(doctor(&servers, &[]));
    assert_eq!(code, 2, "{told:#}");
    is_found(
        &told,
        Some(of(&servers[2]).as_str()),
        "eviction",
        "unsafe",
        "allkeys-lru with maxmemory",
    );
}

#[test]
fn memory_that_is_nearly_full_is_a_warning_and_then_unsafe() {
    let servers = quorum_with(healthy().start());
    let server = &servers[2];
    // So much that what a connection takes is next to nothing.
    server.command(&["SETRANGE", "ballast", "100000000", "x"]);
    let used = || {
        let info = server.command(&["INFO", "memory"]).text();
        let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        used.unwrap().parse::<u64>().unwrap()
    };
    for (percent, code, level) in [(88, 1, "warning"), (97, 2, "unsafe")] {
        let limit = used() * 100 / percent;
        server.command(&["CONFIG", "SET", "maxmemory", &limit.to_string()]);
        let (exited, told) = report(doctor(&servers, &[]));
        assert_eq!(exited, code, "{told:#}");
        is_found(&told, Some(of(server).as_str()), "memory", level, " MiB used, ");
    }
    // Whatever is asked of it now is refused, the trial as well.
    server.command(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let (_, told) = report(doctor(&servers, &[]));
    is_found(&told, Some(of(server).as_str()), "locking", "warning", "out of memory");
    is_found(&told, None, "majority", "warning", "2 of 3");
}

#[test]
fn permissions_that_are_missing_are_named_with_the_rule_that_gives_them() {
    let all = "+evalsha +eval +set +get +pttl +pexpire +del +ping";
    let optional = "+time +info +client|id +client|kill +client|tracking";
    let full = format!("on >secret ~lock:* resetchannels -@all {all} {optional} +config|get");
    let told_of = |rules: &str| {
        let servers: Vec<_> = (0..3)
            .map(|server| {
                let rules = if server == 2 { rules } else { &full };
                healthy().user("locker", rules).start()
            })
            .collect();
        let urls: Vec<_> = servers.iter().map(|server| server.url_as("locker:secret")).collect();
        let (code, told) = report(bare(&["--servers", &urls.join(","), "--key-prefix", "lock:", "doctor"]));
        // The key that could be set and not be removed is gone after its ttl.
        if rules.contains("+del") {
            leaves_nothing(&servers);
        }
        (code, told, of(&servers[2]))
    };
    let (code, told, _) = told_of(&full);
    assert_eq!(code, 0, "{told:#}");

    for (rules, found, rule) in [
        (
            full.replace(" +eval ", " "),
            "not permitted: eval",
            "ACL SETUSER locker +eval.",
        ),
        (
            full.replace(" +pexpire", "").replace(" +del", ""),
            "pexpire, del",
            "+pexpire +del.",
        ),
        (
            full.replace("~lock:*", "~other:*"),
            "keys that begin with `lock:`",
            "~lock:*.",
        ),
    ] {
        let (code, told, server) = told_of(&rules);
        assert_eq!(code, 1, "{told:#}");
        is_found(&told, Some(server.as_str()), "permissions", "warning", found);
        let advice = finding(&told, Some(server.as_str()), "permissions")["advice"]
            .as_str()
            .unwrap();
        assert!(advice.contains(rule), "{advice}");
        is_found(&told, None, "majority", "warning", "2 of 3");
    }

    for (rules, found) in [
        (full.replace(" +time", ""), "time (no fenced locks"),
        (full.replace(" +info", ""), "info (it may be a replica"),
        (full.replace(" +client|kill", ""), "client|kill (an old connection"),
        (full.replace(" +client|tracking", ""), "client|tracking (who waits"),
    ] {
        let (code, told, server) = told_of(&rules);
        assert_eq!(code, 1, "{told:#}");
        is_found(&told, Some(server.as_str()), "permissions", "warning", found);
        assert_eq!(finding(&told, None, "majority")["level"], "ok", "{told:#}");
    }

    let (code, told, server) = told_of(&full.replace(" +config|get", ""));
    assert_eq!(code, 0, "{told:#}");
    is_found(
        &told,
        Some(server.as_str()),
        "persistence",
        "note",
        "appendfsync unknown",
    );
    assert_eq!(finding(&told, Some(server.as_str()), "eviction")["level"], "ok");
}

#[test]
fn a_majority_without_permissions_is_unsafe() {
    let servers: Vec<_> = (0..3)
        .map(|_| healthy().user("guest", "on >secret ~* -@all").start())
        .collect();
    let urls: Vec<_> = servers.iter().map(|server| server.url_as("guest:secret")).collect();
    let (code, told) = report(bare(&["--servers", &urls.join(","), "doctor"]));
    assert_eq!(code, 2, "{told:#}");
    is_found(&told, Some(of(&servers[0]).as_str()), "permissions", "unsafe", "eval");
    is_found(&told, None, "majority", "unsafe", "0 of 3");
}

#[test]
fn a_server_without_hello_tells_of_no_changes() {
    let servers = quorum_with(healthy().line("rename-command HELLO \"\"").start());
    let (code, told) = report(doctor(&servers, &[]));
    assert_eq!(code, 1, "{told:#}");
    is_found(&told, Some(of(&servers[2]).as_str()), "version", "warning", "no HELLO");
}

#[test]
fn a_password_that_crosses_the_network_in_plaintext_is_a_warning() {
    let servers = quorum(2);
    let urls = format!(
        "{},{},redis://:secret@redis.invalid",
        servers[0].url(),
        servers[1].url()
    );
    let (code, told) = report(bare(&["--servers", &urls, "doctor"]));
    assert_eq!(code, 1, "{told:#}");
    is_found(&told, Some("redis.invalid:6379"), "tls", "warning", "plaintext");
    assert!(!told.to_string().contains("secret"), "{told}");
}

#[test]
fn nothing_is_encrypted_where_nobody_answers_or_tls_is_not_spoken() {
    let mut servers = quorum(2);
    servers.push(RedisServer::builder().prepare());
    let urls = servers.iter().map(|server| server.url().replacen("redis", "rediss", 1));
    let urls: Vec<_> = urls.collect();
    let (_, told) = report(bare(&["--servers", &urls.join(","), "doctor"]));
    for server in &servers[..2] {
        is_found(&told, Some(of(server).as_str()), "tls", "unsafe", "answers without TLS");
    }
    assert!(!told.to_string().contains("encrypted"), "{told:#}");
}

#[cfg(feature = "tls")]
#[test]
fn an_encrypted_server_is_looked_into_with_the_authority_of_the_settings() {
    use test_support::{Certificates, ClientCertificate};

    let certificates = Certificates::new();
    let start = || {
        let builder = healthy().tls(&certificates, ClientCertificate::Needed);
        builder.start_if_built_with_tls()
    };
    let Some(servers) = (0..3).map(|_| start()).collect::<Option<Vec<_>>>() else {
        return;
    };
    let authority = File::new("ca.pem", &certificates.authority);
    let certificate = File::new("client.pem", &certificates.client.certificate);
    let key = File::new("client.key", &certificates.client.key);
    let identified = [
        "--ca",
        authority.path(),
        "--cert",
        certificate.path(),
        "--key",
        key.path(),
    ];
    let (code, told) = report(doctor(&servers, &identified));
    assert_eq!(code, 0, "{told:#}");
    assert_eq!(
        finding(&told, Some(of(&servers[0]).as_str()), "tls")["found"],
        "encrypted"
    );
    assert_eq!(
        finding(&told, Some(of(&servers[0]).as_str()), "persistence")["level"],
        "ok"
    );

    let (code, told) = report(doctor(&servers, &["--ca", authority.path()]));
    assert_eq!(code, 2, "{told:#}");
    is_found(&told, Some(of(&servers[0]).as_str()), "tls", "unsafe", "TLS failed");
}

#[test]
fn sockets_and_the_credentials_of_the_file_will_do() {
    let servers: Vec<_> = (0..3)
        .map(|_| healthy().user("locker", "on >secret ~* +@all").start())
        .collect();
    let urls: Vec<_> = servers
        .iter()
        .map(|server| format!("redis+unix://{}", server.socket().display()))
        .collect();
    let text = format!("servers = {urls:?}\nusername = \"locker\"\npassword = \"secret\"\n");
    let file = File::new("sockets.toml", &text);
    let (code, told) = report(bare(&["--config", file.path(), "doctor"]));
    assert_eq!(code, 0, "{told:#}");
    let socket = servers[0].socket().display().to_string();
    assert_eq!(finding(&told, Some(&socket), "authentication")["found"], "as `locker`");
    assert_eq!(finding(&told, Some(&socket), "persistence")["level"], "ok");
}

#[test]
fn sentinels_are_asked_by_the_library_alone() {
    let master = healthy().start();
    let sentinel = RedisServer::builder().sentinel_of("locks", &master).start();
    let servers = quorum(2);
    let named = format!("redis-sentinel://{}?sentinelServiceName=locks", sentinel.address());
    let urls = format!("{},{},{named}", servers[0].url(), servers[1].url());
    let (code, told) = report(bare(&["--servers", &urls, "doctor"]));
    assert_eq!(code, 0, "{told:#}");
    let name = format!("redis-sentinel://locks@{}", sentinel.address());
    is_found(
        &told,
        Some(&name),
        "inspection",
        "note",
        "skipped: it is named by sentinels",
    );
    assert_eq!(finding(&told, Some(&name), "locking")["level"], "ok");
    leaves_nothing(&[master]);
}

#[test]
fn what_is_wrong_with_the_ttl_or_the_settings_keeps_its_code() {
    for (arguments, expected, words) in [
        (
            &["doctor", "--ttl", "100ms"][..],
            64,
            "--ttl (100ms) must exceed the drift (100ms) by at least 1ms",
        ),
        (&["doctor", "--ttl", "9"], 64, "a duration has a unit"),
        (&["doctor", "--servers", "h,h"], 78, "configured twice"),
    ] {
        let mut command = bare(arguments);
        command.env("MULTIREDLOCK_SERVERS", "h1");
        let (code, stdout, stderr) = run(command);
        assert_eq!((code, stdout.as_str()), (expected, ""), "{stderr}");
        assert!(stderr.contains(words) && stderr.lines().count() == 1, "{stderr}");
    }
}
