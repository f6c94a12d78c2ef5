//! A lock that renews itself and knows when it is lost.

mod acquire;
mod held;
mod keeper;
mod lost;

pub use acquire::{AcquireRequest, UsingError};
pub use lost::{EnsureError, LockLost};

use crate::{
    client::{Core, Options},
    decision::Ttl,
    lock::Lock,
    request::Unlocking,
    runtime::Task,
    token::FencingToken,
};
use held::Held;
use std::{fmt, sync::Arc, time::Duration};

/// A lock that is renewed at a third of its validity until it is released, from [`Redlock::acquire`](crate::Redlock::acquire).
///
/// Dropping it releases the lock, best effort, inside or outside a runtime. It keeps its client alive.
///
/// Nobody else is granted the resource while [`is_valid`](Self::is_valid) holds, as far as the assumptions hold that the
/// crate's documentation names. Once it is lost it never becomes valid again.
///
/// ```
/// use multiredlock::Redlock;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let redlock = Redlock::builder().servers(["memory://a", "memory://b", "memory://c"]).build()?;
/// let guard = redlock.acquire("invoice:7", Duration::from_secs(10)).await?;
/// tokio::select! {
///     lost = guard.lost() => return Err(lost.into()),
///     () = async { /* work that needs the lock, for as long as it takes */ } => {}
/// }
/// // Right before a write that only the owner may make:
/// guard.ensure_valid_for(Duration::from_secs(1))?;
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
///
/// A guard that was released cannot be used. This does not compile:
///
/// ```compile_fail,E0382
/// # use multiredlock::Guard;
/// # async fn f(guard: Guard) -> Result<(), Box<dyn std::error::Error>> {
/// guard.release().await?;
/// let remaining = guard.validity();
/// # Ok(())
/// # }
/// ```
#[must_use = "the lock is released when the guard is dropped"]
pub struct Guard {
    held: Arc<Held>,
    keeper: Task,
    is_over: bool,
}

/// How a guard renews.
#[derive(Clone, Copy, Debug)]
struct Settings {
    options: Options,
    max_hold: Option<Duration>,
}

impl Guard {
    fn new(core: Arc<Core>, lock: Lock, settings: Settings) -> Self {
        let runtime = core.runtime.clone();
        let held = Arc::new(Held::new(core, lock, settings));
        let keeper = runtime.spawn(keeper::keep(Arc::clone(&held)));
        Self {
            held,
            keeper,
            is_over: false,
        }
    }

    /// Returns the lock as it was renewed last.
    pub fn lock(&self) -> Lock {
        self.held.lock()
    }

    /// Returns the fencing token, if the lock is [fenced](crate::future::AcquireRequest::fenced); see [`Lock::token`]. Renewals keep
    /// it.
    pub fn token(&self) -> Option<FencingToken> {
        self.held.lock().token()
    }

    /// Returns whether the lock is valid at this moment.
    pub fn is_valid(&self) -> bool {
        !self.validity().is_zero()
    }

    /// Returns how much longer the lock is valid unless it is renewed, zero if it is lost.
    pub fn validity(&self) -> Duration {
        self.held.remaining()
    }

    /// Makes sure that the lock stays valid for a while, to be called right before something that only its owner may do.
    ///
    /// It looks at the clock and waits for nothing. Right before a renewal two thirds of the validity are left, so
    /// more than that is often not there.
    ///
    /// # Errors
    ///
    /// [`EnsureError`]: `Lost` with the reason, `TooLittle` if less is left, `Never` if more is asked for than the ttl less
    /// the drift.
    pub fn ensure_valid_for(&self, at_least: Duration) -> Result<(), EnsureError> {
        if let Some(loss) = self.loss() {
            return Err(loss.into());
        }
        let Options { ttl, drift, .. } = self.held.settings.options;
        if Ttl::new(ttl, drift).is_ok_and(|ttl| at_least > ttl.promised()) {
            return Err(EnsureError::Never {
                at_least,
                ttl,
                drift: drift.of(ttl),
            });
        }
        let remaining = self.validity();
        if remaining < at_least {
            return Err(EnsureError::TooLittle { remaining, at_least });
        }
        Ok(())
    }

    /// Resolves when the lock is lost: at once if a majority of the servers says so, at the end of its validity at the
    /// latest, by a timer that depends on no server. After the machine slept past it that may take another second, or an
    /// eighth of the ttl if that is longer.
    ///
    /// # Panics
    ///
    /// If it is polled outside a tokio runtime with timers.
    ///
    /// # Cancel safety
    ///
    /// It does nothing but wait, and resolves at once if the lock is lost already.
    pub async fn lost(&self) -> LockLost {
        self.held.lost().await
    }

    /// Returns why the lock is lost, if it is.
    pub fn loss(&self) -> Option<LockLost> {
        self.held.loss()
    }

    /// Ends the renewals and releases the lock. The unlock is already sent when this returns: awaiting the answer, which
    /// tells whether the lock was still there, is optional.
    pub fn release(mut self) -> Unlocking {
        let lock = self.end();
        let operation = self.held.core.unlock(&lock);
        let limit = self.held.settings.options.attempt_timeout;
        Unlocking::new(lock.shared_resources().clone(), operation, limit)
    }

    /// Ends the renewals, and leaves the lock to the caller: it stays locked until it is unlocked or its ttl is over.
    pub fn into_lock(mut self) -> Lock {
        let lock = self.end();
        self.held.core.remember(&lock);
        lock
    }

    /// Ends the renewals. None is sent after an unlock, even if one is just under way.
    fn end(&mut self) -> Lock {
        self.is_over = true;
        self.keeper.abort();
        self.held.lock()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.is_over {
            let lock = self.end();
            self.held.core.unlock(&lock);
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("lock", &self.lock())
            .field("loss", &self.loss())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::{LockError, LockLost, Redlock, clock, testing::MemoryServer};
    use std::time::Duration;
    use tokio::time::{sleep, timeout};

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    async fn client() -> (Vec<MemoryServer>, Redlock) {
        let servers: Vec<_> = (0..3).map(|_| MemoryServer::new()).collect();
        let redlock = Redlock::builder().servers(&servers).build().unwrap();
        redlock.wait_connected().await.unwrap();
        (servers, redlock)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_is_not_valid_for_the_time_that_the_machine_slept() {
        let (_servers, redlock) = client().await;
        let lock = redlock.lock("r", secs(10)).await.unwrap();
        clock::tests::sleep_for(secs(4));
        assert!(lock.validity() <= secs(6) && lock.validity() > secs(5), "{lock:?}");
        clock::tests::sleep_for(secs(6));
        assert!(!lock.is_valid());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_is_not_granted_if_the_machine_slept_over_it() {
        let (servers, redlock) = client().await;
        for server in &servers {
            server.delay(Duration::from_millis(100));
        }
        let request = tokio::spawn(redlock.try_lock("r", secs(10)));
        sleep(Duration::from_millis(50)).await;
        clock::tests::sleep_for(secs(10));
        let error = request.await.unwrap().unwrap_err();
        assert!(
            matches!(error, LockError::Expired { elapsed, .. } if elapsed >= secs(10)),
            "{error}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_guard_whose_validity_ended_while_the_machine_slept_stays_lost_though_it_is_renewed() {
        let servers: Vec<_> = (0..3).map(|_| MemoryServer::new()).collect();
        let redlock = Redlock::builder().servers(&servers).heartbeat_interval(secs(3_600));
        let redlock = redlock.build().unwrap();
        redlock.wait_connected().await.unwrap();
        let guard = redlock.acquire("r", secs(10)).attempt_timeout(secs(5)).await.unwrap();
        for server in &servers {
            server.delay(Duration::from_millis(200));
        }
        // The renewal is under way, since 3.3 s. It is granted, and what it promises lasts until long after the sleep.
        sleep(Duration::from_millis(3_400)).await;
        clock::tests::sleep_for(secs(7));
        assert!(!guard.is_valid());
        sleep(secs(1)).await;
        assert!(servers.iter().all(|server| server.get("r").is_some()), "it was renewed");
        assert!(!guard.is_valid(), "{:?}", guard.validity());
        assert!(
            matches!(guard.loss(), Some(LockLost::Expired { .. })),
            "{:?}",
            guard.loss()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_guard_that_was_lost_by_a_renewal_for_less_stays_lost_though_that_is_refused() {
        let servers: Vec<_> = (0..3).map(|_| MemoryServer::new()).collect();
        let redlock = Redlock::builder().servers(&servers).heartbeat_interval(secs(3_600));
        let redlock = redlock.build().unwrap();
        redlock.wait_connected().await.unwrap();
        let guard = redlock.acquire("r", secs(60)).attempt_timeout(secs(30)).await.unwrap();
        let lock = guard.lock();
        for server in &servers {
            server.delay(secs(2));
        }
        let less = tokio::spawn(redlock.renew(&lock, secs(1)).attempt_timeout(secs(5)));
        sleep(secs(1)).await;
        assert!(
            matches!(guard.loss(), Some(LockLost::Expired { .. })),
            "{:?}",
            guard.loss()
        );
        for server in &servers {
            server.forget("r");
        }
        less.await.unwrap().unwrap_err();
        // It did not wait for as long as the answers take.
        sleep(secs(2)).await;
        assert!(lock.validity() > secs(50), "no server carried it out");
        assert!(!guard.is_valid() && guard.validity().is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn a_guard_tells_that_it_was_lost_soon_after_the_machine_woke() {
        let (_servers, redlock) = client().await;
        let guard = redlock.acquire("r", secs(60)).await.unwrap();
        sleep(secs(1)).await;
        clock::tests::sleep_for(secs(3_600));
        assert!(!guard.is_valid() && guard.ensure_valid_for(Duration::ZERO).is_err());
        let (_servers, redlock) = client().await;
        let guard = redlock.acquire("r", secs(60)).await.unwrap();
        let waiting = async {
            sleep(Duration::from_millis(10)).await;
            clock::tests::sleep_for(secs(3_600));
            std::future::pending::<LockLost>().await
        };
        let loss = tokio::select! {
            loss = timeout(secs(2), guard.lost()) => loss.expect("before its timer, of a minute, is over"),
            loss = waiting => loss,
        };
        assert!(matches!(loss, LockLost::Expired { .. }), "{loss:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_guard_tells_so_also_if_no_connection_survived_the_sleep() {
        for was_connected in [true, false] {
            let (servers, redlock) = client().await;
            let guard = redlock.acquire("r", secs(60)).await.unwrap();
            let waiting = async {
                if !was_connected {
                    servers.iter().for_each(MemoryServer::crash);
                }
                sleep(secs(1)).await;
                clock::tests::sleep_for(secs(3_600));
                servers.iter().for_each(MemoryServer::crash);
                std::future::pending::<LockLost>().await
            };
            let limit = if was_connected { secs(2) } else { secs(9) };
            let loss = tokio::select! {
                loss = timeout(limit, guard.lost()) => loss.expect("no server has to tell"),
                loss = waiting => loss,
            };
            assert!(matches!(loss, LockLost::Expired { .. }), "{loss:?}");
        }
    }
}
