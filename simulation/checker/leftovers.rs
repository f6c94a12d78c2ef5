//! Every key that was set and has no owner is unlocked, as soon as its client can reach the server.

use super::{Facts, Millis, Process, Value, Violation};
use crate::{
    server::Verb,
    simulation::history::{Did, Happened, How},
};
use std::collections::BTreeMap;

struct Key {
    entry: usize,
    client: Process,
    since: Millis,
}

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Violation>) {
    let reach = reach(facts);
    let recovery =
        u64::try_from((facts.plan.longest_recovery() + facts.plan.longest_notice()).as_millis()).unwrap_or(0);
    let ttl = u64::try_from(facts.plan.ttl.as_millis()).unwrap_or(0);
    for ((value, server), key) in keys(facts) {
        let Some(orphaned) = orphaned_at(facts, value) else {
            continue;
        };
        // When its owner was gone it could undo nothing any more, and what it did before may have been in vain.
        let gone = facts.gone.get(&key.client).copied().unwrap_or(facts.end);
        let from = orphaned.max(key.since);
        let until = Millis(key.since.0 + ttl).min(gone).min(facts.end);
        let reached = reach.get(&(key.client, server)).into_iter().flatten();
        let is_reached = |(start, end): &(Millis, Millis)| {
            let (start, end) = ((*start).max(from), (*end).min(until));
            start.0 + recovery < end.0
        };
        if reached.into_iter().any(is_reached) {
            found.push(Violation {
                rule: "a key without an owner is not unlocked",
                entry: key.entry,
                text: format!("{value:?} on server {server} has had no owner since {from:?}"),
            });
        }
    }
}

/// The keys that were set last and not unlocked after.
fn keys(facts: &Facts<'_>) -> BTreeMap<(Value, usize), Key> {
    let mut keys = BTreeMap::new();
    for (entry, happened) in facts.history.entries.iter().enumerate() {
        let Happened::Ran {
            client,
            server,
            verb,
            value,
            did,
        } = happened.what
        else {
            continue;
        };
        match verb {
            Verb::Lock | Verb::Restore | Verb::Renew if did == Did::Done => {
                let since = happened.at;
                keys.insert((value, server), Key { entry, client, since });
            }
            Verb::Unlock => {
                keys.remove(&(value, server));
            }
            _ => {}
        }
    }
    keys
}

/// Since when nobody has held a value; nothing if it was left to its ttl.
fn orphaned_at(facts: &Facts<'_>, value: Value) -> Option<Millis> {
    if facts.handed_over.contains(&value) {
        return None;
    }
    match facts.holdings.iter().rev().find(|holding| holding.value == value) {
        // It was never granted: since its round was over, which is soon.
        None => {
            let round = u64::try_from(facts.plan.ttl.as_millis() / 10)
                .unwrap_or(0)
                .clamp(50, 1_000);
            let mut entries = facts.history.entries.iter();
            let sent =
                entries.find(|entry| matches!(entry.what, Happened::Sent { value: sent, .. } if sent == value))?;
            // And a second round, of a fenced lock.
            Some(Millis(sent.at.0 + 2 * round))
        }
        Some(holding) => match holding.ended {
            Some((at, How::Unlocked | How::Lost)) => Some(at),
            _ => None,
        },
    }
}

/// When each client could reach each server and was not paused.
fn reach(facts: &Facts<'_>) -> BTreeMap<(Process, usize), Vec<(Millis, Millis)>> {
    let mut reach: BTreeMap<_, Vec<(Millis, Millis)>> = BTreeMap::new();
    for happened in &facts.history.entries {
        let Happened::Reached {
            client,
            server,
            is_reached,
        } = happened.what
        else {
            continue;
        };
        let stretches = reach.entry((client, server)).or_default();
        if is_reached {
            stretches.push((happened.at, facts.end));
        } else if let Some((_, end)) = stretches.last_mut() {
            *end = happened.at;
        }
    }
    for ((client, _), stretches) in &mut reach {
        for (start, end) in facts.pauses.get(client).into_iter().flatten() {
            let cut = stretches.iter().flat_map(|(from, until)| {
                let (before, after) = ((*from, (*until).min(*start)), ((*from).max(*end), *until));
                [before, after].into_iter().filter(|(from, until)| from < until)
            });
            *stretches = cut.collect();
        }
    }
    reach
}
