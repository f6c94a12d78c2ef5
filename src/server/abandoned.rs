//! The end of a client whose runtime ends first, as when a client in a `static` outlives the runtime of the test that built it.
//!
//! A runtime drops its tasks where they stand, and with them the connections. Without this nothing would say so: the servers would
//! seem up, and waiters would wait for ever.

use super::Pipeline;
use crate::{
    decision::DownReason,
    monitor::{Monitor, ServerId},
};
use std::{fmt, sync::Arc, thread};

/// Whatever is closed if its runtime ends first.
pub(crate) trait Abandon: fmt::Debug + Send + Sync {
    /// Closes it, where no task is left that could say that the servers are down.
    fn abandon(&self);
}

/// What a supervisor holds while it runs. If it is dropped before the supervisor has ended, so was the supervisor.
#[derive(Debug)]
pub(crate) struct Running {
    server: ServerId,
    pipeline: Arc<Pipeline>,
    monitor: Arc<Monitor>,
    closing: Arc<dyn Abandon>,
    has_ended: bool,
}

impl Running {
    pub(crate) fn new(
        server: ServerId,
        pipeline: &Arc<Pipeline>,
        monitor: &Arc<Monitor>,
        closing: &Arc<dyn Abandon>,
    ) -> Self {
        Self {
            server,
            pipeline: Arc::clone(pipeline),
            monitor: Arc::clone(monitor),
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
            self.monitor.down(self.server, DownReason::Closed);
        } else {
            self.closing.abandon();
        }
        self.pipeline.end_rounds();
        self.pipeline.detach(&DownReason::Closed);
    }
}
