//! Fencing tokens, while the keys of locks may go away at any moment.
//!
//! Each client asks for the resource once. What it sends arrives at each server at any moment or never, and in order. (What
//! arrives when the client is done is left out: it makes stored tokens larger and keeps others from the key, as any of those
//! others may.) A key may be gone at any moment: because its ttl was over, a clock was set, or the lock was unlocked. So
//! nothing here depends on time, and two clients may hold the resource at once.
//!
//! A server stores any larger token than it has, since its clock may say anything. How much larger makes no difference but for
//! which of two is the larger, so a few numbers stand for all; [`Fencing::largest`] says how many. An answer that is on its way is
//! not told apart from a client that has not looked at it yet: a client decides by any majority of the servers that
//! granted it the key. A server that refuses is one that has not answered.
//!
//! Servers are alike and so are clients, so states that differ only in who has which number count as one. In a path that is
//! found, each step therefore has numbers of its own.
//!
//! Two properties:
//!
//! - **A later lock has a larger token**: if one lock was granted before the round of another began.
//! - **Tokens are in the order of each server**: if a server counts for two locks, it granted the one with the smaller token first.
//!   So whoever was granted the key last, there, is the one whose writes are accepted.

use crate::{CLIENTS, MAJORITY, SERVERS, Set, has, members, with};
use stateright::{Model, Property};

/// Which rules are kept.
#[derive(Clone, Copy, Debug)]
pub struct Fencing {
    /// The largest token.
    pub largest: u8,
    /// Whether a second round raises the smaller tokens of the majority.
    pub raises: bool,
    /// Whether a server raises its token only while the key is still the client's.
    pub only_while_held: bool,
}

/// What a server stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Server {
    key: Option<u8>,
    fence: u8,
    /// How many clients were granted the key so far.
    grants: u8,
}

/// What became of a client's SET on one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Answer {
    #[default]
    None,
    /// With this token, as the n-th that this server granted the key.
    Granted { token: u8, nth: u8 },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Stage {
    #[default]
    Idle,
    Asking,
    Raising(u8),
    Granted(u8),
}

/// What a client knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Client {
    stage: Stage,
    answers: [Answer; SERVERS],
    /// Which servers have raised their token.
    raised: Set,
    /// Which clients had been granted the lock when this one began.
    before: Set,
}

/// All of them at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct State {
    servers: [Server; SERVERS],
    clients: [Client; CLIENTS],
}

/// What can happen next, by the numbers of clients and servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A client begins.
    Begin(usize),
    /// Its SET arrives, and the server stores this token.
    Set(usize, usize, u8),
    /// It decides by the answers of these servers.
    Decide(usize, Set),
    /// What raises the token arrives.
    Raise(usize, usize),
    /// It decides by what has been raised.
    Finish(usize),
    /// A key is gone.
    Expire(usize),
}

/// All orders of three.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

impl State {
    /// The same but for which server and which client has which number, of all such states always the same one.
    fn canonical(&self) -> Self {
        let orders = ORDERS
            .iter()
            .flat_map(|servers| ORDERS.iter().map(move |clients| (servers, clients)));
        let renamed = orders.map(|(servers, clients)| self.renamed(servers, clients));
        renamed.min().unwrap_or(*self)
    }

    /// With `servers[i]` in the i-th place, and the same for the clients.
    fn renamed(&self, servers: &[usize; 3], clients: &[usize; 3]) -> Self {
        let new_name = |client: usize| clients.iter().position(|c| *c == client).unwrap_or(client);
        let set = |set: Set, order: &[usize; 3]| (0..3).filter(|i| has(set, order[*i])).fold(0, with);
        Self {
            servers: servers.map(|s| {
                let server = self.servers[s];
                let key = server.key.and_then(|key| u8::try_from(new_name(usize::from(key))).ok());
                Server { key, ..server }
            }),
            clients: clients.map(|c| {
                let client = self.clients[c];
                Client {
                    stage: client.stage,
                    answers: servers.map(|s| client.answers[s]),
                    raised: set(client.raised, servers),
                    before: set(client.before, clients),
                }
            }),
        }
    }
}

impl Client {
    fn token(&self) -> Option<u8> {
        match self.stage {
            Stage::Granted(token) => Some(token),
            _ => None,
        }
    }

    fn granted(&self) -> Set {
        let is_granted = |server: &usize| matches!(self.answers[*server], Answer::Granted { .. });
        (0..SERVERS).filter(is_granted).fold(0, with)
    }

    /// Which servers have stored the token, as far as is known.
    fn counted(&self, token: u8) -> Set {
        let has_it =
            |server: &usize| matches!(self.answers[*server], Answer::Granted { token: stored, .. } if stored == token);
        (0..SERVERS).filter(has_it).fold(self.raised, with)
    }
}

impl Model for Fencing {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (c, client) in state.clients.iter().enumerate() {
            match client.stage {
                Stage::Idle => actions.push(Action::Begin(c)),
                Stage::Asking => {
                    let majorities = (0..1 << SERVERS).filter(|set: &Set| set.count_ones() >= MAJORITY);
                    let granted = majorities.filter(|set| set & client.granted() == *set);
                    actions.extend(granted.map(|set| Action::Decide(c, set)));
                }
                Stage::Raising(token) if client.counted(token).count_ones() >= MAJORITY => {
                    actions.push(Action::Finish(c));
                }
                _ => {}
            }
            for (s, server) in state.servers.iter().enumerate() {
                let is_under_way = matches!(client.stage, Stage::Asking | Stage::Raising(_));
                match client.answers[s] {
                    Answer::None if is_under_way && server.key.is_none() => {
                        actions.extend((server.fence + 1..=self.largest).map(|token| Action::Set(c, s, token)));
                    }
                    Answer::Granted { .. } if matches!(client.stage, Stage::Raising(_)) && !has(client.raised, s) => {
                        actions.push(Action::Raise(c, s));
                    }
                    _ => {}
                }
            }
        }
        let held = state
            .servers
            .iter()
            .enumerate()
            .filter(|(_, server)| server.key.is_some());
        actions.extend(held.map(|(s, _)| Action::Expire(s)));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        match action {
            Action::Begin(c) => {
                let granted = state
                    .clients
                    .iter()
                    .enumerate()
                    .filter(|(_, other)| other.token().is_some());
                state.clients[c].before = granted.fold(0, |set, (other, _)| with(set, other));
                state.clients[c].stage = Stage::Asking;
            }
            Action::Set(c, s, token) => {
                let server = &mut state.servers[s];
                server.key = u8::try_from(c).ok();
                server.fence = token;
                server.grants += 1;
                let nth = server.grants;
                state.clients[c].answers[s] = Answer::Granted { token, nth };
            }
            Action::Decide(c, majority) => {
                let client = &mut state.clients[c];
                let tokens = members(majority).filter_map(|s| match client.answers[s] {
                    Answer::Granted { token, .. } => Some(token),
                    Answer::None => None,
                });
                let token = tokens.max()?;
                let is_stored = client.counted(token).count_ones() >= MAJORITY;
                client.stage = if is_stored || !self.raises {
                    Stage::Granted(token)
                } else {
                    Stage::Raising(token)
                };
            }
            Action::Raise(c, s) => {
                let (client, server) = (&mut state.clients[c], &mut state.servers[s]);
                let Stage::Raising(token) = client.stage else {
                    return None;
                };
                if self.only_while_held && server.key.map(usize::from) != Some(c) {
                    return None;
                }
                server.fence = server.fence.max(token);
                client.raised = with(client.raised, s);
            }
            Action::Finish(c) => {
                let Stage::Raising(token) = state.clients[c].stage else {
                    return None;
                };
                state.clients[c].stage = Stage::Granted(token);
            }
            Action::Expire(s) => state.servers[s].key = None,
        }
        Some(state.canonical())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("a later lock has a larger token", |_, state: &State| {
                state.clients.iter().all(|later| {
                    let token = later.token();
                    let mut before = members(later.before).map(|c| state.clients[c].token());
                    token.is_none() || before.all(|earlier| earlier < token)
                })
            }),
            Property::always("tokens are in the order of each server", |_, state: &State| {
                let locks = || {
                    state
                        .clients
                        .iter()
                        .filter_map(|client| Some((client, client.token()?)))
                };
                locks().all(|(one, token)| {
                    locks().all(|(other, larger)| {
                        let mut common = members(one.counted(token) & other.counted(larger));
                        token >= larger || common.all(|s| nth(one, s) <= nth(other, s))
                    })
                })
            }),
            Property::sometimes("all three are granted", |_, state: &State| {
                state.clients.iter().all(|client| client.token().is_some())
            }),
            Property::sometimes("a second round is needed", |_, state: &State| {
                state
                    .clients
                    .iter()
                    .any(|client| client.raised != 0 && client.token().is_some())
            }),
        ]
    }
}

/// As the how many-th this server granted the key to the client.
fn nth(client: &Client, server: usize) -> u8 {
    match client.answers[server] {
        Answer::Granted { nth, .. } => nth,
        Answer::None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stateright::{Checker, HasDiscoveries};

    const RULES: Fencing = Fencing {
        largest: 3,
        raises: true,
        only_while_held: true,
    };

    #[test]
    fn tokens_are_in_order_whatever_becomes_of_the_keys() {
        let checker = RULES.checker().threads(2).spawn_bfs().join();
        println!("fencing: {} states", checker.unique_state_count());
        assert!(checker.is_done());
        checker.assert_properties();
    }

    #[test]
    fn without_the_second_round_a_later_lock_may_have_a_smaller_token() {
        let rules = Fencing { raises: false, ..RULES };
        let checker = rules
            .checker()
            .threads(2)
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_bfs()
            .join();
        let found = checker
            .discovery("a later lock has a larger token")
            .expect("it is found");
        let (states, path) = (checker.unique_state_count(), found.into_actions());
        println!("without the second round, after {states} states: {path:?}");
    }

    #[test]
    fn if_a_token_is_raised_for_a_key_that_is_gone_the_last_to_be_granted_it_may_have_the_smaller_one() {
        let rules = Fencing {
            only_while_held: false,
            ..RULES
        };
        let checker = rules
            .checker()
            .threads(2)
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_bfs()
            .join();
        let found = checker
            .discovery("tokens are in the order of each server")
            .expect("it is found");
        let (states, path) = (checker.unique_state_count(), found.into_actions());
        println!("raised without a look, after {states} states: {path:?}");
    }
}
