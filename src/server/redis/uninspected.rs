//! Connections that fred made to nodes of a cluster by itself, and that ended before they were inspected.
//!
//! fred connects to new nodes when it reads the slots anew. Our connections end then, but fred may send commands that it has
//! queued already before it notices. Those may still run when the next connection is made.

use super::previous::Connection;
use crate::clock::Moment;
use fred::types::config::Server as FredServer;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How many are kept. A cluster that makes more of them has lost the oldest long ago.
const KEPT: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct Uninspected(Mutex<Vec<Made>>);

#[derive(Debug)]
struct Made {
    node: FredServer,
    /// `None` if the user may not run `CLIENT ID`.
    id: Option<i64>,
    since: Moment,
}

impl Uninspected {
    pub(super) fn add(&self, node: FredServer, id: Option<i64>) {
        let since = Moment::now();
        let mut made = self.made();
        if made.len() >= KEPT {
            made.remove(0);
        }
        made.push(Made { node, id, since });
    }

    /// Takes the connections to this node, which answers now as the process of this run id, and has been running for at least so
    /// long.
    ///
    /// If the process may be younger than a connection, then its id may be another client's.
    pub(super) fn take(&self, node: &FredServer, run_id: Option<&str>, uptime: Duration) -> Vec<Connection> {
        let mut made = self.made();
        let (taken, kept): (Vec<_>, _) = made.drain(..).partition(|made| made.node == *node);
        *made = kept;
        let connection = |made: Made| Connection {
            run_id: run_id.map(str::to_owned),
            id: made.id.filter(|_| made.since.elapsed() < uptime),
        };
        taken.into_iter().map(connection).collect()
    }

    fn made(&self) -> MutexGuard<'_, Vec<Made>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_has_its_id_only_if_the_process_is_older() {
        let (one, other) = (FredServer::new("a", 1), FredServer::new("b", 1));
        let uninspected = Uninspected::default();
        for uptime in [0, 60] {
            uninspected.add(one.clone(), Some(7));
            uninspected.add(other.clone(), Some(8));
            uninspected.add(one.clone(), None);
            let taken = uninspected.take(&one, Some("r"), Duration::from_secs(uptime));
            let ids: Vec<_> = taken.iter().map(|connection| connection.id).collect();
            assert_eq!(ids, [(uptime > 0).then_some(7), None]);
            assert!(taken.iter().all(|connection| connection.run_id.as_deref() == Some("r")));
            assert!(
                uninspected.take(&one, Some("r"), Duration::MAX).is_empty(),
                "they are taken"
            );
        }
        assert_eq!(uninspected.take(&other, None, Duration::MAX).len(), 2);
    }

    #[tokio::test]
    async fn only_so_many_are_kept() {
        let (node, uninspected) = (FredServer::new("a", 1), Uninspected::default());
        (0..=1_024).for_each(|id| uninspected.add(node.clone(), Some(id)));
        let kept = uninspected.take(&node, None, Duration::MAX);
        assert_eq!((kept.len(), kept[0].id), (1_024, Some(1)));
    }
}
