//! The events of the servers, and the state that holds once each of them was tried.

use multiredlock::{
    Address, Redlock,
    event::{Event, Events},
    status::Quorum,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The events of a client, which has none for a majority that was not there from the start.
///
/// Once each server was tried, `GroupDisconnected` and `Disconnected` follow if no event said before what holds.
#[derive(Debug)]
pub(super) struct Transitions {
    events: Events,
    first: FirstState,
    ready: VecDeque<Event>,
}

impl Transitions {
    pub(super) fn of(redlock: &Redlock) -> Self {
        Self {
            events: redlock.events(),
            first: FirstState::new(redlock.quorums()),
            ready: VecDeque::new(),
        }
    }

    /// Waits for the next event. None if the client was closed. A future that is dropped loses none.
    pub(super) async fn next(&mut self) -> Option<Event> {
        if let Some(event) = self.ready.pop_front() {
            return Some(event);
        }
        let event = self.events.recv().await?;
        self.ready.extend(self.first.after(&event));
        Some(event)
    }
}

/// What is known until each server was tried.
#[derive(Debug)]
struct FirstState {
    quorums: Vec<Quorum>,
    /// The servers that were tried, and whether they were up last.
    tried: BTreeMap<(usize, Address), bool>,
    /// The groups of which an event said whether their majority is reached.
    reported: BTreeSet<usize>,
    is_over: bool,
}

impl FirstState {
    fn new(quorums: Vec<Quorum>) -> Self {
        Self {
            quorums,
            tried: BTreeMap::new(),
            reported: BTreeSet::new(),
            is_over: false,
        }
    }

    /// The events that follow this one.
    fn after(&mut self, event: &Event) -> Vec<Event> {
        match event {
            Event::ServerUp { server, group, .. } => self.tried.insert((*group, server.clone()), true),
            Event::ServerDown { server, group, .. } => self.tried.insert((*group, server.clone()), false),
            Event::GroupConnected(quorum) | Event::GroupDisconnected(quorum) => {
                self.reported.insert(quorum.group);
                return Vec::new();
            }
            // Of a client that was connected the events say all that follows.
            Event::Connected(_) | Event::Disconnected(_) => {
                self.is_over = true;
                return Vec::new();
            }
            _ => return Vec::new(),
        };
        let servers: usize = self.quorums.iter().map(|quorum| quorum.servers).sum();
        if self.is_over || self.tried.len() < servers {
            return Vec::new();
        }
        self.is_over = true;
        self.disconnected()
    }

    fn disconnected(&self) -> Vec<Event> {
        let quorums = self.quorums.iter().map(|quorum| {
            let mut quorum = *quorum;
            let is_up = |((group, _), is_up): &(&(usize, Address), &bool)| *group == quorum.group && **is_up;
            quorum.reachable = self.tried.iter().filter(is_up).count();
            quorum
        });
        let missing: Vec<Quorum> = quorums.filter(|quorum| !quorum.is_reached()).collect();
        let mut events = Vec::new();
        if self.quorums.len() > 1 {
            let unreported = missing.iter().filter(|quorum| !self.reported.contains(&quorum.group));
            events.extend(unreported.map(|quorum| Event::GroupDisconnected(*quorum)));
        }
        events.extend(missing.first().map(|quorum| Event::Disconnected(*quorum)));
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts;
    use multiredlock::testing::MemoryServer;
    use std::time::Duration;
    use tokio::time::timeout;

    async fn next(transitions: &mut Transitions, count: usize) -> Vec<String> {
        let mut words = Vec::new();
        while let Ok(Some(event)) = timeout(Duration::from_millis(10), transitions.next()).await {
            words.push(facts::event(&event).1);
        }
        assert_eq!(words.len(), count, "{words:?}");
        words
    }

    fn group(names: &[&str]) -> Vec<MemoryServer> {
        names.iter().map(|name| MemoryServer::named(*name)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_majority_that_is_missing_from_the_start_is_reported_once_each_server_was_tried() {
        let servers = group(&["first-a", "first-b", "first-c"]);
        servers[0].crash();
        servers[1].crash();
        let redlock = Redlock::builder().servers(&servers).build().unwrap();
        let mut transitions = Transitions::of(&redlock);
        let words = next(&mut transitions, 4).await;
        assert_eq!(words[3], "disconnected: 1 of 3 servers can vote, 2 required");
        servers[0].restart();
        tokio::time::sleep(Duration::from_secs(10)).await;
        servers[2].crash();
        tokio::time::sleep(Duration::from_secs(10)).await;
        let words = next(&mut transitions, 5).await;
        assert_eq!(words[1], "connected: 2 of 3 servers can vote, 2 required");
        assert_eq!(words[3], "disconnected: 1 of 3 servers can vote, 2 required");
    }

    #[tokio::test(start_paused = true)]
    async fn a_majority_that_is_there_is_reported_by_the_events_alone() {
        let servers = group(&["there-a", "there-b", "there-c"]);
        servers[0].crash();
        let redlock = Redlock::builder().servers(&servers).build().unwrap();
        let mut transitions = Transitions::of(&redlock);
        let words = next(&mut transitions, 4).await;
        let connected = "connected: 2 of 3 servers can vote, 2 required";
        assert_eq!(words.iter().filter(|words| *words == connected).count(), 1, "{words:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_groups_those_without_a_majority_are_named() {
        let (first, second) = (group(&["groups-a"]), group(&["groups-b", "groups-c", "groups-d"]));
        second.iter().for_each(MemoryServer::crash);
        let builder = Redlock::builder().servers(&first).group(&second);
        let redlock = builder.build().unwrap();
        let mut transitions = Transitions::of(&redlock);
        let words = next(&mut transitions, 7).await;
        assert!(
            words.contains(&"group 0 connected: 1 of 1 servers can vote, 1 required".into()),
            "{words:?}"
        );
        assert_eq!(words[5], "group 1 disconnected: 0 of 3 servers can vote, 2 required");
        assert_eq!(words[6], "disconnected: 0 of 3 servers can vote, 2 required");
    }
}
