//! Each finding from the facts that lead to it, with a fine quorum around it.

use super::judge;
use crate::commands::doctor::{
    address::{Kind, Place},
    clock::Sample,
    facts::{Denied, Info, Inspected, Missed, ServerFacts, Terms, Trial, Trouble},
    finding::{
        Check, Finding,
        Level::{self, Note, Ok as Fine, Unsafe, Warning as Warn},
    },
};
use multiredlock::{DownReason, Server, ServerState, Warning};
use std::time::Duration;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn terms() -> Terms {
    Terms {
        ttl: ms(30_000),
        drift: ms(100),
        attempt_timeout: Some(ms(1_000)),
        restart_guard: None,
        key_prefix: "lock:".into(),
        accepts_any_certificate: false,
    }
}

/// Read over a second, by a clock that is so far ahead and gains so much in that second.
fn samples(ahead: Duration, gained: Duration, round_trip: Duration) -> Vec<Sample> {
    let wall = Duration::from_secs(1_700_000_000);
    let at = |asked: Duration, gained: Duration| Sample {
        asked,
        answered: asked + round_trip,
        wall: wall + asked,
        told: wall + asked + round_trip / 2 + ahead + gained,
    };
    vec![at(ms(0), ms(0)), at(ms(1_000), gained)]
}

fn fine_server(number: usize) -> ServerFacts {
    let info = "redis_version:7.2.0\nrole:master\nconnected_slaves:0\nused_memory:1048576\nmaxmemory:0\n\
                maxmemory_policy:noeviction\naof_enabled:1\n";
    let config = [
        ("maxmemory", "0"),
        ("maxmemory-policy", "noeviction"),
        ("appendonly", "yes"),
        ("appendfsync", "always"),
        ("save", ""),
    ];
    ServerFacts {
        name: format!("h{number}:6379"),
        group: 0,
        kind: Kind::Single,
        place: Place::Host(format!("h{number}")),
        is_tls: true,
        has_password: true,
        user: Some("locks".into()),
        state: ServerState::Up,
        warnings: vec![],
        trial: Trial::Works,
        inspected: Ok(Inspected {
            info: Info::parse(info),
            config: config.map(|(name, value)| (name, value.into())).into(),
            denied: vec![],
            has_resp3: true,
            samples: samples(ms(0), ms(0), Duration::from_micros(100)),
        }),
    }
}

fn fine_servers(count: usize) -> Vec<ServerFacts> {
    (0..count).map(fine_server).collect()
}

fn inspected(server: &mut ServerFacts) -> &mut Inspected {
    server.inspected.as_mut().unwrap()
}

fn set(server: &mut ServerFacts, name: &'static str, value: &str) {
    inspected(server).config.insert(name, value.into());
}

/// Forgets what CONFIG and INFO say of it, and takes this for INFO.
fn only_info(server: &mut ServerFacts, info: &str) {
    inspected(server).config.clear();
    inspected(server).info = Info::parse(info);
}

fn refused(words: &str, is_permission: bool) -> Trial {
    Trial::Fails(Trouble {
        what: "a lock",
        words: words.into(),
        is_permission,
    })
}

fn down(reason: DownReason) -> impl Fn(&mut ServerFacts) {
    move |server| {
        server.state = ServerState::Down(reason.clone());
        server.trial = Trial::Untried;
        server.inspected = Err(Missed::Skipped("connection refused".into()));
    }
}

/// What is not fine about these.
fn complaints(servers: &[ServerFacts], terms: &Terms) -> Vec<Finding> {
    let findings = judge(servers, terms).into_iter();
    findings.filter(|finding| finding.level != Fine).collect()
}

fn find(findings: &[Finding], check: Check) -> &Finding {
    let found = findings.iter().find(|finding| finding.check == check);
    found.unwrap_or_else(|| panic!("{check:?} is not among {findings:#?}"))
}

#[test]
fn nothing_is_wrong_with_a_fine_quorum_and_each_check_says_so() {
    let findings = judge(&fine_servers(3), &terms());
    assert!(
        findings
            .iter()
            .all(|finding| finding.level == Fine && finding.advice.is_none()),
        "{findings:#?}"
    );
    let of_quorum = findings.iter().take_while(|finding| finding.server.is_none());
    let checks: Vec<Check> = of_quorum.map(|finding| finding.check).collect();
    assert_eq!(checks, [Check::Majority, Check::Number, Check::ClocksApart]);
    let of_first = findings
        .iter()
        .filter(|finding| finding.server.as_deref() == Some("h0:6379"));
    let checks: Vec<Check> = of_first.map(|finding| finding.check).collect();
    assert_eq!(
        checks,
        [
            Check::Reachable,
            Check::Authentication,
            Check::Tls,
            Check::Distinct,
            Check::Role,
            Check::Permissions,
            Check::Locking,
            Check::Persistence,
            Check::Eviction,
            Check::Memory,
            Check::Version,
            Check::RoundTrip,
            Check::Clock,
            Check::Rate
        ]
    );
}

/// One server of three is as is said, and that is all that is told but for the majority that it costs.
#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn each_fact_about_a_server_has_its_finding() {
    type Change = Box<dyn Fn(&mut ServerFacts)>;
    fn change(change: impl Fn(&mut ServerFacts) + 'static) -> Change {
        Box::new(change)
    }
    let of = Server::parse("h1").unwrap().address();
    let micros = Duration::from_micros;
    let cases: Vec<(Change, Check, Level, &str, &str)> = vec![
        (
            change(down(DownReason::ConnectionRefused)),
            Check::Reachable,
            Warn,
            "connection refused",
            "--servers",
        ),
        (
            change(down(DownReason::ConnectTimeout)),
            Check::Reachable,
            Warn,
            "no answer while",
            "redis-cli",
        ),
        (
            change(down(DownReason::NotYet)),
            Check::Reachable,
            Warn,
            "not connected",
            "firewall",
        ),
        (
            change(down(DownReason::NeedsTls)),
            Check::Tls,
            Warn,
            "seems to expect TLS",
            "rediss://",
        ),
        (
            change(down(DownReason::LacksTls)),
            Check::Tls,
            Warn,
            "answers without TLS",
            "`tls-port`",
        ),
        (
            change(down(DownReason::Loading)),
            Check::Reachable,
            Warn,
            "loading",
            "INFO persistence",
        ),
        (
            change(down(DownReason::Replica)),
            Check::Role,
            Unsafe,
            "it is a replica",
            "REPLICAOF NO ONE",
        ),
        (
            change(down(DownReason::Duplicate { of })),
            Check::Distinct,
            Unsafe,
            "same server as h1:6379",
            "--servers",
        ),
        (
            change(down(DownReason::Restarted { ready_in: ms(12_000) })),
            Check::Restart,
            Warn,
            "votes again in 12s",
            "Wait",
        ),
        (
            change(|s| s.trial = refused("out of memory", false)),
            Check::Locking,
            Warn,
            "out of memory",
            "log",
        ),
        (
            change(|s| s.trial = refused("no permission", true)),
            Check::Permissions,
            Warn,
            "a lock was refused",
            "+eval",
        ),
        (
            change(|s| inspected(s).denied = vec![Denied::Needed("eval"), Denied::Keys]),
            Check::Permissions,
            Warn,
            "needs what is not permitted: eval, keys that begin with `lock:`",
            "ACL SETUSER locks +eval ~lock:*",
        ),
        (
            change(|s| inspected(s).denied = vec![Denied::Wanted("client|kill")]),
            Check::Permissions,
            Warn,
            "client|kill (an old connection's",
            "ACL SETUSER locks +client|kill.",
        ),
        (
            change(|s| s.warnings = vec![Warning::TrackingDenied, Warning::TimeDenied]),
            Check::Permissions,
            Warn,
            "client|tracking (who waits has to ask ten times a second), time (no fenced locks",
            "+client|tracking +time.",
        ),
        (
            change(|s| {
                s.trial = Trial::NoTokens(Trouble {
                    what: "a lock",
                    words: "ERR syntax error".into(),
                    is_permission: false,
                });
            }),
            Check::Locking,
            Warn,
            "fenced locks do not work: a lock was refused: ERR syntax error",
            "6.2",
        ),
        (
            change(|s| s.trial = Trial::Untried),
            Check::Locking,
            Note,
            "not tried",
            "maxclients",
        ),
        (
            change(|s| set(s, "appendfsync", "everysec")),
            Check::Persistence,
            Warn,
            "appendfsync everysec",
            "appendfsync always",
        ),
        (
            change(|s| {
                set(s, "appendonly", "no");
                set(s, "save", "3600 1");
            }),
            Check::Persistence,
            Warn,
            "appendonly no, snapshots by save 3600 1",
            "`restart_guard = \"30s\"`",
        ),
        (
            change(|s| only_info(s, "role:master\naof_enabled:1\nmaxmemory_policy:noeviction\n")),
            Check::Persistence,
            Note,
            "appendfsync unknown",
            "redis.conf",
        ),
        (
            change(|s| only_info(s, "role:master\naof_enabled:0\nmaxmemory_policy:noeviction\n")),
            Check::Persistence,
            Warn,
            "appendonly no",
            "restart_guard",
        ),
        (
            change(|s| set(s, "maxmemory-policy", "allkeys-lru")),
            Check::Eviction,
            Warn,
            "once there is a maxmemory",
            "noeviction",
        ),
        (
            change(|s| {
                set(s, "maxmemory-policy", "volatile-ttl");
                set(s, "maxmemory", "104857600");
            }),
            Check::Eviction,
            Unsafe,
            "volatile-ttl with maxmemory",
            "CONFIG SET maxmemory-policy noeviction",
        ),
        (
            change(|s| {
                only_info(
                    s,
                    "role:master\naof_enabled:0\nmaxmemory:9\nmaxmemory_policy:allkeys-lfu\n",
                );
            }),
            Check::Eviction,
            Unsafe,
            "allkeys-lfu",
            "noeviction",
        ),
        (
            change(|s| only_info(s, "")),
            Check::Eviction,
            Note,
            "unknown",
            "noeviction",
        ),
        (
            change(|s| set(s, "maxmemory", "1300000")),
            Check::Memory,
            Warn,
            "1.0 MiB of 1.2 MiB used, 80 %",
            "maxmemory",
        ),
        (
            change(|s| set(s, "maxmemory", "1103764")),
            Check::Memory,
            Unsafe,
            "95 %",
            "maxmemory",
        ),
        (
            change(|s| {
                inspected(s).info = Info::parse("redis_version:5.0.14\nrole:master\n");
                inspected(s).has_resp3 = false;
            }),
            Check::Version,
            Warn,
            "Redis 5.0.14 has no client tracking (who waits has to ask ten times a second)",
            "6.2",
        ),
        (
            change(|s| inspected(s).has_resp3 = false),
            Check::Version,
            Warn,
            "7.2.0 has no HELLO",
            "HELLO",
        ),
        (
            change(move |s| inspected(s).samples = samples(ms(0), ms(0), ms(1_000))),
            Check::RoundTrip,
            Warn,
            "1.00 s, at most 1.00 s; an attempt waits for 1s: its votes come too late",
            "raise or remove `attempt_timeout`",
        ),
        (
            change(move |s| inspected(s).samples = samples(ms(0), ms(0), ms(501))),
            Check::RoundTrip,
            Warn,
            "as soon as anything is slower",
            "raise or remove `attempt_timeout`",
        ),
        (
            change(move |s| inspected(s).samples = samples(ms(1_001), ms(0), micros(100))),
            Check::Clock,
            Note,
            "1.00 s ±0.05 ms ahead of this machine",
            "NTP",
        ),
        (
            // A ttl of 30 s makes 30 times as much of it, and of the round trip by which it may be wrong.
            change(move |s| inspected(s).samples = samples(ms(0), ms(4), micros(100))),
            Check::Rate,
            Warn,
            "it gains 120.00 ms ±3.0",
            "NTP",
        ),
        (
            change(move |s| inspected(s).samples = samples(ms(0), micros(3_300), micros(100))),
            Check::Rate,
            Note,
            "too close to call",
            "drift",
        ),
        (
            change(|s| {
                s.is_tls = false;
            }),
            Check::Tls,
            Warn,
            "the password crosses the network in plaintext",
            "rediss://",
        ),
        (
            change(|s| {
                s.is_tls = false;
                s.has_password = false;
            }),
            Check::Tls,
            Note,
            "without a password",
            "requirepass",
        ),
        (
            change(|s| inspected(s).info = Info::parse("redis_version:7\nrole:master\nconnected_slaves:2\n")),
            Check::Role,
            Note,
            "master of 2",
            "restart_guard",
        ),
        (
            change(|s| s.kind = Kind::Cluster),
            Check::Role,
            Note,
            "one vote of several",
            "independent masters",
        ),
        (
            change(|s| {
                s.inspected = Err(Missed::Skipped("it is a cluster".into()));
                s.warnings = vec![Warning::Eviction {
                    policy: "allkeys-lru".into(),
                }];
            }),
            Check::Eviction,
            Unsafe,
            "allkeys-lru",
            "noeviction",
        ),
        (
            change(|s| s.inspected = Err(Missed::Silent("unanswered for 1s".into()))),
            Check::Inspection,
            Warn,
            "unanswered for 1s",
            "overloaded",
        ),
        (
            change(|s| s.inspected = Err(Missed::Skipped("late".into()))),
            Check::Inspection,
            Note,
            "skipped: late",
            "CONFIG GET",
        ),
    ];
    for (change, check, level, found, advice) in cases {
        let mut servers = fine_servers(3);
        change(&mut servers[1]);
        let findings = complaints(&servers, &terms());
        let finding = find(&findings, check);
        assert_eq!(finding.server.as_deref(), Some("h1:6379"), "{finding:?}");
        assert_eq!(finding.level, level, "{finding:?}");
        assert!(finding.found.contains(found), "{finding:?}");
        assert!(finding.advice.as_ref().unwrap().contains(advice), "{finding:?}");
        assert!(
            findings
                .iter()
                .all(|finding| finding.server.is_none() || finding.server.as_deref() == Some("h1:6379")),
            "{findings:#?}"
        );
        assert!(
            findings.iter().all(|finding| finding.level <= level.max(Warn)),
            "{findings:#?}"
        );
    }
}

#[test]
fn what_does_not_depend_on_it_is_not_told_of_a_server() {
    let changes: [fn(&mut ServerFacts); 6] = [
        |server| server.place = Place::ThisMachine,
        |server| set(server, "maxmemory", "1310720"),
        |server| inspected(server).samples = samples(ms(999), ms(0), ms(1)),
        |server| inspected(server).samples = samples(ms(0), ms(3), Duration::from_micros(100)),
        |server| inspected(server).samples = samples(ms(0), ms(0), Duration::from_micros(1_500)),
        |server| {
            only_info(
                server,
                "valkey_version:9.0.0\nredis_version:7.2.4\nrole:master\nmaxmemory_policy:noeviction\n",
            );
        },
    ];
    for change in changes {
        let mut servers = fine_servers(3);
        change(&mut servers[1]);
        let mut terms = terms();
        // What is unknown of its persistence does not matter then.
        terms.restart_guard = Some(terms.ttl);
        let findings = complaints(&servers, &terms);
        assert!(findings.is_empty(), "{findings:#?}");
    }
}

#[test]
fn a_server_that_does_not_vote_is_a_warning_as_long_as_a_majority_does() {
    let ways: [fn(&mut ServerFacts); 6] = [
        |server| server.inspected = Err(Missed::Silent("unanswered".into())),
        |server| down(DownReason::ConnectionRefused)(server),
        |server| server.trial = refused("out of memory", false),
        |server| inspected(server).denied = vec![Denied::Needed("set")],
        |server| inspected(server).denied = vec![Denied::Keys],
        |server| inspected(server).samples = samples(ms(0), ms(0), ms(1_200)),
    ];
    for absent in ways {
        let mut servers = fine_servers(3);
        absent(&mut servers[0]);
        let findings = complaints(&servers, &terms());
        let majority = find(&findings, Check::Majority);
        assert_eq!(majority.level, Warn);
        assert_eq!(majority.found, "2 of 3 servers can vote, 2 needed: no other may fail");
        assert!(findings.iter().all(|finding| finding.level <= Warn), "{findings:#?}");
        absent(&mut servers[1]);
        let findings = complaints(&servers, &terms());
        let dangers: Vec<_> = findings.iter().filter(|finding| finding.level == Unsafe).collect();
        assert_eq!(dangers.len(), 3, "the majority and both servers: {findings:#?}");
        assert_eq!(dangers[0].found, "1 of 3 servers can vote, 2 needed");
    }
}

#[test]
fn an_odd_number_of_at_least_three_is_fine() {
    for (count, level, found) in [
        (1, Warn, "1 of 1 servers have to vote"),
        (2, Warn, "2 of 2 servers have to vote"),
        (3, Fine, "3 servers, of which 1 may fail"),
        (4, Warn, "4 servers tolerate 1 failure, as 3 do"),
        (5, Fine, "5 servers, of which 2 may fail"),
        (6, Warn, "6 servers tolerate 2 failures, as 5 do"),
    ] {
        let findings = judge(&fine_servers(count), &terms());
        let number = find(&findings, Check::Number);
        assert_eq!(number.level, level, "{number:?}");
        assert!(number.found.starts_with(found), "{number:?}");
    }
}

#[test]
fn a_restart_guard_makes_up_for_persistence_if_it_is_as_long_as_the_ttl() {
    for (guard, of_guard, of_persistence) in [
        (None, None, Warn),
        (Some(ms(30_000)), Some(Fine), Fine),
        (Some(ms(60_000)), Some(Fine), Fine),
        (Some(ms(29_999)), Some(Unsafe), Warn),
    ] {
        let mut servers = fine_servers(3);
        set(&mut servers[0], "appendonly", "no");
        let terms = Terms {
            restart_guard: guard,
            ..terms()
        };
        let findings = judge(&servers, &terms);
        let told = findings.iter().find(|finding| finding.check == Check::RestartGuard);
        assert_eq!(told.map(|finding| finding.level), of_guard, "{guard:?}");
        let persistence = findings
            .iter()
            .find(|finding| finding.check == Check::Persistence && finding.server.as_deref() == Some("h0:6379"));
        assert_eq!(persistence.unwrap().level, of_persistence, "{guard:?}");
    }
}

#[test]
fn a_promotion_has_to_show_for_as_long_as_the_restart_guard_waits() {
    let counts = "total_net_repl_input_bytes:0\n";
    for (setting, counted, guard, level, found) in [
        (Some("30"), "", 30_000, Fine, "seen for 30s (repl-backlog-ttl)"),
        (Some("0"), "", 30_000, Fine, "seen for as long as the server runs"),
        (None, "", 30_000, Fine, "seen for 1h (repl-backlog-ttl, by default)"),
        (
            Some("29"),
            counts,
            30_000,
            Note,
            "repl-backlog-ttl (29s) is shorter than restart_guard (30s): not seen after",
        ),
        (
            Some("29"),
            "",
            30_000,
            Warn,
            "repl-backlog-ttl (29s) is shorter than restart_guard (30s): a promoted",
        ),
        (
            None,
            "",
            3_600_001,
            Warn,
            "repl-backlog-ttl (1h) is shorter than restart_guard",
        ),
    ] {
        let mut servers = fine_servers(3);
        inspected(&mut servers[1]).info = Info::parse(&format!("redis_version:7.2.0\nrole:master\n{counted}"));
        if let Some(seconds) = setting {
            set(&mut servers[1], "repl-backlog-ttl", seconds);
        }
        let terms = Terms {
            restart_guard: Some(ms(guard)),
            ..terms()
        };
        let findings = judge(&servers[1..2], &terms);
        let finding = find(&findings, Check::Promotion);
        assert_eq!(finding.level, level, "{finding:?}");
        assert!(finding.found.starts_with(found), "{finding:?}");
        let advice = format!("CONFIG SET repl-backlog-ttl {}", guard.div_ceil(1_000));
        assert_eq!(
            finding.advice.as_deref().is_some_and(|told| told.starts_with(&advice)),
            level != Fine
        );
    }
    let findings = judge(&fine_servers(1), &terms());
    assert!(
        findings.iter().all(|finding| finding.check != Check::Promotion),
        "without a guard"
    );
}

#[test]
fn a_promotion_that_the_library_would_not_see_is_a_warning_also_if_the_server_was_not_asked() {
    let mut servers = fine_servers(3);
    servers[1].inspected = Err(Missed::Skipped("it is a cluster".into()));
    servers[1].warnings = vec![Warning::ShortHistory {
        backlog_ttl: ms(2_000),
        max_ttl: ms(30_000),
    }];
    let findings = complaints(&servers, &terms());
    let finding = find(&findings, Check::Promotion);
    assert_eq!((finding.level, finding.server.as_deref()), (Warn, Some("h1:6379")));
}

#[test]
fn clocks_may_differ_by_the_longest_ttl_less_the_second_that_tokens_may_be_ahead() {
    for (ahead, guard, level) in [
        (28_999, None, Fine),
        (29_001, None, Warn),
        (29_001, Some(60_000), Fine),
        (59_001, Some(60_000), Warn),
    ] {
        let mut servers = fine_servers(3);
        inspected(&mut servers[2]).samples = samples(ms(ahead), ms(0), Duration::from_micros(100));
        let terms = Terms {
            restart_guard: guard.map(ms),
            ..terms()
        };
        let findings = judge(&servers, &terms);
        assert_eq!(find(&findings, Check::ClocksApart).level, level, "{ahead} {guard:?}");
    }
}

#[test]
fn servers_that_share_a_host_fail_together() {
    let mut servers = fine_servers(5);
    servers[1].place = Place::Host("h0".into());
    servers[2].place = Place::ThisMachine;
    servers[3].place = Place::ThisMachine;
    let findings = complaints(&servers, &terms());
    let found: Vec<_> = findings
        .iter()
        .map(|finding| (finding.level, finding.found.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            (Note, "2 servers share h0, and fail together with it"),
            (Note, "2 servers share this machine, and fail together with it")
        ]
    );
}

#[test]
fn each_group_has_a_majority_of_its_own() {
    let mut servers = fine_servers(6);
    for server in &mut servers[3..] {
        server.group = 1;
    }
    for server in &mut servers[4..] {
        down(DownReason::ConnectionRefused)(server);
    }
    let findings = judge(&servers, &terms());
    let majorities = findings.iter().filter(|finding| finding.check == Check::Majority);
    let levels: Vec<_> = majorities.map(|finding| (finding.group, finding.level)).collect();
    assert_eq!(levels, [(0, Fine), (1, Unsafe)]);
    assert!(findings.is_sorted_by_key(|finding| finding.group));
}
