//! What a client tells follows from which servers are up, and each crossing is told once.

use super::{Facts, Violation};
use crate::simulation::history::{Happened, News};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
struct Told {
    up: BTreeSet<usize>,
    is_connected: bool,
    is_closed: bool,
}

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Violation>) {
    let mut clients: BTreeMap<_, Told> = BTreeMap::new();
    for (entry, happened) in facts.history.entries.iter().enumerate() {
        let Happened::Told { client, news } = happened.what else {
            continue;
        };
        let told = clients.entry(client).or_default();
        let has_majority = told.up.len() >= facts.majority();
        let rule = match news {
            _ if told.is_closed => Some("something is told after the end"),
            News::Connected if told.is_connected => Some("a majority is told twice"),
            News::Disconnected if !told.is_connected => Some("the loss of a majority is told twice"),
            News::Connected if !has_majority => Some("a majority is told that is none"),
            News::Disconnected if has_majority => Some("the loss of a majority is told that is there"),
            // The crossing follows right after the server that makes it.
            News::Up(_) | News::Down(_) if told.is_connected != has_majority => Some("a crossing is not told"),
            _ => None,
        };
        match news {
            News::Up(server) => {
                told.up.insert(server);
            }
            News::Down(server) => {
                told.up.remove(&server);
            }
            News::Connected => told.is_connected = true,
            News::Disconnected => told.is_connected = false,
            News::Closed => told.is_closed = true,
        }
        if let Some(rule) = rule {
            found.push(Violation {
                rule,
                entry,
                text: happened.to_string(),
            });
        }
    }
}
