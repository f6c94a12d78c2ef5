//! What was gathered, before anything is made of it.

use super::{address::Way, clock::Sample};
use multiredlock::{
    event::Warning,
    status::{DownReason, ServerState},
};
use std::{collections::HashMap, time::Duration};

/// What the servers are used with.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// The ttl in use.
    pub(super) ttl: Duration,
    /// The drift at that ttl.
    pub(super) drift: Duration,
    /// How long an attempt waits for each server, if that is set.
    pub(super) attempt_timeout: Option<Duration>,
    pub(super) restart_guard: Option<Duration>,
    pub(super) key_prefix: String,
    /// Whether any certificate of a server is accepted.
    pub(super) accepts_any_certificate: bool,
}

/// How long an attempt waits for a server, as the library decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    Time(Duration),
    /// Four of the server's round trips, which are longer than the time would be.
    RoundTrips,
}

/// The bounds within which an attempt waits for a tenth of the ttl, unless `attempt_timeout` is set.
const SHORTEST_ROUND: Duration = Duration::from_millis(50);
const LONGEST_ROUND: Duration = Duration::from_secs(1);

const ROUND_TRIPS: u32 = 4;

impl Terms {
    /// How long an attempt waits for a server with this round trip.
    pub(super) fn patience(&self, round_trip: Duration) -> Patience {
        let usual = (self.ttl / 10).clamp(SHORTEST_ROUND, LONGEST_ROUND);
        match self.attempt_timeout {
            Some(time) => Patience::Time(time),
            None if round_trip * ROUND_TRIPS > usual => Patience::RoundTrips,
            None => Patience::Time(usual),
        }
    }

    /// How long after its first command a lock can still be granted.
    pub(super) fn validity(&self) -> Duration {
        self.ttl.saturating_sub(self.drift)
    }
}

/// One server.
#[derive(Clone, Debug)]
pub(super) struct ServerFacts {
    pub(super) name: String,
    pub(super) group: usize,
    pub(super) way: Way,
    /// Whether it can vote, as the library says.
    pub(super) state: ServerState,
    pub(super) warnings: Vec<Warning>,
    /// The policy by which it may drop locks, if the library noticed one.
    pub(super) eviction: Option<String>,
    /// What the library noticed of how long it remembers that it was a replica.
    pub(super) short_history: Option<ShortHistory>,
    pub(super) trial: Trial,
    /// What it told when it was asked, or why it was not.
    pub(super) inspected: Result<Inspected, Missed>,
}

/// A server that may forget that it was a replica sooner than the restart guard assumes.
#[derive(Clone, Debug)]
pub(super) struct ShortHistory {
    pub(super) backlog_ttl: Duration,
    pub(super) max_ttl: Duration,
}

/// Why a server told nothing of itself, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// It was not asked, or did not want to tell.
    Skipped(String),
    /// It was asked, and stopped to answer.
    Silent(String),
}

/// Locks that were taken for trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trial {
    /// It was not reached.
    Untried,
    /// It locked with a token, renewed and unlocked.
    Works,
    /// It locked, renewed and unlocked, but refused a lock with a token.
    NoTokens(Trouble),
    Fails(Trouble),
}

/// What went wrong when a lock was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// What was tried: "a lock", "a renewal".
    pub(super) what: &'static str,
    pub(super) words: String,
    pub(super) is_permission: bool,
}

/// What a server told of itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Inspected {
    pub(super) info: Info,
    /// By name; what it did not let us know is missing.
    pub(super) config: HashMap<&'static str, String>,
    /// What we may not do there.
    pub(super) denied: Vec<Denied>,
    /// Whether it knows the protocol by which it can tell of changes.
    pub(super) has_resp3: bool,
    pub(super) samples: Vec<Sample>,
}

/// A command that is not permitted, as ACL rules name it, or the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// One that locking needs.
    Needed(&'static str),
    /// One that it is better to have.
    Wanted(&'static str),
    /// Keys with our prefix.
    Keys,
}

/// The fields of INFO.
#[derive(Clone, Debug, Default)]
pub(super) struct Info(HashMap<String, String>);

impl ServerFacts {
    /// Why the library does not let it vote.
    pub(super) fn down(&self) -> Option<&DownReason> {
        match &self.state {
            ServerState::Down(reason) => Some(reason),
            _ => None,
        }
    }
}

impl Info {
    pub(super) fn parse(text: &str) -> Self {
        let fields = text.lines().filter_map(|line| line.trim_end().split_once(':'));
        Self(fields.map(|(name, value)| (name.into(), value.into())).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }
}

impl Inspected {
    /// A setting, from CONFIG or from the field of INFO that says the same.
    pub(super) fn setting(&self, name: &str, field: &str) -> Option<&str> {
        let told = self.config.get(name).map(String::as_str);
        told.or_else(|| self.info.get(field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_info_are_found_and_what_config_says_goes_before() {
        let info = Info::parse("# Memory\r\nused_memory:1048576\r\nmaxmemory:7\r\nexecutable:/a:b\r\n\r\nodd\r\n");
        assert_eq!(info.number("used_memory"), Some(1_048_576));
        assert_eq!(info.get("executable"), Some("/a:b"));
        assert_eq!((info.get("odd"), info.number("executable")), (None, None));
        let mut inspected = Inspected {
            info,
            ..Inspected::default()
        };
        assert_eq!(inspected.setting("maxmemory", "maxmemory"), Some("7"));
        inspected.config.insert("maxmemory", "8".into());
        assert_eq!(inspected.setting("maxmemory", "maxmemory"), Some("8"));
        assert_eq!(inspected.setting("save", "none"), None);
    }
}
