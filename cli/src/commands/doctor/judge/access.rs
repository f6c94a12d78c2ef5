//! Whether the server is reached, lets us in, and is one that may vote.

use crate::{
    commands::doctor::{
        address::{Kind, Place},
        facts::{Missed, ServerFacts, Terms},
        finding::{Check, Finding, Level},
    },
    duration::show,
};
use multiredlock::{event::Warning, status::DownReason};

pub(super) fn judge(server: &ServerFacts, absence: Level, terms: &Terms) -> Vec<Finding> {
    let mut findings = match server.down() {
        Some(reason) => Vec::from_iter(down(reason, absence)),
        None => [Check::Reachable.ok("it is up"), authenticated(server)].into(),
    };
    findings.extend(plaintext(server, terms));
    findings.extend(distinct(server));
    findings.extend(role(server));
    findings
}

fn authenticated(server: &ServerFacts) -> Finding {
    Check::Authentication.ok(match (&server.way.user, server.way.has_password) {
        (Some(user), _) => format!("as `{user}`"),
        (None, true) => "by the password".into(),
        (None, false) => "no password needed".into(),
    })
}

/// Why it does not vote, unless that is for want of a permission.
fn down(reason: &DownReason, absence: Level) -> Option<Finding> {
    let (check, level) = match reason {
        DownReason::NoPermission(_) => return None,
        DownReason::Replica => (Check::Role, Level::Unsafe),
        DownReason::Duplicate(_) => (Check::Distinct, Level::Unsafe),
        DownReason::Restarted { .. } => (Check::Restart, absence),
        DownReason::Auth(_) => (Check::Authentication, absence),
        DownReason::Tls(_) | DownReason::NeedsTls | DownReason::LacksTls => (Check::Tls, absence),
        _ => (Check::Reachable, absence),
    };
    let found = match reason {
        DownReason::Restarted { ready_in, .. } => {
            let ready_in = show(*ready_in);
            format!("started less than the restart guard ago, it votes again in {ready_in}")
        }
        reason => reason.to_string(),
    };
    Some(check.found(level, found).advise(remedy(reason)))
}

/// What to do about a server that does not vote.
fn remedy(reason: &DownReason) -> &'static str {
    match reason {
        DownReason::Replica => "List its master in --servers instead, or make it one: REPLICAOF NO ONE.",
        DownReason::Duplicate(_) => "Take one of both addresses out of --servers: a server votes once.",
        DownReason::Restarted { .. } => "Wait until then: locks that it may have forgotten are still held.",
        DownReason::Auth(_) => {
            "Correct its user and password in --servers, or `username` and `password` in the file of --config."
        }
        DownReason::Tls(_) => {
            "Check --ca, --cert and --key, and `tls.server_name` if its certificate is for another name."
        }
        DownReason::NeedsTls => "Use rediss:// in --servers, with --ca if its authority is your own.",
        DownReason::LacksTls => {
            "Set `tls-port` in its redis.conf and use that port, or redis:// if its network is closed."
        }
        DownReason::Unresolved(_) => {
            "Correct its host in --servers, or see whether this machine's name servers know it."
        }
        DownReason::ConnectionRefused => "Start it, or correct its host and port in --servers.",
        DownReason::ConnectTimeout | DownReason::Unresponsive | DownReason::NotYet => {
            "See whether it is stopped or overloaded, and whether a firewall drops packets: redis-cli -h … PING."
        }
        DownReason::Loading => "Wait until it has read its data: `loading` in INFO persistence.",
        DownReason::NotRedis(_) => "Correct its port in --servers, or use rediss:// if it expects TLS.",
        DownReason::Refused(_) => "Change `protected-mode`, `bind` or `maxclients` in its redis.conf as its words say.",
        DownReason::Cluster(_) => "Bring its nodes back: redis-cli --cluster check.",
        DownReason::Sentinel(_) => "Check `sentinelServiceName` in --servers against SENTINEL MASTERS.",
        DownReason::Excessive(_) => "Find out what listens there: no Redis server sends that much.",
        _ => "Check its host and port in --servers, and the network between: redis-cli -h … PING.",
    }
}

/// Whether others on the way can read along.
fn plaintext(server: &ServerFacts, terms: &Terms) -> Option<Finding> {
    match server.down() {
        Some(DownReason::Tls(_) | DownReason::NeedsTls | DownReason::LacksTls) => return None,
        // Nobody knows before there is a connection.
        Some(
            DownReason::NotYet
            | DownReason::ConnectionRefused
            | DownReason::ConnectTimeout
            | DownReason::ConnectionLost
            | DownReason::Io(_)
            | DownReason::NotRedis(_)
            | DownReason::Sentinel(_)
            | DownReason::Cluster(_),
        ) if server.way.is_tls => return None,
        _ => {}
    }
    let tls = |level, found: &str| Check::Tls.found(level, found);
    Some(match &server.way.place {
        _ if server.way.is_tls && terms.accepts_any_certificate => tls(
            Level::Warning,
            "encrypted, but with any certificate: whoever intercepts the connection can read the password",
        )
        .advise("Give its certificate as `pinned` in the file, or its authority with --ca."),
        _ if server.way.is_tls => Check::Tls.ok("encrypted"),
        Place::ThisMachine => Check::Tls.ok("not needed within this machine"),
        Place::Host(_) if server.way.has_password => {
            tls(Level::Warning, "the password crosses the network in plaintext")
                .advise("Set `tls-port` in its redis.conf, and use rediss:// with --ca.")
        }
        Place::Host(_) => tls(
            Level::Note,
            "not encrypted, and without a password: whoever reaches its port can unlock everything",
        )
        .advise("Set `requirepass` and `tls-port` in its redis.conf, unless its network is closed."),
    })
}

/// The library tells servers apart by what INFO says of them.
fn distinct(server: &ServerFacts) -> Option<Finding> {
    let is_told = server.down().is_none() && !server.warnings.contains(&Warning::InfoDenied);
    is_told.then(|| Check::Distinct.ok("no other address leads to it"))
}

/// Whether it stands for itself.
fn role(server: &ServerFacts) -> Option<Finding> {
    let several = match (server.way.kind, &server.inspected) {
        (Kind::Cluster | Kind::Sentinel, _) if server.down().is_none() => "one vote of several servers".into(),
        (Kind::Single, Ok(inspected)) if server.down() != Some(&DownReason::Replica) => {
            let replicas = inspected.info.number("connected_slaves").unwrap_or(0);
            match inspected.info.get("role")? {
                "master" if replicas > 0 => format!("master of {replicas}"),
                role => return Some(Check::Role.ok(role)),
            }
        }
        _ => return None,
    };
    let note = Check::Role.found(Level::Note, format!("{several}: a failover may forget locks"));
    Some(note.advise("Use independent masters in its place, or set `restart_guard` to the longest ttl."))
}

/// A server that did not tell of itself, if nothing else says so.
pub(super) fn uninspected(server: &ServerFacts, missed: &Missed, absence: Level) -> Vec<Finding> {
    let mut findings: Vec<Finding> = noticed(server).collect();
    let is_reached = !matches!(
        server.down(),
        Some(reason) if !matches!(reason, DownReason::Restarted { .. } | DownReason::Duplicate(_) | DownReason::Replica)
    );
    findings.extend(is_reached.then(|| {
        match missed {
            Missed::Skipped(reason) => Check::Inspection
                .found(Level::Note, format!("skipped: {reason}"))
                .advise("Check persistence, eviction, memory and clock there by hand: CONFIG GET, INFO, TIME."),
            Missed::Silent(silence) => Check::Inspection
                .found(absence, silence)
                .advise(remedy(&DownReason::Unresponsive)),
        }
    }));
    findings
}

/// What the library found out by itself.
fn noticed(server: &ServerFacts) -> impl Iterator<Item = Finding> {
    let evicts = server.eviction.as_deref().map(super::storage::evicts);
    let short_history = server.short_history.as_ref();
    let forgotten = short_history.map(|short| super::promotion::forgotten(short.backlog_ttl, short.max_ttl));
    evicts.into_iter().chain(forgotten)
}
