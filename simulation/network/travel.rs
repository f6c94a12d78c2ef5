//! How messages travel: each takes its time, and waits where it cannot go on.

use super::{Gate, Message, Network, Reply, What, Wire};
use crate::simulation::{plan::LONGEST_RESUMPTION, world};
use rand::Rng;
use std::{cmp::Reverse, collections::BTreeMap, future::poll_fn, pin::Pin, task::Poll, time::Duration};
use tokio::time::{Instant, sleep_until};

impl Network {
    pub(super) fn send(&mut self, wire: usize, what: What) {
        let is_request = !matches!(what, What::Back(_));
        let is_cut = self.wires[wire].is_cut && !matches!(what, What::Back(Reply::Reset));
        if is_cut || is_request && self.dead.contains(&self.wires[wire].client) {
            self.rest.push(what);
            return;
        }
        let (least, more) = self.latency;
        // Most are quick.
        let more = if self.rng.gen_bool(0.8) { more / 4 } else { more };
        let takes = Duration::from_millis(self.rng.gen_range(least..=least + more));
        let wire_of = &mut self.wires[wire];
        let last_due = if is_request {
            &mut wire_of.last_to
        } else {
            &mut wire_of.last_from
        };
        let now = Instant::now();
        let due = if self.broken.unlocks_overtake && what.unlocks() {
            now
        } else {
            *last_due = (*last_due).max(now + takes);
            *last_due
        };
        self.push(due, wire, what);
    }

    pub(super) fn push(&mut self, due: Instant, wire: usize, what: What) {
        self.sent += 1;
        self.messages.push(Reverse(Message {
            due,
            number: self.sent,
            wire,
            what,
        }));
        self.wake();
    }

    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Lets messages go on that waited, each connection's after a time of its own: what was lost is sent again when the
    /// machines come to it.
    pub(super) fn release(&mut self, gate: Gate) {
        let longest = match gate {
            Gate::To(..) | Gate::From(..) => LONGEST_RESUMPTION,
            Gate::Frozen(_) => Duration::from_millis(2),
            Gate::Paused(_) => Duration::ZERO,
        };
        let now = Instant::now();
        let waited = self.waiting.remove(&gate).unwrap_or_default();
        let mut resumes = BTreeMap::new();
        for message in &waited {
            let takes = || now + longest.mul_f64(self.rng.gen_range(0.0..=1.0));
            resumes
                .entry((message.wire, message.is_request()))
                .or_insert_with(takes);
        }
        for ((wire, is_request), due) in &resumes {
            let wire = &mut self.wires[*wire];
            let last_due = if *is_request {
                &mut wire.last_to
            } else {
                &mut wire.last_from
            };
            *last_due = (*last_due).max(*due);
        }
        // Those behind them stay behind them.
        let on_their_way = self
            .messages
            .drain()
            .map(|Reverse(message)| message)
            .collect::<Vec<_>>();
        self.messages
            .extend(waited.into_iter().chain(on_their_way).map(|mut message| {
                if let Some(due) = resumes.get(&(message.wire, message.is_request())) {
                    message.due = message.due.max(*due);
                }
                Reverse(message)
            }));
        self.wake();
    }

    /// Takes the next message that arrives by now, or says when one does.
    pub(super) fn next(&mut self, now: Instant) -> Result<Message, Option<Instant>> {
        while let Some(Reverse(first)) = self.messages.peek() {
            if first.due > now {
                return Err(Some(first.due));
            }
            let Some(Reverse(message)) = self.messages.pop() else {
                break;
            };
            match self.stops_at(&message) {
                Some(gate) => self.waiting.entry(gate).or_default().push(message),
                None => return Ok(message),
            }
        }
        Err(None)
    }

    pub(super) fn stops_at(&self, message: &Message) -> Option<Gate> {
        let Wire { client, server, .. } = self.wires[message.wire];
        let gates = match message.what {
            What::Back(Reply::Lost(_)) => [None, Some(Gate::Paused(client))],
            What::Back(_) => [Some(Gate::From(server, client)), Some(Gate::Paused(client))],
            _ => [Some(Gate::To(server, client)), Some(Gate::Frozen(server))],
        };
        gates.into_iter().flatten().find(|gate| match gate {
            Gate::To(..) | Gate::From(..) => self.blocked.contains(gate),
            Gate::Frozen(server) => self.nodes[*server].is_frozen,
            Gate::Paused(client) => world().tasks.is_paused(*client),
        })
    }
}

/// Carries messages, one a turn.
pub(in crate::simulation) async fn carry() {
    let mut timer = Box::pin(sleep_until(Instant::now()));
    poll_fn(|cx| {
        let world = world();
        let mut network = world.network.borrow_mut();
        match network.next(Instant::now()) {
            Ok(Message { wire, what, .. }) => {
                let mut history = world.history.borrow_mut();
                let rest = match what {
                    What::Back(reply) => network.come_back(wire, reply, &mut history),
                    what => {
                        network.arrive(wire, what, &mut history);
                        None
                    }
                };
                let client = network.wires[wire].client;
                let dropped = std::mem::take(&mut network.rest);
                drop((network, history));
                world.tasks.act_as(client, || drop(dropped));
                if let Some(rest) = rest {
                    world.tasks.act_as(client, rest);
                }
                cx.waker().wake_by_ref();
            }
            Err(next) => {
                network.waker = Some(cx.waker().clone());
                if let Some(next) = next {
                    if timer.deadline() != next {
                        timer.as_mut().reset(next);
                    }
                    if Pin::new(&mut timer).poll(cx).is_ready() {
                        cx.waker().wake_by_ref();
                    }
                }
            }
        }
        Poll::<()>::Pending
    })
    .await;
}
