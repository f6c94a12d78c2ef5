//! What is made of the facts: pure.

mod access;
mod permissions;
mod promotion;
mod quorum;
mod storage;
mod timing;
mod version;

#[cfg(test)]
mod tests;

use super::{
    facts::{Missed, ServerFacts, Terms, Trial},
    finding::{Finding, Level},
};

/// All findings, of each group first those of its quorum and then those of its servers.
pub(super) fn judge(servers: &[ServerFacts], terms: &Terms) -> Vec<Finding> {
    servers
        .chunk_by(|a, b| a.group == b.group)
        .flat_map(|group| judge_group(group, terms))
        .collect()
}

fn judge_group(servers: &[ServerFacts], terms: &Terms) -> Vec<Finding> {
    let group = servers[0].group;
    let quorum = Quorum::of(servers, terms);
    let of_quorum = quorum::judge(servers, quorum, terms).into_iter();
    let mut findings: Vec<Finding> = of_quorum.map(|finding| finding.about(group, None)).collect();
    for server in servers {
        let of_server = judge_server(server, quorum.absence(), terms).into_iter();
        findings.extend(of_server.map(|finding| finding.about(group, Some(&server.name))));
    }
    findings
}

fn judge_server(server: &ServerFacts, absence: Level, terms: &Terms) -> Vec<Finding> {
    let mut findings = access::judge(server, absence, terms);
    findings.extend(permissions::judge(server, absence, terms));
    match &server.inspected {
        Ok(inspected) => {
            findings.extend(storage::judge(inspected, terms));
            findings.extend(promotion::judge(inspected, terms));
            findings.extend(version::judge(inspected));
            findings.extend(timing::judge(&inspected.samples, absence, terms));
        }
        Err(missed) => findings.extend(access::uninspected(server, missed, absence)),
    }
    findings
}

/// How many servers of a group are of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Quorum {
    votes: usize,
    needed: usize,
    servers: usize,
}

impl Quorum {
    fn of(servers: &[ServerFacts], terms: &Terms) -> Self {
        let votes = servers.iter().filter(|server| can_vote(server, terms)).count();
        Self {
            votes,
            needed: servers.len() / 2 + 1,
            servers: servers.len(),
        }
    }

    fn is_reached(self) -> bool {
        self.votes >= self.needed
    }

    /// How many more may fail.
    fn spare(self) -> usize {
        self.votes.saturating_sub(self.needed)
    }

    /// How bad it is that one server does not vote.
    fn absence(self) -> Level {
        if self.is_reached() {
            Level::Warning
        } else {
            Level::Unsafe
        }
    }
}

/// Whether a lock can count on it: it is up, grants, and does so in time.
fn can_vote(server: &ServerFacts, terms: &Terms) -> bool {
    let samples = server.inspected.as_ref().map(|inspected| inspected.samples.as_slice());
    server.down().is_none()
        && !matches!(server.trial, Trial::Fails(_))
        && !matches!(server.inspected, Err(Missed::Silent(_)))
        && !permissions::lacks_needed(server)
        && !timing::is_late(samples.unwrap_or_default(), terms)
}
