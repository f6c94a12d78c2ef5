//! Who is up, and whether that makes a majority.

mod connected;
pub(crate) mod event;
mod streams;

pub use connected::{Closed, WaitConnected, WaitConnectedError};
pub use event::{Event, ServerState, Warning};
pub use streams::{Events, QuorumChanges};

use crate::{
    address::Address,
    decision::{
        DownReason, Quorum,
        quorum::{Connection, Reachability},
    },
    metrics,
};
use std::{
    collections::VecDeque,
    fmt,
    mem::{Discriminant, discriminant},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, broadcast, futures::Notified, watch},
    time::Instant,
};

/// How many events a slow subscriber may be behind before it is given the current state in their place.
const EVENTS_KEPT: usize = 256;

/// A server's number among those of all groups, in the order in which they were configured. Within a group, a server's place says
/// which votes are its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerId(pub(crate) usize);

/// What is known about one server at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStatus {
    /// The server.
    pub address: Address,
    /// Its [group](crate::Builder::group), 0 for the first.
    pub group: usize,
    /// Whether it can vote.
    pub state: ServerState,
    /// For how long that has been so.
    pub unchanged_for: Duration,
    /// How long it took to answer the last command, if it is up and has answered one.
    pub round_trip: Option<Duration>,
}

impl fmt::Display for ServerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.address, self.state)
    }
}

/// What happened, and how many crossings of the client there had been then.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    pub(crate) event: Event,
    pub(crate) crossing: u64,
    /// Its number among all events. What holds at a subscription has that of the last event before.
    pub(crate) number: u64,
}

/// What holds at the moment of a subscription.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The events that lead to it.
    pub(crate) events: Vec<Event>,
    pub(crate) crossing: u64,
    /// How many events there had been.
    pub(crate) number: u64,
}

/// Gathers what the supervisors report and tells the subscribers.
///
/// There is no task: the caller that reports works it out under one lock, so that all subscribers see the same order. What
/// they get is sent while no lock is held, because their wakers may poll.
#[derive(Debug)]
pub(crate) struct Monitor {
    /// Of the servers of all groups, one group after the other.
    addresses: Vec<Address>,
    state: Mutex<State>,
    /// Nothing once the client was closed.
    connection: watch::Sender<Option<Connection>>,
    /// Tells that our machine slept, for which no timer went on.
    woken: Notify,
}

#[derive(Debug)]
struct State {
    /// In the order of the addresses.
    servers: Vec<Known>,
    reachability: Reachability,
    crossing: u64,
    /// How many events there were.
    number: u64,
    /// Nothing once the client was closed.
    sender: Option<broadcast::Sender<Notice>>,
    /// What is to be sent, in this order.
    outbox: VecDeque<Outgoing>,
    /// Whether a caller is sending, which then sends also what others report meanwhile.
    is_sending: bool,
}

/// What subscribers get.
#[derive(Debug)]
enum Outgoing {
    Notice(broadcast::Sender<Notice>, Notice),
    Connection(Connection),
    /// The end of every subscription.
    Closed(Option<broadcast::Sender<Notice>>),
}

#[derive(Debug)]
struct Known {
    state: ServerState,
    since: Instant,
    run_id: Option<String>,
    /// What kind of reason that does not pass by itself was logged last, since the server was up.
    logged: Option<Discriminant<DownReason>>,
}

impl Known {
    /// Whether this is to be logged: a reason that does not pass by itself, once until the server was up or has another.
    fn is_worth_a_warning(&mut self, now: &ServerState) -> bool {
        match now {
            ServerState::Up => {
                self.logged = None;
                false
            }
            ServerState::Down(reason) if reason.is_lasting() => {
                self.logged.replace(discriminant(reason)) != Some(discriminant(reason))
            }
            ServerState::Down(_) => false,
        }
    }

    /// Its state at this moment.
    fn state(&self) -> ServerState {
        match &self.state {
            ServerState::Down(DownReason::Restarted { ready_in }) => {
                let ready_in = ready_in.saturating_sub(self.since.elapsed());
                ServerState::Down(DownReason::Restarted { ready_in })
            }
            state => state.clone(),
        }
    }
}

impl Monitor {
    /// Watches these groups of servers. All others name a server by its number, counted through all groups.
    pub(crate) fn new(groups: &[&[Address]]) -> Self {
        let addresses = groups.concat();
        let sizes: Vec<usize> = groups.iter().map(|group| group.len()).collect();
        let servers = addresses.iter().map(|_| Known {
            state: ServerState::Down(DownReason::NotYet),
            since: Instant::now(),
            run_id: None,
            logged: None,
        });
        let state = State {
            servers: servers.collect(),
            reachability: Reachability::new(&sizes),
            crossing: 0,
            number: 0,
            sender: Some(broadcast::Sender::new(EVENTS_KEPT)),
            outbox: VecDeque::new(),
            is_sending: false,
        };
        Self {
            addresses,
            state: Mutex::new(state),
            connection: watch::Sender::new(Some(Connection::Connecting)),
            woken: Notify::new(),
        }
    }

    pub(crate) fn address(&self, server: ServerId) -> &Address {
        &self.addresses[server.0]
    }

    /// Notes the identity of the server at this address, or returns the address that has it already.
    pub(crate) fn identify(&self, server: ServerId, run_id: Option<&str>) -> Result<(), Address> {
        let mut state = self.state();
        if let Some(run_id) = run_id {
            let is_taken = |known: &Known| known.run_id.as_deref() == Some(run_id);
            if let Some(other) = state
                .servers
                .iter()
                .position(is_taken)
                .filter(|other| *other != server.0)
            {
                return Err(self.addresses[other].clone());
            }
        }
        state.servers[server.0].run_id = run_id.map(str::to_owned);
        Ok(())
    }

    pub(crate) fn up(&self, server: ServerId) {
        self.report(server, ServerState::Up);
    }

    pub(crate) fn down(&self, server: ServerId, reason: DownReason) {
        self.report(server, ServerState::Down(reason));
    }

    /// Reports every server as down.
    pub(crate) fn all_down(&self, reason: &DownReason) {
        for server in 0..self.addresses.len() {
            self.down(ServerId(server), reason.clone());
        }
    }

    pub(crate) fn warn(&self, server: ServerId, warning: Warning) {
        let group = self.state().reachability.group_of(server.0);
        let server = self.addresses[server.0].clone();
        tracing::warn!(%server, group, %warning, "warning");
        self.state().tell(Some(Event::Warning { server, group, warning }));
        self.send();
    }

    fn report(&self, server: ServerId, now: ServerState) {
        let lasting = match &now {
            ServerState::Down(reason) if reason.is_lasting() => Some(reason.clone()),
            _ => None,
        };
        let (group, is_news) = self.take_in(server, now);
        self.send();
        if let (true, Some(reason)) = (is_news, lasting) {
            let server = &self.addresses[server.0];
            tracing::warn!(%server, group, %reason, "down, which does not pass by itself");
        }
    }

    /// Takes in a server's state. Returns its group, and whether the log should have it.
    fn take_in(&self, server: ServerId, now: ServerState) -> (usize, bool) {
        let mut state = self.state();
        let is_up = now == ServerState::Up;
        let group = state.reachability.group_of(server.0);
        let known = &mut state.servers[server.0];
        if !now.is_connected() {
            known.run_id = None;
        }
        if known.state == now {
            return (group, false);
        }
        let was_up = known.state == ServerState::Up;
        known.state = now.clone();
        known.since = Instant::now();
        let is_news = known.is_worth_a_warning(&now);
        state.tell(Event::of_server(self.addresses[server.0].clone(), group, now));
        if was_up != is_up {
            metrics::server(group, is_up);
        }
        let crossed = state.reachability.set(server.0, is_up);
        let quorum = state.reachability.quorum(group);
        if let Some(connection) = crossed.group {
            tracing::debug!(
                ?connection,
                group,
                reachable = quorum.reachable,
                needed = quorum.needed,
                client = ?crossed.client,
                "crossing"
            );
            if state.reachability.has_several_groups() {
                state.tell(Event::of_group(connection, quorum));
            }
        }
        if let Some(connection) = crossed.client {
            state.crossing += 1;
            // First, so that whoever hears the event finds the client in that state.
            state.outbox.push_back(Outgoing::Connection(connection));
            state.tell(Event::of_client(connection, quorum));
        }
        (group, is_news)
    }

    /// Returns all future events, and what holds now.
    pub(crate) fn subscribe(&self) -> (broadcast::Receiver<Notice>, Snapshot) {
        let state = self.state();
        let receiver = match &state.sender {
            Some(sender) => sender.subscribe(),
            None => broadcast::Sender::new(1).subscribe(),
        };
        // Of a client that was closed nothing holds any more.
        let events = state.sender.iter().flat_map(|_| self.state_as_events(&state));
        let snapshot = Snapshot {
            events: events.collect(),
            crossing: state.crossing,
            number: state.number,
        };
        (receiver, snapshot)
    }

    /// What holds now, as the events that lead to it.
    fn state_as_events(&self, state: &State) -> Vec<Event> {
        let State {
            servers, reachability, ..
        } = state;
        let servers = self.addresses.iter().zip(servers).enumerate();
        let servers = servers.map(|(server, (address, known))| {
            Event::of_server(address.clone(), reachability.group_of(server), known.state())
        });
        let has_several_groups = reachability.has_several_groups();
        let groups = reachability.groups().filter(|_| has_several_groups);
        let groups = groups.map(|(connection, quorum)| Event::of_group(connection, quorum));
        let (connection, quorum) = reachability.client();
        let client = Event::of_client(connection, quorum);
        servers.chain(groups).chain([client]).flatten().collect()
    }

    /// Returns each server, with the round-trip times in the same order.
    pub(crate) fn servers(&self, round_trips: impl Iterator<Item = Option<Duration>>) -> Vec<ServerStatus> {
        self.statuses(&self.state(), round_trips).collect()
    }

    fn statuses(
        &self,
        state: &State,
        round_trips: impl Iterator<Item = Option<Duration>>,
    ) -> impl Iterator<Item = ServerStatus> {
        let servers = state.servers.iter().enumerate().zip(round_trips);
        servers.map(|((server, known), round_trip)| ServerStatus {
            address: self.addresses[server].clone(),
            group: state.reachability.group_of(server),
            state: known.state(),
            unchanged_for: known.since.elapsed(),
            round_trip,
        })
    }

    pub(crate) fn quorums(&self) -> Vec<Quorum> {
        self.state().reachability.groups().map(|(_, quorum)| quorum).collect()
    }

    pub(crate) fn is_connected(&self) -> bool {
        *self.connection.borrow() == Some(Connection::Connected)
    }

    /// Waits for a majority of each group, or for the client to be closed.
    async fn wait_connected(&self) -> Result<(), Closed> {
        let mut connection = self.connection.subscribe();
        let settled = connection.wait_for(|now| matches!(now, None | Some(Connection::Connected)));
        match settled.await.as_deref() {
            Ok(Some(_)) => Ok(()),
            Ok(None) | Err(_) => Err(Closed),
        }
    }

    /// What a wait that ends now has come to.
    fn timed_out(&self, waited: Duration) -> Result<(), WaitConnectedError> {
        let state = self.state();
        let (connection, _) = state.reachability.client();
        if state.sender.is_none() {
            return Err(Closed.into());
        }
        if connection == Connection::Connected {
            return Ok(());
        }
        let statuses = self.statuses(&state, std::iter::repeat(None));
        Err(WaitConnectedError::TimedOut {
            waited,
            quorums: state.reachability.groups().map(|(_, quorum)| quorum).collect(),
            down: statuses.filter(|status| status.state != ServerState::Up).collect(),
        })
    }

    /// Waits for the client to be closed.
    pub(crate) async fn closed(&self) {
        // The sender lives as long as `self`, so that this does not fail.
        let _ = self.connection.subscribe().wait_for(Option::is_none).await;
    }

    /// Notes that our machine slept.
    pub(crate) fn woke(&self) {
        self.woken.notify_waiters();
    }

    /// Resolves when it is noted next that our machine slept.
    pub(crate) fn woken(&self) -> Notified<'_> {
        self.woken.notified()
    }

    /// Ends every subscription.
    pub(crate) fn close(&self) {
        {
            let mut state = self.state();
            let sender = state.sender.take();
            state.outbox.push_back(Outgoing::Closed(sender));
        }
        self.send();
    }

    /// Sends what there is to send, in order, unless another caller does so already.
    fn send(&self) {
        if std::mem::replace(&mut self.state().is_sending, true) {
            return;
        }
        let sending = Sending(self);
        while let Some(next) = self.next_to_send() {
            match next {
                // It fails only if nobody listens.
                Outgoing::Notice(sender, notice) => drop(sender.send(notice)),
                Outgoing::Connection(connection) => {
                    self.connection.send_if_modified(|now| {
                        let is_open = now.is_some();
                        *now = now.and(Some(connection));
                        is_open
                    });
                }
                Outgoing::Closed(sender) => {
                    drop(sender);
                    self.connection.send_replace(None);
                }
            }
        }
        // `is_sending` was reset with the last look at the outbox, and another caller may have set it again.
        std::mem::forget(sending);
    }

    fn next_to_send(&self) -> Option<Outgoing> {
        let mut state = self.state();
        let next = state.outbox.pop_front();
        state.is_sending = next.is_some();
        next
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call of [`Monitor::send`] that sends. If it is dropped, a subscriber's waker panicked: the next caller sends the rest.
struct Sending<'a>(&'a Monitor);

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.0.state().is_sending = false;
    }
}

impl State {
    fn tell(&mut self, event: Option<Event>) {
        if let (Some(sender), Some(event)) = (&self.sender, event) {
            self.number += 1;
            let notice = Notice {
                event,
                crossing: self.crossing,
                number: self.number,
            };
            self.outbox.push_back(Outgoing::Notice(sender.clone(), notice));
        }
    }
}

#[cfg(test)]
mod tests;
