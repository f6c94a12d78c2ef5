//! A lock is granted by a majority: by as many votes as that takes, as soon as they are there, and all are asked. An operation
//! is sent once, and nothing that sets a key comes after its unlock.

use super::{Facts, Millis, Process, Request, Value, Violation};
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
    /// Values of fenced locks that took a second attempt.
    raised: BTreeSet<Value>,
    /// Which servers could be asked at once, and which were.
    asked: BTreeMap<Value, (Bits, BTreeSet<usize>)>,
    granted: BTreeSet<Value>,
    unlocked: BTreeSet<(Value, usize)>,
    /// When each client was told last that somebody else holds something.
    held: BTreeMap<Process, Millis>,
}

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Violation>) {
    let mut seen = Seen::default();
    for (entry, happened) in facts.history.entries.iter().enumerate() {
        if let Some(rule) = seen.look(facts, happened.at, &happened.what) {
            found.push(Violation {
                rule,
                entry,
                text: happened.to_string(),
            });
        }
    }
    // Whoever has a restart guard does not ask servers that were started again.
    for value in seen.granted.iter().filter(|_| facts.plan.restart_guard.is_none()) {
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

const AFTER_UNLOCK: &str = "a SET is sent after its unlock";

impl Seen {
    /// Takes in what happened, and names the rule that it breaks.
    fn look(&mut self, facts: &Facts<'_>, at: Millis, what: &Happened) -> Option<&'static str> {
        match *what {
            Happened::Sent {
                server,
                verb: Verb::Lock,
                value,
                idle,
                ..
            } => {
                let (_, asked) = self.asked.entry(value).or_insert((idle, BTreeSet::new()));
                if !asked.insert(server) {
                    return Some("a SET is sent twice");
                }
                return self.is_unlocked(facts, at, value, server).then_some(AFTER_UNLOCK);
            }
            Happened::Sent {
                server,
                verb: Verb::ReSet,
                value,
                ..
            } => {
                return self.is_unlocked(facts, at, value, server).then_some(AFTER_UNLOCK);
            }
            Happened::Sent {
                server,
                verb: Verb::Unlock,
                value,
                ..
            } => {
                self.unlocked.insert((value, server));
            }
            Happened::Sent {
                verb: Verb::UpdateFence,
                value,
                ..
            } => {
                self.raised.insert(value);
            }
            Happened::Ran {
                server,
                verb: Verb::Renew,
                value,
                did: Did::Done,
                ..
            } => {
                self.renewed.entry(value).or_default().insert(server, at);
            }
            Happened::Ran {
                server,
                verb: Verb::Lock,
                value,
                did: Did::Done,
                ..
            } => {
                self.set.entry(value).or_default().insert(server);
            }
            Happened::Answered {
                verb: Verb::Lock,
                value,
                did: Did::Done,
                ..
            } => {
                self.told.entry(value).or_default().push(at);
            }
            Happened::Answered {
                client,
                verb: Verb::Lock | Verb::UpdateFence,
                did: Did::Held,
                ..
            } => {
                self.held.insert(client, at);
            }
            Happened::Granted { valid_until, .. } if valid_until < at => {
                return Some("a lock is over when it is granted");
            }
            Happened::Granted {
                request, client, value, ..
            } if facts.requests[&request].what != "take over" => {
                return self.granted(facts, at, client, value);
            }
            Happened::Granted { request, value, .. } | Happened::Renewed { request, value, .. } => {
                return self.renewed(facts, request, value);
            }
            Happened::Failed { request, why: "held" } => {
                let asked = &facts.requests[&request];
                let was_told = self.held.get(&asked.client).is_some_and(|at| *at >= asked.at);
                return (!was_told).then_some("a resource is said to be held, which no server said");
            }
            _ => {}
        }
        None
    }

    /// Whether an unlock of a value was sent to a server, and not by mistake: that of a lock which is held is put back.
    fn is_unlocked(&self, facts: &Facts<'_>, at: Millis, value: Value, server: usize) -> bool {
        self.unlocked.contains(&(value, server)) && !facts.may_hold(value, at)
    }

    fn granted(&mut self, facts: &Facts<'_>, at: Millis, client: Process, value: Value) -> Option<&'static str> {
        self.granted.insert(value);
        if self.set.get(&value).map_or(0, BTreeSet::len) < facts.majority() {
            return Some("a lock is granted by less than a majority");
        }
        let decided = self.told.get(&value)?.get(facts.majority() - 1)?;
        let is_late = *decided < at && !self.raised.contains(&value) && !facts.was_paused(client, *decided, at);
        is_late.then_some("a majority granted a lock, and its caller was kept waiting")
    }

    /// So many servers must have renewed a value since that was asked for.
    fn renewed(&self, facts: &Facts<'_>, request: Request, value: Value) -> Option<&'static str> {
        let asked = facts.requests[&request].at;
        let renewed = self.renewed.get(&value).into_iter().flatten();
        let count = renewed.filter(|(_, at)| **at >= asked).count();
        (count < facts.majority()).then_some("a renewal counts servers that did not hold the key")
    }
}
