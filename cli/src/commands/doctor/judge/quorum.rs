//! What only all servers of a group together show.

use super::Quorum;
use crate::{
    commands::doctor::{
        address::Place,
        clock::{self, Measured},
        facts::{ServerFacts, Terms},
        finding::{Check, Finding, Level},
        words,
    },
    duration::show,
};
use std::time::Duration;

/// How far ahead of its server's clock a token may be.
const TOKEN_AHEAD: Duration = Duration::from_secs(1);

pub(super) fn judge(servers: &[ServerFacts], quorum: Quorum, terms: &Terms) -> Vec<Finding> {
    let mut findings = vec![majority(quorum), number(quorum)];
    findings.extend(hosts(servers));
    findings.extend(restart_guard(terms));
    findings.extend(clocks_apart(servers, terms));
    findings
}

fn majority(quorum: Quorum) -> Finding {
    let Quorum { votes, needed, servers } = quorum;
    let found = format!("{votes} of {servers} servers can vote, {needed} required");
    if !quorum.is_reached() {
        let complaint = Check::Majority.found(Level::Unsafe, found);
        complaint.advise("Nothing can be locked: put right what the servers below are told to lack.")
    } else if votes < servers {
        let spare = match quorum.spare() {
            0 => "no other may fail".into(),
            spare => format!("{spare} more may fail"),
        };
        let complaint = Check::Majority.found(Level::Warning, format!("{found}: {spare}"));
        complaint.advise("Put right what the servers below are told to lack.")
    } else {
        Check::Majority.ok(found)
    }
}

fn number(quorum: Quorum) -> Finding {
    let (servers, tolerated) = (quorum.servers, quorum.servers - quorum.needed);
    let (found, advice) = match servers {
        1 | 2 => (
            format!("{servers} of {servers} servers have to vote, so that no failure is tolerated"),
            "List at least 3 independent servers in --servers.",
        ),
        _ if servers % 2 == 0 => {
            let (odd, failures) = (servers - 1, if tolerated == 1 { "failure" } else { "failures" });
            (
                format!("{servers} servers tolerate {tolerated} {failures}, as {odd} do, and more of them can fail"),
                "List one server more or one less in --servers, and let all processes do so at the same time.",
            )
        }
        _ => return Check::Number.ok(format!("{servers} servers, of which {tolerated} may fail")),
    };
    Check::Number.found(Level::Warning, found).advise(advice)
}

/// Servers that fail together.
fn hosts(servers: &[ServerFacts]) -> Vec<Finding> {
    let mut shared: Vec<&Place> = Vec::new();
    for (i, server) in servers.iter().enumerate() {
        let is_shared = servers[..i].iter().any(|other| other.way.place == server.way.place);
        if is_shared && !shared.contains(&&server.way.place) {
            shared.push(&server.way.place);
        }
    }
    let told = shared.into_iter().map(|place| {
        let sharing = servers.iter().filter(|server| server.way.place == *place).count();
        let name = match place {
            Place::ThisMachine => "this machine",
            Place::Host(host) => host,
        };
        let found = format!("{sharing} servers share {name}, and fail together with it");
        let note = Check::Hosts.found(Level::Note, found);
        note.advise("In production give each server a machine of its own, and list these in --servers.")
    });
    told.collect()
}

/// Whether it is long enough for the locks in use.
fn restart_guard(terms: &Terms) -> Option<Finding> {
    let guard = terms.restart_guard?;
    let ttl = show(terms.ttl);
    let found = format!("restart_guard ({}), ttl in use ({ttl})", show(guard));
    if guard >= terms.ttl {
        return Some(Check::RestartGuard.ok(found));
    }
    let found = format!("{found}: a server that was started again votes before its locks are over");
    let advice = format!("Set `restart_guard = \"{ttl}\"` or longer in the file of every process.");
    Some(Check::RestartGuard.found(Level::Unsafe, found).advise(advice))
}

/// Tokens that were forgotten go on from the servers' clocks, and grow only if these are close to each other.
fn clocks_apart(servers: &[ServerFacts], terms: &Terms) -> Option<Finding> {
    let inspected = servers.iter().filter_map(|server| server.inspected.as_ref().ok());
    let offsets: Vec<Measured> = inspected.filter_map(|told| clock::offset(&told.samples)).collect();
    let pairs = offsets
        .iter()
        .enumerate()
        .flat_map(|(i, one)| offsets[i + 1..].iter().map(|other| one.minus(*other)));
    let widest = pairs.max_by(|a, b| a.least().total_cmp(&b.least()))?;
    let longest = terms.restart_guard.unwrap_or(terms.ttl).saturating_sub(TOKEN_AHEAD);
    let (apart, allowed) = (words::measured(widest), show(longest));
    let found = format!("the servers' clocks differ by {apart}, at most {allowed} allowed by the longest ttl");
    if widest.least() <= longest.as_secs_f64() {
        return Some(Check::ClocksApart.ok(found));
    }
    let found = format!("{found}: fencing tokens may shrink once servers forget");
    let warning = Check::ClocksApart.found(Level::Warning, found);
    Some(warning.advise("Run an NTP client, such as chronyd, on every server."))
}
