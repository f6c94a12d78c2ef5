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
        if self.under_way.is_closed() {
            return;
        }
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
