//! The end of a client.

use crate::{
    decision::DownReason,
    group::wait_queues::WaitQueues,
    monitor::Monitor,
    server::{Abandon, UnderWay},
};
use std::{fmt, sync::Arc};

/// What says that a handle is closed, to all that use it.
pub(crate) struct Closing {
    pub(crate) under_way: Arc<UnderWay>,
    /// Of all groups.
    pub(crate) queues: Vec<Arc<WaitQueues>>,
    pub(crate) monitor: Arc<Monitor>,
}

impl Closing {
    /// Closes the handle for its users. Its tasks are told in another way.
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
