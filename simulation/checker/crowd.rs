//! Many tasks that want one resource all the time are served almost in turn.

use super::{Facts, Violation};

/// How much longer than in turn the waits of a crowd may be, as the root of their mean square. The largest of 1,152 crowds was 2.45.
/// If clients that were overtaken do not come first, it is above 3 in one of three.
const MOST_UNEVEN: f64 = 3.2;

/// How much longer than in turn a single wait may be. The largest of 1,152 crowds was 27.
const LONGEST: f64 = 45.0;

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Violation>) {
    if !facts.plan.is_crowded {
        return;
    }
    let waits = facts.holdings.iter();
    let waits: Vec<_> = waits
        .map(|holding| (holding.granted.0 - holding.asked.0, holding))
        .collect();
    let Some((longest, holding)) = waits.iter().max_by_key(|(wait, _)| *wait) else {
        return;
    };
    let first = facts.holdings.iter().map(|holding| holding.asked.0).min().unwrap_or(0);
    let last = facts
        .holdings
        .iter()
        .map(|holding| holding.granted.0)
        .max()
        .unwrap_or(0);
    #[expect(clippy::cast_precision_loss, reason = "no run lasts that long, nor has so many")]
    let (in_turn, squares, longest) = (
        (last - first) as f64 * facts.plan.tasks() as f64 / waits.len() as f64,
        waits.iter().map(|(wait, _)| (wait * wait) as f64).sum::<f64>() / waits.len() as f64,
        *longest as f64,
    );
    let uneven = squares.sqrt() / in_turn;
    if uneven > MOST_UNEVEN || longest > LONGEST * in_turn {
        found.push(Violation {
            rule: "waiters of a crowd wait far longer than in turn",
            entry: holding.entry,
            text: format!(
                "{:?} waited {longest} ms, which is {:.1} times as long as in turn, and all {uneven:.1} times as long",
                holding.value,
                longest / in_turn
            ),
        });
    }
}
