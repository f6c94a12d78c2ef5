//! Compares what the clients say.

use std::{collections::HashMap, collections::HashSet, fmt::Write, time::Duration};

use super::record::Record;
use crate::clock::nanos;
use test_support::holdings::{Holding, disorders, overlaps};

/// How long a lock is kept for comparison after it was granted: longer than any is held or waited for.
const KEPT: Duration = Duration::from_secs(120);

/// How much later than it should a waiter may be told on a busy machine.
const LATE: Duration = Duration::from_secs(3);

/// How many violations are shown.
const SHOWN: usize = 20;

#[derive(Debug, Default)]
pub struct Checker {
    /// Of each resource, in no order.
    locks: HashMap<String, Vec<Lock>>,
    /// What is held now, and by which client.
    open: HashMap<String, (usize, Lock, Vec<String>)>,
    /// The largest token of the locks that are not kept any more, of each resource.
    floor: HashMap<String, u64>,
    flushes: Vec<u64>,
    /// When each client was stopped, and went on.
    stops: Vec<(usize, u64, u64)>,
    seen: HashSet<(Option<String>, String)>,
    newest: u64,
    pub granted: u64,
    pub served: u64,
    pub timed_out: u64,
    pub longest_wait: Duration,
    /// Overlaps that a server which was flushed explains.
    pub explained: u64,
    pub violations: u64,
    pub shown: Vec<String>,
}

type Lock = Holding<String>;

impl Checker {
    pub fn note(&mut self, client: usize, record: Record) {
        match record {
            Record::Granted {
                id,
                resources,
                asked,
                granted,
                token,
            } => {
                self.granted += 1;
                self.newest = self.newest.max(granted);
                let lock = Lock {
                    id: id.clone(),
                    asked,
                    granted,
                    until: granted,
                    token,
                };
                self.open.insert(id, (client, lock, resources));
            }
            Record::Held { id, until } => match self.open.remove(&id) {
                Some((_, lock, resources)) => self.keep(&Lock { until, ..lock }, resources),
                None => self.violation(format!("lock {id} ended and was never granted")),
            },
            Record::Waited {
                asked,
                within,
                told,
                served,
            } => self.waited(client, (asked, told), Duration::from_nanos(within), served),
            Record::Wrong(what) => self.violation(format!("client {client}: {what}")),
            Record::Ended { .. } => {}
        }
    }

    /// What a client held that was killed: it is known to have believed so when it was granted.
    pub fn killed(&mut self, client: usize) {
        let its: Vec<_> = self
            .open
            .iter()
            .filter(|(_, (holder, ..))| *holder == client)
            .map(|(id, _)| id.clone())
            .collect();
        for id in its {
            if let Some((_, lock, resources)) = self.open.remove(&id) {
                self.keep(&lock, resources);
            }
        }
    }

    pub fn flushed(&mut self, at: u64) {
        self.flushes.push(at);
    }

    pub fn stopped(&mut self, client: usize, from: u64, until: u64) {
        self.stops.push((client, from, until));
    }

    fn keep(&mut self, lock: &Lock, resources: Vec<String>) {
        for resource in resources {
            self.locks.entry(resource).or_default().push(lock.clone());
        }
    }

    fn waited(&mut self, client: usize, (asked, told): (u64, u64), within: Duration, served: bool) {
        let wait = Duration::from_nanos(told.saturating_sub(asked));
        let of_client = self
            .stops
            .iter()
            .filter(|(stopped, from, until)| *stopped == client && *from < told && *until > asked);
        let stopped: u64 = of_client.map(|(_, from, until)| until - from).sum();
        if wait > within + LATE + Duration::from_nanos(stopped) {
            self.violation(format!(
                "a waiter of client {client} was to wait for {within:?} and waited for {wait:?}"
            ));
        }
        if served {
            self.served += 1;
            self.longest_wait = self.longest_wait.max(wait);
        } else {
            self.timed_out += 1;
        }
    }

    /// Compares the locks that have ended, and forgets the old ones.
    pub fn check(&mut self) {
        let old = self.newest.saturating_sub(nanos(KEPT));
        let mut found = Vec::new();
        for (resource, locks) in &mut self.locks {
            locks.sort_by_key(|lock| lock.granted);
            let pair = |one: Option<&Lock>, other: &Lock| (resource.clone(), one.cloned(), other.clone());
            found.extend(overlaps(locks).map(|(one, other)| (true, pair(Some(one), other))));
            let floor = self.floor.entry(resource.clone()).or_default();
            found.extend(disorders(locks, *floor).map(|(one, other)| (false, pair(one, other))));
            let forgotten = locks.partition_point(|lock| lock.granted < old);
            *floor = locks.drain(..forgotten).map(|lock| lock.token).fold(*floor, u64::max);
        }
        for (is_overlap, (resource, one, other)) in found {
            if !self
                .seen
                .insert((one.as_ref().map(|one| one.id.clone()), other.id.clone()))
            {
                continue;
            }
            if is_overlap && one.as_ref().is_some_and(|one| self.is_explained(one, &other)) {
                self.explained += 1;
            } else {
                let what = if is_overlap { "two hold" } else { "tokens go back on" };
                let one = one.map_or_else(|| "one that is forgotten".to_owned(), |one| format!("{one:?}"));
                self.violation(format!("{what} {resource}: {one} and {other:?}"));
            }
        }
        self.flushes.retain(|flush| *flush >= old);
        self.stops.retain(|(_, _, until)| *until >= old);
    }

    /// The same with what is still held, at the end.
    pub fn check_all(&mut self) {
        for client in 0..super::CLIENTS {
            self.killed(client);
        }
        self.check();
    }

    /// Whether a server was flushed that may have granted the first lock before, and the second after that.
    fn is_explained(&self, one: &Lock, other: &Lock) -> bool {
        let mut flushes = self.flushes.iter();
        flushes.any(|flush| (one.asked..=other.granted).contains(flush))
    }

    pub fn violation(&mut self, what: String) {
        self.violations += 1;
        if self.shown.len() < SHOWN {
            eprintln!("soak: VIOLATION: {what}");
            self.shown.push(what);
        }
    }

    /// Adds the violations that another checker found and showed.
    pub fn adopt(&mut self, other: Self) {
        self.violations += other.violations;
        self.shown.extend(other.shown);
    }

    pub fn violations_of(&mut self, what: Option<String>) {
        if let Some(what) = what {
            self.violation(what);
        }
    }

    pub fn summary(&self) -> String {
        let mut text = format!("{} locks, {} waits served", self.granted, self.served);
        // Writing to a string does not fail.
        let _ = write!(text, ", {} timed out, {} violations", self.timed_out, self.violations);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Grants a lock and ends it, in seconds.
    fn hold(checker: &mut Checker, id: &str, (asked, granted, until): (u64, u64, u64), token: u64) {
        checker.note(
            0,
            Record::Granted {
                id: id.into(),
                resources: vec!["r".into(), format!("only {id}")],
                asked: asked * SECOND,
                granted: granted * SECOND,
                token,
            },
        );
        checker.note(
            0,
            Record::Held {
                id: id.into(),
                until: until * SECOND,
            },
        );
    }

    fn violations(act: impl FnOnce(&mut Checker)) -> (u64, u64) {
        let mut checker = Checker::default();
        act(&mut checker);
        checker.check();
        checker.check_all();
        (checker.violations, checker.explained)
    }

    #[test]
    fn two_at_once_are_one_violation() {
        let found = violations(|checker| {
            hold(checker, "a", (1, 10, 30), 1);
            hold(checker, "b", (2, 12, 13), 2);
        });
        assert_eq!(found, (1, 0));
        let found = violations(|checker| {
            hold(checker, "a", (1, 10, 30), 1);
            hold(checker, "b", (2, 12, 13), 2);
            hold(checker, "c", (2, 28, 29), 3);
        });
        assert_eq!(found, (2, 0));
    }

    #[test]
    fn a_flush_explains_an_overlap_and_no_token_that_goes_back() {
        let overlap = |flush: u64| {
            violations(move |checker| {
                checker.flushed(flush * SECOND);
                hold(checker, "a", (1, 10, 30), 1);
                hold(checker, "b", (12, 20, 25), 2);
            })
        };
        assert_eq!(overlap(15), (0, 1));
        assert_eq!(overlap(2), (0, 1));
        assert_eq!(overlap(0), (1, 0));
        assert_eq!(overlap(21), (1, 0));
        let found = violations(|checker| {
            checker.flushed(15 * SECOND);
            hold(checker, "a", (1, 10, 14), 2);
            hold(checker, "b", (15, 20, 25), 2);
        });
        assert_eq!(found, (1, 0));
    }

    #[test]
    fn tokens_are_compared_with_those_of_long_ago() {
        let found = violations(|checker| {
            hold(checker, "a", (1, 10, 12), 50);
            hold(checker, "b", (500, 510, 512), 60);
            checker.check();
            assert_eq!(checker.locks["r"].len(), 1, "the first is forgotten");
            hold(checker, "c", (520, 530, 532), 40);
        });
        assert_eq!(found, (1, 0));
    }

    #[test]
    fn a_waiter_that_is_told_late_is_a_violation_unless_its_process_was_stopped() {
        let wait = |stop: Option<(u64, u64)>| {
            violations(move |checker| {
                if let Some((from, until)) = stop {
                    checker.stopped(0, from * SECOND, until * SECOND);
                }
                checker.note(
                    0,
                    Record::Waited {
                        asked: 10 * SECOND,
                        within: SECOND,
                        told: 16 * SECOND,
                        served: false,
                    },
                );
            })
        };
        assert_eq!(wait(None), (1, 0));
        assert_eq!(wait(Some((11, 14))), (0, 0));
    }
}
