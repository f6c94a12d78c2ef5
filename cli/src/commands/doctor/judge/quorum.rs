//! What only all servers of a group together show.

use super::Quorum;
use crate::{
    commands::doctor::{
        address::Place,
        clock::{self, Measured},
        facts::{ServerFacts, Terms},
        finding::{Check, Level, Outcome},
        words,
    },
    duration::show,
};
use std::time::Duration;

/// How far ahead of its server's clock a token may be.
const TOKEN_AHEAD: Duration = Duration::from_secs(1);

pub(super) fn judge(servers: &[ServerFacts], quorum: Quorum, terms: &Terms) -> Vec<Outcome> {
    let mut outcomes = vec![majority(quorum), number(quorum)];
    outcomes.extend(hosts(servers));
    outcomes.extend(restart_guard(terms));
    outcomes.extend(clocks_apart(servers, terms));
    outcomes
}

fn majority(quorum: Quorum) -> Outcome {
    let Quorum { votes, needed, servers } = quorum;
    let found = format!("{votes} of {servers} servers can vote, {needed} needed");
    if !quorum.is_reached() {
        let advice = "Nothing can be locked: put right what the servers below are told to lack.";
        Outcome::new(Check::Majority, Level::Unsafe, found, advice)
    } else if votes < servers {
        let spare = match quorum.spare() {
            0 => "no other may fail".into(),
            spare => format!("{spare} more may fail"),
        };
        let advice = "Put right what the servers below are told to lack.";
        Outcome::new(Check::Majority, Level::Warning, format!("{found}: {spare}"), advice)
    } else {
        Outcome::ok(Check::Majority, found)
    }
}

fn number(quorum: Quorum) -> Outcome {
    let tolerated = quorum.servers - quorum.needed;
    match quorum.servers {
        servers @ (1 | 2) => Outcome::new(
            Check::Number,
            Level::Warning,
            format!("{servers} of {servers} servers have to vote, so that no failure is tolerated"),
            "List at least 3 independent servers in --servers.",
        ),
        servers if servers % 2 == 0 => Outcome::new(
            Check::Number,
            Level::Warning,
            format!(
                "{servers} servers tolerate {tolerated} failure{}, as {} do, and more of them can fail",
                if tolerated == 1 { "" } else { "s" },
                servers - 1
            ),
            "List one server more or one less in --servers, and let all processes do so at the same time.",
        ),
        servers => Outcome::ok(
            Check::Number,
            format!("{servers} servers, of which {tolerated} may fail"),
        ),
    }
}

/// Servers that fail together.
fn hosts(servers: &[ServerFacts]) -> Vec<Outcome> {
    let mut shared: Vec<&Place> = Vec::new();
    for (i, server) in servers.iter().enumerate() {
        let is_shared = servers[..i].iter().any(|other| other.place == server.place);
        if is_shared && !shared.contains(&&server.place) {
            shared.push(&server.place);
        }
    }
    let told = shared.into_iter().map(|place| {
        let sharing = servers.iter().filter(|server| server.place == *place).count();
        let name = match place {
            Place::ThisMachine => "this machine",
            Place::Host(host) => host,
        };
        let found = format!("{sharing} servers share {name}, and fail together with it");
        let advice = "In production give each server a machine of its own, and list these in --servers.";
        Outcome::new(Check::Hosts, Level::Note, found, advice)
    });
    told.collect()
}

/// Whether it is long enough for the locks in use.
fn restart_guard(terms: &Terms) -> Option<Outcome> {
    let (guard, ttl) = (terms.restart_guard?, terms.ttl);
    let found = format!("restart_guard ({}), ttl in use ({})", show(guard), show(ttl));
    Some(if guard < ttl {
        Outcome::new(
            Check::RestartGuard,
            Level::Unsafe,
            format!("{found}: a server that was started again votes before its locks are over"),
            format!(
                "Set `restart_guard = \"{}\"` or longer in the file of every process.",
                show(ttl)
            ),
        )
    } else {
        Outcome::ok(Check::RestartGuard, found)
    })
}

/// Tokens that were forgotten go on from the servers' clocks, and grow only if these are close to each other.
fn clocks_apart(servers: &[ServerFacts], terms: &Terms) -> Option<Outcome> {
    let inspected = servers.iter().filter_map(|server| server.inspected.as_ref().ok());
    let offsets: Vec<Measured> = inspected.filter_map(|told| clock::offset(&told.samples)).collect();
    let pairs = offsets
        .iter()
        .enumerate()
        .flat_map(|(i, one)| offsets[i + 1..].iter().map(|other| one.minus(*other)));
    let widest = pairs.max_by(|a, b| a.least().total_cmp(&b.least()))?;
    let longest = terms.restart_guard.unwrap_or(terms.ttl).saturating_sub(TOKEN_AHEAD);
    let found = format!(
        "the servers' clocks differ by {} ±{}, at most {} allowed by the longest ttl",
        words::seconds(widest.value.abs()),
        words::seconds(widest.error),
        show(longest)
    );
    Some(if widest.least() > longest.as_secs_f64() {
        Outcome::new(
            Check::ClocksApart,
            Level::Warning,
            format!("{found}: fencing tokens may shrink once servers forget"),
            "Run an NTP client, such as chronyd, on every server.",
        )
    } else {
        Outcome::ok(Check::ClocksApart, found)
    })
}
