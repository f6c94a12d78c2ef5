//! Majority arithmetic, and the set of servers that are up.

/// How many of `servers` are a majority: ⌊N/2⌋ + 1.
pub(crate) fn majority(servers: usize) -> usize {
    servers / 2 + 1
}

/// How many of the configured servers can vote, and how many have to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Quorum {
    /// The servers that are up.
    pub reachable: usize,
    /// The smallest majority: ⌊N/2⌋ + 1.
    pub needed: usize,
    /// The servers that are configured, N.
    pub servers: usize,
}

impl Quorum {
    /// Returns whether enough servers are up to grant a lock.
    pub fn is_reached(&self) -> bool {
        self.reachable >= self.needed
    }
}

/// Whether a majority can be reached.
///
/// A handle starts as `Connecting`, which it never returns to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Connection {
    Connecting,
    Connected,
    Disconnected,
}

/// Tells from the set of servers that are up when the majority is gained or lost.
///
/// It keeps a set, not a counter: a server that is reported up twice still counts once.
#[derive(Debug)]
pub(crate) struct Reachability {
    up: Vec<bool>,
    connection: Connection,
}

impl Reachability {
    pub(crate) fn new(servers: usize) -> Self {
        Self {
            up: vec![false; servers],
            connection: Connection::Connecting,
        }
    }

    /// Notes whether a server is up, and returns the new state if that crossed the majority.
    pub(crate) fn set(&mut self, server: usize, up: bool) -> Option<Connection> {
        self.up[server] = up;
        let next = match (self.quorum().is_reached(), self.connection) {
            (true, Connection::Connecting | Connection::Disconnected) => Connection::Connected,
            (false, Connection::Connected) => Connection::Disconnected,
            _ => return None,
        };
        self.connection = next;
        Some(next)
    }

    pub(crate) fn connection(&self) -> Connection {
        self.connection
    }

    pub(crate) fn quorum(&self) -> Quorum {
        Quorum {
            reachable: self.up.iter().filter(|up| **up).count(),
            needed: majority(self.up.len()),
            servers: self.up.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_majority_is_more_than_half() {
        let needed: Vec<usize> = (1..=7).map(majority).collect();
        assert_eq!(needed, [1, 2, 2, 3, 3, 4, 4]);
    }

    proptest! {
        #[test]
        fn two_majorities_always_share_a_server(servers in 1_usize..100) {
            prop_assert!(2 * majority(servers) > servers);
            prop_assert!(majority(servers) <= servers);
        }

        #[test]
        fn each_crossing_is_told_once_whatever_is_reported(
            servers in 1_usize..8,
            reports in prop::collection::vec((0_usize..8, any::<bool>()), 0..200),
        ) {
            let mut reachability = Reachability::new(servers);
            let mut up = std::collections::BTreeSet::new();
            let mut told = Connection::Connecting;
            for (server, is_up) in reports {
                let server = server % servers;
                if is_up { up.insert(server); } else { up.remove(&server); }
                let reached = up.len() >= majority(servers);
                let transition = reachability.set(server, is_up);
                let expected = match (told, reached) {
                    (Connection::Connected, false) => Some(Connection::Disconnected),
                    (Connection::Connecting | Connection::Disconnected, true) => Some(Connection::Connected),
                    _ => None,
                };
                prop_assert_eq!(transition, expected);
                told = transition.unwrap_or(told);
                prop_assert_eq!(reachability.connection(), told);
                prop_assert_eq!(reachability.quorum().reachable, up.len());
            }
        }
    }
}
