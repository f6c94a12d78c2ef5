//! The locks that a client remembers by name.

use crate::{lock::Lock, resource::Resources};
use lru::LruCache;
use std::{
    fmt,
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Remembers up to a number of locks. If there are more, the one goes that was used least recently.
pub(crate) struct Remembered(Mutex<LruCache<Resources, Lock>>);

impl Remembered {
    pub(crate) fn new(capacity: NonZeroUsize) -> Self {
        Self(Mutex::new(LruCache::new(capacity)))
    }

    /// Remembers a lock that was taken or renewed.
    pub(crate) fn keep(&self, lock: &Lock) {
        let mut locks = self.locks();
        // What was used least recently is likely to have ended first.
        while locks.peek_lru().is_some_and(|(_, lock)| !lock.is_valid()) {
            locks.pop_lru();
        }
        locks.put(lock.shared_resources().clone(), lock.clone());
    }

    /// The lock on these resources, as long as it is valid.
    pub(crate) fn get(&self, resources: &Resources) -> Option<Lock> {
        let mut locks = self.locks();
        let lock = locks.get(resources)?;
        if lock.is_valid() {
            return Some(lock.clone());
        }
        locks.pop(resources);
        None
    }

    /// Forgets a lock that is unlocked, but not another on the same resources.
    pub(crate) fn forget(&self, lock: &Lock) {
        let mut locks = self.locks();
        let remembered = locks.peek(lock.shared_resources());
        if remembered.is_some_and(|remembered| remembered.value() == lock.value()) {
            locks.pop(lock.shared_resources());
        }
    }

    fn locks(&self) -> MutexGuard<'_, LruCache<Resources, Lock>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembered")
            .field("locks", &self.locks().len())
            .finish_non_exhaustive()
    }
}
