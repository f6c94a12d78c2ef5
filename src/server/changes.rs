//! Who wants to hear that a key may have changed on a server. What is told is a hint: only a vote decides.

use crate::resource::Resources;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::Notify;

/// The listeners of all servers of a quorum.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    listeners: Mutex<ByKey>,
    /// How many there are, so that nobody takes the lock for nothing.
    count: AtomicUsize,
}

type ByKey = HashMap<Arc<[u8]>, Vec<Arc<Listener>>>;

/// What one listener has been told since it last asked.
#[derive(Debug)]
pub(crate) struct Listener {
    /// For each server whether any of the keys may have changed there.
    changed: Mutex<Vec<bool>>,
    told: Notify,
    /// Whether it hears only what servers report of other clients.
    is_of_others: bool,
}

impl Changes {
    /// Listens to changes of these keys until the value is dropped.
    pub(crate) fn listen(self: &Arc<Self>, keys: &Resources, servers: usize) -> Listening {
        self.add(keys, servers, false)
    }

    /// The same of what servers report of other clients, and of nothing else.
    pub(crate) fn listen_to_others(self: &Arc<Self>, keys: &Resources, servers: usize) -> Listening {
        self.add(keys, servers, true)
    }

    fn add(self: &Arc<Self>, keys: &Resources, servers: usize, is_of_others: bool) -> Listening {
        let listener = Arc::new(Listener {
            changed: Mutex::new(vec![false; servers]),
            told: Notify::new(),
            is_of_others,
        });
        let mut listeners = self.listeners();
        for key in keys.as_slice() {
            listeners
                .entry(Arc::clone(key))
                .or_default()
                .push(Arc::clone(&listener));
        }
        self.count.fetch_add(1, Ordering::Release);
        drop(listeners);
        Listening {
            changes: Arc::clone(self),
            keys: keys.clone(),
            listener,
        }
    }

    /// Tells that a key changed on a server. As everywhere here, wakers are called while no lock is held: they may poll.
    pub(crate) fn changed(&self, server: usize, key: &[u8]) {
        let of_key = self.listeners().get(key).cloned();
        for listener in of_key.into_iter().flatten() {
            listener.tell(|changed| changed[server] = true);
        }
    }

    /// Tells that anything may have changed on a server.
    pub(crate) fn anything_changed(&self, server: usize) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let all: Vec<_> = self.listeners().values().flatten().cloned().collect();
        for listener in all.iter().filter(|listener| !listener.is_of_others) {
            listener.tell(|changed| changed[server] = true);
        }
    }

    /// Tells that this client removed keys from servers, of which they tell only others. The line that knows is left out.
    pub(crate) fn removed_here(
        &self,
        keys: &Resources,
        except: Option<&Arc<Listener>>,
        is_removed: impl Fn(usize) -> bool,
    ) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let others: Vec<_> = {
            let listeners = self.listeners();
            let of_keys = keys.as_slice().iter().filter_map(|key| listeners.get(key));
            of_keys.flatten().cloned().collect()
        };
        for listener in others {
            if listener.is_of_others || except.is_some_and(|except| Arc::ptr_eq(except, &listener)) {
                continue;
            }
            listener.tell(|changed| {
                for (server, changed) in changed.iter_mut().enumerate() {
                    *changed |= is_removed(server);
                }
            });
        }
    }

    fn listeners(&self) -> MutexGuard<'_, ByKey> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    fn tell(&self, note: impl FnOnce(&mut Vec<bool>)) {
        note(&mut self.changed.lock().unwrap_or_else(PoisonError::into_inner));
        self.told.notify_one();
    }

    /// Hands each server on which something changed since the last time to `note`.
    pub(crate) fn take(&self, mut note: impl FnMut(usize)) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        for (server, changed) in changed.iter_mut().enumerate() {
            if std::mem::take(changed) {
                note(server);
            }
        }
    }

    /// Resolves when it was told something. One waits at a time.
    pub(crate) async fn told(&self) {
        self.told.notified().await;
    }
}

/// A listener until it is dropped.
#[derive(Debug)]
pub(crate) struct Listening {
    changes: Arc<Changes>,
    keys: Resources,
    pub(crate) listener: Arc<Listener>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut listeners = self.changes.listeners();
        for key in self.keys.as_slice() {
            if let Some(of_key) = listeners.get_mut(key) {
                of_key.retain(|listener| !Arc::ptr_eq(listener, &self.listener));
                if of_key.is_empty() {
                    listeners.remove(key);
                }
            }
        }
        self.changes.count.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    fn told(listening: &Listening) -> Vec<usize> {
        let mut servers = Vec::new();
        listening.listener.take(|server| servers.push(server));
        servers
    }

    #[test]
    fn a_listener_to_others_hears_of_nothing_that_was_done_here() {
        let (changes, keys) = (Arc::new(Changes::default()), Resources::from("a"));
        let others = changes.listen_to_others(&keys, 3);
        changes.removed_here(&keys, None, |_| true);
        changes.anything_changed(1);
        assert_eq!(told(&others), Vec::<usize>::new());
        changes.changed(2, b"a");
        assert_eq!(told(&others), vec![2]);
    }

    #[test]
    fn only_who_listens_to_a_key_is_told() {
        let changes = Arc::new(Changes::default());
        let (a, both) = (
            changes.listen(&Resources::from("a"), 3),
            changes.listen(&Resources::from(["a", "b"]), 3),
        );
        changes.changed(1, b"b");
        assert_eq!((told(&a), told(&both)), (vec![], vec![1]));
        changes.changed(2, b"a");
        assert_eq!((told(&a), told(&both)), (vec![2], vec![2]));
        changes.anything_changed(0);
        assert_eq!((told(&a), told(&both)), (vec![0], vec![0]));
        changes.removed_here(&Resources::from("a"), Some(&a.listener), |server| server > 0);
        assert_eq!((told(&a), told(&both)), (vec![], vec![1, 2]));
    }

    #[test]
    fn the_only_listener_is_told_of_everything() {
        let changes = Arc::new(Changes::default());
        let only = changes.listen(&Resources::from("a"), 3);
        changes.anything_changed(0);
        assert_eq!(told(&only), [0]);
        changes.changed(1, b"a");
        changes.removed_here(&Resources::from("a"), None, |server| server == 2);
        assert_eq!(told(&only), [1, 2], "what it has not asked for yet stays");
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_wakes_when_it_is_told_something_also_if_that_was_before_it_waits() {
        let changes = Arc::new(Changes::default());
        let listening = changes.listen(&Resources::from("a"), 3);
        let limit = Duration::from_secs(1);
        assert!(timeout(limit, listening.listener.told()).await.is_err());
        changes.changed(0, b"a");
        assert!(timeout(limit, listening.listener.told()).await.is_ok());
    }

    #[test]
    fn a_listener_that_leaves_takes_no_other_along() {
        let changes = Arc::new(Changes::default());
        let stays = changes.listen(&Resources::from("a"), 3);
        drop(changes.listen(&Resources::from("a"), 3));
        changes.changed(0, b"a");
        assert_eq!(told(&stays), [0]);
    }

    #[test]
    fn who_does_not_listen_any_more_is_forgotten() {
        let changes = Arc::new(Changes::default());
        drop(changes.listen(&Resources::from(["a", "b"]), 3));
        assert!(changes.listeners().is_empty());
        assert_eq!(changes.count.load(Ordering::Relaxed), 0);
    }
}
