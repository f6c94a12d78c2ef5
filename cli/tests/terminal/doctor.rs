//! `doctor`, on servers with whatever it is to find.

use crate::common::{Folder, assert_has, bare, failure, json_of, multiredlock, nothing_is_left_on, output_on};
use assert_cmd::Command;
use insta::{
    dynamic_redaction,
    internals::{Content, ContentPath},
};
use serde_json::Value;
use std::{
    fmt::Display,
    fs,
    io::{Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
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

/// What it says with `--json`.
struct Report(Value);

/// What a finding is about if it is about no server.
const QUORUM: &str = "quorum";

impl Report {
    /// Of these servers, with this exit code.
    #[track_caller]
    fn on(servers: &[RedisServer], arguments: &[&str], code: i32) -> Self {
        let mut command = multiredlock(servers, &["doctor"]);
        command.args(arguments);
        Self::of(command, code)
    }

    /// Of the servers with these addresses.
    #[track_caller]
    fn at(addresses: &[impl AsRef<str>], code: i32) -> Self {
        let addresses: Vec<_> = addresses.iter().map(AsRef::as_ref).collect();
        Self::of(bare(&["--servers", &addresses.join(","), "doctor"]), code)
    }

    #[track_caller]
    fn of(command: Command, code: i32) -> Self {
        let (told, report, stderr) = json_of(command);
        assert_eq!((told, stderr.as_str()), (code, ""), "{report:#}");
        assert_eq!(report["exit_code"], code, "{report}");
        Self(report)
    }

    /// The findings of a check.
    fn all(&self, check: &str) -> Vec<&Value> {
        let findings = self.0["findings"].as_array().unwrap().iter();
        findings.filter(|finding| finding["check"] == check).collect()
    }

    /// The finding of a check.
    #[track_caller]
    fn finding(&self, about: impl Display, check: &str) -> &Value {
        let about = about.to_string();
        let mut found = self.all(check).into_iter();
        let found = found.find(|finding| finding["server"].as_str().unwrap_or(QUORUM) == about);
        found.unwrap_or_else(|| panic!("no {check} of {about} in {:#}", self.0))
    }

    #[track_caller]
    fn is_fine(&self, about: impl Display, check: &str) {
        let finding = self.finding(about, check);
        assert_eq!(finding["level"], "ok", "{finding}");
    }

    /// Checks how bad a finding is, what it says, and that it says what to do, which is returned.
    #[track_caller]
    fn finds(&self, about: impl Display, check: &str, level: &str, found: &str) -> &str {
        let finding = self.finding(about, check);
        assert_eq!(finding["level"], level, "{finding}");
        assert_has(finding["found"].as_str().unwrap(), found);
        let advice = finding["advice"].as_str().unwrap();
        assert!(advice.ends_with('.'), "{finding}");
        advice
    }
}

/// A file in a folder of its own, which is gone when the test is over.
struct File {
    path: String,
    _folder: Folder,
}

impl File {
    fn new(text: &str) -> Self {
        let folder = Folder::new();
        let path = folder.path("file");
        fs::write(&path, text).unwrap();
        Self { path, _folder: folder }
    }

    fn with_guard(restart_guard: &str) -> Self {
        Self::new(&format!("servers = []\nrestart_guard = \"{restart_guard}\"\n"))
    }
}

#[test]
fn a_fine_quorum_is_told_as_such_and_nothing_is_left_on_it() {
    let servers = quorum(3);
    let text = output_on(&servers, &["doctor"]);
    let majority = "quorum\n  ✓ majority        3 of 3 servers can vote, 2 required\n";
    assert!(text.starts_with(majority), "{text}");
    for server in &servers {
        assert_has(
            &text,
            &format!("\n{}\n  ✓ reachable       it is up\n", server.address()),
        );
    }
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("fine: 0 unsafe, 0 warnings, 1 note, "), "{last}");
    nothing_is_left_on(&servers);
    // It did try: the scripts, and a command of each kind by itself.
    let was_tried = |server: &RedisServer| server.calls("pexpire") >= 2 && server.calls("evalsha") >= 2;
    assert!(servers.iter().all(was_tried));
}

#[test]
fn the_report_is_one_value_of_json() {
    let Report(report) = Report::on(&quorum(1), &["--ttl", "20s"], 1);
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
    let words = ["loses gains", "behind ahead_of", "KiB MiB", "Valkey Redis"];
    for (word, other) in words.iter().filter_map(|words| words.split_once(' ')) {
        shown = shown.replace(word, &other.replace('_', " "));
    }
    shown.into()
}

#[test]
fn a_server_that_is_down_costs_a_warning_and_a_majority_that_is_down_is_unsafe() {
    let servers = quorum(3);
    servers[2].crash();
    let report = Report::on(&servers, &[], 1);
    let found = "2 of 3 servers can vote, 2 required: no other may fail";
    report.finds(QUORUM, "majority", "warning", found);
    report.finds(&servers[2], "reachable", "warning", "connection refused");
    servers[1].crash();
    let report = Report::on(&servers, &[], 2);
    report.finds(QUORUM, "majority", "unsafe", "1 of 3 servers can vote, 2 required");
    report.finds(&servers[2], "reachable", "unsafe", "connection refused");
    nothing_is_left_on(&servers[..1]);
}

#[test]
fn servers_that_are_frozen_do_not_hang_it() {
    let servers = quorum(3);
    servers[1..].iter().for_each(RedisServer::freeze);
    let mut command = multiredlock(&servers, &["doctor"]);
    command.timeout(Duration::from_secs(20));
    let report = Report::of(command, 2);
    for server in &servers[1..] {
        report.finds(server, "reachable", "unsafe", "no answer while connecting");
        server.thaw();
    }
    nothing_is_left_on(&servers[..1]);
}

#[test]
fn a_wrong_password_is_told_without_showing_it() {
    let servers = quorum_with(healthy().password("right").start());
    let urls = |last: &str| [servers[0].url(), servers[1].url(), servers[2].url_as(last)];
    let report = Report::at(&urls(":wrong"), 1);
    report.finds(&servers[2], "authentication", "warning", "not authenticated");
    assert!(!report.0.to_string().contains("wrong"), "{}", report.0);

    let report = Report::at(&urls(":right"), 0);
    assert!(!report.0.to_string().contains("right"), "{}", report.0);
    // Whoever could not look into it would not know.
    report.is_fine(&servers[2], "persistence");
}

#[test]
fn what_is_no_redis_server_gets_no_password() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
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
    let urls = [servers[0].url(), servers[1].url(), format!("redis://:secret@{address}")];
    let report = Report::at(&urls, 1);
    report.finds(&address, "reachable", "warning", "not a Redis server: HTTP");
    let heard = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
    assert!(heard.contains("PING") && !heard.contains("secret"), "{heard}");
}

#[test]
fn a_server_that_is_untrusted_is_tried_by_the_library_alone() {
    let servers = quorum(3);
    let untrusted = |server: &RedisServer| format!("redis://{}?untrusted=true", server.address());
    let urls: Vec<_> = servers.iter().map(untrusted).collect();
    let report = Report::at(&urls, 0);
    report.finds(&servers[0], "inspection", "note", "skipped: it is untrusted");
    report.is_fine(&servers[0], "locking");
    // On a first connection the library ends none before.
    assert_eq!(servers[0].calls("client|kill"), 0);
    nothing_is_left_on(&servers);

    // The library warns of what it comes across.
    servers[0].command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    servers[0].command(&["CONFIG", "SET", "maxmemory", "1gb"]);
    let report = Report::at(&urls, 2);
    report.finds(&servers[0], "eviction", "unsafe", "allkeys-lru with maxmemory");
}

#[test]
fn a_replica_is_unsafe_as_a_member_and_a_note_on_its_master() {
    let master = healthy().start();
    let replica = healthy().replica_of(&master).start();
    let servers = [healthy().start(), master, replica];
    let report = Report::on(&servers, &[], 2);
    report.finds(&servers[2], "role", "unsafe", "it is a replica");
    report.finds(&servers[1], "role", "note", "master of 1");
    report.finds(QUORUM, "majority", "warning", "2 of 3");
}

#[test]
fn a_server_that_is_listed_twice_is_unsafe() {
    let servers = quorum(2);
    let port = servers[1].address().port();
    let [one, other] = ["127.0.0.1", "localhost"].map(|host| format!("{host}:{port}"));
    let report = Report::at(&[servers[0].url(), one, other], 2);
    let mut twice = report.all("distinct");
    twice.retain(|finding| finding["level"] == "unsafe");
    assert_eq!(twice.len(), 1, "{:#}", report.0);
    assert_has(twice[0]["found"].as_str().unwrap(), &port.to_string());
    report.finds(QUORUM, "majority", "warning", "2 of 3");
    nothing_is_left_on(&servers);
}

#[test]
fn a_server_that_may_forget_at_a_restart_is_a_warning_unless_a_restart_guard_makes_up_for_it() {
    let servers = quorum_with(RedisServer::start());
    let forgetful = &servers[2];
    let report = Report::on(&servers, &[], 1);
    report.finds(forgetful, "persistence", "warning", "appendonly no, and no snapshots");

    forgetful.command(&["CONFIG", "SET", "appendonly", "yes"]);
    let report = Report::on(&servers, &[], 1);
    report.finds(forgetful, "persistence", "warning", "appendfsync everysec");

    // They have been up for longer than this by now.
    let file = File::with_guard("1s");
    let report = Report::on(&servers, &["--config", &file.path, "--ttl", "1s"], 0);
    report.is_fine(forgetful, "persistence");
    report.is_fine(forgetful, "promotion");
    let report = Report::on(&servers, &["--config", &file.path, "--ttl", "1001ms"], 2);
    report.finds(QUORUM, "restart_guard", "unsafe", "restart_guard (1s)");

    forgetful.command(&["CONFIG", "SET", "repl-backlog-ttl", "1"]);
    let file = File::with_guard("1500ms");
    let command = multiredlock(&servers, &["doctor", "--config", &file.path, "--ttl", "1s"]);
    let report = Report(json_of(command).1);
    let promotion = report.finding(forgetful, "promotion")["found"].as_str().unwrap();
    let words = "repl-backlog-ttl (1s) is shorter than restart_guard (1.5s)";
    assert!(promotion.starts_with(words), "{promotion}");
}

#[test]
fn a_server_that_was_started_again_does_not_vote_for_as_long_as_the_restart_guard_says() {
    let servers = quorum(3);
    let file = File::with_guard("10m");
    let report = Report::on(&servers, &["--config", &file.path], 2);
    report.finds(&servers[0], "restart", "unsafe", "it votes again in 9m");
    nothing_is_left_on(&servers);
}

#[test]
fn an_eviction_policy_is_unsafe_with_a_limit_and_a_warning_without() {
    let servers = quorum_with(healthy().line("maxmemory-policy allkeys-lru").start());
    let report = Report::on(&servers, &[], 1);
    report.finds(&servers[2], "eviction", "warning", "allkeys-lru");
    servers[2].command(&["CONFIG", "SET", "maxmemory", "1gb"]);
    let report = Report::on(&servers, &[], 2);
    report.finds(&servers[2], "eviction", "unsafe", "allkeys-lru with maxmemory");
}

#[test]
fn memory_that_is_nearly_full_is_a_warning_and_then_unsafe() {
    let servers = quorum_with(healthy().start());
    let server = &servers[2];
    // So much that what a connection takes is next to nothing.
    server.command(&["SETRANGE", "ballast", "100000000", "x"]);
    for (percent, code, level) in [(88, 1, "warning"), (97, 2, "unsafe")] {
        let limit = server.statistic("used_memory") * 100 / percent;
        server.command(&["CONFIG", "SET", "maxmemory", &limit.to_string()]);
        Report::on(&servers, &[], code).finds(server, "memory", level, " MiB used, ");
    }
    // Whatever is asked of it now is refused, the trial as well.
    server.command(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let report = Report::on(&servers, &[], 2);
    report.finds(server, "locking", "warning", "out of memory");
    report.finds(QUORUM, "majority", "warning", "2 of 3");
}

/// A quorum in which the last server gives a user these rights, and what is said of it and that server.
fn with_rights(rules: &str, full: &str, code: i32) -> (Report, RedisServer) {
    let of_locker = |rules: &str| healthy().user("locker", rules).start();
    let mut servers = vec![of_locker(full), of_locker(full), of_locker(rules)];
    let urls: Vec<_> = servers.iter().map(|server| server.url_as("locker:secret")).collect();
    let command = bare(&["--servers", &urls.join(","), "--key-prefix", "lock:", "doctor"]);
    let report = Report::of(command, code);
    // The key that could be set and not be removed is gone after its ttl.
    if rules.contains("+del") {
        nothing_is_left_on(&servers);
    }
    (report, servers.pop().unwrap())
}

#[test]
fn permissions_that_are_missing_are_named_with_the_rule_that_gives_them() {
    let all = "+evalsha +eval +set +get +pttl +pexpire +del +ping";
    let optional = "+time +info +client|id +client|kill +client|tracking";
    let full = &format!("on >secret ~lock:* resetchannels -@all {all} {optional} +config|get");
    with_rights(full, full, 0);

    let without = |rules: &[&str]| rules.iter().fold(full.clone(), |all, rule| all.replace(rule, ""));
    let other_keys = full.replace("~lock:*", "~other:*");
    for (rules, found, rule) in [
        (
            full.replace(" +eval ", " "),
            "not permitted: eval",
            "ACL SETUSER locker +eval.",
        ),
        (without(&[" +pexpire", " +del"]), "pexpire, del", "+pexpire +del."),
        (other_keys, "keys that begin with `lock:`", "~lock:*."),
    ] {
        let (report, server) = with_rights(&rules, full, 1);
        assert_has(report.finds(&server, "permissions", "warning", found), rule);
        report.finds(QUORUM, "majority", "warning", "2 of 3");
    }

    for (rule, found) in [
        (" +time", "time (no fenced locks"),
        (" +info", "info (it may be a replica"),
        (" +client|kill", "client|kill (an old connection"),
        (" +client|tracking", "client|tracking (who waits"),
    ] {
        let (report, server) = with_rights(&without(&[rule]), full, 1);
        report.finds(&server, "permissions", "warning", found);
        report.is_fine(QUORUM, "majority");
    }

    let (report, server) = with_rights(&without(&[" +config|get"]), full, 0);
    report.finds(&server, "persistence", "note", "appendfsync unknown");
    report.is_fine(&server, "eviction");
}

#[test]
fn a_majority_without_permissions_is_unsafe() {
    let guarded = || healthy().user("guest", "on >secret ~* -@all").start();
    let servers = [guarded(), guarded(), guarded()];
    let report = Report::at(&servers.each_ref().map(|server| server.url_as("guest:secret")), 2);
    report.finds(&servers[0], "permissions", "unsafe", "eval");
    report.finds(QUORUM, "majority", "unsafe", "0 of 3");
}

#[test]
fn a_server_without_hello_tells_of_no_changes() {
    let servers = quorum_with(healthy().line("rename-command HELLO \"\"").start());
    let report = Report::on(&servers, &[], 1);
    report.finds(&servers[2], "version", "warning", "no HELLO");
}

#[test]
fn a_password_that_crosses_the_network_in_plaintext_is_a_warning() {
    let servers = quorum(2);
    let far = "redis://:secret@redis.invalid".into();
    let report = Report::at(&[servers[0].url(), servers[1].url(), far], 1);
    report.finds("redis.invalid:6379", "tls", "warning", "plaintext");
    assert!(!report.0.to_string().contains("secret"), "{}", report.0);
}

#[test]
fn nothing_is_encrypted_where_nobody_answers_or_tls_is_not_spoken() {
    let servers = quorum_with(RedisServer::builder().prepare());
    let encrypted = |server: &RedisServer| server.url().replacen("redis", "rediss", 1);
    let report = Report::at(&servers.iter().map(encrypted).collect::<Vec<_>>(), 2);
    for server in &servers[..2] {
        report.finds(server, "tls", "unsafe", "answers without TLS");
    }
    assert!(!report.0.to_string().contains("encrypted"), "{:#}", report.0);
}

#[cfg(feature = "tls")]
#[test]
fn an_encrypted_server_is_looked_into_with_the_authority_of_the_settings() {
    use test_support::{Certificates, ClientCertificate};

    let certificates = Certificates::new();
    let start = |_| {
        let builder = healthy().tls(&certificates, ClientCertificate::Needed);
        builder.start_if_built_with_tls()
    };
    let Some(servers) = (0..3).map(start).collect::<Option<Vec<_>>>() else {
        return;
    };
    let client = &certificates.client;
    let [authority, certificate, key] =
        [&certificates.authority, &client.certificate, &client.key].map(|pem| File::new(pem));
    let identity = ["--cert", &certificate.path, "--key", &key.path];
    let report = Report::on(&servers, &[&["--ca", &authority.path], &identity[..]].concat(), 0);
    assert_eq!(report.finding(&servers[0], "tls")["found"], "encrypted");
    report.is_fine(&servers[0], "persistence");

    let report = Report::on(&servers, &["--ca", &authority.path], 2);
    report.finds(&servers[0], "tls", "unsafe", "TLS failed");
}

#[test]
fn sockets_and_the_credentials_of_the_file_will_do() {
    let guarded = || healthy().user("locker", "on >secret ~* +@all").start();
    let servers = [guarded(), guarded(), guarded()];
    let sockets = servers.each_ref().map(|server| server.socket().display().to_string());
    let urls = sockets.each_ref().map(|socket| format!("redis+unix://{socket}"));
    let credentials = "username = \"locker\"\npassword = \"secret\"\n";
    let file = File::new(&format!("servers = {urls:?}\n{credentials}"));
    let report = Report::of(bare(&["--config", &file.path, "doctor"]), 0);
    let found = &report.finding(&sockets[0], "authentication")["found"];
    assert_eq!(found, "as `locker`");
    report.is_fine(&sockets[0], "persistence");
}

#[test]
fn sentinels_are_asked_by_the_library_alone() {
    let master = healthy().start();
    let sentinel = RedisServer::builder().sentinel_of("locks", &master).start();
    let servers = quorum(2);
    let named = format!("redis-sentinel://{}?sentinelServiceName=locks", sentinel.address());
    let report = Report::at(&[servers[0].url(), servers[1].url(), named], 0);
    let name = format!("redis-sentinel://locks@{}", sentinel.address());
    let found = "skipped: it is named by sentinels";
    report.finds(&name, "inspection", "note", found);
    report.is_fine(&name, "locking");
    nothing_is_left_on(&[master]);
}

#[test]
fn what_is_wrong_with_the_ttl_or_the_settings_keeps_its_code() {
    let too_short = "--ttl (100ms) must exceed the drift (100ms) by at least 1ms";
    for (arguments, code, words) in [
        (["--ttl", "100ms"], 64, too_short),
        (["--ttl", "9"], 64, "a duration has a unit"),
        (["--servers", "h,h"], 78, "configured twice"),
    ] {
        let mut command = bare(&["doctor"]);
        command.args(arguments).env("MULTIREDLOCK_SERVERS", "h1");
        let stderr = failure(code, command);
        assert!(stderr.contains(words) && stderr.lines().count() == 1, "{stderr}");
    }
}
