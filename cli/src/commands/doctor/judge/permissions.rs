//! What we may do on the server, and whether a lock that was tried there worked.

use crate::commands::doctor::{
    facts::{Denied, ServerFacts, Terms, Trial, Trouble},
    finding::{Check, Finding, Level},
};
use multiredlock::{event::Warning, status::DownReason};

pub(super) fn judge(server: &ServerFacts, absence: Level, terms: &Terms) -> Vec<Finding> {
    let denied = denied(server);
    let (level, found) = match (lacks_needed(server), denied.as_slice()) {
        (false, []) => {
            let all = || Check::Permissions.ok("all that is needed");
            let all = server.down().is_none().then(all);
            return all.into_iter().chain(trial(server, absence)).collect();
        }
        (false, denied) => (Level::Warning, format!("not permitted: {}", consequences(denied))),
        (true, []) => match (server.down(), &server.trial) {
            (Some(reason), _) => (absence, reason.to_string()),
            (None, Trial::Fails(trouble)) => (absence, refused(trouble)),
            _ => (absence, "a lock was refused".into()),
        },
        (true, denied) => {
            let names = names(denied, &terms.key_prefix);
            (absence, format!("locking needs what is not permitted: {names}"))
        }
    };
    let complaint = Check::Permissions.found(level, found);
    let complaint = complaint.advise(advice(server, &denied, &terms.key_prefix));
    [complaint].into_iter().chain(trial(server, absence)).collect()
}

/// Whether it grants nothing for want of a permission.
pub(super) fn lacks_needed(server: &ServerFacts) -> bool {
    let is_needed = |denied: &Denied| !matches!(denied, Denied::Wanted(_));
    denied(server).iter().any(is_needed)
        || matches!(&server.trial, Trial::Fails(trouble) if trouble.is_permission)
        || matches!(server.down(), Some(DownReason::NoPermission(_)))
}

/// What was refused when it was tried, and what the library noticed beside that.
fn denied(server: &ServerFacts) -> Vec<Denied> {
    let mut denied = match &server.inspected {
        Ok(inspected) => inspected.denied.clone(),
        Err(_) => Vec::new(),
    };
    let noticed = server.warnings.iter().filter_map(|warning| match warning {
        Warning::InfoDenied => Some("info"),
        Warning::OldConnectionLives => Some("client|kill"),
        Warning::TrackingDenied => Some("client|tracking"),
        Warning::TimeDenied => Some("time"),
        _ => None,
    });
    for name in noticed {
        if !denied.contains(&Denied::Wanted(name)) {
            denied.push(Denied::Wanted(name));
        }
    }
    denied
}

/// What a lock that was tried says, unless that is what the permissions say already.
fn trial(server: &ServerFacts, absence: Level) -> Option<Finding> {
    let (level, found, advice) = match &server.trial {
        Trial::Works => return Some(Check::Locking.ok("locked, renewed and unlocked, with a token")),
        // Without its words it would be about a permission that nobody tried.
        Trial::NoTokens(trouble) if trouble.is_permission && !denied(server).is_empty() => return None,
        Trial::NoTokens(trouble) => (
            Level::Warning,
            format!("fenced locks do not work: {}", refused(trouble)),
            "Use Redis 6.2 or later and permit `time`, or do without --fenced.",
        ),
        Trial::Fails(trouble) if trouble.is_permission => return None,
        // Why it is down says more.
        Trial::Fails(_) | Trial::Untried if server.down().is_some() => return None,
        Trial::Fails(trouble) => (
            absence,
            refused(trouble),
            "Find what it complains of in its log and in INFO, such as its memory or its disk.",
        ),
        Trial::Untried => (
            Level::Note,
            "not tried: no second connection in time".into(),
            "Compare `connected_clients` with `maxclients` in its INFO clients.",
        ),
    };
    Some(Check::Locking.found(level, found).advise(advice))
}

fn refused(trouble: &Trouble) -> String {
    format!("{} was refused: {}", trouble.what, trouble.words)
}

fn names(denied: &[Denied], prefix: &str) -> String {
    let name = |denied: &Denied| match denied {
        Denied::Needed(name) | Denied::Wanted(name) => (*name).to_owned(),
        Denied::Keys if prefix.is_empty() => "any key".into(),
        Denied::Keys => format!("keys that begin with `{prefix}`"),
    };
    denied.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// What each of them costs.
fn consequences(denied: &[Denied]) -> String {
    let cost = |denied: &Denied| match denied {
        Denied::Wanted("info") => "info (it may be a replica, or vote twice)",
        Denied::Wanted("time") => "time (no fenced locks, and its clock is not watched)",
        Denied::Wanted("client|tracking") => "client|tracking (who waits has to ask ten times a second)",
        Denied::Wanted("client|id") => "client|id (an old connection's commands may still run)",
        Denied::Wanted("client|kill") => "client|kill (an old connection's commands may still run)",
        Denied::Wanted(name) | Denied::Needed(name) => name,
        Denied::Keys => "keys",
    };
    denied.iter().map(cost).collect::<Vec<_>>().join(", ")
}

/// The rules that are missing, or if it is not known which, all.
fn advice(server: &ServerFacts, denied: &[Denied], prefix: &str) -> String {
    let user = server.way.user.as_deref().unwrap_or("default");
    let rules: Vec<String> = if denied.is_empty() {
        "evalsha eval set get pttl pexpire del ping info time client|id client|kill client|tracking"
            .split(' ')
            .map(|name| format!("+{name}"))
            .collect()
    } else {
        let rule = |denied: &Denied| match denied {
            Denied::Needed(name) | Denied::Wanted(name) => format!("+{name}"),
            Denied::Keys => format!("~{prefix}*"),
        };
        denied.iter().map(rule).collect()
    };
    format!("Permit it: ACL SETUSER {user} {}.", rules.join(" "))
}
