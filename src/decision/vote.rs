//! How servers vote, and the votes of a failed attempt.

use super::{DownReason, Refusal, value::Holder};
use crate::address::Address;
use std::fmt::{Display, Write};

/// One server's answer in an attempt.
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
    OutcomeUnknown,
    /// The server did not answer within the attempt timeout.
    TimedOut,
    /// The attempt was decided before this server answered.
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

/// The resource of a failed operation and how each server voted on it in the last attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The resource, printable and shortened to 80 characters; several are separated by commas, and 8 are named.
    pub resource: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// How many grants are a majority.
    pub needed: usize,
    /// The vote of each server of the resource's group in the last attempt, in the order in which they are configured.
    pub votes: Vec<ServerVote>,
}

impl Failure {
    fn count(&self, is: impl Fn(&Vote) -> bool) -> usize {
        self.votes.iter().filter(|vote| is(&vote.vote)).count()
    }

    /// Returns how many servers granted it in the last attempt.
    pub fn granted(&self) -> usize {
        self.count(|vote| *vote == Vote::Granted)
    }

    /// Returns how many servers said in the last attempt that somebody else holds the resource.
    pub fn held(&self) -> usize {
        self.count(|vote| matches!(vote, Vote::Held { .. }))
    }

    /// How many servers still hold the value of a lock that is lost.
    pub(crate) fn still_held(&self) -> String {
        let granted = self.granted();
        let hold = if granted == 1 { "holds" } else { "hold" };
        format!(
            "{granted} of {} servers still {hold} it, {} required",
            self.votes.len(),
            self.needed
        )
    }

    pub(crate) fn could_not_lock(&self) -> String {
        let attempts = if self.attempts == 1 { "attempt" } else { "attempts" };
        format!(
            "could not lock `{}` in {} {attempts}: {} of {} servers granted it, {} required",
            self.resource,
            self.attempts,
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
                Vote::OutcomeUnknown => &"the answer was lost",
                Vote::TimedOut => &"no answer in time",
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
