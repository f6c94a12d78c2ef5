//! What clients do: they open connections, use them and end them.

use super::{Network, Opened, Reply, What, Wire};
use crate::{
    decision::DownReason,
    server::{
        Verb,
        link::{Command, Task},
    },
    simulation::{
        history::{Bits, Happened, History},
        tasks::Process,
    },
};
use rand::Rng;
use std::{collections::BTreeMap, sync::Arc};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

impl Network {
    pub(crate) fn open(&mut self, client: Process, server: usize) -> Opened {
        let (welcome, welcomed) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let (tell, feed) = mpsc::unbounded_channel();
        let now = Instant::now();
        let wire = self.wires.len();
        self.wires.push(Wire {
            client,
            server,
            life: self.nodes[server].life,
            client_has_it: true,
            server_has_it: true,
            is_cut: false,
            used_since: None,
            last_to: now,
            last_from: now,
            commands: 0,
            unanswered: BTreeMap::new(),
            pings: BTreeMap::new(),
            welcome: Some(welcome),
            ended: Some(end),
            feed: Some(tell),
            told: None,
        });
        self.send(wire, What::Hello);
        Opened {
            wire,
            welcome: welcomed,
            ended,
            feed,
        }
    }

    pub(crate) fn submit(&mut self, wire: usize, command: Command, history: &mut History) {
        if self.dead.contains(&self.wires[wire].client) {
            self.rest.push(What::Back(Reply::Lost(command)));
            return;
        }
        let Wire {
            client,
            server,
            client_has_it,
            ..
        } = self.wires[wire];
        for operation in command.operations.iter() {
            let value = history.value(&operation.value);
            let idle = match operation.verb {
                Verb::Lock => self.idle(client, operation.submitted()),
                _ => Bits::default(),
            };
            history.note(Happened::Sent {
                client,
                server,
                verb: operation.verb,
                value,
                idle,
            });
        }
        if !client_has_it {
            self.lose(wire, command);
            return;
        }
        let operations = Arc::clone(&command.operations);
        let number = {
            let wire = &mut self.wires[wire];
            wire.used_since.get_or_insert_with(Instant::now);
            wire.commands += 1;
            wire.unanswered.insert(wire.commands, command);
            wire.commands
        };
        self.send(wire, What::Run(number, operations));
        // Behind the undo of those that nobody owns.
        for set in self.lost_sets.remove(&(client, server)).unwrap_or_default() {
            let value = history.value(&set.value);
            history.note(Happened::Sent {
                client,
                server,
                verb: set.verb,
                value,
                idle: Bits::default(),
            });
            self.send(wire, What::Run(0, [set].into()));
        }
    }

    /// To which servers a client can send at once, and could when an operation was submitted.
    pub(super) fn idle(&self, client: Process, submitted: Instant) -> Bits {
        let of_client = self
            .wires
            .iter()
            .filter(|wire| wire.client == client && wire.client_has_it);
        let idle = of_client.filter(|wire| wire.used_since.is_some_and(|since| since < submitted));
        Bits::of(idle.filter(|wire| wire.unanswered.is_empty()).map(|wire| wire.server))
    }

    /// The servers that have not answered all that a client sent.
    pub(crate) fn unanswered(&self, client: Process) -> Vec<usize> {
        let of_client = self
            .wires
            .iter()
            .filter(|wire| wire.client == client && wire.client_has_it);
        let unanswered = of_client.filter(|wire| !wire.unanswered.is_empty());
        unanswered.map(|wire| wire.server).collect()
    }

    pub(crate) fn track(&mut self, wire: usize, done: Box<dyn FnOnce(bool) + Send>) {
        self.send(wire, What::Track(done));
    }

    pub(crate) fn ping(&mut self, wire: usize) -> Task<Result<Vec<u64>, DownReason>> {
        let (pong, told) = oneshot::channel();
        let here = &mut self.wires[wire];
        here.used_since.get_or_insert_with(Instant::now);
        here.commands += 1;
        let number = here.commands;
        if here.client_has_it {
            here.pings.insert(number, pong);
        }
        self.send(wire, What::Ping(number));
        Box::pin(async move {
            match told.await {
                Ok(time) => Ok(vec![time]),
                Err(_) => Err(DownReason::ConnectionLost),
            }
        })
    }

    /// Ends a connection at the client. What is on its way to the server may still arrive there.
    pub(crate) fn end(&mut self, wire: usize) {
        let ended = &mut self.wires[wire];
        if !std::mem::replace(&mut ended.client_has_it, false) {
            return;
        }
        ended.feed = None;
        ended.welcome = None;
        ended.ended = None;
        ended.pings.clear();
        let lost = std::mem::take(&mut ended.unanswered);
        let (client, server) = (ended.client, ended.server);
        for command in lost.into_values() {
            if self.broken.sets_replayed {
                let sets = command
                    .operations
                    .iter()
                    .filter(|operation| operation.verb == Verb::Lock);
                self.lost_sets
                    .entry((client, server))
                    .or_default()
                    .extend(sets.cloned());
            }
            self.lose(wire, command);
        }
        if self.rng.gen_bool(0.5) {
            self.drop_some(wire);
        }
    }

    pub(super) fn lose(&mut self, wire: usize, command: Command) {
        self.push(Instant::now(), wire, What::Back(Reply::Lost(command)));
    }
}
