//! One group of servers: how a majority of them is asked, and who waits for its answer.

mod attempt;
pub(crate) mod lease;
mod options;
mod renewal;
mod servers;
mod ticket;
mod wait;
pub(crate) mod wait_queues;

pub(crate) use attempt::Attempt;
pub(crate) use options::AttemptOptions;
pub(crate) use servers::Servers;
pub(crate) use ticket::Ticket;
pub(crate) use wait::Stopped;

use crate::{
    address::Address,
    decision::Vote,
    resource::Resources,
    server::{Operation, Subject, UnderWay},
};
use lease::{Failed, Locked};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};
use wait_queues::{AfterUnlock, Next, WaitQueues};

/// The servers that decide about the same resources, and the waiters for these.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) servers: Arc<Servers>,
    pub(crate) queues: Arc<WaitQueues>,
}

impl Group {
    pub(crate) fn new(id: String, addresses: Vec<Address>, under_way: Arc<UnderWay>) -> Self {
        let count = addresses.len();
        let servers = Servers::new(id, addresses, under_way);
        Self {
            queues: Arc::new(WaitQueues::new(count, Arc::clone(&servers.changes))),
            servers: Arc::new(servers),
        }
    }

    /// Asks all servers for keys, unless the client is closed. If it is the turn of others they are left to them first.
    pub(crate) async fn attempt(&self, keys: &Resources, options: AttemptOptions) -> Option<Result<Locked, Failed>> {
        if let Some(until) = self.queues.left_until(keys) {
            sleep_until(until).await;
        }
        let attempt = Attempt::new(&self.servers, keys, options, false, None)?;
        attempt.send(None);
        let decided = attempt.decide().await;
        if let Err(Failed::Outvoted(votes)) = &decided {
            self.queues.taken(keys, votes);
        }
        Some(decided)
    }

    /// Takes the last ticket in the queue for these keys.
    pub(crate) fn join(&self, keys: Resources, options: AttemptOptions) -> Ticket {
        self.queues.join(keys, options)
    }

    /// Sends an unlock to all servers, of keys that were locked `since` then. Where it cannot be sent now it is kept until
    /// `expires`.
    ///
    /// An attempt for the next waiter here travels right behind it.
    pub(crate) fn unlock(&self, subject: Subject, since: Instant, now: Instant, expires: Instant) -> Arc<Operation> {
        subject.lock_state.release();
        let unlock = Arc::new(Operation::unlock(subject, now, expires, self.servers.pipelines.len()));
        let keys = &unlock.keys;
        let unit = || self.servers.conditions().round_trip;
        let AfterUnlock { next, are_left } = self.queues.unlocked(keys, since, unit);
        let next = next.and_then(|next| {
            let attempt = Attempt::new(&self.servers, keys, next.waiter.options, false, Some(&next.listener))?;
            Some((next, attempt))
        });
        let knows = if let Some((Next { waiter, listener }, attempt)) = next {
            attempt.send(Some(&unlock));
            waiter.hand_over(attempt);
            Some(listener)
        } else if are_left {
            self.servers.track();
            self.servers.submit(&[&unlock, &self.servers.watch(keys.clone())]);
            None
        } else {
            self.servers.submit(&[&unlock]);
            None
        };
        // Not before it was submitted, and a queue that leaves the keys to others hears of it too: while this thread was suspended
        // the pause may have ended, and its head may have asked before the unlock.
        self.servers.changes.removed_here(keys, knows.as_ref(), |_| true);
        if are_left {
            self.queues.watch_left(keys);
        }
        unlock
    }

    /// Asks all servers who holds keys, until `is_settled`, every server answered, or the time is up. What this client asks for itself,
    /// and is about to undo perhaps, belongs to nobody.
    pub(crate) async fn probe(
        &self,
        keys: Resources,
        watches: bool,
        limit: Duration,
        is_settled: impl Fn(&[Vote]) -> bool,
    ) -> Vec<Vote> {
        let votes = self.servers.probe(keys.clone(), None, watches, limit, is_settled).await;
        self.queues.without_own(&keys, votes)
    }
}
