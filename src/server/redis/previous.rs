//! The earlier connections to a server, which may still be carrying out what they were sent.
//!
//! A run id is unique to one start of a process, so an entry never means another process and is kept when a different one
//! answers in between: sentinels may name a replica before they name the same master again.

use std::collections::VecDeque;

/// How many processes are kept at least.
const PROCESSES_KEPT: usize = 64;

/// How many connections to one process are kept by their ids.
const IDS_KEPT: usize = 64;

/// A connection to one process, as the process reported it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Connection {
    /// `None` if the user may not run INFO.
    pub(super) run_id: Option<String>,
    /// `None` if the user may not run `CLIENT ID`.
    pub(super) id: Option<i64>,
}

/// The connections that were made and have not been ended for certain.
#[derive(Debug, Default)]
pub(super) struct Previous {
    /// The process that was connected to last is at the back.
    processes: VecDeque<Process>,
    /// Whether there was a connection to a process that may be any.
    has_hidden: bool,
}

#[derive(Debug)]
struct Process {
    run_id: String,
    ids: Vec<i64>,
    /// Whether there was a connection whose id is not known.
    has_unnamed: bool,
}

impl Previous {
    /// The connections to this process that can be ended by their ids.
    pub(super) fn ids(&self, run_id: Option<&str>) -> Vec<i64> {
        let process = self.processes.iter().find(|process| run_id == Some(&process.run_id));
        process.map(|process| process.ids.clone()).unwrap_or_default()
    }

    /// Whether there may be a connection to this process that cannot be ended by its id.
    pub(super) fn has_unnamed(&self, run_id: Option<&str>) -> bool {
        let mut processes = self.processes.iter();
        self.has_hidden
            || match run_id {
                Some(run_id) => processes.any(|process| process.run_id == run_id && process.has_unnamed),
                // It may be any of them.
                None => processes.next().is_some(),
            }
    }

    /// Forgets a connection that the process ended.
    pub(super) fn ended(&mut self, run_id: Option<&str>, id: i64) {
        let mut processes = self.processes.iter_mut();
        if let Some(process) = processes.find(|process| run_id == Some(&process.run_id)) {
            process.ids.retain(|kept| *kept != id);
        }
    }

    /// Adds the connections to all processes of a server.
    pub(super) fn add(&mut self, connections: Vec<Connection>) {
        let kept = PROCESSES_KEPT.max(connections.len());
        for connection in connections {
            self.add_one(connection);
        }
        let surplus = self.processes.len().saturating_sub(kept);
        self.processes.drain(..surplus);
    }

    fn add_one(&mut self, connection: Connection) {
        let Some(run_id) = connection.run_id else {
            self.has_hidden = true;
            return;
        };
        let place = self.processes.iter().position(|process| process.run_id == run_id);
        let mut process = place.and_then(|place| self.processes.remove(place)).unwrap_or(Process {
            run_id,
            ids: Vec::new(),
            has_unnamed: false,
        });
        match connection.id {
            Some(id) if process.ids.len() < IDS_KEPT => process.ids.push(id),
            _ => process.has_unnamed = true,
        }
        self.processes.push_back(process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(run_id: &str, id: i64) -> Connection {
        Connection {
            run_id: Some(run_id.into()),
            id: Some(id),
        }
    }

    #[test]
    fn a_process_is_remembered_while_others_answer() {
        let mut previous = Previous::default();
        previous.add(vec![connection("master", 7)]);
        previous.add(vec![connection("replica", 3)]);
        assert_eq!(previous.ids(Some("master")), [7]);
        assert!(!previous.has_unnamed(Some("master")));
    }

    #[test]
    fn only_the_processes_that_were_connected_to_longest_ago_are_dropped() {
        let mut previous = Previous::default();
        previous.add(vec![connection("first", 1)]);
        previous.add(vec![connection("second", 2)]);
        previous.add(vec![connection("first", 3)]);
        let others = (2..PROCESSES_KEPT).map(|n| connection(&n.to_string(), 0));
        previous.add(others.collect());
        assert_eq!(previous.ids(Some("second")), [2]);
        previous.add(vec![connection("one more", 1)]);
        assert!(previous.ids(Some("second")).is_empty());
        assert_eq!(previous.ids(Some("first")), [1, 3]);

        let mut previous = Previous::default();
        previous.add((0..100).map(|n| connection(&n.to_string(), n)).collect());
        assert_eq!(previous.ids(Some("0")), [0], "a cluster may have more nodes");
    }

    #[test]
    fn a_connection_is_kept_until_it_was_ended() {
        let mut previous = Previous::default();
        previous.add(vec![connection("a", 1)]);
        previous.add(vec![connection("a", 2)]);
        previous.ended(Some("a"), 2);
        previous.ended(Some("b"), 1);
        assert_eq!(previous.ids(Some("a")), [1]);
        for id in 0..100 {
            previous.add(vec![connection("a", id)]);
        }
        assert_eq!(previous.ids(Some("a")).len(), IDS_KEPT);
        assert!(previous.has_unnamed(Some("a")), "the others cannot be named any more");
    }

    #[test]
    fn a_connection_without_an_id_cannot_be_ended() {
        let mut previous = Previous::default();
        let run_id = Some("a".to_owned());
        previous.add(vec![Connection { run_id, id: None }]);
        previous.add(vec![connection("a", 1)]);
        previous.ended(Some("a"), 1);
        assert!(previous.has_unnamed(Some("a")));
        assert!(!previous.has_unnamed(Some("b")));
    }

    #[test]
    fn a_process_without_a_run_id_may_be_any_other() {
        let mut previous = Previous::default();
        assert!(!previous.has_unnamed(None), "there was no connection before the first");
        previous.add(vec![connection("a", 1)]);
        assert!(previous.has_unnamed(None));
        assert!(!previous.has_unnamed(Some("b")));
        let (run_id, id) = (None, Some(2));
        previous.add(vec![Connection { run_id, id }]);
        assert!(previous.has_unnamed(Some("b")));
    }
}
