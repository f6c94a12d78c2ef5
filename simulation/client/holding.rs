//! What a client holds, and what it notes of it.

use crate::{
    Guard, Lock, Redlock, RenewError,
    simulation::{
        history::{Happened, How, Request, Value},
        tasks::Process,
        world,
    },
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// A lock that a client has. When the value is dropped it has it no more.
pub(super) struct Holding {
    pub(super) client: Process,
    pub(super) value: Value,
    pub(super) held: Option<Held>,
    /// Copies that the client made of the lock, of all that it was renewed to.
    copies: Vec<Lock>,
    is_noted: bool,
}

pub(super) enum Held {
    Lock(Lock),
    Guard(Guard),
}

impl Holding {
    pub(super) fn of_lock(client: Process, asked: Request, lock: Lock) -> Self {
        Self::new(client, asked, Held::Lock(lock))
    }

    pub(super) fn of_guard(client: Process, asked: Request, guard: Guard) -> Self {
        Self::new(client, asked, Held::Guard(guard))
    }

    fn new(client: Process, request: Request, held: Held) -> Self {
        let world = world();
        let lock = held.lock();
        let mut history = world.history.borrow_mut();
        let value = history.value(lock.shared_value());
        let valid_until = history.millis(valid_until(&lock));
        history.note(Happened::Granted {
            request,
            client,
            value,
            token: lock.token(),
            valid_until,
        });
        Self {
            client,
            value,
            held: Some(held),
            copies: vec![lock],
            is_noted: false,
        }
    }

    /// Notes what became of a renewal that the client asked for.
    pub(super) fn note_renewal(&mut self, request: Request, renewed: Option<Result<Lock, RenewError>>) {
        let world = world();
        let mut history = world.history.borrow_mut();
        let why = match renewed {
            Some(Ok(lock)) => {
                let valid_until = history.millis(valid_until(&lock));
                history.note(Happened::Renewed {
                    request,
                    value: self.value,
                    valid_until,
                });
                self.copies.push(lock.clone());
                self.held = Some(Held::Lock(lock));
                return;
            }
            Some(Err(error)) => error.kind().as_str(),
            None => "cancelled",
        };
        let Some(held) = &self.held else { return };
        let valid_until = history.millis(valid_until(&held.lock()));
        history.note(Happened::NotRenewed {
            request,
            value: self.value,
            why,
            valid_until,
        });
    }

    /// Keeps one more copy to look at.
    pub(super) fn copy(&mut self, lock: Lock) {
        self.copies.push(lock);
    }

    pub(super) fn valid_for(&self) -> Duration {
        self.held.as_ref().map_or(Duration::ZERO, Held::remaining)
    }

    /// Lets some time pass, and looks in between at each view that the client has of the lock.
    pub(super) async fn wait(&self, redlock: &Redlock, time: Duration) {
        let first = time.mul_f64(world().dice(|rng| rand::Rng::gen_range(rng, 0.0..=1.0)));
        sleep(first).await;
        self.look(redlock);
        sleep(time.saturating_sub(first)).await;
        self.look(redlock);
    }

    fn look(&self, redlock: &Redlock) {
        let Some(held) = &self.held else { return };
        let world = world();
        let lock = held.lock();
        let names: Vec<_> = lock.resources().map(<[u8]>::to_vec).collect();
        // What was handed over before is remembered as it was before, so that only a lock of the same claim counts.
        let remembered = redlock
            .held(names)
            .filter(|found| Arc::ptr_eq(found.lock_state(), lock.lock_state()));
        let mut history = world.history.borrow_mut();
        let views = self.copies.iter().chain(&remembered).map(valid_until);
        let views = views.chain([Instant::now() + held.remaining()]);
        if let Some(until) = views.max().filter(|until| *until > Instant::now()) {
            let valid_until = history.millis(until);
            history.note(Happened::Viewed {
                client: self.client,
                value: self.value,
                valid_until,
            });
        }
    }

    pub(super) fn note_end(&mut self, how: How) {
        // A run that is over takes no notes.
        let (Some(world), Some(held)) = (super::super::find_world(), &self.held) else {
            return;
        };
        if std::mem::replace(&mut self.is_noted, true) {
            return;
        }
        let mut history = world.history.borrow_mut();
        let valid_until = history.millis(valid_until(&held.lock()));
        history.note(Happened::Ended {
            value: self.value,
            how,
            valid_until,
        });
    }

    pub(super) fn end(mut self, how: How) {
        self.note_end(how);
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.note_end(How::Killed);
    }
}

impl Held {
    pub(super) fn lock(&self) -> Lock {
        match self {
            Self::Lock(lock) => lock.clone(),
            Self::Guard(guard) => guard.lock(),
        }
    }

    fn remaining(&self) -> Duration {
        match self {
            Self::Lock(lock) => lock.validity(),
            Self::Guard(guard) => guard.validity(),
        }
    }
}

/// Until when a lock says that it is valid; when it no longer is, a moment that has passed.
fn valid_until(lock: &Lock) -> Instant {
    let now = Instant::now();
    match lock.validity() {
        Duration::ZERO => lock.valid_until().min(now),
        left => now + left,
    }
}
