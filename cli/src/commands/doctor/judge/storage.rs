//! Whether the server may forget locks: at a restart, or when its memory is full.

use crate::{
    commands::doctor::{
        facts::{Inspected, Terms},
        finding::{Check, Finding, Level},
        words,
    },
    duration::show,
};

/// From how many hundredths of the memory limit on it is scarce, and from how many on locks are about to be refused.
const SCARCE: u128 = 80;
const FULL: u128 = 95;

pub(super) fn judge(inspected: &Inspected, terms: &Terms) -> Vec<Finding> {
    let mut findings = vec![persistence(inspected, terms), eviction(inspected)];
    findings.extend(head_room(inspected));
    findings
}

fn persistence(inspected: &Inspected, terms: &Terms) -> Finding {
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
        return Check::Persistence.ok(found);
    }
    match terms.restart_guard {
        Some(guard) if guard >= terms.ttl => {
            let guard = show(guard);
            Check::Persistence.ok(format!("{found}; restart_guard {guard} makes up for it"))
        }
        _ if appends.is_none() || (appends == Some(true) && syncs.is_none()) => Check::Persistence
            .found(Level::Note, format!("{found}: CONFIG GET is not permitted"))
            .advise(
                "See that `appendonly yes` and `appendfsync always` are set in its redis.conf, or set `restart_guard`.",
            ),
        _ => {
            let ttl = show(terms.ttl);
            let warning = Check::Persistence.found(Level::Warning, format!("{found}: a restart forgets locks"));
            warning.advise(format!(
                "Set `restart_guard = \"{ttl}\"` or longer for every process, or on the server `appendonly yes` and \
                 `appendfsync always`."
            ))
        }
    }
}

fn eviction(inspected: &Inspected) -> Finding {
    let limit = limit(inspected);
    match (inspected.setting("maxmemory-policy", "maxmemory_policy"), limit) {
        (None, _) => Check::Eviction
            .found(Level::Note, "unknown: neither CONFIG GET nor INFO is permitted")
            .advise("See that `maxmemory-policy noeviction` is set in its redis.conf."),
        (Some("noeviction"), _) => Check::Eviction.ok("noeviction"),
        (Some(policy), Some(0)) => {
            let found = format!("{policy}, which drops locks once there is a maxmemory");
            let warning = Check::Eviction.found(Level::Warning, found);
            warning.advise("Set it right before anybody sets a limit: CONFIG SET maxmemory-policy noeviction.")
        }
        (Some(policy), _) => evicts(policy),
    }
}

/// Of a server that has a limit, or may have one.
pub(super) fn evicts(policy: &str) -> Finding {
    let found = format!("{policy} with maxmemory: locks that are held may be dropped");
    let danger = Check::Eviction.found(Level::Unsafe, found);
    danger.advise("Keep all keys: CONFIG SET maxmemory-policy noeviction, and the same in its redis.conf.")
}

fn limit(inspected: &Inspected) -> Option<u64> {
    inspected.setting("maxmemory", "maxmemory")?.parse().ok()
}

fn head_room(inspected: &Inspected) -> Option<Finding> {
    let used = inspected.info.number("used_memory")?;
    let limit = limit(inspected).unwrap_or(0);
    if limit == 0 {
        return Some(Check::Memory.ok(format!("{} used, no limit", words::bytes(used))));
    }
    let hundredfold = u128::from(used) * 100;
    let percent = hundredfold / u128::from(limit);
    let found = format!("{} of {} used, {percent} %", words::bytes(used), words::bytes(limit));
    let level = match percent {
        FULL.. => Level::Unsafe,
        // More than that many hundredths, if by less than one.
        SCARCE.. if hundredfold > u128::from(limit) * SCARCE => Level::Warning,
        _ => return Some(Check::Memory.ok(found)),
    };
    let complaint = Check::Memory.found(level, found);
    Some(complaint.advise("Raise it by CONFIG SET maxmemory, or move other data away: a full server refuses locks."))
}
