//! `multiredlock status`.

use crate::{
    connect::{all_answered, is_reached, look_around},
    duration::show,
    exit::{self, Failure},
    facts::{self, QuorumFact, ServerFact, SurveyFact},
    output::{
        Output,
        style::{self, paint},
    },
    settings::Settings,
};
use clap::Args;
use multiredlock::{Ownership, Redlock, ServerState, Survey};
use serde::Serialize;
use std::fmt::Write;

/// Tells who holds a resource, on each server and by majority
///
/// Without a resource it tells of each server whether it can vote. It changes nothing.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  multiredlock status backup
  multiredlock status --json | jq '.servers[] | select(.state == \"down\")'

Exit codes: 0 if a majority of the servers can be reached, 69 if not.")]
pub(crate) struct Status {
    /// What may be locked
    resource: Option<String>,
}

#[derive(Serialize)]
struct Reachability {
    connected: bool,
    quorums: Vec<QuorumFact>,
    servers: Vec<ServerFact>,
}

impl Status {
    pub(crate) async fn execute(self, settings: &Settings, output: &Output) -> Result<u8, Failure> {
        let redlock = look_around(settings).await?;
        let is_clear = match &self.resource {
            None => {
                all_answered(&redlock).await;
                tell_servers(&redlock, output)?
            }
            Some(resource) => {
                let survey = redlock.owner(resource.as_str()).survey().await?;
                output.result(&SurveyFact::new(resource, &survey), || in_words(resource, &survey))?;
                matches!(survey.ownership, Ownership::Held(_) | Ownership::Free) || is_reached(&redlock, resource)
            }
        };
        redlock.close().await;
        Ok(if is_clear { 0 } else { exit::UNAVAILABLE })
    }
}

fn in_words(resource: &str, survey: &Survey) -> String {
    let mut text = match &survey.ownership {
        Ownership::Held(holder) => format!("{} is {}\n", name(resource), facts::held_by(holder)),
        Ownership::Free => format!("{} is free\n", name(resource)),
        _ => format!(
            "{} is {}: no majority says the same\n",
            name(resource),
            paint(style::WARN, "unclear")
        ),
    };
    let width = survey
        .votes
        .iter()
        .map(|vote| vote.server.as_str().len())
        .max()
        .unwrap_or(0);
    for vote in &survey.votes {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {:width$}  {}", vote.server.as_str(), facts::vote(&vote.vote));
    }
    text
}

fn name(resource: &str) -> String {
    paint(style::STRONG, format!("`{}`", facts::short(resource)))
}

fn tell_servers(redlock: &Redlock, output: &Output) -> Result<bool, Failure> {
    let (servers, quorums) = (redlock.servers(), redlock.quorums());
    let connected = quorums.iter().all(multiredlock::Quorum::is_reached);
    let fact = Reachability {
        connected,
        quorums: quorums.iter().copied().map(Into::into).collect(),
        servers: servers.iter().map(Into::into).collect(),
    };
    output.result(&fact, || {
        let mut text = String::new();
        let width = servers
            .iter()
            .map(|server| server.address.as_str().len())
            .max()
            .unwrap_or(0);
        for quorum in &quorums {
            let (style, word) = if quorum.is_reached() {
                (style::GOOD, "connected")
            } else {
                (style::BAD, "disconnected")
            };
            let group = if quorums.len() > 1 {
                format!("group {}: ", quorum.group)
            } else {
                String::new()
            };
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "{group}{}: {} of {} servers can vote, {} needed",
                paint(style, word),
                quorum.reachable,
                quorum.servers,
                quorum.needed
            );
            for server in servers.iter().filter(|server| server.group == quorum.group) {
                let state = match &server.state {
                    ServerState::Down(reason) => paint(style::BAD, format!("down: {reason}")),
                    _ => paint(style::GOOD, "up"),
                };
                let took = server
                    .round_trip
                    .map_or_else(String::new, |took| format!(", answered in {}", show(took)));
                let _ = writeln!(text, "  {:width$}  {state}{took}", server.address.as_str());
            }
        }
        text
    })?;
    Ok(connected)
}
