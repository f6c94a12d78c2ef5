//! A lock is granted by a majority: by as many votes as that takes, as soon as they are there, and all are asked. An operation
//! is sent once, and nothing that sets a key comes after its unlock.

use super::{Facts, Millis, Process, Value, Violation};
use crate::{
    server::Verb,
    simulation::history::{Bits, Did, Happened},
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
struct Seen {
    /// Which servers have set the keys of a value, and have renewed them when.
    set: BTreeMap<Value, BTreeSet<usize>>,
    renewed: BTreeMap<Value, BTreeMap<usize, Millis>>,
    /// When each grant of a value was told.
    told: BTreeMap<Value, Vec<Millis>>,
    raised: BTreeSet<Value>,
    asked: BTreeMap<Value, (Bits, BTreeSet<usize>)>,
    unlocked: BTreeSet<(Value, usize)>,
    held: BTreeMap<Process, Millis>,
}

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Violation>) {
    let mut seen = Seen::default();
    let mut granted = BTreeSet::new();
    for (entry, happened) in facts.history.entries.iter().enumerate() {
        let mut wrong = |rule| {
            found.push(Violation {
                rule,
                entry,
                text: happened.to_string(),
            });
        };
        let at = happened.at;
        match happened.what {
            Happened::Sent {
                server,
                verb: Verb::Lock,
                value,
                idle,
                ..
            } => {
                let (_, asked) = seen.asked.entry(value).or_insert((idle, BTreeSet::new()));
                if !asked.insert(server) {
                    wrong("a SET is sent twice");
                }
            }
            Happened::Sent {
                verb: Verb::Raise,
                value,
                ..
            } => {
                seen.raised.insert(value);
            }
            Happened::Ran {
                server,
                verb,
                value,
                did,
                ..
            } => {
                if did == Did::Done && matches!(verb, Verb::Lock | Verb::Restore) {
                    seen.set.entry(value).or_default().insert(server);
                    // That of a lock which is held was undone by mistake, and is put back.
                    if seen.unlocked.contains(&(value, server)) && !facts.may_hold(value, at) {
                        wrong("a key is set after its unlock");
                    }
                }
                if did == Did::Done && verb == Verb::Renew {
                    seen.renewed.entry(value).or_default().insert(server, at);
                }
                if verb == Verb::Unlock {
                    seen.unlocked.insert((value, server));
                }
            }
            Happened::Answered {
                client,
                verb: Verb::Lock,
                value,
                did,
                ..
            } => {
                if did == Did::Done {
                    seen.told.entry(value).or_default().push(at);
                }
                if did == Did::Held {
                    seen.held.insert(client, at);
                }
            }
            Happened::Granted {
                request,
                client,
                value,
                valid_until,
                ..
            } => {
                let asked = &facts.requests[&request];
                if valid_until <= at {
                    wrong("a lock is over when it is granted");
                }
                if asked.what == "take over" {
                    if !seen.has_renewed(value, asked.at, facts.majority()) {
                        wrong("a renewal counts servers that did not hold the key");
                    }
                    continue;
                }
                granted.insert(value);
                if seen.set.get(&value).map_or(0, BTreeSet::len) < facts.majority() {
                    wrong("a lock is granted by less than a majority");
                }
                let told = seen.told.get(&value).and_then(|told| told.get(facts.majority() - 1));
                if let Some(told) = told
                    && *told < at
                    && !seen.raised.contains(&value)
                    && !facts.was_paused(client, *told, at)
                {
                    wrong("a majority granted a lock, and its caller was kept waiting");
                }
            }
            Happened::Renewed { request, value, .. } => {
                if !seen.has_renewed(value, facts.requests[&request].at, facts.majority()) {
                    wrong("a renewal counts servers that did not hold the key");
                }
            }
            Happened::Failed { request, why: "held" } => {
                let asked = &facts.requests[&request];
                if seen.held.get(&asked.client).is_none_or(|at| *at < asked.at) {
                    wrong("a resource is said to be held, which no server said");
                }
            }
            _ => {}
        }
    }
    // A server that does not vote for its restart is not asked.
    for value in granted.iter().filter(|_| facts.plan.restart_guard.is_none()) {
        if let Some((idle, asked)) = seen.asked.get(value)
            && (0..facts.plan.servers.len()).any(|server| idle.has(server) && !asked.contains(&server))
        {
            found.push(Violation {
                rule: "a server that could vote is not asked",
                entry: 0,
                text: format!("{value:?} was asked of {asked:?}, and could be of {idle:?}"),
            });
        }
    }
}

impl Seen {
    /// Whether so many servers have renewed a value since it was asked.
    fn has_renewed(&self, value: Value, asked: Millis, needed: usize) -> bool {
        let renewed = self.renewed.get(&value).into_iter().flatten();
        renewed.filter(|(_, at)| **at >= asked).count() >= needed
    }
}
