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
use multiredlock::{
    Address, Redlock,
    status::{Ownership, Quorum, ServerState, ServerStatus, Survey},
};
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
    let state = match &survey.ownership {
        Ownership::Held(holder) => facts::held_by(holder),
        Ownership::Free => "free".into(),
        _ => format!("{}: no majority agrees", paint(style::WARN, "unclear")),
    };
    let name = paint(style::STRONG, format!("`{}`", facts::short(resource)));
    let mut text = format!("{name} is {state}\n");
    let width = width(survey.votes.iter().map(|vote| &vote.server));
    for vote in &survey.votes {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {:width$}  {}", vote.server.as_str(), facts::vote(&vote.vote));
    }
    text
}

/// That of the longest address.
fn width<'a>(addresses: impl Iterator<Item = &'a Address>) -> usize {
    addresses.map(|address| address.as_str().len()).max().unwrap_or(0)
}

fn tell_servers(redlock: &Redlock, output: &Output) -> Result<bool, Failure> {
    let (servers, quorums) = (redlock.servers(), redlock.quorums());
    let connected = quorums.iter().all(Quorum::is_reached);
    let fact = Reachability {
        connected,
        quorums: quorums.iter().copied().map(Into::into).collect(),
        servers: servers.iter().map(Into::into).collect(),
    };
    output.result(&fact, || servers_in_words(&servers, &quorums))?;
    Ok(connected)
}

fn servers_in_words(servers: &[ServerStatus], quorums: &[Quorum]) -> String {
    let mut text = String::new();
    let width = width(servers.iter().map(|server| &server.address));
    for quorum in quorums {
        let state = if quorum.is_reached() {
            paint(style::GOOD, "connected")
        } else {
            paint(style::BAD, "disconnected")
        };
        let group = facts::of_group(quorum, quorums.len());
        // Writing to a string does not fail.
        let _ = writeln!(text, "{group}{state}: {quorum}");
        for server in servers.iter().filter(|server| server.group == quorum.group) {
            let state = match &server.state {
                ServerState::Down(reason) => paint(style::BAD, format!("down: {reason}")),
                _ => paint(style::GOOD, "up"),
            };
            let took = server.round_trip.map(|took| format!(", answered in {}", show(took)));
            let took = took.unwrap_or_default();
            let _ = writeln!(text, "  {:width$}  {state}{took}", server.address.as_str());
        }
    }
    text
}
