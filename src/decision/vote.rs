//! How servers vote, and the votes of a failed attempt.

use super::{DownReason, Refusal, value::Holder};
use crate::address::Address;
use std::fmt::{Display, Write};

/// One server's answer in a round.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Vote {
    /// The server did it: the key was set, renewed or removed.
    Granted,
    /// The key holds another value, so somebody else holds the resource.
    Held(Holder),
    /// The key is not there, so there was nothing to renew or to unlock.
    Missing,
    /// The server answered with an error, so it did nothing.
    Refused(Refusal),
    /// The server is down, so nothing was sent.
    Unreachable(DownReason),
    /// The command was sent, but its answer was lost with the connection: it may or may not have been carried out.
    Unknown,
    /// The server did not answer before the time of the round was up.
    Silent,
    /// The round was decided before this server answered.
    Pending,
}

/// How one server voted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerVote {
    /// The server.
    pub server: Address,
    /// Its answer.
    pub vote: Vote,
}

/// The resource of a failed operation and how each server voted on it in the last round.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The resource, printable and shortened to 80 characters; several are separated by commas, and 8 are named.
    pub resource: String,
    /// How many rounds were made.
    pub rounds: u32,
    /// How many grants are a majority.
    pub needed: usize,
    /// The vote of each server of the resource's group in the last round, in the order in which they are configured.
    pub votes: Vec<ServerVote>,
}

impl Failure {
    fn count(&self, is: impl Fn(&Vote) -> bool) -> usize {
        self.votes.iter().filter(|vote| is(&vote.vote)).count()
    }

    /// Returns how many servers granted it in the last round.
    pub fn granted(&self) -> usize {
        self.count(|vote| *vote == Vote::Granted)
    }

    /// Returns how many servers said in the last round that somebody else holds the resource.
    pub fn held(&self) -> usize {
        self.count(|vote| matches!(vote, Vote::Held { .. }))
    }

    pub(crate) fn could_not_lock(&self) -> String {
        let rounds = if self.rounds == 1 { "round" } else { "rounds" };
        format!(
            "could not lock `{}` in {} {rounds}: {} of {} servers granted it, {} needed",
            self.resource,
            self.rounds,
            self.granted(),
            self.votes.len(),
            self.needed,
        )
    }

    /// What the servers that neither granted nor held it said, for the end of a message.
    pub(crate) fn troubles(&self) -> String {
        let mut text = String::new();
        for ServerVote { server, vote } in &self.votes {
            let trouble: &dyn Display = match vote {
                Vote::Refused(refusal) => refusal,
                Vote::Unreachable(reason) => reason,
                Vote::Unknown => &"the answer was lost",
                Vote::Silent => &"no answer in time",
                Vote::Granted | Vote::Held { .. } | Vote::Missing | Vote::Pending => continue,
            };
            text += if text.is_empty() { " (" } else { "; " };
            // Writing to a string does not fail.
            let _ = write!(text, "{server}: {trouble}");
        }
        if !text.is_empty() {
            text.push(')');
        }
        text
    }
}
