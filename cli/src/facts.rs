//! What the library tells, as JSON and in words.

use crate::{
    duration::{micros, millis, show},
    output::style::{self, paint},
};
use multiredlock::{
    Address,
    error::{ServerVote, Vote},
    event::Event,
    status::{Holder, Ownership, Quorum, ServerStatus, Survey},
};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last second of the year 9999.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

/// A name as messages show it: the start and the end of a long one.
pub(crate) fn short(name: &str) -> String {
    const SHOWN: usize = 80;
    const OF_THE_END: usize = 16;
    let length = name.chars().count();
    if length <= SHOWN {
        return name.to_owned();
    }
    let start = name.chars().take(SHOWN - OF_THE_END - 1);
    start
        .chain(['…'])
        .chain(name.chars().skip(length - OF_THE_END))
        .collect()
}

/// A point in time, for JSON.
pub(crate) fn timestamp(time: SystemTime) -> String {
    // It writes no year of five digits.
    humantime::format_rfc3339_millis(time.min(UNIX_EPOCH + LATEST)).to_string()
}

/// Who holds a resource.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct HolderFact {
    id: Option<String>,
    since: Option<String>,
    remaining_ms: Option<u64>,
}

impl From<&Holder> for HolderFact {
    fn from(holder: &Holder) -> Self {
        let owner = holder.owner.as_ref();
        Self {
            id: owner.map(|owner| owner.id.clone()),
            since: owner.map(|owner| timestamp(owner.since)),
            remaining_ms: holder.remaining.map(millis),
        }
    }
}

impl HolderFact {
    /// Of a lock that we hold ourselves, by its value.
    pub(crate) fn of_value(value: &str, remaining: Duration) -> Self {
        let mut parts = value.rsplitn(3, '_').skip(1);
        let since = parts.next().and_then(|unix_ms| unix_ms.parse().ok());
        Self {
            id: parts.next().map(Into::into),
            since: since.map(|unix_ms| timestamp(UNIX_EPOCH + Duration::from_millis(unix_ms))),
            remaining_ms: Some(millis(remaining)),
        }
    }

    /// Whether two looks found the same lock, though less may be left of it.
    pub(crate) fn is_same_lock(&self, other: &Self) -> bool {
        (&self.id, &self.since) == (&other.id, &other.since)
    }

    /// What is left of the lock after some time, unless it is renewed. None if that is nothing.
    pub(crate) fn after(self, time: Duration) -> Option<Self> {
        let left = |remaining: u64| remaining.checked_sub(millis(time)).filter(|left| *left > 0);
        let remaining_ms = match self.remaining_ms {
            Some(remaining) => Some(left(remaining)?),
            None => None,
        };
        Some(Self { remaining_ms, ..self })
    }

    /// In words, as of a holder that the servers tell.
    pub(crate) fn words(&self) -> String {
        let who = match (&self.id, &self.since) {
            (Some(id), Some(since)) => format!("{id} since {} UTC", since.get(11..19).unwrap_or(since)),
            _ => "somebody".into(),
        };
        held(&who, self.remaining_ms.map(Duration::from_millis))
    }
}

/// Who holds a resource, in words.
pub(crate) fn held_by(holder: &Holder) -> String {
    let owner = holder.owner.as_ref().map(ToString::to_string);
    held(owner.as_deref().unwrap_or("somebody"), holder.remaining)
}

fn held(who: &str, remaining: Option<Duration>) -> String {
    match remaining {
        Some(remaining) => format!("held by {who}, {} left", show(remaining)),
        None => format!("held by {who}, without a ttl"),
    }
}

/// A server's answer about a resource.
#[derive(Debug, Serialize)]
pub(crate) struct VoteFact {
    server: String,
    answer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<HolderFact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<&ServerVote> for VoteFact {
    fn from(ServerVote { server, vote, .. }: &ServerVote) -> Self {
        let (answer, holder, reason) = match vote {
            Vote::Held(holder) => ("held", Some(holder.into()), None),
            Vote::Missing => ("free", None, None),
            Vote::Refused(refusal) => ("refused", None, Some(refusal.to_string())),
            Vote::Unreachable(reason) => ("unreachable", None, Some(reason.to_string())),
            _ => ("silent", None, None),
        };
        Self {
            server: server.to_string(),
            answer,
            holder,
            reason,
        }
    }
}

/// A server's answer about a resource, in words.
pub(crate) fn vote(vote: &Vote) -> String {
    match vote {
        Vote::Held(holder) => held_by(holder),
        Vote::Missing => paint(style::FAINT, "free"),
        other => paint(style::BAD, other),
    }
}

/// Who holds a resource by majority, and what each server says.
#[derive(Debug, Serialize)]
pub(crate) struct SurveyFact {
    resource: String,
    ownership: &'static str,
    holder: Option<HolderFact>,
    servers: Vec<VoteFact>,
}

impl SurveyFact {
    pub(crate) fn new(resource: &str, survey: &Survey) -> Self {
        let (ownership, holder) = match &survey.ownership {
            Ownership::Held(holder) => ("held", Some(holder.into())),
            Ownership::Free => ("free", None),
            _ => ("unclear", None),
        };
        Self {
            resource: resource.into(),
            ownership,
            holder,
            servers: survey.votes.iter().map(Into::into).collect(),
        }
    }
}

/// A server and what is known of it.
#[derive(Debug, Serialize)]
pub(crate) struct ServerFact {
    server: String,
    group: usize,
    state: &'static str,
    reason: Option<String>,
    round_trip_us: Option<u64>,
}

impl From<&ServerStatus> for ServerFact {
    fn from(status: &ServerStatus) -> Self {
        let reason = status.state.reason().map(ToString::to_string);
        Self {
            server: status.address.to_string(),
            group: status.group,
            state: if reason.is_some() { "down" } else { "up" },
            reason,
            round_trip_us: status.round_trip.map(micros),
        }
    }
}

/// How many servers of a group can vote.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct QuorumFact {
    group: usize,
    reachable: usize,
    needed: usize,
    servers: usize,
}

impl From<Quorum> for QuorumFact {
    fn from(quorum: Quorum) -> Self {
        Self {
            group: quorum.group,
            reachable: quorum.reachable,
            needed: quorum.needed,
            servers: quorum.servers,
        }
    }
}

/// What happened to the servers, and when.
#[derive(Debug, Serialize)]
pub(crate) struct EventFact {
    at: String,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quorum: Option<QuorumFact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missed: Option<u64>,
}

impl EventFact {
    pub(crate) fn new(at: SystemTime, event: &Event) -> Self {
        let fact = |event| Self {
            at: timestamp(at),
            event,
            server: None,
            reason: None,
            quorum: None,
            missed: None,
        };
        let of_quorum = |event, quorum: &Quorum| Self {
            quorum: Some((*quorum).into()),
            ..fact(event)
        };
        let of_server = |event, server: &Address, reason| Self {
            server: Some(server.to_string()),
            reason,
            ..fact(event)
        };
        match event {
            Event::Connected(quorum) => of_quorum("connected", quorum),
            Event::Disconnected(quorum) => of_quorum("disconnected", quorum),
            Event::GroupConnected(quorum) => of_quorum("group_connected", quorum),
            Event::GroupDisconnected(quorum) => of_quorum("group_disconnected", quorum),
            Event::ServerUp { server, .. } => of_server("server_up", server, None),
            Event::ServerDown { server, reason, .. } => of_server("server_down", server, Some(reason.to_string())),
            Event::Warning { server, warning, .. } => of_server("warning", server, Some(warning.to_string())),
            Event::Lagged { missed, .. } => Self {
                missed: Some(*missed),
                ..fact("lagged")
            },
            _ => fact("other"),
        }
    }
}

/// What begins a line about one of several groups.
pub(crate) fn of_group(quorum: &Quorum, groups: usize) -> String {
    if groups > 1 {
        format!("group {}: ", quorum.group)
    } else {
        String::new()
    }
}

/// How good or bad an event is, and its words.
pub(crate) fn event(event: &Event) -> (anstyle::Style, String) {
    let style = match event {
        Event::Connected(_) | Event::GroupConnected(_) | Event::ServerUp { .. } => style::GOOD,
        Event::Disconnected(_) | Event::GroupDisconnected(_) | Event::ServerDown { .. } => style::BAD,
        Event::Warning { .. } | Event::Lagged { .. } => style::WARN,
        _ => style::FAINT,
    };
    (style, event.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_shown_by_its_start_and_its_end() {
        assert_eq!(short(&"☃".repeat(80)), "☃".repeat(80));
        let short = short(&format!("orders/{}:0123456789abcdef", "x".repeat(100_000)));
        assert_eq!(short.chars().count(), 80);
        let has_ends = short.starts_with("orders/x") && short.ends_with("…0123456789abcdef");
        assert!(has_ends, "{short}");
    }

    #[test]
    fn a_value_tells_its_holder_whatever_is_in_the_id() {
        let of = |value| HolderFact::of_value(value, Duration::from_secs(30)).words();
        let words = "held by web_3 since 03:04:05 UTC, 30s left";
        assert_eq!(of("web_3_1767323045006_f00d"), words);
        assert_eq!(of("f00d"), "held by somebody, 30s left");
    }
}
