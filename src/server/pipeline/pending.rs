//! What waits to be sent to one server: in the order of submission, but for what may overtake the rest.

use crate::server::operation::{Operation, Verb};
use std::{collections::VecDeque, sync::Arc};

/// The most keys in one command. A script blocks the server while it runs, some 2 to 3 µs a key.
pub(super) const MOST_KEYS: usize = 1024;

/// The most watched keys in one command: for each of them that a script reads, Redis up to 7.0 remembers all of them.
pub(super) const MOST_WATCHED: usize = 48;

/// The most bytes in one command, but for what encodes them. Even if all keys are declared, it is far below the 1 MiB that a server
/// may be set to take (`proto-max-bulk-len`, `client-query-buffer-limit`): it ends the connection of a client that sends more.
pub(super) const LARGEST_COMMAND: usize = 256 << 10;

/// Operations in three classes, each in the order of submission.
///
/// What keeps or frees a lock that somebody has comes before new locks, so that a crowd of these costs nobody what was granted.
/// An unlock that overtakes the SET of its own lock has released the lock state, so that the SET is not sent any more. What makes the
/// server report changes comes after both, since few of these fit into a command.
#[derive(Debug, Default)]
pub(super) struct Pending {
    urgent: VecDeque<Arc<Operation>>,
    plain: VecDeque<Arc<Operation>>,
    watching: VecDeque<Arc<Operation>>,
}

/// What a command holds so far.
#[derive(Debug, Default)]
struct Load {
    operations: usize,
    keys: usize,
    watched: usize,
    bytes: usize,
}

impl Pending {
    /// Takes an operation that was submitted together with others, of which this is the `first`.
    pub(super) fn push_behind(&mut self, first: &Operation, operation: &Arc<Operation>) {
        // What only makes servers report changes comes last, whatever it was submitted with.
        let class = if operation.watches {
            &mut self.watching
        } else if is_urgent(first) {
            &mut self.urgent
        } else {
            &mut self.plain
        };
        class.push_back(Arc::clone(operation));
    }

    pub(super) fn push(&mut self, operation: &Arc<Operation>) {
        self.push_behind(operation, operation);
    }

    pub(super) fn len(&self) -> usize {
        self.urgent.len() + self.plain.len() + self.watching.len()
    }

    /// How many wait that keep or free a lock.
    pub(super) fn urgent(&self) -> usize {
        self.urgent.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All that waits, in the order in which it would be sent.
    pub(super) fn take_all(&mut self) -> Vec<Arc<Operation>> {
        let all = std::mem::take(self);
        [all.urgent, all.plain, all.watching].into_iter().flatten().collect()
    }

    /// Takes what fits into one command, as `to_send` makes it; what that makes nothing of is dropped.
    pub(super) fn take_batch(
        &mut self,
        to_send: impl Fn(&Arc<Operation>) -> Option<Arc<Operation>>,
    ) -> Vec<Arc<Operation>> {
        let mut batch = Vec::with_capacity(self.len().min(MOST_KEYS));
        let mut load = Load::default();
        for class in [&mut self.urgent, &mut self.plain, &mut self.watching] {
            while let Some(front) = class.front() {
                // Nothing overtakes what has no room.
                if !load.has_room_for(front) {
                    return batch;
                }
                let sent = class.pop_front().and_then(|operation| to_send(&operation));
                if let Some(operation) = sent {
                    load.add(&operation);
                    batch.push(operation);
                }
            }
        }
        batch
    }

    /// Takes the first operation, of so many, for which `is_free` holds.
    pub(super) fn take_first(
        &mut self,
        most: usize,
        mut is_free: impl FnMut(&Arc<Operation>) -> bool,
    ) -> Option<Arc<Operation>> {
        let mut left = most;
        for class in [&mut self.urgent, &mut self.plain, &mut self.watching] {
            let number = class.iter().take(left).position(&mut is_free);
            if let Some(number) = number {
                return class.remove(number);
            }
            left = left.saturating_sub(class.len());
        }
        None
    }

    /// Replaces what is at the front of its class as long as `act` returns something else than what it is given.
    pub(super) fn trim(&mut self, act: impl Fn(&Arc<Operation>) -> Option<Arc<Operation>>) {
        for class in [&mut self.urgent, &mut self.plain, &mut self.watching] {
            while let Some(front) = class.front() {
                match act(front) {
                    Some(kept) => {
                        class[0] = kept;
                        break;
                    }
                    None => drop(class.pop_front()),
                }
            }
        }
    }
}

impl Load {
    fn has_room_for(&self, operation: &Operation) -> bool {
        let (keys, watched) = weights(operation);
        self.operations == 0
            || self.keys + keys <= MOST_KEYS
                && self.watched + watched <= MOST_WATCHED
                && self.bytes + bytes(operation) <= LARGEST_COMMAND
    }

    fn add(&mut self, operation: &Operation) {
        let (keys, watched) = weights(operation);
        self.operations += 1;
        self.keys += keys;
        self.watched += watched;
        self.bytes += bytes(operation);
    }
}

/// How many bytes an operation has.
fn bytes(operation: &Operation) -> usize {
    operation.keys.bytes() + operation.value.len()
}

/// How many keys an operation counts for, and how many watched ones. A token takes a key of its own.
fn weights(operation: &Operation) -> (usize, usize) {
    let keys = operation.keys.as_slice().len();
    let tokens = if operation.fence.is_some() { keys } else { 0 };
    (keys + tokens, if operation.watches { keys } else { 0 })
}

/// Whether an operation keeps or frees a lock that was taken here, so that its lock state tells of SETs which still wait.
fn is_urgent(operation: &Operation) -> bool {
    match operation.verb {
        Verb::Unlock => operation.lock_state.is_of_this_client(),
        Verb::Renew | Verb::ReSet | Verb::UpdateFence => true,
        Verb::Lock | Verb::Probe => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fence::Fence, resource::Resources, server::Subject};
    use std::time::Duration;
    use tokio::time::Instant;

    fn operation_on(keys: Resources, value: &str, verb: Verb) -> Operation {
        let (now, ttl) = (Instant::now(), Duration::from_secs(60));
        Operation::new(verb, Subject::new(keys, value), now, now + ttl, ttl, 1)
    }

    fn operation(verb: Verb) -> Arc<Operation> {
        Arc::new(operation_on(Resources::from("r"), "v", verb))
    }

    fn watching() -> Arc<Operation> {
        let mut operation = operation_on(Resources::from("r"), "v", Verb::Lock);
        operation.watches = true;
        Arc::new(operation)
    }

    fn several(keys: usize) -> Resources {
        (0..keys).map(|n| format!("r{n}")).collect()
    }

    fn pending(operations: &[Arc<Operation>]) -> Pending {
        let mut pending = Pending::default();
        for operation in operations {
            pending.push(operation);
        }
        pending
    }

    fn are(operations: &[Arc<Operation>], expected: &[&Arc<Operation>]) -> bool {
        operations.len() == expected.len() && operations.iter().zip(expected).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// How many of the operations the first command takes.
    fn taken(operations: &[Arc<Operation>]) -> usize {
        pending(operations)
            .take_batch(|operation| Some(Arc::clone(operation)))
            .len()
    }

    #[test]
    fn what_keeps_a_lock_comes_first_and_what_watches_comes_last() {
        let [watching, probe, lock] = [watching(), operation(Verb::Probe), operation(Verb::Lock)];
        let [renew, re_set, update] = [Verb::Renew, Verb::ReSet, Verb::UpdateFence].map(operation);
        let waits = [&watching, &probe, &renew, &lock, &re_set, &update].map(Arc::clone);
        let order = [&renew, &re_set, &update, &probe, &lock, &watching];
        assert_eq!((pending(&waits).len(), pending(&waits).urgent()), (6, 3));
        assert!(are(&pending(&waits).take_all(), &order));
        assert!(are(
            &pending(&waits).take_batch(|operation| Some(Arc::clone(operation))),
            &order
        ));
        let (mut one_by_one, mut taken) = (pending(&waits), Vec::new());
        while let Some(operation) = one_by_one.take_first(1, |_| true) {
            taken.push(operation);
        }
        assert!(are(&taken, &order) && one_by_one.is_empty());
    }

    #[test]
    fn what_watches_comes_last_also_behind_an_unlock_and_nothing_overtakes_what_has_no_room() {
        let unlock = |keys| {
            let unlock = operation_on(several(keys), "v", Verb::Unlock);
            unlock.lock_state.sets();
            Arc::new(unlock)
        };
        let [ends, later, lock] = [unlock(1), unlock(MOST_KEYS), operation(Verb::Lock)];
        let mut pending = Pending::default();
        pending.push(&ends);
        pending.push_behind(&ends, &watching());
        pending.push(&later);
        pending.push(&lock);
        let mut batch = || pending.take_batch(|operation| Some(Arc::clone(operation)));
        assert!(are(&batch(), &[&ends]));
        assert!(are(&batch(), &[&later]), "the lock may be for a key that it frees");
        assert_eq!(batch().len(), 2);
    }

    #[test]
    fn an_unlock_overtakes_new_locks_only_if_its_own_lock_was_taken_here() {
        let (lock, foreign) = (operation(Verb::Lock), operation(Verb::Unlock));
        let own = Arc::new(lock.undo());
        let mut pending = pending(&[Arc::clone(&lock), Arc::clone(&foreign), Arc::clone(&own)]);
        assert!(are(&pending.take_all(), &[&own, &lock, &foreign]));
    }

    #[test]
    fn what_is_passed_over_counts_in_all_classes() {
        let (renew, lock, watching) = (operation(Verb::Renew), operation(Verb::Lock), watching());
        let mut pending = pending(&[Arc::clone(&renew), Arc::clone(&lock), Arc::clone(&watching)]);
        let is_watching = |operation: &Arc<Operation>| Arc::ptr_eq(operation, &watching);
        assert!(pending.take_first(2, is_watching).is_none());
        assert!(pending.take_first(3, is_watching).is_some());
        assert_eq!(pending.len(), 2);
    }

    #[test]
    fn what_is_of_no_use_is_dropped_at_the_front_of_each_class() {
        let (renew, lock, probe) = (operation(Verb::Renew), operation(Verb::Lock), operation(Verb::Probe));
        let mut pending = pending(&[&renew, &lock, &renew, &probe, &lock].map(Arc::clone));
        // Of the others something else is sent.
        let instead = operation(Verb::Probe);
        pending.trim(|operation| match operation.verb {
            Verb::Lock => None,
            Verb::Probe => Some(Arc::clone(&instead)),
            _ => Some(Arc::clone(operation)),
        });
        assert!(are(&pending.take_all(), &[&renew, &renew, &instead, &lock]));
    }

    #[test]
    fn a_command_has_at_most_so_many_keys_of_which_each_token_is_one() {
        let of = |keys| Arc::new(operation_on(several(keys), "v", Verb::Lock));
        let fenced = |keys| {
            let mut operation = operation_on(several(keys), "v", Verb::Lock);
            let expiry = Duration::from_secs(60);
            operation.fence = Some(Fence { token: 1, expiry });
            Arc::new(operation)
        };
        assert_eq!(taken(&[of(MOST_KEYS / 2), of(MOST_KEYS / 2), of(1)]), 2);
        assert_eq!(taken(&[of(MOST_KEYS / 2), of(MOST_KEYS / 2 + 1)]), 1);
        assert_eq!(taken(&[fenced(MOST_KEYS / 4), of(MOST_KEYS / 2), of(1)]), 2);
        assert_eq!(taken(&[of(MOST_KEYS / 2), fenced(MOST_KEYS / 4), of(1)]), 2);
        assert_eq!(taken(&[of(MOST_KEYS / 2), fenced(MOST_KEYS / 4 + 1)]), 1);
        assert_eq!(taken(&[of(MOST_KEYS + 1)]), 1, "one operation is never too large");
    }

    #[test]
    fn a_command_has_at_most_so_many_bytes() {
        let of = |bytes: usize| Arc::new(operation_on(Resources::from("r"), &"v".repeat(bytes - 1), Verb::Lock));
        assert_eq!(of(8).keys.bytes(), 1);
        assert_eq!(taken(&[of(LARGEST_COMMAND / 2), of(LARGEST_COMMAND / 2), of(2)]), 2);
        assert_eq!(taken(&[of(LARGEST_COMMAND / 2), of(LARGEST_COMMAND / 2 + 1)]), 1);
    }
}
