//! Majority arithmetic, and the set of servers that are up in each group.

use crate::fault_injection::InjectedFault;
use std::fmt;

/// How many of `servers` are a majority: ⌊N/2⌋ + 1.
pub(crate) fn majority(servers: usize) -> usize {
    servers / 2 + 1
}

/// How many of the servers of a group can vote, and how many have to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Quorum {
    /// Which [group](crate::Builder::group), 0 for the first.
    pub group: usize,
    /// The servers that are up.
    pub reachable: usize,
    /// The smallest majority: ⌊N/2⌋ + 1.
    pub needed: usize,
    /// The servers of the group, N.
    pub servers: usize,
}

impl Quorum {
    /// Returns whether enough servers are up to grant a lock.
    pub fn is_reached(&self) -> bool {
        self.reachable >= self.needed
    }
}

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            reachable,
            servers,
            needed,
            ..
        } = self;
        write!(f, "{reachable} of {servers} servers can vote, {needed} required")
    }
}

/// Whether a majority can be reached: of one group, or for a client of each.
///
/// Both start as `Connecting`, which they never return to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Connection {
    Connecting,
    Connected,
    Disconnected,
}

impl Connection {
    /// The state that follows, if that is another.
    fn crossing(self, reached: bool) -> Option<Self> {
        match (reached, self) {
            (true, Self::Connecting | Self::Disconnected) => Some(Self::Connected),
            (true, Self::Connected) if InjectedFault::CrossingRepeated.is_on() => Some(Self::Connected),
            (false, Self::Connected) => Some(Self::Disconnected),
            _ => None,
        }
    }
}

/// What a report has changed: the new states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crossed {
    /// Of the group of the server.
    pub(crate) group: Option<Connection>,
    /// Of the client, which is connected while each of its groups is.
    pub(crate) client: Option<Connection>,
}

/// Tells from the set of servers that are up when a group or the client gains or loses its majority.
///
/// It keeps a set, not a counter: a server that is reported up twice still counts once.
#[derive(Debug)]
pub(crate) struct Reachability {
    /// The servers of all groups, one group after the other.
    servers: Vec<Member>,
    groups: Vec<Connection>,
    client: Connection,
    /// The group whose server made the last crossing of the client.
    crossed_by: usize,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    group: usize,
    is_up: bool,
}

impl Reachability {
    /// Groups of so many servers each.
    pub(crate) fn new(groups: &[usize]) -> Self {
        let members = |(group, servers): (usize, &usize)| vec![Member { group, is_up: false }; *servers];
        Self {
            servers: groups.iter().enumerate().flat_map(members).collect(),
            groups: vec![Connection::Connecting; groups.len()],
            client: Connection::Connecting,
            crossed_by: 0,
        }
    }

    /// Notes whether a server is up, counted through all groups, and returns what that changed.
    pub(crate) fn set(&mut self, server: usize, is_up: bool) -> Crossed {
        self.servers[server].is_up = is_up;
        let group = self.group_of(server);
        let of_group = self.groups[group].crossing(self.quorum(group).is_reached());
        if let Some(next) = of_group {
            self.groups[group] = next;
        }
        let all = self.groups.iter().all(|group| *group == Connection::Connected);
        let of_client = self.client.crossing(all);
        if let Some(next) = of_client {
            self.client = next;
            self.crossed_by = group;
        }
        Crossed {
            group: of_group,
            client: of_client,
        }
    }

    pub(crate) fn group_of(&self, server: usize) -> usize {
        self.servers[server].group
    }

    pub(crate) fn has_several_groups(&self) -> bool {
        self.groups.len() > 1
    }

    pub(crate) fn quorum(&self, group: usize) -> Quorum {
        let members = || self.servers.iter().filter(|member| member.group == group);
        let servers = members().count();
        Quorum {
            group,
            reachable: members().filter(|member| member.is_up).count(),
            needed: majority(servers),
            servers,
        }
    }

    /// Each group's state.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (Connection, Quorum)> {
        let groups = self.groups.iter().enumerate();
        groups.map(|(group, connection)| (*connection, self.quorum(group)))
    }

    /// The client's state, and a group that shows it: the one that made the last crossing or, if that one is back while
    /// another is not, the first that is not.
    pub(crate) fn client(&self) -> (Connection, Quorum) {
        let shows_it = |group: &usize| self.groups[*group] == self.client;
        let group = std::iter::once(self.crossed_by)
            .chain(0..self.groups.len())
            .find(shows_it);
        // A client that is not connected yet may be shown by none of them, and is not told.
        (self.client, self.quorum(group.unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_majority_is_more_than_half() {
        let needed: Vec<usize> = (1..=7).map(majority).collect();
        assert_eq!(needed, [1, 2, 2, 3, 3, 4, 4]);
    }

    #[test]
    fn a_late_subscriber_is_shown_a_group_that_is_still_without_its_majority() {
        let mut reachability = Reachability::new(&[1, 1, 1]);
        for server in 0..3 {
            reachability.set(server, true);
        }
        reachability.set(2, false);
        reachability.set(1, false);
        assert_eq!(reachability.client().1.group, 2);
        assert_eq!(reachability.set(2, true).client, None);
        assert_eq!(
            (reachability.client().0, reachability.client().1.group),
            (Connection::Disconnected, 1)
        );
    }

    /// What has to be told when a state that was told last meets whether it is reached now.
    fn expected(told: Connection, reached: bool) -> Option<Connection> {
        match (told, reached) {
            (Connection::Connected, false) => Some(Connection::Disconnected),
            (Connection::Connecting | Connection::Disconnected, true) => Some(Connection::Connected),
            _ => None,
        }
    }

    proptest! {
        #[test]
        fn two_majorities_always_share_a_server(servers in 1_usize..100) {
            prop_assert!(2 * majority(servers) > servers);
            prop_assert!(majority(servers) <= servers);
        }

        #[test]
        fn each_crossing_is_told_once_whatever_is_reported(
            groups in prop::collection::vec(1_usize..6, 1..4),
            reports in prop::collection::vec((0_usize..16, any::<bool>()), 0..200),
        ) {
            let mut reachability = Reachability::new(&groups);
            let group_of: Vec<usize> = (0..groups.len()).flat_map(|group| vec![group; groups[group]]).collect();
            let mut up = BTreeSet::new();
            let mut told = vec![Connection::Connecting; groups.len()];
            let mut told_of_all = Connection::Connecting;
            for (server, is_up) in reports {
                let server = server % group_of.len();
                if is_up { up.insert(server); } else { up.remove(&server); }
                let group = group_of[server];
                let count = |group| up.iter().filter(|server| group_of[**server] == group).count();
                let reached = |group: usize| count(group) >= majority(groups[group]);

                let crossed = reachability.set(server, is_up);

                prop_assert_eq!(crossed.group, expected(told[group], reached(group)));
                told[group] = crossed.group.unwrap_or(told[group]);
                prop_assert_eq!(crossed.client, expected(told_of_all, (0..groups.len()).all(reached)));
                told_of_all = crossed.client.unwrap_or(told_of_all);
                // One follows from the other.
                prop_assert!(crossed.client.is_none() || crossed.client == crossed.group);

                let states: Vec<Connection> = reachability.groups().map(|(connection, _)| connection).collect();
                prop_assert_eq!(&states, &told);
                for (group, (_, quorum)) in reachability.groups().enumerate() {
                    let numbers = (quorum.group, quorum.reachable, quorum.needed, quorum.servers);
                    prop_assert_eq!(numbers, (group, count(group), majority(groups[group]), groups[group]));
                }
                let (connection, shown) = reachability.client();
                prop_assert_eq!(connection, told_of_all);
                if connection != Connection::Connecting {
                    prop_assert_eq!(shown.is_reached(), connection == Connection::Connected);
                }
            }
        }
    }
}
