//! The restart guard, while servers are started again without their memory.
//!
//! Time goes in ticks, which all clocks count alike: what is left of a key's ttl, of a lock's validity, and of a server's wait. A
//! client asks all servers; what it sends arrives at any moment or never, within its ttl. It holds the lock if a majority
//! granted it the key and something is left of the ttl, counted from before it asked. Then, or whenever it likes, it is done, its
//! keys may be removed, and it may ask again. This goes on for ever: every state that can be reached is looked at.
//!
//! A server may be started again at any moment, and has forgotten all keys then. If the guard is kept it grants none for
//! a ttl.

use crate::{CLIENTS, MAJORITY, SERVERS, Set, has, with};
use stateright::{Model, Property};

/// Which rules are kept.
#[derive(Clone, Copy, Debug)]
pub struct Restart {
    /// The longest ttl, and the only one, in ticks.
    pub ttl: u8,
    /// For how many ticks a server that was started again grants no key.
    pub waits: u8,
}

/// A server: whose key it has and for how long, and for how long it grants none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Server {
    key: Option<(u8, u8)>,
    waits: u8,
}

/// What a client is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Client {
    /// Nothing.
    #[default]
    Idle,
    /// It asks, and has so much of its ttl left; these servers granted it the key.
    Asking {
        /// In ticks.
        left: u8,
        /// Who granted it.
        granted: Set,
    },
    /// It holds the lock for so long.
    Holding {
        /// In ticks.
        left: u8,
    },
}

/// All of them at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    servers: [Server; SERVERS],
    clients: [Client; CLIENTS],
}

/// What can happen next, by the numbers of clients and servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A client asks.
    Begin(usize),
    /// Its SET arrives.
    Set(usize, usize),
    /// It holds the lock.
    Hold(usize),
    /// It is done, or gives up.
    End(usize),
    /// An unlock arrives, of a client that is done.
    Unlock(usize),
    /// A server is started again.
    Restart(usize),
    /// Time passes.
    Tick,
}

impl State {
    /// How many clients hold the lock.
    fn holding(&self) -> usize {
        let is_holding = |client: &&Client| matches!(client, Client::Holding { .. });
        self.clients.iter().filter(is_holding).count()
    }
}

impl Model for Restart {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.push(Action::Tick);
        for (c, client) in state.clients.iter().enumerate() {
            match client {
                Client::Idle => actions.push(Action::Begin(c)),
                Client::Asking { granted, .. } => {
                    let asks = |s: &usize| !has(*granted, *s) && state.servers[*s] == Server::default();
                    actions.extend((0..SERVERS).filter(asks).map(|s| Action::Set(c, s)));
                    if granted.count_ones() >= MAJORITY {
                        actions.push(Action::Hold(c));
                    }
                    actions.push(Action::End(c));
                }
                Client::Holding { .. } => actions.push(Action::End(c)),
            }
        }
        for (s, server) in state.servers.iter().enumerate() {
            actions.push(Action::Restart(s));
            if server
                .key
                .is_some_and(|(client, _)| state.clients[usize::from(client)] == Client::Idle)
            {
                actions.push(Action::Unlock(s));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        match action {
            Action::Begin(c) => {
                state.clients[c] = Client::Asking {
                    left: self.ttl,
                    granted: 0,
                };
            }
            Action::Set(c, s) => {
                if let Client::Asking { granted, .. } = &mut state.clients[c] {
                    *granted = with(*granted, s);
                }
                state.servers[s].key = u8::try_from(c).ok().map(|client| (client, self.ttl));
            }
            Action::Hold(c) => {
                if let Client::Asking { left, .. } = state.clients[c] {
                    state.clients[c] = Client::Holding { left };
                }
            }
            Action::End(c) => state.clients[c] = Client::Idle,
            Action::Unlock(s) => state.servers[s].key = None,
            Action::Restart(s) => {
                state.servers[s] = Server {
                    key: None,
                    waits: self.waits,
                }
            }
            Action::Tick => {
                for server in &mut state.servers {
                    server.waits = server.waits.saturating_sub(1);
                    server.key = server.key.and_then(|(client, left)| Some((client, passed(left)?)));
                }
                for client in &mut state.clients {
                    *client = match *client {
                        Client::Idle => Client::Idle,
                        Client::Asking { left, granted } => {
                            passed(left).map_or(Client::Idle, |left| Client::Asking { left, granted })
                        }
                        Client::Holding { left } => passed(left).map_or(Client::Idle, |left| Client::Holding { left }),
                    };
                }
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no two hold the lock", |_, state: &State| state.holding() <= 1),
            Property::sometimes("one holds the lock", |_, state: &State| state.holding() == 1),
            Property::sometimes(
                "two of the servers were started again while the lock was held",
                |_, state: &State| {
                    state.holding() == 1 && state.servers.iter().filter(|server| server.waits > 0).count() >= 2
                },
            ),
        ]
    }
}

/// What is left after a tick, if anything is.
fn passed(left: u8) -> Option<u8> {
    left.checked_sub(1).filter(|left| *left > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stateright::{Checker, HasDiscoveries};

    const RULES: Restart = Restart { ttl: 3, waits: 3 };

    #[test]
    fn no_two_hold_the_lock_whichever_servers_are_started_again() {
        let checker = RULES.checker().threads(2).spawn_bfs().join();
        println!("restart guard: {} states", checker.unique_state_count());
        assert!(checker.is_done());
        checker.assert_properties();
    }

    #[test]
    fn without_the_guard_or_with_a_shorter_one_two_may_hold_it() {
        for waits in 0..RULES.ttl {
            let rules = Restart { waits, ..RULES };
            let checker = rules
                .checker()
                .threads(2)
                .finish_when(HasDiscoveries::AnyFailures)
                .spawn_bfs()
                .join();
            let found = checker.discovery("no two hold the lock").expect("it is found");
            let (states, path) = (checker.unique_state_count(), found.into_actions());
            println!("with a wait of {waits}, after {states} states: {path:?}");
        }
    }
}
