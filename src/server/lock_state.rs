//! What all operations and all copies of one lock share: whether its keys may still be set, and how much of its validity a
//! renewal may have taken away.

use crate::{clock::Moment, fault_injection::InjectedFault};
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, futures::Notified},
    time::Instant,
};

/// The most promises that are kept apart.
const MOST_PROMISES: usize = 8;

/// The lock state of a lock on its keys.
///
/// An unlock releases it before the unlock is submitted, and the pipeline reads it while it decides what to send. So no SET is sent
/// after its unlock.
///
/// It is never given up because the TTL is over: the value may have been handed over to another client, which renews it. For
/// the same reason a SET whose answer was lost is undone only if its attempt failed or its lock was unlocked.
#[derive(Debug, Default)]
pub(crate) struct LockState {
    released: AtomicBool,
    /// Whether keys were set for it here, rather than by another client from which the value came.
    is_of_this_client: AtomicBool,
    /// The shortest TTL in milliseconds, plus one, that a server may set at any later time, because an earlier connection to it
    /// may still be open; 0 if there is none.
    overhang: AtomicU64,
    state: Mutex<State>,
    /// Held while a renewal is submitted to all servers, so that all of them receive the renewals in the same order.
    order: Mutex<()>,
    shortened: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// When what was submitted last to set or renew the keys will have let them expire, if it is carried out at once.
    expires: Option<Instant>,
    /// The number of the latest renewal. The lock itself has 0.
    latest: u64,
    /// What renewals for less have promised, unless a later renewal was granted or they certainly were not carried out.
    /// Each ends later than those before it.
    promises: Vec<Promise>,
}

/// For how long a server keeps the keys at least, if it carried out one renewal, or the lock itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    /// Counts the renewals of a lock, in the order in which the servers receive them.
    pub(crate) number: u64,
    /// Before the first byte was sent.
    pub(crate) start: Moment,
    /// For so long since then no server that carried it out grants the keys to another.
    pub(crate) lasts: Duration,
}

impl Promise {
    pub(crate) fn left(&self) -> Duration {
        self.lasts.saturating_sub(self.start.elapsed())
    }

    /// When it ends, unless the machine sleeps until then.
    pub(crate) fn ends(&self) -> Instant {
        self.start.instant() + self.lasts.saturating_sub(self.start.slept_since())
    }
}

/// A renewal that is about to be submitted.
pub(crate) struct Renewal {
    pub(crate) number: u64,
    /// Whether the keys may live for longer now than it lets them. Only then may a server shorten their TTL.
    pub(crate) shortens: bool,
}

impl LockState {
    pub(crate) fn release(&self) {
        self.released.store(true, Ordering::Release);
    }

    pub(crate) fn is_released(&self) -> bool {
        self.released.load(Ordering::Acquire) && !InjectedFault::SetAfterUnlock.is_on()
    }

    /// Notes that keys are set for it here.
    pub(super) fn sets(&self) {
        self.is_of_this_client.store(true, Ordering::Release);
    }

    pub(super) fn is_of_this_client(&self) -> bool {
        self.is_of_this_client.load(Ordering::Acquire)
    }

    /// When the keys will have expired on every server that carried out at once what it was sent, if that is known: also
    /// those of a renewal that failed.
    pub(crate) fn expires(&self) -> Option<Instant> {
        self.state().expires
    }

    pub(super) fn sets_until(&self, expires: Instant) {
        let latest = &mut self.state().expires;
        *latest = (*latest).max(Some(expires));
    }

    /// Keeps other renewals of the lock from being submitted in between.
    pub(crate) fn order(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a renewal, which is to be submitted while [`order`](Self::order) is held. From now on no copy of the lock reports a
    /// longer validity than a renewal for less promises.
    pub(crate) fn begin(&self, start: Moment, ttl: Duration, lasts: Duration) -> Renewal {
        let mut state = self.state();
        state.latest += 1;
        let number = state.latest;
        // Of keys that were set elsewhere it is not known for how long they live.
        let shortens = state
            .expires
            .is_none_or(|expires| start.instant().checked_add(ttl).is_some_and(|end| end < expires));
        if shortens && !InjectedFault::RenewalNotCapped.is_on() {
            state.promise(Promise { number, start, lasts });
            drop(state);
            self.shortened.notify_waiters();
        }
        Renewal { number, shortens }
    }

    /// Notes that a majority carried out a renewal, after all that were submitted before it.
    pub(crate) fn granted(&self, number: u64) {
        self.state().promises.retain(|promise| promise.number >= number);
    }

    /// Notes that no server carried out a renewal, nor will.
    pub(crate) fn refused(&self, number: u64) {
        self.state().promises.retain(|promise| promise.number != number);
    }

    /// Whether a later renewal was submitted.
    pub(crate) fn is_superseded(&self, number: u64) -> bool {
        self.state().latest > number
    }

    /// Notes that a server may carry out a renewal for this TTL at any later time.
    pub(crate) fn overhangs(&self, ttl: Duration) {
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX - 1) + 1;
        let shorter = |other| (other == 0 || millis < other).then_some(millis);
        let _ = self.overhang.fetch_update(Ordering::AcqRel, Ordering::Acquire, shorter);
    }

    /// The longest that a server certainly keeps the keys for after a renewal, if that is less than the renewal's TTL.
    pub(crate) fn overhang(&self) -> Option<Duration> {
        let millis = self.overhang.load(Ordering::Acquire).checked_sub(1)?;
        Some(Duration::from_millis(millis))
    }

    /// What is left of a promise, or of one that a later renewal for less made in its place.
    pub(crate) fn left(&self, promise: &Promise) -> Duration {
        let state = self.state();
        let later = state.later(promise.number).map(Promise::left);
        later.fold(promise.left(), Duration::min)
    }

    /// When nothing is left of a promise, unless the machine sleeps until then.
    pub(crate) fn ends(&self, promise: &Promise) -> Instant {
        let state = self.state();
        let later = state.later(promise.number).map(Promise::ends);
        later.fold(promise.ends(), Instant::min)
    }

    /// Resolves at the next renewal for less.
    pub(crate) fn shortened(&self) -> Notified<'_> {
        self.shortened.notified()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn promise(&mut self, promise: Promise) {
        let ends = promise.ends();
        // Whoever goes by one of these goes by the new one as well.
        self.promises.retain(|earlier| earlier.ends() < ends);
        self.promises.push(promise);
        if self.promises.len() > MOST_PROMISES {
            // The second takes the end of the first, which is sooner.
            let first = self.promises.remove(0);
            let number = self.promises[0].number;
            self.promises[0] = Promise { number, ..first };
        }
    }

    /// The promises of renewals that were submitted after this one.
    fn later(&self, number: u64) -> impl Iterator<Item = &Promise> {
        self.promises.iter().filter(move |promise| promise.number > number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// a lock state on keys that were set now, and the promise of the lock.
    fn locked(ttl: u64) -> (LockState, Promise) {
        let (lock_state, start) = (LockState::default(), Moment::now());
        lock_state.sets_until(start.instant() + ms(ttl));
        let lasts = ms(ttl);
        (
            lock_state,
            Promise {
                number: 0,
                start,
                lasts,
            },
        )
    }

    fn renew(lock_state: &LockState, ttl: u64) -> (Renewal, Promise) {
        let (start, lasts) = (Moment::now(), ms(ttl));
        let renewal = lock_state.begin(start, lasts, lasts);
        lock_state.sets_until(start.instant() + lasts);
        let number = renewal.number;
        (renewal, Promise { number, start, lasts })
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_for_less_counts_until_it_is_refused_or_a_later_one_is_granted() {
        let (lock_state, lock) = locked(60_000);
        let (first, _) = renew(&lock_state, 1_000);
        assert!(first.shortens);
        assert_eq!(lock_state.left(&lock), ms(1_000));
        lock_state.refused(first.number);
        assert_eq!(lock_state.left(&lock), ms(60_000));

        renew(&lock_state, 1_000);
        let (second, promise) = renew(&lock_state, 2_000);
        assert_eq!(
            (lock_state.left(&lock), lock_state.left(&promise)),
            (ms(1_000), ms(2_000))
        );
        lock_state.granted(second.number);
        assert_eq!(lock_state.left(&lock), ms(2_000));
        assert_eq!(lock_state.ends(&lock), promise.ends());
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_for_more_shortens_nothing() {
        let (lock_state, lock) = locked(1_000);
        tokio::time::advance(ms(1)).await;
        let (renewal, promise) = renew(&lock_state, 1_000);
        assert!(!renewal.shortens);
        assert_eq!(
            (lock_state.left(&lock), lock_state.left(&promise)),
            (ms(999), ms(1_000))
        );
        assert!(lock_state.is_superseded(0) && !lock_state.is_superseded(renewal.number));
    }

    #[test]
    fn the_shortest_renewal_that_may_come_late_limits_what_later_ones_are_worth() {
        let lock_state = LockState::default();
        assert_eq!(lock_state.overhang(), None);
        for (ttl, overhang) in [(5_000, 5_000), (1_000, 1_000), (3_000, 1_000), (0, 0)] {
            lock_state.overhangs(ms(ttl));
            assert_eq!(lock_state.overhang(), Some(ms(overhang)));
        }
    }

    #[test]
    fn a_renewal_of_keys_of_unknown_age_may_shorten_them() {
        assert!(renew(&LockState::default(), 1_000).0.shortens);
    }

    proptest! {
        #[test]
        fn no_promise_is_believed_beyond_a_later_one_however_many_there_are(ttls in prop::collection::vec(1_u64..100_000, 1..40)) {
            let (lock_state, lock) = locked(200_000);
            let mut made = vec![lock];
            for ttl in ttls {
                made.push(renew(&lock_state, ttl).1);
                prop_assert!(lock_state.state().promises.len() <= MOST_PROMISES);
                for (number, promise) in made.iter().enumerate() {
                    let shortest = made[number..].iter().map(Promise::ends).min().unwrap();
                    prop_assert!(lock_state.ends(promise) <= shortest);
                }
            }
        }
    }
}
