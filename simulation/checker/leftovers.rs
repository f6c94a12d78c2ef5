//! Every key that was set and has no owner is unlocked, as soon as its client can reach the server.

use super::{Facts, Millis, Value, Violation, millis};
use crate::simulation::history::{Happened, How};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Violation>) {
    let recovery = millis(facts.plan.longest_recovery() + facts.plan.longest_notice());
    for (value, stay) in facts.keys.all().filter(|(_, stay)| !stay.is_unlocked) {
        let Some(orphaned) = orphaned_at(facts, value) else {
            continue;
        };
        // When its owner was gone it could undo nothing any more, and what it did before may have been in vain.
        let gone = facts.gone.get(&stay.client).copied().unwrap_or(facts.end);
        let from = orphaned.max(facts.history.entries[stay.entry].at);
        let until = stay.until.min(facts.told_until(stay)).min(gone).min(facts.end);
        let reached = facts.reach.get(&(stay.client, stay.server)).into_iter().flatten();
        let is_reached = |(start, end): &(Millis, Millis)| {
            let (start, end) = ((*start).max(from), (*end).min(until));
            start.0 + recovery < end.0
        };
        if reached.into_iter().any(is_reached) {
            found.push(Violation {
                rule: "a key without an owner is not unlocked",
                entry: stay.entry,
                text: format!("{value:?} on server {} has had no owner since {from:?}", stay.server),
            });
        }
    }
}

/// Since when nobody has held a value; nothing if it was left to its ttl.
fn orphaned_at(facts: &Facts<'_>, value: Value) -> Option<Millis> {
    if facts.handed_over.contains(&value) {
        return None;
    }
    match facts.holdings.iter().rev().find(|holding| holding.value == value) {
        // It was never granted: since its attempt was over, which is soon.
        None => {
            let attempt = millis(facts.plan.attempt_timeout());
            let mut entries = facts.history.entries.iter();
            let sent =
                entries.find(|entry| matches!(entry.what, Happened::Sent { value: sent, .. } if sent == value))?;
            // And a second attempt, of a fenced lock.
            Some(Millis(sent.at.0 + 2 * attempt))
        }
        Some(holding) => match holding.ended {
            Some((at, How::Unlocked | How::Lost)) => Some(at),
            _ => None,
        },
    }
}
