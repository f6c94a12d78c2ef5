//! Which servers may have forgotten locks that are still held, because they were started again.

use super::{later, link::Facts};
use crate::monitor::Warning;
use std::time::Duration;
use tokio::time::Instant;

/// Keeps a server from granting locks until all that it may have forgotten are over: the "delayed restart" of the
/// [Redis page on distributed locks](https://redis.io/docs/latest/develop/use/patterns/distributed-locks/), on our side.
#[derive(Debug)]
pub(crate) struct RestartGuard {
    /// The longest ttl that anybody uses.
    max_ttl: Duration,
    /// The starts of the server's processes that were seen last, and since when.
    seen: Option<(Vec<String>, Instant)>,
    /// No lock is granted there sooner.
    ready_at: Option<Instant>,
}

impl RestartGuard {
    pub(crate) fn new(max_ttl: Duration) -> Self {
        Self {
            max_ttl,
            seen: None,
            ready_at: None,
        }
    }

    /// Warns of a server that may forget that it was a replica before all that it has forgotten then is over.
    ///
    /// It remembers that for `repl-backlog-ttl` after its last replica left, or for ever if that is 0.
    pub(crate) fn warning(&self, facts: &Facts) -> Option<Warning> {
        let backlog_ttl = facts.backlog_ttl.filter(|_| facts.starts.is_some())?;
        let is_shorter = !backlog_ttl.is_zero() && backlog_ttl < self.max_ttl;
        is_shorter.then_some(Warning::ShortHistory {
            backlog_ttl,
            max_ttl: self.max_ttl,
        })
    }

    /// Looks at what is connected to now, and returns from when on it may grant locks.
    pub(crate) fn ready_at(&mut self, facts: &Facts, now: Instant) -> Instant {
        let waits = match (&facts.starts, &self.seen) {
            // Another process than before, however old it is: its data need not be that of the one before.
            (Some(starts), Some((seen, _))) if starts != seen => self.max_ttl,
            // The server may not know since when it is a master, but we saw it be one.
            (Some(_), Some((_, since))) => self
                .max_ttl
                .saturating_sub(facts.uptime.max(now.duration_since(*since))),
            (Some(_), None) => self.max_ttl.saturating_sub(facts.uptime),
            // It may have been started just now.
            (None, _) => self.max_ttl,
        };
        if let Some(starts) = &facts.starts
            && self.seen.as_ref().is_none_or(|(seen, _)| seen != starts)
        {
            self.seen = Some((starts.clone(), now));
        }
        let ready_at = later(now, waits).max(self.ready_at.unwrap_or(now));
        self.ready_at = Some(ready_at);
        ready_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_TTL: Duration = Duration::from_secs(30);

    fn facts(starts: &[&str], uptime: u64) -> Facts {
        let starts = starts.iter().map(|start| String::from(*start)).collect::<Vec<_>>();
        Facts {
            starts: (!starts.is_empty()).then_some(starts),
            uptime: Duration::from_secs(uptime),
            ..Facts::default()
        }
    }

    /// For how many seconds each of these is kept waiting, that are connected to at these seconds.
    fn waits(seen: &[(u64, Facts)]) -> Vec<u64> {
        let begin = Instant::now();
        let mut guard = RestartGuard::new(MAX_TTL);
        let waits = seen.iter().map(|(at, facts)| {
            let now = begin + Duration::from_secs(*at);
            guard.ready_at(facts, now).duration_since(now).as_secs()
        });
        waits.collect()
    }

    #[test]
    fn a_server_waits_until_it_has_been_up_for_the_longest_ttl() {
        assert_eq!(waits(&[(0, facts(&["a"], 0))]), [30]);
        assert_eq!(waits(&[(0, facts(&["a"], 29))]), [1]);
        assert_eq!(waits(&[(0, facts(&["a"], 30))]), [0]);
        assert_eq!(waits(&[(0, facts(&["a"], 86_400)), (9, facts(&["a"], 86_409))]), [0, 0]);
    }

    #[test]
    fn another_process_than_before_waits_however_old_it_is() {
        assert_eq!(waits(&[(0, facts(&["a"], 99)), (9, facts(&["b"], 5_000))]), [0, 30]);
        assert_eq!(
            waits(&[(0, facts(&["a", "b"], 99)), (9, facts(&["a", "c"], 99))]),
            [0, 30]
        );
        // To connect to it again makes that no shorter.
        assert_eq!(
            waits(&[
                (0, facts(&["a"], 99)),
                (9, facts(&["b"], 5_000)),
                (19, facts(&["b"], 5_010))
            ]),
            [0, 30, 20]
        );
    }

    #[test]
    fn a_server_that_may_forget_too_soon_that_it_was_a_replica_is_warned_of() {
        let warning = |secs: Option<u64>| {
            let facts = Facts {
                backlog_ttl: secs.map(Duration::from_secs),
                ..facts(&["a"], 99)
            };
            RestartGuard::new(MAX_TTL).warning(&facts)
        };
        for secs in [None, Some(0), Some(30), Some(3_600)] {
            assert_eq!(warning(secs), None, "{secs:?}");
        }
        let backlog_ttl = Duration::from_secs(29);
        let max_ttl = MAX_TTL;
        assert_eq!(warning(Some(29)), Some(Warning::ShortHistory { backlog_ttl, max_ttl }));
    }

    #[test]
    fn a_promoted_replica_waits_once_however_often_it_is_connected_to() {
        // Its time as a master is not known.
        let promoted = || facts(&["a"], 0);
        assert_eq!(
            waits(&[(0, promoted()), (10, promoted()), (30, promoted()), (99, promoted())]),
            [30, 20, 0, 0]
        );
        assert_eq!(
            waits(&[(0, promoted()), (40, facts(&["b"], 0)), (50, promoted())]),
            [30, 30, 30],
            "it was another in between"
        );
    }

    #[test]
    fn a_server_that_does_not_tell_waits_after_each_connection() {
        assert_eq!(
            waits(&[(0, facts(&[], 0)), (10, facts(&[], 0)), (50, facts(&["a"], 99))]),
            [30, 30, 0]
        );
    }
}
