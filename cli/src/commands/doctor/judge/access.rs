//! Whether the server is reached, lets us in, and is one that may vote.

use crate::{
    commands::doctor::{
        address::{Kind, Place},
        facts::{Missed, ServerFacts, Terms},
        finding::{Check, Level, Outcome},
    },
    duration::show,
};
use multiredlock::{DownReason, Warning};

pub(super) fn judge(server: &ServerFacts, absence: Level, terms: &Terms) -> Vec<Outcome> {
    let mut outcomes = match server.down() {
        Some(reason) => Vec::from_iter(down(reason, absence)),
        None => [Outcome::ok(Check::Reachable, "it is up"), authenticated(server)].into(),
    };
    outcomes.extend(plaintext(server, terms));
    outcomes.extend(distinct(server));
    outcomes.extend(role(server));
    outcomes
}

fn authenticated(server: &ServerFacts) -> Outcome {
    let found = match (&server.user, server.has_password) {
        (Some(user), _) => format!("as `{user}`"),
        (None, true) => "by the password".into(),
        (None, false) => "no password needed".into(),
    };
    Outcome::ok(Check::Authentication, found)
}

/// Why it does not vote, unless that is for want of a permission.
fn down(reason: &DownReason, absence: Level) -> Option<Outcome> {
    let found = reason.to_string();
    let new = |check, level, advice: &str| Outcome::new(check, level, &*found, advice);
    Some(match reason {
        DownReason::NoPermission(_) => return None,
        DownReason::Replica => new(
            Check::Role,
            Level::Unsafe,
            "List its master in --servers instead, or make it one: REPLICAOF NO ONE.",
        ),
        DownReason::Duplicate { .. } => new(
            Check::Distinct,
            Level::Unsafe,
            "Take one of both addresses out of --servers: a server votes once.",
        ),
        DownReason::Restarted { ready_in } => Outcome::new(
            Check::Restart,
            absence,
            format!(
                "started less than the restart guard ago, it votes again in {}",
                show(*ready_in)
            ),
            "Wait until then: locks that it may have forgotten are still held.",
        ),
        DownReason::Auth(_) => new(
            Check::Authentication,
            absence,
            "Correct its user and password in --servers, or `username` and `password` in the file of --config.",
        ),
        DownReason::Tls(_) => new(
            Check::Tls,
            absence,
            "Check --ca, --cert and --key, and `tls.server_name` if its certificate is for another name.",
        ),
        DownReason::NeedsTls => new(
            Check::Tls,
            absence,
            "Use rediss:// in --servers, with --ca if its authority is your own.",
        ),
        DownReason::LacksTls => new(
            Check::Tls,
            absence,
            "Set `tls-port` in its redis.conf and use that port, or redis:// if its network is closed.",
        ),
        _ => new(Check::Reachable, absence, reaching(reason)),
    })
}

/// What to do about a server that does not answer as one that votes.
fn reaching(reason: &DownReason) -> &'static str {
    match reason {
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
fn plaintext(server: &ServerFacts, terms: &Terms) -> Option<Outcome> {
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
        ) if server.is_tls => return None,
        _ => {}
    }
    Some(match &server.place {
        _ if server.is_tls && terms.accepts_any_certificate => Outcome::new(
            Check::Tls,
            Level::Warning,
            "encrypted, but with any certificate: whoever intercepts the connection can read the password",
            "Give its certificate as `pinned` in the file, or its authority with --ca.",
        ),
        _ if server.is_tls => Outcome::ok(Check::Tls, "encrypted"),
        Place::ThisMachine => Outcome::ok(Check::Tls, "not needed within this machine"),
        Place::Host(_) if server.has_password => Outcome::new(
            Check::Tls,
            Level::Warning,
            "the password crosses the network in plaintext",
            "Set `tls-port` in its redis.conf, and use rediss:// with --ca.",
        ),
        Place::Host(_) => Outcome::new(
            Check::Tls,
            Level::Note,
            "not encrypted, and without a password: whoever reaches its port can unlock everything",
            "Set `requirepass` and `tls-port` in its redis.conf, unless its network is closed.",
        ),
    })
}

/// The library tells servers apart by what INFO says of them.
fn distinct(server: &ServerFacts) -> Option<Outcome> {
    let is_told = server.down().is_none() && !server.warnings.contains(&Warning::InfoDenied);
    is_told.then(|| Outcome::ok(Check::Distinct, "no other address leads to it"))
}

/// Whether it stands for itself.
fn role(server: &ServerFacts) -> Option<Outcome> {
    let failover = "Use independent masters in its place, or set `restart_guard` to the longest ttl.";
    match (server.kind, &server.inspected) {
        (Kind::Cluster | Kind::Sentinel, _) if server.down().is_none() => Some(Outcome::new(
            Check::Role,
            Level::Note,
            "one vote of several servers: a failover may forget locks",
            failover,
        )),
        (Kind::Single, Ok(inspected)) if server.down() != Some(&DownReason::Replica) => {
            let replicas = inspected.info.number("connected_slaves").unwrap_or(0);
            match inspected.info.get("role")? {
                "master" if replicas > 0 => Some(Outcome::new(
                    Check::Role,
                    Level::Note,
                    format!("master of {replicas}: a failover may forget locks"),
                    failover,
                )),
                role => Some(Outcome::ok(Check::Role, role)),
            }
        }
        _ => None,
    }
}

/// A server that did not tell of itself, if nothing else says so.
pub(super) fn uninspected(server: &ServerFacts, missed: &Missed, absence: Level) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = server.warnings.iter().filter_map(noticed).collect();
    let is_reached = !matches!(
        server.down(),
        Some(reason) if !matches!(reason, DownReason::Restarted { .. } | DownReason::Duplicate { .. } | DownReason::Replica)
    );
    match missed {
        _ if !is_reached => {}
        Missed::Skipped(reason) => outcomes.push(Outcome::new(
            Check::Inspection,
            Level::Note,
            format!("skipped: {reason}"),
            "Check persistence, eviction, memory and clock there by hand: CONFIG GET, INFO, TIME.",
        )),
        Missed::Silent(silence) => outcomes.push(Outcome::new(
            Check::Inspection,
            absence,
            silence,
            reaching(&DownReason::Unresponsive),
        )),
    }
    outcomes
}

/// What the library found out by itself.
fn noticed(warning: &Warning) -> Option<Outcome> {
    match warning {
        Warning::Eviction { policy } => Some(super::storage::evicts(policy)),
        Warning::ShortHistory { backlog_ttl, max_ttl } => Some(super::promotion::forgotten(*backlog_ttl, *max_ttl)),
        _ => None,
    }
}
