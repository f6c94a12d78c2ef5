//! No view of a lock tells more than the servers promise: as long as one says that it is valid, its keys stand on a majority.

use super::{Facts, Millis, Value, Violation};
use crate::simulation::history::Happened;

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Violation>) {
    if !facts.plan.is_exclusive() {
        return;
    }
    for holding in &facts.holdings {
        let broken = holding.valid.iter().find_map(|(from, until)| {
            let at = broken_at(facts, holding.value, *from, *until)?;
            Some((at, until))
        });
        if let Some((at, until)) = broken {
            found.push(Violation {
                rule: "a lock is valid for longer than its keys stand on a majority",
                entry: holding.entry,
                text: format!("{:?} is valid until {until:?}, and stands until {at:?}", holding.value),
            });
        }
    }
    for (entry, happened) in facts.history.entries.iter().enumerate() {
        let Happened::Viewed { value, valid_until, .. } = happened.what else {
            continue;
        };
        // It may be unlocked in the same millisecond.
        let before = Millis(happened.at.0.saturating_sub(1));
        let stands = |at: Millis| facts.keys.count(value, at) >= facts.majority();
        if happened.at < valid_until && !stands(happened.at) && !stands(before) {
            found.push(Violation {
                rule: "a copy of a lock says that it is valid, and its keys stand on no majority",
                entry,
                text: happened.to_string(),
            });
        }
    }
    // Its first owner has nothing to undo any more.
    for removal in &facts.keys.removals {
        let is_held = facts.holdings.iter().any(|holding| {
            let is_valid = |(from, until): &(Millis, Millis)| *from < removal.at && removal.at < *until;
            holding.value == removal.value && holding.client == removal.owner && holding.valid.iter().any(is_valid)
        });
        if is_held {
            found.push(Violation {
                rule: "a key is removed that another client holds",
                entry: removal.entry,
                text: format!("{:?} on server {}", removal.value, removal.server),
            });
        }
    }
}

/// When between these moments the keys of a value first stand on no majority.
fn broken_at(facts: &Facts<'_>, value: Value, from: Millis, until: Millis) -> Option<Millis> {
    let ends = facts.keys.of(value).iter().map(|stay| stay.until);
    let moments = ends.chain([from]).filter(|at| (from..until).contains(at));
    let mut broken = moments.filter(|at| facts.keys.count(value, *at) < facts.majority());
    broken.next()
}
