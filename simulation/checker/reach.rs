//! When each client could reach each server.

use super::{Facts, Millis, Process};
use crate::simulation::history::Happened;
use std::collections::BTreeMap;

pub(super) type Reach = BTreeMap<(Process, usize), Vec<(Millis, Millis)>>;

/// When each client could reach each server and was not paused.
pub(super) fn reach(facts: &Facts<'_>) -> Reach {
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
