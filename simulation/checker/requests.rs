//! Who waits for no longer than so long is told by then.

use super::{Facts, Millis, Violation};
use crate::simulation::history::Happened;

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Violation>) {
    for (entry, happened) in facts.history.entries.iter().enumerate() {
        let (Happened::Granted { request, .. } | Happened::Failed { request, .. }) = happened.what else {
            continue;
        };
        let asked = &facts.requests[&request];
        let Some(within) = asked.within else { continue };
        let deadline = Millis(asked.at.0 + within.0 + 1);
        if happened.at > deadline && !facts.was_paused(asked.client, asked.at, happened.at) {
            found.push(Violation {
                rule: "a waiter is told after its deadline",
                entry,
                text: format!("the deadline was {deadline:?}"),
            });
        }
    }
}
