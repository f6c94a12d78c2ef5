//! What becomes of a message at the server, and of its answer at the client.

use super::{Life, Network, Reply, What, Wire};
use crate::{
    decision::DownReason,
    server::{
        Operation, Verb,
        link::{Answer, Change, Outcome},
    },
    simulation::history::{Bits, Did, Happened, History},
};
use tokio::sync::broadcast;

impl Network {
    pub(super) fn arrive(&mut self, wire: usize, what: What, history: &mut History) {
        let Wire {
            client,
            server,
            life,
            server_has_it,
            ..
        } = self.wires[wire];
        let node = &self.nodes[server];
        if matches!(what, What::Hello) && node.is_running {
            self.hello(wire);
            return;
        }
        if !node.is_running || !server_has_it || node.life != life {
            let is_running = node.is_running;
            let reply = if matches!(what, What::Hello) {
                Reply::Refused
            } else {
                Reply::Reset
            };
            // Nobody answers for a machine that is gone, but a process says that it does not know the connection.
            if is_running || matches!(reply, Reply::Refused) {
                self.send(wire, What::Back(reply));
            }
            self.rest.push(what);
            return;
        }
        let connection = wire as u64;
        let reply = match what {
            What::Run(number, operations) => {
                let outcomes: Vec<_> = operations
                    .iter()
                    .map(|operation| {
                        if self.broken.unlocks_anything && operation.verb == Verb::Unlock {
                            operation.keys.as_slice().iter().for_each(|key| node.server.forget(key));
                        }
                        let outcome = node.server.run(operation, connection);
                        let value = history.value(&operation.value);
                        history.note(Happened::Ran {
                            client,
                            server,
                            verb: operation.verb,
                            value,
                            resources: Bits::of(resources(operation)),
                            did: Did::from(&outcome),
                            stands: node.server.expires(operation).map(|until| history.millis(until)),
                        });
                        match outcome {
                            Outcome::Missing if operation.verb == Verb::Renew && self.broken.healed_counted => {
                                Outcome::Done
                            }
                            outcome => outcome,
                        }
                    })
                    .collect();
                Reply::Ran(number, outcomes)
            }
            What::Track(done) => {
                let (tell, told) = broadcast::channel(64);
                node.server.track(connection, tell);
                self.wires[wire].told = Some(told);
                self.nodes[server].tracked.push(wire);
                Reply::Tracked(done)
            }
            What::Ping(number) => Reply::Pong(number, node.server.time()),
            What::Hello | What::Back(_) => return,
        };
        self.send(wire, What::Back(reply));
        self.tell_changes(server);
        if !self.left.is_empty() {
            self.set_left(history);
        }
    }

    pub(super) fn hello(&mut self, wire: usize) {
        let Wire {
            client,
            server,
            client_has_it,
            ..
        } = self.wires[wire];
        if client_has_it && !self.broken.old_connections_live {
            // A client ends the connection before, whose commands may still be on their way.
            for (number, other) in self.wires.iter_mut().enumerate() {
                if number != wire && other.client == client && other.server == server {
                    other.server_has_it = false;
                    self.nodes[server].server.untrack(number as u64);
                }
            }
        }
        let node = &self.nodes[server];
        let life = if self.broken.restart_hidden {
            Life::of_one_that_never_stopped(server)
        } else {
            Life {
                run_id: format!("{server}-{}", node.life),
                uptime: node.started.elapsed(),
                was_replica: node.was_replica && !self.broken.promotion_hidden,
            }
        };
        self.wires[wire].life = node.life;
        self.send(wire, What::Back(Reply::Welcome(life)));
    }

    pub(super) fn tell_changes(&mut self, server: usize) {
        let tracked = std::mem::take(&mut self.nodes[server].tracked);
        for &wire in &tracked {
            while let Some(Ok(key)) = self.wires[wire].told.as_mut().map(broadcast::Receiver::try_recv) {
                self.send(wire, What::Back(Reply::Changed(key)));
            }
        }
        self.nodes[server].tracked = tracked;
        self.nodes[server]
            .tracked
            .retain(|wire| self.wires[*wire].server_has_it);
    }

    /// Takes in what a server says. What is left to do is done when the network is not borrowed any more.
    pub(super) fn come_back(&mut self, wire: usize, reply: Reply, history: &mut History) -> Option<Box<dyn FnOnce()>> {
        if let Reply::Lost(command) = reply {
            return Some(Box::new(move || command.answer(Answer::Lost)));
        }
        let Wire {
            client,
            server,
            client_has_it,
            ..
        } = self.wires[wire];
        if !client_has_it {
            self.rest.push(What::Back(reply));
            return None;
        }
        let here = &mut self.wires[wire];
        match reply {
            Reply::Welcome(life) => {
                let _ = here.welcome.take()?.send(Ok(life));
            }
            Reply::Refused => {
                let _ = here.welcome.take()?.send(Err(DownReason::ConnectionRefused));
            }
            Reply::Ran(number, outcomes) => {
                let command = here.unanswered.remove(&number)?;
                for (operation, outcome) in command.operations.iter().zip(&outcomes) {
                    let value = history.value(&operation.value);
                    history.note(Happened::Answered {
                        client,
                        server,
                        verb: operation.verb,
                        value,
                        did: Did::from(outcome),
                    });
                }
                return Some(Box::new(move || command.answer(Answer::Outcomes(outcomes))));
            }
            Reply::Tracked(done) => return Some(Box::new(move || done(true))),
            Reply::Pong(number, time) => {
                let _ = here.pings.remove(&number)?.send(time);
            }
            Reply::Changed(key) => {
                let _ = here.feed.as_ref()?.send(Change::Keys(vec![key[..].into()]));
            }
            Reply::Reset => self.end(wire),
            Reply::Lost(_) => {}
        }
        None
    }
}

/// The numbers of the resources that an operation is about.
fn resources(operation: &Operation) -> impl Iterator<Item = usize> {
    let keys = operation.keys.as_slice().iter();
    keys.filter_map(|key| std::str::from_utf8(&key[1..]).ok()?.parse().ok())
}
