//! The end of a client.

use crate::{
    decision::DownReason,
    group::wait_queues::WaitQueues,
    monitor::Monitor,
    server::{Abandon, UnderWay},
};
use std::{fmt, sync::Arc};

/// What says that a client is closed, to all that use it.
pub(crate) struct Closing {
    pub(crate) under_way: Arc<UnderWay>,
    /// Of all groups.
    pub(crate) queues: Vec<Arc<WaitQueues>>,
    pub(crate) monitor: Arc<Monitor>,
}

impl Closing {
    /// Closes the client for its callers. `Core::shutdown` ends its tasks.
    pub(crate) fn close(&self) {
        self.under_way.close();
        for queues in &self.queues {
            queues.close();
        }
        self.monitor.close();
    }
}

impl Abandon for Closing {
    fn abandon(&self) {
        // First, so that no attempt which begins now blames the servers.
        self.under_way.close();
        self.monitor.all_down(&DownReason::Closed);
        self.close();
    }
}

impl fmt::Debug for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closing").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decision::Vote,
        group::wait_queues::WaitQueues,
        monitor::ServerId,
        monitor::ServerState,
        resource::Resources,
        server::{Operation, Pipeline, Running, Subject, Verb},
        testing::MemoryServer,
    };
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        time::Duration,
    };
    use tokio::time::Instant;

    /// Two servers that are up, and what the supervisor of the first holds.
    fn running() -> (Arc<Closing>, Arc<Pipeline>, Running) {
        let addresses = [(); 2].map(|()| MemoryServer::new().server().address());
        let monitor = Monitor::new(&[&addresses]);
        monitor.up(ServerId(0));
        monitor.up(ServerId(1));
        let closing = Arc::new(Closing {
            under_way: Arc::default(),
            queues: vec![Arc::new(WaitQueues::new(2, Arc::default()))],
            monitor: Arc::new(monitor),
        });
        let pipeline = Arc::new(Pipeline::new(0, Arc::default()));
        let abandoned = Arc::clone(&closing) as Arc<dyn Abandon>;
        let running = Running::new(ServerId(0), &pipeline, &closing.monitor, &abandoned);
        (closing, pipeline, running)
    }

    fn states(closing: &Closing) -> Vec<ServerState> {
        let servers = closing.monitor.servers([None, None].into_iter());
        servers.into_iter().map(|server| server.state).collect()
    }

    /// Why the pipeline takes no operation.
    fn reason(pipeline: &Arc<Pipeline>) -> Vote {
        let (now, ttl) = (Instant::now(), Duration::from_secs(1));
        let subject = Subject::new(Resources::from("r"), "v");
        let lock = Operation::new(Verb::Lock, subject, now, now + ttl, ttl, 1);
        let lock = Arc::new(lock);
        pipeline.submit(&[&lock]);
        lock.with_votes(|votes| votes[0].clone())
    }

    const CLOSED: ServerState = ServerState::Down(DownReason::Closed);

    #[test]
    fn a_supervisor_that_is_dropped_closes_the_client() {
        let (closing, pipeline, running) = running();
        drop(running);
        assert!(closing.under_way.is_closed());
        assert_eq!(states(&closing), [CLOSED, CLOSED]);
        assert_eq!(reason(&pipeline), Vote::Unreachable(DownReason::Closed));
    }

    #[test]
    fn a_supervisor_that_is_dropped_while_the_client_closes_reports_its_servers_as_down() {
        let (closing, _, running) = running();
        closing.close();
        drop(running);
        assert_eq!(states(&closing), [CLOSED, CLOSED]);
    }

    #[test]
    fn a_supervisor_that_panics_leaves_the_other_servers() {
        let (closing, pipeline, running) = running();
        let panicked = catch_unwind(AssertUnwindSafe(move || {
            let _running = running;
            panic!("on purpose");
        }));
        assert!(panicked.is_err() && !closing.under_way.is_closed());
        assert_eq!(states(&closing), [CLOSED, ServerState::Up]);
        assert_eq!(reason(&pipeline), Vote::Unreachable(DownReason::Closed));
    }

    #[test]
    fn a_supervisor_that_ended_by_itself_closes_nothing() {
        let (closing, pipeline, running) = running();
        running.end();
        assert!(!closing.under_way.is_closed());
        assert_eq!(states(&closing), [ServerState::Up, ServerState::Up]);
        assert_eq!(reason(&pipeline), Vote::Unreachable(DownReason::NotYet));
    }
}
