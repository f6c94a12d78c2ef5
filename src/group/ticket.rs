//! A waiter, and its ticket in a wait queue.

use super::{
    AttemptOptions,
    attempt::Attempt,
    wait_queues::{Queue, Queues, WaitQueues, is_open},
};
use crate::{
    decision::{
        Vote,
        head::{Conditions, Step},
    },
    fault_injection::InjectedFault,
    resource::Resources,
    server::{Listener, Operation},
};
use rand::Rng;
use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) options: AttemptOptions,
    slot: Mutex<Slot>,
    pub(super) woken: Notify,
}

#[derive(Debug)]
enum Slot {
    Empty,
    /// Whoever unlocked has asked for this waiter.
    HandedOver(Box<Attempt>),
    /// The waiter does not wait any more.
    Left,
}

/// Resolves at the next vote of one of these servers.
async fn late_vote(late: Option<(Arc<Operation>, Vec<usize>)>) {
    let Some((set, servers)) = late.filter(|_| !InjectedFault::LateGrantForgotten.is_on()) else {
        return std::future::pending().await;
    };
    let is_there = |votes: &[Vote]| servers.iter().any(|server| !is_open(&votes[*server]));
    poll_fn(|cx| set.poll_votes(cx, |votes| is_there(votes).then_some(()))).await;
}

/// A ticket in a queue. Dropping it leaves the queue, and undoes what was begun for it.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(super) queues: Arc<WaitQueues>,
    pub(crate) keys: Resources,
    pub(super) number: u64,
    pub(super) waiter: Arc<Waiter>,
    pub(crate) listener: Arc<Listener>,
}

/// What a waiter does next.
pub(crate) enum Next {
    /// Wait for the votes of the attempt that was begun for it.
    HandedOver(Attempt),
    /// Begin an attempt.
    Ask,
    /// Look who holds the resource before that.
    Probe,
}

impl Ticket {
    pub(crate) fn options(&self) -> AttemptOptions {
        self.waiter.options
    }

    /// Waits until it is time to ask, or nothing if the client is closed meanwhile.
    pub(crate) async fn turn(&self, is_closed: impl Fn() -> bool) -> Option<Next> {
        loop {
            if is_closed() {
                return None;
            }
            if let Slot::HandedOver(attempt) = std::mem::replace(&mut *self.waiter.slot(), Slot::Empty) {
                return Some(Next::HandedOver(*attempt));
            }
            match self.step() {
                None | Some(Step::Stay) => self.waiter.woken.notified().await,
                Some(Step::Ask) => return Some(Next::Ask),
                Some(Step::Probe) => return Some(Next::Probe),
                // Boxed, because all others in the queue get by without it.
                Some(Step::Wait(until)) => Box::pin(self.wait(until)).await,
                Some(Step::Pause(until)) => Box::pin(self.pause(until)).await,
            }
        }
    }

    async fn wait(&self, until: Instant) {
        let late = self.at_queue(|queues, _| {
            let queue = queues.by_keys.get(&self.keys)?;
            let asked = queue.asked.as_ref().filter(|_| !queue.late.is_empty())?;
            Some((Arc::clone(asked), queue.late.clone()))
        });
        tokio::select! {
            biased;
            () = self.waiter.woken.notified() => {}
            () = self.listener.told() => {}
            () = late_vote(late) => {}
            () = sleep_until(until) => {}
        }
    }

    async fn pause(&self, until: Instant) {
        tokio::select! {
            biased;
            () = self.waiter.woken.notified() => {}
            () = sleep_until(until) => {}
        }
    }

    /// What the head does now; nothing if this is not the head.
    fn step(&self) -> Option<Step> {
        self.at_queue(|queues, now| {
            let Queues { by_keys, rng, .. } = queues;
            let queue = by_keys.get_mut(&self.keys)?;
            if queue.waiters.keys().next() != Some(&self.number) {
                return None;
            }
            // These are older than any change that was told since.
            queue.take_late(now, rng);
            queue.listening.listener.take(|server| queue.head.changed(server));
            Some(queue.head.step(now, rng))
        })
    }

    /// Notes with what the head asks.
    pub(crate) fn asks(&self, set: Arc<Operation>) {
        self.at_queue(|queues, _| {
            if let Some(queue) = queues.by_keys.get_mut(&self.keys) {
                queue.asked = Some(set);
                queue.late.clear();
            }
        });
    }

    /// Notes that the attempt was lost by these votes.
    pub(crate) fn refused(&self, votes: &[Vote], conditions: Conditions) {
        let was_left = self.queues.taken(&self.keys, votes);
        self.at_queue(|queues, now| {
            let times = queues.times(now, self.waiter.options.since);
            let Queues { by_keys, rng, .. } = queues;
            if let Some(queue) = by_keys.get_mut(&self.keys) {
                queue.head.refused(votes, was_left, times, conditions, rng);
                queue.votes = votes.to_vec();
                let open = votes.iter().enumerate().filter(|(_, vote)| is_open(vote));
                queue.late = open.map(|(server, _)| server).collect();
            }
        });
    }

    /// Notes that the attempt is to be made again, after a pause of at most this.
    pub(crate) fn ask_again(&self, pause: Duration) {
        self.at_queue(|queues, now| {
            let Queues { by_keys, rng, .. } = queues;
            if let Some(queue) = by_keys.get_mut(&self.keys) {
                queue.head.ask_again(now + rng.gen_range(Duration::ZERO..=pause));
            }
        });
    }

    /// Whether others come first: they took the resource when this client left it to them last, and have it perhaps.
    pub(crate) fn gives_way(&self) -> bool {
        self.queues.turns().gives_way(&self.keys, Instant::now())
    }

    /// Notes what the servers say of the resource, which report its changes from now on.
    pub(crate) fn probed(&self, votes: &[Vote], conditions: Conditions) {
        self.queues.taken(&self.keys, votes);
        self.at_queue(|queues, now| {
            let times = queues.times(now, self.waiter.options.since);
            let Queues { by_keys, rng, .. } = queues;
            if let Some(queue) = by_keys.get_mut(&self.keys) {
                queue.head.probed(votes, times, conditions, rng);
            }
        });
    }

    /// Leaves the queue with what one stood there for.
    pub(crate) fn won(self, expires: Instant, was_handed_over: bool, conditions: Conditions) {
        self.at_queue(|queues, now| {
            let times = queues.times(now, self.waiter.options.since);
            if let Some(queue) = queues.by_keys.get_mut(&self.keys) {
                queue.head.won(expires, was_handed_over, times, conditions);
                // They tell of holders that are gone.
                queue.votes.clear();
                queue.asked = None;
            }
        });
    }

    /// What the servers told the head of the queue last; nothing if no attempt failed since this client had the resource.
    pub(crate) fn last_votes(&self) -> Vec<Vote> {
        self.at_queue(|queues, _| queues.by_keys.get(&self.keys).map(|queue| queue.votes.clone()))
            .unwrap_or_default()
    }

    fn at_queue<T>(&self, act: impl FnOnce(&mut Queues, Instant) -> T) -> T {
        act(&mut self.queues.queues(), Instant::now())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let called = std::mem::replace(&mut *self.waiter.slot(), Slot::Left);
        // Its unlock goes out before the next in the queue is woken.
        drop(called);
        let mut queues = self.queues.queues();
        let Some(queue) = queues.by_keys.get_mut(&self.keys) else {
            return;
        };
        let was_first = queue.waiters.keys().next() == Some(&self.number);
        queue.waiters.remove(&self.number);
        match queue.waiters.values().next() {
            Some(_) if InjectedFault::NextNotWoken.is_on() => queue.head.left(),
            Some(next) if was_first => {
                queue.head.left();
                let next = Arc::clone(next);
                drop(queues);
                next.woken.notify_one();
            }
            Some(_) => {}
            None => {
                let Some(Queue { head, listening, .. }) = queues.by_keys.remove(&self.keys) else {
                    return;
                };
                if head.has_rivals() {
                    queues.keep(self.keys.clone(), head);
                }
                self.queues.count.fetch_sub(1, Ordering::Release);
                drop(queues);
                drop(listening);
            }
        }
    }
}

impl Waiter {
    pub(super) fn new(options: AttemptOptions) -> Self {
        Self {
            options,
            slot: Mutex::new(Slot::Empty),
            woken: Notify::new(),
        }
    }

    /// Gives a waiter the attempt that was begun for it. If it has left meanwhile the attempt is undone.
    pub(crate) fn hand_over(&self, attempt: Attempt) {
        let mut slot = self.slot();
        if matches!(*slot, Slot::Left) {
            drop(slot);
            drop(attempt);
        } else {
            *slot = Slot::HandedOver(Box::new(attempt));
            drop(slot);
            self.woken.notify_one();
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
