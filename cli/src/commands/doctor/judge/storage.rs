//! Whether the server may forget locks: at a restart, or when its memory is full.

use crate::{
    commands::doctor::{
        facts::{Inspected, Terms},
        finding::{Check, Level, Outcome},
        words,
    },
    duration::show,
};

/// From how many hundredths of the memory limit on it is scarce, and from how many on locks are about to be refused.
const SCARCE: u64 = 80;
const FULL: u64 = 95;

pub(super) fn judge(inspected: &Inspected, terms: &Terms) -> Vec<Outcome> {
    let mut outcomes = vec![persistence(inspected, terms), eviction(inspected)];
    outcomes.extend(head_room(inspected));
    outcomes
}

fn persistence(inspected: &Inspected, terms: &Terms) -> Outcome {
    let appends = match inspected.config.get("appendonly").map(String::as_str) {
        Some(told) => Some(told == "yes"),
        None => inspected.info.number("aof_enabled").map(|enabled| enabled == 1),
    };
    let syncs = inspected.config.get("appendfsync").map(String::as_str);
    let found = match (appends, syncs) {
        (Some(true), Some(syncs)) => format!("appendonly yes, appendfsync {syncs}"),
        (Some(true), None) => "appendonly yes, appendfsync unknown".into(),
        (Some(false), _) => match inspected.config.get("save").map(String::as_str) {
            Some("") => "appendonly no, and no snapshots".into(),
            Some(save) => format!("appendonly no, snapshots by save {save}"),
            None => "appendonly no".into(),
        },
        (None, _) => "unknown".into(),
    };
    if (appends, syncs) == (Some(true), Some("always")) {
        return Outcome::ok(Check::Persistence, found);
    }
    match terms.restart_guard {
        Some(guard) if guard >= terms.ttl => Outcome::ok(
            Check::Persistence,
            format!("{found}; restart_guard {} makes up for it", show(guard)),
        ),
        _ if appends.is_none() || (appends == Some(true) && syncs.is_none()) => Outcome::new(
            Check::Persistence,
            Level::Note,
            format!("{found}: CONFIG GET is not permitted"),
            "See that `appendonly yes` and `appendfsync always` are set in its redis.conf, or set `restart_guard`.",
        ),
        _ => Outcome::new(
            Check::Persistence,
            Level::Warning,
            format!("{found}: a restart forgets locks"),
            format!(
                "Set `restart_guard = \"{}\"` or longer for every process, or on the server `appendonly yes` and \
                 `appendfsync always`.",
                show(terms.ttl)
            ),
        ),
    }
}

fn eviction(inspected: &Inspected) -> Outcome {
    let limit = limit(inspected);
    match (inspected.setting("maxmemory-policy", "maxmemory_policy"), limit) {
        (None, _) => Outcome::new(
            Check::Eviction,
            Level::Note,
            "unknown: neither CONFIG GET nor INFO is permitted",
            "See that `maxmemory-policy noeviction` is set in its redis.conf.",
        ),
        (Some("noeviction"), _) => Outcome::ok(Check::Eviction, "noeviction"),
        (Some(policy), Some(0)) => Outcome::new(
            Check::Eviction,
            Level::Warning,
            format!("{policy}, which drops locks once there is a maxmemory"),
            "Set it right before anybody sets a limit: CONFIG SET maxmemory-policy noeviction.",
        ),
        (Some(policy), _) => evicts(policy),
    }
}

/// Of a server that has a limit, or may have one.
pub(super) fn evicts(policy: &str) -> Outcome {
    Outcome::new(
        Check::Eviction,
        Level::Unsafe,
        format!("{policy} with maxmemory: locks that are held may be dropped"),
        "Keep all keys: CONFIG SET maxmemory-policy noeviction, and the same in its redis.conf.",
    )
}

fn limit(inspected: &Inspected) -> Option<u64> {
    inspected.setting("maxmemory", "maxmemory")?.parse().ok()
}

fn head_room(inspected: &Inspected) -> Option<Outcome> {
    let used = inspected.info.number("used_memory")?;
    let limit = match limit(inspected) {
        None | Some(0) => {
            return Some(Outcome::ok(
                Check::Memory,
                format!("{} used, no limit", words::bytes(used)),
            ));
        }
        Some(limit) => limit,
    };
    let percent = u64::try_from(u128::from(used) * 100 / u128::from(limit)).unwrap_or(u64::MAX);
    let found = format!("{} of {} used, {percent} %", words::bytes(used), words::bytes(limit));
    let advice = "Raise it by CONFIG SET maxmemory, or move other data away: a full server refuses locks.";
    Some(match percent {
        FULL.. => Outcome::new(Check::Memory, Level::Unsafe, found, advice),
        // More than that many hundredths, if by less than one.
        SCARCE.. if u128::from(used) * 100 > u128::from(limit) * u128::from(SCARCE) => {
            Outcome::new(Check::Memory, Level::Warning, found, advice)
        }
        _ => Outcome::ok(Check::Memory, found),
    })
}
