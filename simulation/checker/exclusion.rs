//! No two hold a resource at the same time, and tokens grow.

use super::{Facts, Holding, Violation};
use crate::simulation::history::Millis;
use test_support::holdings::{self, disorders, overlaps};

/// What a client was granted. Two clients may hold one lock, if one of them handed it over.
#[derive(Clone, Copy)]
struct Lock<'a>(&'a Holding);

impl PartialEq for Lock<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.value == other.0.value
    }
}

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Violation>) {
    let resources = facts.holdings.iter().fold(0, |all, holding| all | holding.resources.0);
    for resource in (0..32).filter(|resource| resources & 1 << resource != 0) {
        let holdings = || {
            facts
                .holdings
                .iter()
                .filter(move |holding| holding.resources.has(resource))
        };
        if facts.plan.is_exclusive() {
            check_overlaps(holdings(), found);
        }
        if facts.plan.orders_tokens() {
            check_tokens(&holdings().collect::<Vec<_>>(), facts.plan.is_exclusive(), found);
        }
    }
}

fn check_overlaps<'a>(holdings: impl Iterator<Item = &'a Holding>, found: &mut Vec<Violation>) {
    let valid = holdings.flat_map(|holding| holding.valid.iter().map(move |valid| (holding, valid)));
    let mut valid: Vec<_> = valid
        .map(|(holding, (Millis(from), Millis(until)))| holdings::Holding {
            id: Lock(holding),
            asked: holding.asked.0,
            granted: *from,
            until: *until,
            token: 0,
        })
        .collect();
    valid.sort_by_key(|valid| valid.granted);
    found.extend(overlaps(&valid).map(|(earlier, later)| {
        let text = |holding: &holdings::Holding<Lock<'_>>| {
            format!("{:?} is valid in {:?}", holding.id.0.value, holding.id.0.valid)
        };
        Violation {
            rule: "two hold a resource at the same time",
            entry: earlier.id.0.entry.max(later.id.0.entry),
            text: format!("{}, and {}", text(later), text(earlier)),
        }
    }));
}

/// A lock that was asked for only after another was granted comes later, whatever the clocks do. If they go right, this is so
/// for all that are granted later.
fn check_tokens(holdings: &[&Holding], are_exclusive: bool, found: &mut Vec<Violation>) {
    let fenced = holdings.iter().enumerate().filter_map(|(number, holding)| {
        let granted_before = holdings.partition_point(|earlier| earlier.granted < holding.asked);
        Some(holdings::Holding {
            id: Lock(holding),
            asked: if are_exclusive { number } else { granted_before } as u64,
            granted: number as u64,
            until: number as u64,
            token: holding.token?.into(),
        })
    });
    let fenced: Vec<_> = fenced.collect();
    found.extend(disorders(&fenced, 0).map(|(earlier, later)| {
        let earlier = earlier.map_or(0, |earlier| earlier.token);
        Violation {
            rule: "a later lock has no larger token",
            entry: later.id.0.entry,
            text: format!(
                "{:?} has {}, and one before it {earlier}",
                later.id.0.value, later.token
            ),
        }
    }));
}
