//! What a guard and its keeper share: the lock as it was renewed last, or why it is lost.

use super::{LockLost, Settings};
use crate::{client::Core, lock::Lock, metrics, request::RenewError, server::later};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// How long it may take at least until a sleep of the machine is noticed that no heartbeat tells of.
const SHORTEST_LOOK: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Held {
    pub(super) core: Arc<Core>,
    pub(super) settings: Settings,
    pub(super) since: Instant,
    state: watch::Sender<State>,
}

#[derive(Debug)]
struct State {
    lock: Lock,
    loss: Option<LockLost>,
    /// Why the last renewal failed.
    trouble: Option<RenewError>,
}

impl Held {
    pub(super) fn new(core: Arc<Core>, lock: Lock, settings: Settings) -> Self {
        let state = State {
            lock,
            loss: None,
            trouble: None,
        };
        Self {
            core,
            settings,
            since: Instant::now(),
            state: watch::Sender::new(state),
        }
    }

    pub(super) fn lock(&self) -> Lock {
        self.state.borrow().lock.clone()
    }

    pub(super) fn remaining(&self) -> Duration {
        let state = self.state.borrow();
        match state.loss {
            Some(_) => Duration::ZERO,
            None => state.lock.validity(),
        }
    }

    /// Takes over a renewed lock. It comes too late if the validity was over before.
    pub(super) fn renewed(&self, lock: Lock) {
        self.state.send_if_modified(|state| {
            let is_in_time = state.loss.is_none() && state.lock.is_valid();
            if is_in_time {
                state.lock = lock;
                state.trouble = None;
            }
            is_in_time
        });
    }

    pub(super) fn not_renewed(&self, trouble: RenewError) {
        self.state.send_if_modified(|state| {
            state.trouble = Some(trouble);
            false
        });
    }

    /// Notes that the lock is lost, unless that is known.
    pub(super) fn lose(&self, loss: LockLost) {
        let name = loss.name();
        let is_news = self.state.send_if_modified(|state| {
            let is_news = state.loss.is_none();
            if is_news {
                state.loss = Some(loss);
            }
            is_news
        });
        if is_news {
            metrics::loss(name);
        }
    }

    /// Why the lock is lost. That its validity is over counts from that moment on, whoever looks first.
    pub(super) fn loss(&self) -> Option<LockLost> {
        let expired = {
            let state = self.state.borrow();
            match &state.loss {
                Some(loss) => return Some(loss.clone()),
                None if state.lock.is_valid() => return None,
                None => self.expired(&state),
            }
        };
        self.lose(expired);
        self.state.borrow().loss.clone()
    }

    fn expired(&self, state: &State) -> LockLost {
        let resource = state.lock.shared_resources().to_string();
        match self.settings.max_hold {
            Some(max_hold) if self.since.elapsed() >= max_hold => LockLost::MaxHold { resource, max_hold },
            _ => LockLost::Expired {
                resource,
                cause: state.trouble.clone().map(Box::new),
            },
        }
    }

    pub(super) async fn lost(&self) -> LockLost {
        let mut changes = self.state.subscribe();
        let look = (self.settings.options.ttl / 8).max(SHORTEST_LOOK);
        let held = self.lock();
        loop {
            let woken = self.core.monitor.woken();
            // Somebody may have renewed a copy of the lock for less.
            let shortened = held.lock_state().shortened();
            // Timers stand still while the machine sleeps, and who wakes us may be asleep as well.
            let until = changes
                .borrow_and_update()
                .lock
                .valid_until()
                .min(later(Instant::now(), look));
            if let Some(loss) = self.loss() {
                return loss;
            }
            tokio::select! {
                biased;
                // The sender lives as long as `self`.
                _ = changes.changed() => {}
                () = sleep_until(until) => {}
                () = woken => {}
                () = shortened => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Guard, LockLost, Redlock, RenewError, clock, testing::MemoryServer};
    use std::time::Duration;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// A guard of 10 s.
    async fn guard() -> (Vec<MemoryServer>, Redlock, Guard) {
        let servers: Vec<_> = (0..3).map(|_| MemoryServer::new()).collect();
        let redlock = Redlock::builder().servers(&servers).build().unwrap();
        redlock.wait_connected().await.unwrap();
        let guard = redlock.acquire("r", secs(10)).await.unwrap();
        (servers, redlock, guard)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_guard_keeps_its_first_reason_and_takes_over_no_renewal() {
        let (_servers, redlock, guard) = guard().await;
        let renewed = redlock.renew(&guard.lock(), secs(20)).await.unwrap();
        let loss = |max_hold| LockLost::MaxHold {
            resource: "r".into(),
            max_hold,
        };
        guard.held.lose(loss(secs(1)));
        guard.held.lose(loss(secs(2)));
        assert_eq!(guard.loss(), Some(loss(secs(1))));
        guard.held.renewed(renewed);
        assert!(guard.lock().validity() < secs(10), "{:?}", guard.lock());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_renewal_is_not_the_cause_of_a_loss_after_the_next_one_succeeded() {
        for succeeds in [false, true] {
            let (_servers, redlock, guard) = guard().await;
            guard.held.not_renewed(RenewError::Closed);
            if succeeds {
                guard
                    .held
                    .renewed(redlock.renew(&guard.lock(), secs(10)).await.unwrap());
            }
            clock::tests::sleep_for(secs(60));
            let cause = (!succeeds).then(|| Box::new(RenewError::Closed));
            let resource = "r".into();
            assert_eq!(guard.loss(), Some(LockLost::Expired { resource, cause }));
        }
    }
}
