//! Until when the keys of each value stand on each server.

use super::{Millis, Process, Value};
use crate::{
    server::Verb,
    simulation::history::{Bits, Did, Happened},
};

/// The keys of a value on a server, from when they were set until they expired or were removed.
pub(super) struct Stay {
    pub(super) server: usize,
    pub(super) resources: Bits,
    pub(super) from: Millis,
    pub(super) until: Millis,
    /// Who set or renewed them last, and where in the history.
    pub(super) client: Process,
    pub(super) entry: usize,
    pub(super) is_unlocked: bool,
}

/// A client removed what another had set or renewed last.
pub(super) struct Removal {
    pub(super) entry: usize,
    pub(super) at: Millis,
    pub(super) value: Value,
    pub(super) server: usize,
    pub(super) owner: Process,
}

/// The keys of all values. What a server forgets is not taken from it: either it does not vote until the keys would have expired,
/// or nothing is promised.
#[derive(Default)]
pub(super) struct Keys {
    by_value: Vec<Vec<Stay>>,
    pub(super) removals: Vec<Removal>,
}

impl Keys {
    pub(super) fn note(&mut self, entry: usize, at: Millis, what: &Happened) {
        let Happened::Ran {
            client,
            server,
            verb,
            value,
            resources,
            did,
            stands,
        } = *what
        else {
            return;
        };
        let number = value.0 as usize;
        if self.by_value.len() <= number {
            self.by_value.resize_with(number + 1, Vec::new);
        }
        let stays = &mut self.by_value[number];
        let stay = stays.iter_mut().rev().find(|stay| stay.server == server);
        let stay = stay.filter(|stay| at < stay.until);
        match (verb, stands) {
            (Verb::Lock | Verb::ReSet | Verb::Renew, Some(until)) if did == Did::Done => match stay {
                Some(stay) => (stay.until, stay.client, stay.entry) = (until, client, entry),
                None => stays.push(Stay {
                    server,
                    resources,
                    from: at,
                    until,
                    client,
                    entry,
                    is_unlocked: false,
                }),
            },
            (Verb::Unlock, None) => {
                let Some(stay) = stay else { return };
                (stay.until, stay.is_unlocked) = (at, true);
                if stay.client != client {
                    self.removals.push(Removal {
                        entry,
                        at,
                        value,
                        server,
                        owner: stay.client,
                    });
                }
            }
            _ => {}
        }
    }

    pub(super) fn of(&self, value: Value) -> &[Stay] {
        self.by_value.get(value.0 as usize).map_or(&[], Vec::as_slice)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (Value, &Stay)> {
        let values = self.by_value.iter().zip(0..);
        values.flat_map(|(stays, value)| stays.iter().map(move |stay| (Value(value), stay)))
    }

    /// On how many servers the keys of a value stand.
    pub(super) fn count(&self, value: Value, at: Millis) -> usize {
        let stays = self.of(value).iter();
        let servers = stays.filter(|stay| stay.from <= at && at < stay.until);
        Bits::of(servers.map(|stay| stay.server)).count()
    }
}
