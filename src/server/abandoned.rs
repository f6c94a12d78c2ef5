//! The end of a handle whose runtime ends first, as when a handle in a `static` outlives the runtime of the test that built it.
//!
//! A runtime drops its tasks where they stand, and with them the connections. Without this nothing would say so: the servers would
//! seem up, and waiters would wait for ever.

use super::{DownReason, Lane, UnderWay};
use crate::{engine::room::Room, monitor::Monitor};
use std::{fmt, sync::Arc, thread};

/// What says that a handle is closed, to all that use it.
pub(crate) struct Closing {
    pub(crate) under_way: Arc<UnderWay>,
    /// Of all groups.
    pub(crate) rooms: Vec<Arc<Room>>,
    pub(crate) monitor: Arc<Monitor>,
}

impl Closing {
    /// Closes the handle for its users. Its tasks are told in another way.
    pub(crate) fn close(&self) {
        self.under_way.close();
        for room in &self.rooms {
            room.close();
        }
        self.monitor.close();
    }

    /// The same where no task is left that could say that the servers are down.
    fn abandon(&self) {
        // First, so that no round which begins now blames the servers.
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

/// What a supervisor holds while it runs. If it is dropped before the supervisor has ended, so was the supervisor.
#[derive(Debug)]
pub(crate) struct Running {
    server: usize,
    lane: Arc<Lane>,
    closing: Arc<Closing>,
    has_ended: bool,
}

impl Running {
    pub(crate) fn new(server: usize, lane: &Arc<Lane>, closing: &Arc<Closing>) -> Self {
        Self {
            server,
            lane: Arc::clone(lane),
            closing: Arc::clone(closing),
            has_ended: false,
        }
    }

    pub(crate) fn end(mut self) {
        self.has_ended = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        if thread::panicking() {
            // The other servers may still be a majority.
            self.closing.monitor.down(self.server, DownReason::Closed);
        } else {
            self.closing.abandon();
        }
        self.lane.end_rounds();
        self.lane.detach(&DownReason::Closed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::Vote,
        monitor::ServerState,
        resource::several::Sealed,
        server::{Claim, Operation, Verb},
        testing::MemoryServer,
    };
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        time::Duration,
    };
    use tokio::time::Instant;

    /// Two servers that are up, and what the supervisor of the first holds.
    fn running() -> (Arc<Closing>, Arc<Lane>, Running) {
        let addresses = [(); 2].map(|()| MemoryServer::new().server().address());
        let monitor = Monitor::new(&[&addresses]);
        monitor.up(0);
        monitor.up(1);
        let closing = Arc::new(Closing {
            under_way: Arc::default(),
            rooms: vec![Arc::new(Room::new(2, Arc::default()))],
            monitor: Arc::new(monitor),
        });
        let lane = Arc::new(Lane::new(0, Arc::default()));
        let running = Running::new(0, &lane, &closing);
        (closing, lane, running)
    }

    fn states(closing: &Closing) -> Vec<ServerState> {
        let servers = closing.monitor.servers([None, None].into_iter());
        servers.into_iter().map(|server| server.state).collect()
    }

    /// Why the lane takes no operation.
    fn reason(lane: &Arc<Lane>) -> Vote {
        let (now, ttl) = (Instant::now(), Duration::from_secs(1));
        let keys_and_value = ("r".into_resources(), "v".into());
        let times = (now, now + ttl);
        let lock = Operation::vote_by(times, Verb::Lock, keys_and_value, Arc::<Claim>::default(), ttl, 1);
        let lock = Arc::new(lock);
        lane.submit(&[&lock]);
        lock.look_at_votes(|votes| votes[0].clone())
    }

    const CLOSED: ServerState = ServerState::Down(DownReason::Closed);

    #[test]
    fn a_supervisor_that_is_dropped_closes_the_handle() {
        let (closing, lane, running) = running();
        drop(running);
        assert!(closing.under_way.is_closed());
        assert_eq!(states(&closing), [CLOSED, CLOSED]);
        assert_eq!(reason(&lane), Vote::Unreachable(DownReason::Closed));
    }

    #[test]
    fn a_supervisor_that_is_dropped_while_the_handle_closes_reports_its_servers_as_down() {
        let (closing, _, running) = running();
        closing.close();
        drop(running);
        assert_eq!(states(&closing), [CLOSED, CLOSED]);
    }

    #[test]
    fn a_supervisor_that_panics_leaves_the_other_servers() {
        let (closing, lane, running) = running();
        let panicked = catch_unwind(AssertUnwindSafe(move || {
            let _running = running;
            panic!("on purpose");
        }));
        assert!(panicked.is_err() && !closing.under_way.is_closed());
        assert_eq!(states(&closing), [CLOSED, ServerState::Up]);
        assert_eq!(reason(&lane), Vote::Unreachable(DownReason::Closed));
    }

    #[test]
    fn a_supervisor_that_ended_by_itself_closes_nothing() {
        let (closing, lane, running) = running();
        running.end();
        assert!(!closing.under_way.is_closed());
        assert_eq!(states(&closing), [ServerState::Up, ServerState::Up]);
        assert_eq!(reason(&lane), Vote::Unreachable(DownReason::NotYet));
    }
}
