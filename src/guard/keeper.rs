//! The task that renews a guard's lock, and finds out early when it is lost.

use super::{LockLost, Settings, held::Held};
use crate::{
    decision::{Vote, tally::is_lost},
    fault_injection::InjectedFault,
    request::{RenewError, Renewal},
    server::Listening,
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};

/// How long a lock is held before the servers are asked to tell when it goes missing. Most are released before.
const LOOK_AFTER: Duration = Duration::from_millis(100);

/// The shortest pause before a renewal that failed is tried again.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// Renews until the lock is lost.
pub(super) async fn keep(held: Arc<Held>) {
    let keeper = Keeper { held: &held };
    tokio::select! {
        biased;
        // By its own timer, whatever the servers do.
        _ = held.lost() => {}
        loss = keeper.watch_over() => held.lose(loss),
    }
}

struct Keeper<'a> {
    held: &'a Held,
}

/// What became of a renewal.
enum Renewed {
    Yes,
    /// It may be tried again then.
    NotYet(Duration),
    Lost(LockLost),
}

/// What a look at the servers saw.
enum Looked {
    /// Nothing is to be done.
    Whole,
    /// The value is missing on a minority.
    Patchy,
    Lost(LockLost),
}

impl Keeper<'_> {
    async fn watch_over(&self) -> LockLost {
        let Settings { max_hold, .. } = self.held.settings;
        let since = self.held.since;
        let lock = self.held.lock();
        let mut renew_at = self.next_renewal();
        let look_at = since + LOOK_AFTER.min(self.held.remaining() / 4);
        let mut listening = None;
        // It goes on while others wait, so that a server that does not answer it delays no renewal.
        let mut looking = None;
        loop {
            // Of the moment at which it would be sent, which may be much later than now.
            let shortened = lock.lock_state().shortened();
            let may_renew = max_hold.is_none_or(|max_hold| renew_at.saturating_duration_since(since) < max_hold);
            tokio::select! {
                // What was seen comes before a new look, lest one that is told of change after change never ends one.
                biased;
                () = sleep_until(renew_at), if may_renew => match self.renew().await {
                    Renewed::Yes => {
                        renew_at = self.next_renewal();
                        // A server forgets who wants to hear of a key when it tells of a change, and also when it does not
                        // because it was we who renewed it.
                        looking = listening.is_some().then(|| Box::pin(self.probe(false)));
                    }
                    Renewed::NotYet(pause) => renew_at = Instant::now() + pause,
                    Renewed::Lost(loss) => return loss,
                },
                () = shortened => renew_at = renew_at.min(self.next_renewal()),
                () = sleep_until(look_at), if listening.is_none() => {
                    listening = Some(self.listen());
                    looking = Some(Box::pin(self.probe(true)));
                }
                looked = seen(looking.as_mut()) => {
                    looking = None;
                    match looked {
                        Looked::Whole => {}
                        // Not at once each time, lest a server that keeps forgetting it is asked without end.
                        Looked::Patchy => renew_at = renew_at.min(Instant::now() + SHORTEST_PAUSE),
                        Looked::Lost(loss) => return loss,
                    }
                }
                () = told(listening.as_ref()) => looking = Some(Box::pin(self.probe(true))),
            }
        }
    }

    /// A third of what is left from now: two more can be tried if one fails.
    fn next_renewal(&self) -> Instant {
        let left = if InjectedFault::RenewsAtThirdOfTtl.is_on() {
            self.held.settings.options.ttl
        } else {
            self.held.remaining()
        };
        Instant::now() + left / 3
    }

    async fn renew(&self) -> Renewed {
        let options = self.held.settings.options;
        let request = Renewal {
            core: Arc::clone(&self.held.core),
            lock: self.held.lock(),
            options,
        };
        let error = match request.renew().await {
            Ok(lock) => {
                self.held.renewed(lock);
                return Renewed::Yes;
            }
            Err(RenewError::Lost { failure }) => return Renewed::Lost(LockLost::Gone { failure }),
            Err(error) => error,
        };
        let pause = match &error {
            // Nothing will change any more but the clock.
            RenewError::Closed => options.ttl,
            _ => (options.ttl / 20).max(SHORTEST_PAUSE).min(self.held.remaining() / 2),
        };
        self.held.not_renewed(error);
        Renewed::NotYet(pause)
    }

    /// Listens to changes of the lock's keys.
    fn listen(&self) -> Option<Listening> {
        let lock = self.held.lock();
        let (group, keys) = self.held.core.locate(lock.shared_resources()).ok()?;
        group.servers.track();
        Some(group.servers.changes.listen(&keys, group.servers.pipelines.len()))
    }

    /// Looks where the lock's value still stands, which also makes the servers tell of the next change. If it went missing
    /// on a minority, and if it `heals`, the renewal that puts it back is due at once. Right after a renewal it does not: what
    /// that could not put back the next one could not either.
    async fn probe(&self, heals: bool) -> Looked {
        let lock = self.held.lock();
        let Ok((group, keys)) = self.held.core.locate(lock.shared_resources()) else {
            return Looked::Whole;
        };
        let limit = self
            .held
            .settings
            .options
            .attempt_timeout
            .unwrap_or(Duration::from_secs(1));
        let votes = group
            .servers
            .probe(keys, Some(lock.shared_value()), true, limit, is_lost)
            .await;
        if is_lost(&votes) {
            let failure = Box::new(group.servers.failure(lock.shared_resources(), 1, votes));
            return Looked::Lost(LockLost::Gone { failure });
        }
        // No renewal takes a key from another lock. When that key goes, the server reports it.
        if heals && votes.contains(&Vote::Missing) {
            return Looked::Patchy;
        }
        Looked::Whole
    }
}

/// Resolves with what a look saw, if there is one.
async fn seen(looking: Option<&mut (impl Future<Output = Looked> + Unpin)>) -> Looked {
    match looking {
        Some(looking) => looking.await,
        None => std::future::pending().await,
    }
}

/// Resolves when the servers tell of a change.
async fn told(listening: Option<&Option<Listening>>) {
    match listening {
        Some(Some(listening)) => listening.listener.told().await,
        _ => std::future::pending().await,
    }
}
