//! How servers vote, and the votes of a failed attempt.

use super::{DownReason, Refusal, value::Holder};
use crate::address::Address;
use std::fmt::{self, Display, Write};

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

impl fmt::Display for Vote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granted => f.write_str("granted"),
            Self::Held(holder) => write!(f, "held by {holder}"),
            Self::Missing => f.write_str("the key is missing"),
            Self::Refused(refusal) => write!(f, "refused: {refusal}"),
            Self::Unreachable(reason) => write!(f, "down: {reason}"),
            Self::OutcomeUnknown => f.write_str("the answer was lost"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Pending => f.write_str("no answer before the decision"),
        }
    }
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

impl fmt::Display for ServerVote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.server, self.vote)
    }
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
                Vote::OutcomeUnknown | Vote::TimedOut => vote,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Text;
    use std::time::Duration;

    #[test]
    fn each_vote_is_a_phrase() {
        let ours = Holder::new(b"web_1421844817874_6f554e61", Some(Duration::from_millis(4_230)));
        let foreign = Holder::new(b"of another library", None);
        for (vote, words) in [
            (Vote::Granted, "granted"),
            (Vote::Held(ours), "held by web since 12:53:37 UTC, 4.2 s left"),
            (Vote::Held(foreign), "held by an unknown owner, without a ttl"),
            (Vote::Missing, "the key is missing"),
            (Vote::Refused(Refusal::Other(Text::new("ERR odd"))), "refused: ERR odd"),
            (Vote::Unreachable(DownReason::ConnectionLost), "down: connection lost"),
            (Vote::OutcomeUnknown, "the answer was lost"),
            (Vote::TimedOut, "no answer in time"),
            (Vote::Pending, "no answer before the decision"),
        ] {
            assert_eq!(vote.to_string(), words);
        }
    }
}
