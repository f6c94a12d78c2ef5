//! A guard is not lost as long as a majority that its client can reach has its keys.

use super::{Facts, Millis, Violation, millis};
use crate::simulation::history::{Happened, How};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Violation>) {
    if !facts.plan.is_exclusive() || !can_renew(facts) {
        return;
    }
    let lost = facts.holdings.iter().filter_map(|holding| match holding.ended {
        Some((at, How::Lost)) => Some((holding, at)),
        _ => None,
    });
    for (holding, at) in lost {
        let entries = facts.history.entries.iter();
        let mut by_hand =
            entries.filter(|entry| matches!(entry.what, Happened::Renewing { value, .. } if value == holding.value));
        if by_hand.next().is_some() {
            continue;
        }
        let is_meanwhile = |(from, until): (Millis, Millis)| from <= holding.granted && at <= until;
        let had_it = |server: &usize| {
            let mut stays = facts
                .keys
                .of(holding.value)
                .iter()
                .filter(|stay| stay.server == *server);
            stays.any(|stay| stay.from <= holding.granted && at < stay.until)
                && facts.used(holding.client, *server).any(|(_, used)| is_meanwhile(used))
        };
        if (0..facts.plan.servers.len()).filter(had_it).count() >= facts.majority() {
            found.push(Violation {
                rule: "a guard is lost though a majority had its keys and could be reached",
                entry: holding.entry,
                text: format!("{:?} is lost at {at:?}", holding.value),
            });
        }
    }
}

/// Whether there is time to renew: with two thirds of the validity left, which a round trip has shortened, an operation waits for
/// the answer to the one before it, and then for its own; both have to be there before its attempt is over.
fn can_renew(facts: &Facts<'_>) -> bool {
    let plan = facts.plan;
    let round_trip = millis(2 * plan.longest_way()) + 1;
    let promised = millis(plan.ttl.saturating_sub(plan.drift.of(plan.ttl)));
    promised >= 5 * round_trip && millis(plan.attempt_timeout()) > 2 * round_trip
}
