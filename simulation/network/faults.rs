//! What happens to servers, to the ways to them and to clients.

use super::{Gate, Message, Network, Reply, What, long_ago};
use crate::simulation::{
    history::{Happened, History},
    nemesis::{FOREIGN, Strike},
    tasks::Process,
};
use rand::Rng;
use std::{cmp::Reverse, time::Duration};
use tokio::time::Instant;

impl Network {
    pub(crate) fn crash(&mut self, server: usize, is_forgetful: bool) {
        let node = &mut self.nodes[server];
        node.is_running = false;
        node.is_frozen = false;
        node.tracked.clear();
        node.server.crash();
        if is_forgetful {
            node.server.forget_all();
        }
        self.note_reach();
        self.release(Gate::Frozen(server));
        for wire in 0..self.wires.len() {
            let of_server = &mut self.wires[wire];
            if of_server.server == server && std::mem::replace(&mut of_server.server_has_it, false) {
                // Unless the whole machine is gone, it says so.
                if self.rng.gen_bool(0.7) {
                    self.send(wire, What::Back(Reply::Reset));
                }
            }
        }
    }

    pub(crate) fn restart(&mut self, server: usize) {
        let node = &mut self.nodes[server];
        if !node.is_running {
            node.server.restart();
            node.is_running = true;
            node.life += 1;
            node.started = Instant::now();
            node.was_replica = false;
            self.note_reach();
        }
    }

    /// Lets a server's replica fall behind: it gets nothing from now on.
    pub(crate) fn fall_behind(&mut self, server: usize) {
        let node = &mut self.nodes[server];
        node.replica = Some(node.server.replica());
    }

    /// Lets a server's replica take its place, whose process has run for long.
    pub(crate) fn promote(&mut self, server: usize) {
        let Some(replica) = self.nodes[server].replica.take() else {
            return;
        };
        self.crash(server, false);
        self.restart(server);
        let node = &mut self.nodes[server];
        node.server.promote(replica);
        node.started = long_ago();
        node.was_replica = true;
    }

    /// Whether a server carries out commands.
    pub(crate) fn is_well(&self, server: usize) -> bool {
        self.nodes[server].is_running && !self.nodes[server].is_frozen
    }

    /// Lets another library set a key, as soon as nobody has it.
    pub(crate) fn leave(&mut self, strike: Strike, history: &mut History) {
        self.left.push(strike);
        self.set_left(history);
    }

    /// Sets the keys of others that can be set now.
    pub(super) fn set_left(&mut self, history: &mut History) {
        for strike in std::mem::take(&mut self.left) {
            let Strike::Leave { server, resource, ttl } = strike else {
                continue;
            };
            let node = &self.nodes[server];
            if node.is_running && !node.is_frozen && node.server.set(format!("r{resource}"), FOREIGN, ttl) {
                history.note(Happened::Struck(strike));
                self.tell_changes(server);
            } else {
                self.left.push(strike);
            }
        }
    }

    /// Removes a resource's key if it has this value, or whatever it has.
    pub(crate) fn remove(&mut self, server: usize, resource: usize, value: Option<&str>) {
        self.left.retain(
            |left| !matches!(left, Strike::Leave { server: of, resource: on, .. } if (*of, *on) == (server, resource)),
        );
        let (server_of, key) = (&self.nodes[server].server, format!("r{resource}"));
        if value.is_none() || server_of.get(&key).as_deref() == value {
            server_of.forget(&key);
            self.tell_changes(server);
        }
    }

    pub(crate) fn freeze(&mut self, server: usize) {
        self.nodes[server].is_frozen = true;
        self.note_reach();
    }

    pub(crate) fn thaw(&mut self, server: usize) {
        self.nodes[server].is_frozen = false;
        self.note_reach();
        self.release(Gate::Frozen(server));
    }

    pub(crate) fn block(&mut self, gate: Gate) {
        self.blocked.insert(gate);
        self.note_reach();
    }

    pub(crate) fn unblock(&mut self, gate: Gate) {
        self.blocked.remove(&gate);
        self.note_reach();
        // What comes through now, though it was sent long ago, is a sign of life.
        if let Gate::To(server, client) | Gate::From(server, client) = gate
            && let Some((false, since)) = self.reach.get_mut(&(client, server))
        {
            *since = Instant::now();
        }
        self.release(gate);
    }

    /// Breaks the connections between a client and a server. Some of what was on its way is gone, and the client may not be
    /// told.
    pub(crate) fn cut(&mut self, client: Process, server: usize, is_told: bool) {
        if let Some((true, since)) = self.reach.get_mut(&(client, server)) {
            *since = Instant::now();
            self.crossings.extend([(client, server, false), (client, server, true)]);
        }
        for wire in 0..self.wires.len() {
            let cut = &mut self.wires[wire];
            if cut.client == client && cut.server == server && cut.client_has_it && cut.server_has_it {
                self.drop_some(wire);
                self.wires[wire].is_cut = true;
                if is_told {
                    self.send(wire, What::Back(Reply::Reset));
                }
            }
        }
    }

    /// Drops what was sent last on a connection and has not arrived.
    pub(super) fn drop_some(&mut self, wire: usize) {
        let mut numbers: Vec<u64> = Vec::new();
        let is_request = |message: &Message| message.wire == wire && message.is_request();
        let on_its_way = self.messages.iter().map(|Reverse(message)| message);
        let all = on_its_way.chain(self.waiting.values().flatten());
        numbers.extend(all.filter(|message| is_request(message)).map(|message| message.number));
        numbers.sort_unstable();
        if numbers.is_empty() {
            return;
        }
        let first = numbers[self.rng.gen_range(0..numbers.len())];
        let goes = |message: &Message| is_request(message) && message.number >= first;
        let (gone, stay): (Vec<_>, Vec<_>) = self.messages.drain().partition(|Reverse(message)| goes(message));
        self.messages.extend(stay);
        self.rest.extend(gone.into_iter().map(|Reverse(message)| message.what));
        for waiting in self.waiting.values_mut() {
            let (gone, stay) = std::mem::take(waiting).into_iter().partition(|message| goes(message));
            *waiting = stay;
            let gone: Vec<Message> = gone;
            self.rest.extend(gone.into_iter().map(|message| message.what));
        }
    }

    pub(crate) fn kill(&mut self, client: Process) {
        self.dead.insert(client);
        self.forget(client);
        for wire in 0..self.wires.len() {
            if self.wires[wire].client == client {
                self.end(wire);
            }
        }
    }

    /// A client goes on after a pause: what waited for it arrives, and only now can it notice anything.
    pub(crate) fn resumed(&mut self, client: Process) {
        let now = Instant::now();
        for ((process, _), (_, since)) in &mut self.reach {
            if *process == client {
                *since = now;
            }
        }
        self.release(Gate::Paused(client));
    }

    pub(crate) fn watch(&mut self, client: Process) {
        for server in 0..self.nodes.len() {
            self.reach.insert((client, server), (false, Instant::now()));
        }
        self.note_reach();
    }

    /// Looks no more at whether a client reaches its servers.
    pub(crate) fn forget(&mut self, client: Process) {
        self.reach.retain(|(process, _), _| *process != client);
    }

    pub(super) fn note_reach(&mut self) {
        let now = Instant::now();
        for ((client, server), (is_reached, since)) in &mut self.reach {
            let node = &self.nodes[*server];
            let is_blocked = |gate| self.blocked.contains(&gate);
            let is_free = !is_blocked(Gate::To(*server, *client)) && !is_blocked(Gate::From(*server, *client));
            let now_reached = node.is_running && !node.is_frozen && is_free;
            if *is_reached != now_reached {
                (*is_reached, *since) = (now_reached, now);
                self.crossings.push((*client, *server, now_reached));
            }
        }
    }

    /// Whether a client can reach a server, and for how long that has been so.
    pub(crate) fn reach(&self, client: Process, server: usize) -> Option<(bool, Duration)> {
        let (is_reached, since) = self.reach.get(&(client, server))?;
        Some((*is_reached, since.elapsed()))
    }
}
