//! Each finding from the facts that lead to it, with a fine quorum around it.

use super::judge;
use crate::commands::doctor::{
    address::{Kind, Place, Way},
    clock::Sample,
    facts::{Denied, Info, Inspected, Missed, ServerFacts, ShortHistory, Terms, Trial, Trouble},
    finding::{
        Check, Finding,
        Level::{Note, Ok as Fine, Unsafe, Warning as Warn},
    },
};
use multiredlock::{
    Redlock, Server,
    event::{Event, Warning},
    status::{DownReason, ServerState},
    testing::MemoryServer,
};
use std::{fmt::Write, time::Duration};

pub(super) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(super) fn terms() -> Terms {
    Terms {
        ttl: ms(30_000),
        drift: ms(100),
        attempt_timeout: Some(ms(1_000)),
        restart_guard: None,
        key_prefix: "lock:".into(),
        accepts_any_certificate: false,
    }
}

fn guarded(restart_guard: Option<u64>) -> Terms {
    let restart_guard = restart_guard.map(ms);
    Terms {
        restart_guard,
        ..terms()
    }
}

/// Read over a second, by a clock that is so far ahead and gains so much in that second.
pub(super) fn samples(ahead: Duration, gained: Duration, round_trip: Duration) -> Vec<Sample> {
    let wall = Duration::from_secs(1_700_000_000);
    let at = |asked: Duration, gained: Duration| Sample {
        asked,
        answered: asked + round_trip,
        wall: wall + asked,
        told: wall + asked + round_trip / 2 + ahead + gained,
    };
    vec![at(ms(0), ms(0)), at(ms(1_000), gained)]
}

const NEAR: Duration = Duration::from_micros(100);

fn fine_server(number: usize) -> ServerFacts {
    let info = "redis_version:7.2.0\nrole:master\nconnected_slaves:0\nused_memory:1048576\nmaxmemory:0\n\
                maxmemory_policy:noeviction\naof_enabled:1\n";
    let config = "maxmemory=0 maxmemory-policy=noeviction appendonly=yes appendfsync=always save=";
    ServerFacts {
        name: format!("h{number}:6379"),
        group: 0,
        way: Way {
            kind: Kind::Single,
            place: Place::Host(format!("h{number}")),
            is_tls: true,
            has_password: true,
            user: Some("locks".into()),
            target: Err("it is made up".into()),
        },
        state: ServerState::Up,
        warnings: vec![],
        eviction: None,
        short_history: None,
        trial: Trial::Works,
        inspected: Ok(Inspected {
            info: Info::parse(info),
            config: config
                .split(' ')
                .filter_map(|setting| setting.split_once('='))
                .map(|(name, value)| (name, value.into()))
                .collect(),
            denied: vec![],
            has_resp3: true,
            samples: samples(ms(0), ms(0), NEAR),
        }),
    }
}

fn fine_servers(count: usize) -> Vec<ServerFacts> {
    (0..count).map(fine_server).collect()
}

/// What is different about a server.
type Change<'a> = &'a dyn Fn(&mut ServerFacts);

/// A quorum of three, of which the second server is different.
fn fine_but_for(change: Change<'_>) -> Vec<ServerFacts> {
    let mut servers = fine_servers(3);
    change(&mut servers[1]);
    servers
}

fn inspected(server: &mut ServerFacts) -> &mut Inspected {
    server.inspected.as_mut().unwrap()
}

fn configured(name: &'static str, value: &str) -> impl Fn(&mut ServerFacts) {
    move |server| drop(inspected(server).config.insert(name, value.into()))
}

/// What INFO says, in place of what it said.
fn info(text: &str) -> impl Fn(&mut ServerFacts) {
    move |server| inspected(server).info = Info::parse(text)
}

/// The same, of a server that says nothing by CONFIG.
fn only_info(text: &str) -> impl Fn(&mut ServerFacts) {
    move |server| {
        inspected(server).config.clear();
        info(text)(server);
    }
}

fn denied(denied: &[Denied]) -> impl Fn(&mut ServerFacts) {
    move |server| inspected(server).denied = denied.into()
}

fn trial(trial: fn(Trouble) -> Trial, words: &str, is_permission: bool) -> impl Fn(&mut ServerFacts) {
    move |server| {
        server.trial = trial(Trouble {
            what: "a lock",
            words: words.into(),
            is_permission,
        });
    }
}

fn clock(ahead: Duration, gained: Duration, round_trip: Duration) -> impl Fn(&mut ServerFacts) {
    move |server| inspected(server).samples = samples(ahead, gained, round_trip)
}

fn missed(missed: fn(String) -> Missed, why: &str) -> impl Fn(&mut ServerFacts) {
    move |server| server.inspected = Err(missed(why.into()))
}

fn down(reason: DownReason) -> impl Fn(&mut ServerFacts) {
    move |server| {
        server.state = ServerState::Down(reason.clone());
        server.trial = Trial::Untried;
        missed(Missed::Skipped, "connection refused")(server);
    }
}

/// What the library says of a server that was started again. Only it makes such a reason.
fn restarted(guard: Duration) -> DownReason {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(async {
        let server = MemoryServer::new();
        let redlock = Redlock::builder()
            .servers([&server])
            .restart_guard(guard)
            .build()
            .unwrap();
        let mut events = redlock.events();
        loop {
            if let Some(Event::ServerDown {
                reason: reason @ DownReason::Restarted { .. },
                ..
            }) = events.recv().await
            {
                return reason;
            }
        }
    })
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
    let is_fine = |finding: &Finding| finding.level == Fine && finding.advice.is_none();
    assert!(findings.iter().all(is_fine), "{findings:#?}");
    let checks_of = |server: Option<&str>| -> Vec<String> {
        let of_it = findings.iter().filter(|finding| finding.server.as_deref() == server);
        of_it.map(|finding| finding.check.name()).collect()
    };
    assert_eq!(checks_of(None), ["majority", "number", "clocks apart"]);
    assert!(findings[..3].iter().all(|finding| finding.server.is_none()));
    assert_eq!(
        checks_of(Some("h0:6379")).join(", "),
        "reachable, authentication, TLS, distinct, role, permissions, locking, persistence, eviction, memory, version, \
         round trip, clock, rate"
    );
}

/// All that is not fine about a quorum, one of whose servers is as is said: for a snapshot.
fn told(situations: &[(&str, Change<'_>)]) -> String {
    let mut told = String::new();
    for (situation, change) in situations {
        writeln!(told, "\nh1 {situation}:").unwrap();
        for Finding {
            check,
            level,
            server,
            found,
            advice,
            ..
        } in complaints(&fine_but_for(change), &terms())
        {
            let about = server.as_deref().unwrap_or("quorum");
            writeln!(told, "- {about}, {level:?}, {}: {found}", check.name()).unwrap();
            writeln!(told, "  {}", advice.unwrap()).unwrap();
        }
    }
    told
}

#[test]
fn each_fact_about_the_way_to_a_server_has_its_finding() {
    let of = Server::parse("h1").unwrap().address();
    let told = told(&[
        ("refuses connections", &down(DownReason::ConnectionRefused)),
        ("does not answer", &down(DownReason::ConnectTimeout)),
        ("was not reached yet", &down(DownReason::NotYet)),
        ("expects TLS", &down(DownReason::NeedsTls)),
        ("does not know TLS", &down(DownReason::LacksTls)),
        ("is loading", &down(DownReason::Loading)),
        ("is a replica", &down(DownReason::Replica)),
        ("is listed twice", &down(DownReason::Duplicate(of))),
        ("was restarted", &down(restarted(ms(12_000)))),
        ("gets a password in plaintext", &|h1| h1.way.is_tls = false),
        ("has neither TLS nor a password", &|h1| {
            h1.way.is_tls = false;
            h1.way.has_password = false;
        }),
        (
            "has replicas",
            &info("redis_version:7\nrole:master\nconnected_slaves:2\n"),
        ),
        ("is a cluster", &|h1| h1.way.kind = Kind::Cluster),
        ("falls silent", &missed(Missed::Silent, "unanswered for 1s")),
        ("was not asked", &missed(Missed::Skipped, "late")),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn each_fact_about_locks_and_permissions_has_its_finding() {
    let told = told(&[
        ("has no memory", &trial(Trial::Fails, "out of memory", false)),
        ("permits no lock", &trial(Trial::Fails, "no permission", true)),
        ("lacks what it needs", &denied(&[Denied::Needed("eval"), Denied::Keys])),
        ("lacks what is wanted", &denied(&[Denied::Wanted("client|kill")])),
        ("warns of what it lacks", &|h1| {
            h1.warnings = vec![Warning::TrackingDenied, Warning::TimeDenied];
        }),
        ("has no tokens", &trial(Trial::NoTokens, "ERR syntax error", false)),
        ("was not tried", &|h1| h1.trial = Trial::Untried),
        ("has no HELLO", &|h1| inspected(h1).has_resp3 = false),
        ("is old", &|h1| {
            info("redis_version:5.0.14\nrole:master\n")(h1);
            inspected(h1).has_resp3 = false;
        }),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn each_fact_about_what_a_server_forgets_has_its_finding() {
    let without_aof = "role:master\naof_enabled:0\nmaxmemory_policy:noeviction\n";
    let with_aof = "role:master\naof_enabled:1\nmaxmemory_policy:noeviction\n";
    let evicting = "role:master\naof_enabled:0\nmaxmemory:9\nmaxmemory_policy:allkeys-lfu\n";
    let told = told(&[
        ("appends every second", &configured("appendfsync", "everysec")),
        ("takes snapshots alone", &|h1| {
            configured("appendonly", "no")(h1);
            configured("save", "3600 1")(h1);
        }),
        ("appends, by INFO", &only_info(with_aof)),
        ("does not append, by INFO", &only_info(without_aof)),
        ("evicts, by INFO", &only_info(evicting)),
        ("says nothing", &only_info("")),
        ("has a policy", &configured("maxmemory-policy", "allkeys-lru")),
        ("evicts", &|h1| {
            configured("maxmemory-policy", "volatile-ttl")(h1);
            configured("maxmemory", "104857600")(h1);
        }),
        ("is a cluster that evicts", &|h1| {
            missed(Missed::Skipped, "it is a cluster")(h1);
            h1.eviction = Some("allkeys-lru".into());
        }),
        ("has little memory left", &configured("maxmemory", "1300000")),
        ("has no memory left", &configured("maxmemory", "1103764")),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn each_fact_about_time_has_its_finding() {
    let micros = Duration::from_micros;
    let told = told(&[
        ("is too far away", &clock(ms(0), ms(0), ms(1_000))),
        ("is far away", &clock(ms(0), ms(0), ms(501))),
        ("is ahead", &clock(ms(1_001), ms(0), NEAR)),
        // A ttl of 30 s makes 30 times as much of it, and of the round trip by which it may be wrong.
        ("is too fast", &clock(ms(0), ms(4), NEAR)),
        ("may be too fast", &clock(ms(0), micros(3_300), NEAR)),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn what_does_not_depend_on_it_is_not_told_of_a_server() {
    let changes: [Change<'_>; 6] = [
        &|server| server.way.place = Place::ThisMachine,
        &configured("maxmemory", "1310720"),
        &clock(ms(999), ms(0), ms(1)),
        &clock(ms(0), ms(3), NEAR),
        &clock(ms(0), ms(0), Duration::from_micros(1_500)),
        &only_info("valkey_version:9.0.0\nredis_version:7.2.4\nrole:master\nmaxmemory_policy:noeviction\n"),
    ];
    for change in changes {
        // What is unknown of its persistence does not matter then.
        let findings = complaints(&fine_but_for(change), &guarded(Some(30_000)));
        assert!(findings.is_empty(), "{findings:#?}");
    }
}

#[test]
fn a_server_that_does_not_vote_is_a_warning_as_long_as_a_majority_does() {
    let ways: [Change<'_>; 6] = [
        &missed(Missed::Silent, "unanswered"),
        &down(DownReason::ConnectionRefused),
        &trial(Trial::Fails, "out of memory", false),
        &denied(&[Denied::Needed("set")]),
        &denied(&[Denied::Keys]),
        &clock(ms(0), ms(0), ms(1_200)),
    ];
    for absent in ways {
        let mut servers = fine_but_for(absent);
        let findings = complaints(&servers, &terms());
        let majority = find(&findings, Check::Majority);
        assert_eq!(majority.level, Warn);
        assert_eq!(majority.found, "2 of 3 servers can vote, 2 required: no other may fail");
        assert!(findings.iter().all(|finding| finding.level <= Warn), "{findings:#?}");
        absent(&mut servers[0]);
        let findings = complaints(&servers, &terms());
        let dangers: Vec<_> = findings.iter().filter(|finding| finding.level == Unsafe).collect();
        assert_eq!(dangers.len(), 3, "the majority and both servers: {findings:#?}");
        assert_eq!(dangers[0].found, "1 of 3 servers can vote, 2 required");
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
        (Some(30_000), Some(Fine), Fine),
        (Some(60_000), Some(Fine), Fine),
        (Some(29_999), Some(Unsafe), Warn),
    ] {
        let servers = fine_but_for(&configured("appendonly", "no"));
        let findings = judge(&servers, &guarded(guard));
        let told = findings.iter().find(|finding| finding.check == Check::RestartGuard);
        assert_eq!(told.map(|finding| finding.level), of_guard, "{guard:?}");
        let of_it = |finding: &&Finding| finding.server.as_deref() == Some("h1:6379");
        let mut persistence = findings
            .iter()
            .filter(of_it)
            .filter(|finding| finding.check == Check::Persistence);
        assert_eq!(persistence.next().unwrap().level, of_persistence, "{guard:?}");
    }
}

#[test]
fn a_promotion_has_to_show_for_as_long_as_the_restart_guard_waits() {
    let counts = "total_net_repl_input_bytes:0\n";
    let short = "repl-backlog-ttl (29s) is shorter than restart_guard (30s): ";
    for (setting, counted, guard, level, found) in [
        (Some("30"), "", 30_000, Fine, "seen for 30s (repl-backlog-ttl)"),
        (Some("0"), "", 30_000, Fine, "seen for as long as the server runs"),
        (None, "", 30_000, Fine, "seen for 1h (repl-backlog-ttl, by default)"),
        (Some("29"), counts, 30_000, Note, &format!("{short}not seen after")),
        (Some("29"), "", 30_000, Warn, &format!("{short}a promoted")),
        (None, "", 3_600_001, Warn, "repl-backlog-ttl (1h) is shorter than"),
    ] {
        let servers = fine_but_for(&|server| {
            info(&format!("redis_version:7.2.0\nrole:master\n{counted}"))(server);
            if let Some(seconds) = setting {
                configured("repl-backlog-ttl", seconds)(server);
            }
        });
        let findings = judge(&servers[1..2], &guarded(Some(guard)));
        let finding = find(&findings, Check::Promotion);
        assert_eq!(finding.level, level, "{finding:?}");
        assert!(finding.found.starts_with(found), "{finding:?}");
        let advice = format!("CONFIG SET repl-backlog-ttl {}", guard.div_ceil(1_000));
        let is_advised = finding.advice.as_deref().is_some_and(|told| told.starts_with(&advice));
        assert_eq!(is_advised, level != Fine);
    }
    let mut without_a_guard = judge(&fine_servers(1), &terms()).into_iter();
    assert!(without_a_guard.all(|finding| finding.check != Check::Promotion));
}

#[test]
fn a_promotion_that_the_library_would_not_see_is_a_warning_also_if_the_server_was_not_asked() {
    let findings = complaints(
        &fine_but_for(&|server| {
            missed(Missed::Skipped, "it is a cluster")(server);
            server.short_history = Some(ShortHistory {
                backlog_ttl: ms(2_000),
                max_ttl: ms(30_000),
            });
        }),
        &terms(),
    );
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
        let servers = fine_but_for(&clock(ms(ahead), ms(0), NEAR));
        let findings = judge(&servers, &guarded(guard));
        assert_eq!(find(&findings, Check::ClocksApart).level, level, "{ahead} {guard:?}");
    }
}

#[test]
fn servers_that_share_a_host_fail_together() {
    let mut servers = fine_servers(5);
    servers[1].way.place = Place::Host("h0".into());
    servers[2].way.place = Place::ThisMachine;
    servers[3].way.place = Place::ThisMachine;
    let findings = complaints(&servers, &terms()).into_iter();
    let found: Vec<_> = findings.map(|finding| (finding.level, finding.found)).collect();
    let shared = |place| (Note, format!("2 servers share {place}, and fail together with it"));
    assert_eq!(found, ["h0", "this machine"].map(shared));
}

#[test]
fn each_group_has_a_majority_of_its_own() {
    let mut servers = fine_servers(6);
    servers[3..].iter_mut().for_each(|server| server.group = 1);
    servers[4..].iter_mut().for_each(down(DownReason::ConnectionRefused));
    let findings = judge(&servers, &terms());
    let majorities = findings.iter().filter(|finding| finding.check == Check::Majority);
    let levels: Vec<_> = majorities.map(|finding| (finding.group, finding.level)).collect();
    assert_eq!(levels, [(0, Fine), (1, Unsafe)]);
    assert!(findings.is_sorted_by_key(|finding| finding.group));
}
