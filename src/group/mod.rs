//! One group of servers: how a majority of them is asked, and who waits for its answer.

mod attempt;
pub(crate) mod lease;
mod options;
#[cfg(test)]
mod order;
mod servers;
mod wait;
pub(crate) mod wait_queue;

pub(crate) use attempt::Attempt;
pub(crate) use options::AttemptOptions;
pub(crate) use servers::Servers;
pub(crate) use wait::Stopped;

use crate::{
    address::Address,
    decision::Vote,
    resource::Resources,
    server::{Claim, KeysAndValue, Operation, UnderWay},
};
use lease::{Failed, Locked};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};
use wait_queue::{Place, Room, Unlocked};

/// The servers that decide about the same resources, and the waiters for these.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) servers: Arc<Servers>,
    pub(crate) queue: Arc<Room>,
}

impl Group {
    pub(crate) fn new(id: String, addresses: Vec<Address>, under_way: Arc<UnderWay>) -> Self {
        let count = addresses.len();
        let servers = Servers::new(id, addresses, under_way);
        Self {
            queue: Arc::new(Room::new(count, Arc::clone(&servers.changes))),
            servers: Arc::new(servers),
        }
    }

    /// Asks all servers for keys, unless the handle is closed. If it is the turn of others they are left to them first.
    pub(crate) async fn attempt(&self, keys: &Resources, options: AttemptOptions) -> Option<Result<Locked, Failed>> {
        if let Some(until) = self.queue.left_until(keys) {
            sleep_until(until).await;
        }
        let attempt = Attempt::new(&self.servers, keys, options, false, None)?;
        attempt.send(None);
        let decided = attempt.decide().await;
        if let Err(Failed::Outvoted(votes)) = &decided {
            self.queue.taken(keys, votes);
        }
        Some(decided)
    }

    /// Takes the last place in the line for these keys.
    pub(crate) fn join(&self, keys: Resources, options: AttemptOptions) -> Place {
        self.queue.join(keys, options)
    }

    /// Sends an unlock to all servers, of keys that were locked `since` then. Where it cannot be sent now it is kept until
    /// `expires`.
    ///
    /// Whoever is next in line here gets a round that travels right behind it.
    pub(crate) fn unlock(
        &self,
        keys_and_value: KeysAndValue,
        claim: &Arc<Claim>,
        since: Instant,
        (now, expires): (Instant, Instant),
    ) -> Arc<Operation> {
        claim.release();
        let keys = keys_and_value.0.clone();
        let (claim, servers) = (Arc::clone(claim), self.servers.lanes.len());
        let unlock = Arc::new(Operation::unlock(keys_and_value, claim, (now, expires), servers));
        let line = match self.queue.unlocked(&keys, since, || self.servers.weather().round_trip) {
            Unlocked::Call(waiter, line) => {
                match Attempt::new(&self.servers, &keys, waiter.options, false, Some(&line)) {
                    Some(next) => {
                        next.send(Some(&unlock));
                        waiter.call(next);
                    }
                    None => self.servers.submit(&[&unlock]),
                }
                Some(line)
            }
            Unlocked::Known(line) => {
                self.servers.submit(&[&unlock]);
                Some(line)
            }
            Unlocked::Unknown => {
                self.servers.submit(&[&unlock]);
                None
            }
        };
        self.servers.changes.removed_here(&keys, line.as_ref(), |_| true);
        unlock
    }

    /// Asks all servers who holds keys, until `is_settled`, every server answered, or the time is up. What this handle asks for itself,
    /// and is about to undo perhaps, belongs to nobody.
    pub(crate) async fn look(
        &self,
        keys: Resources,
        watches: bool,
        limit: Duration,
        is_settled: impl Fn(&[Vote]) -> bool,
    ) -> Vec<Vote> {
        let votes = self.servers.look(keys.clone(), None, watches, limit, is_settled).await;
        self.queue.without_own(&keys, votes)
    }
}
