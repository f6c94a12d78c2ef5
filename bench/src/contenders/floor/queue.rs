//! What callers have asked for and the driver has not yet taken.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use futures_util::task::AtomicWaker;

use super::ballot::Ballot;

#[derive(Default)]
pub struct Queue {
    gathered: Mutex<Batch>,
    driver: AtomicWaker,
}

/// Commands in the order in which they were submitted, and the ballot of each.
#[derive(Default)]
pub struct Batch {
    pub commands: Vec<u8>,
    pub ballots: Vec<Arc<Ballot>>,
}

impl Queue {
    pub fn push(&self, command: &[u8], ballot: &Arc<Ballot>) {
        let mut gathered = self.gathered();
        // Whoever finds commands there has a driver on its way to them.
        let first = gathered.ballots.is_empty();
        gathered.commands.extend_from_slice(command);
        gathered.ballots.push(Arc::clone(ballot));
        drop(gathered);
        if first {
            self.driver.wake();
        }
    }

    /// Exchanges what has gathered for an empty batch, whose memory is used again.
    pub fn take(&self, batch: &mut Batch) {
        std::mem::swap(&mut *self.gathered(), batch);
    }

    pub fn is_empty(&self) -> bool {
        self.gathered().ballots.is_empty()
    }

    pub fn register(&self, driver: &Waker) {
        self.driver.register(driver);
    }

    fn gathered(&self) -> MutexGuard<'_, Batch> {
        // Nothing that holds it can panic half-way through a change.
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
