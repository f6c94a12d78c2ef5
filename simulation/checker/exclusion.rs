//! No two hold a resource at the same time, and tokens grow.

use super::{Facts, Violation};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Violation>) {
    let holdings = &facts.holdings;
    for (number, later) in holdings.iter().enumerate() {
        for earlier in &holdings[..number] {
            if later.value == earlier.value || !later.resources.overlap(earlier.resources) {
                continue;
            }
            let overlap = later.valid.iter().find_map(|(from, until)| {
                let is_meanwhile = |(start, end): &&(_, _)| start < until && from < end && start < end && from < until;
                earlier.valid.iter().find(is_meanwhile)
            });
            if let Some(overlap) = overlap.filter(|_| facts.plan.is_exclusive()) {
                found.push(Violation {
                    rule: "two hold a resource at the same time",
                    entry: later.entry,
                    text: format!(
                        "{:?} is valid in {:?}, and {:?} in {overlap:?}",
                        later.value, later.valid, earlier.value
                    ),
                });
            }
            // Who was asked for only after the other was granted comes later, whatever the clocks do. If they go right,
            // this is so for all that are granted later.
            let is_ordered = facts.plan.is_exclusive() || later.asked > earlier.granted;
            if let (Some(token), Some(before)) = (later.token, earlier.token)
                && token <= before
                && is_ordered
                && facts.plan.orders_tokens()
            {
                found.push(Violation {
                    rule: "a later lock has no larger token",
                    entry: later.entry,
                    text: format!(
                        "{:?} has {token}, and {:?} before it {before}",
                        later.value, earlier.value
                    ),
                });
            }
        }
    }
}
