//! Moments from which time is counted on also while the machine sleeps, as the servers' clocks do.

use std::time::Duration;
use tokio::time::Instant;

/// No machine sleeps for less, and two clocks are not read at quite the same time.
const SHORTEST_SLEEP: Duration = Duration::from_millis(10);

/// A moment of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    instant: Instant,
    /// How long the machine had slept by then.
    slept: Duration,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self {
            instant: Instant::now(),
            slept: slept(),
        }
    }

    /// The moment on the clock that timers follow, which stands still while the machine sleeps.
    pub(crate) fn instant(&self) -> Instant {
        self.instant
    }

    /// How much time has passed since, asleep or awake.
    pub(crate) fn elapsed(&self) -> Duration {
        self.until(&Self::now())
    }

    /// How much time passed from this moment to another, none if that was before.
    pub(crate) fn until(&self, other: &Self) -> Duration {
        other.instant.saturating_duration_since(self.instant) + self.asleep_until(other.slept)
    }

    /// How much of the time since then the machine has slept.
    pub(crate) fn slept_since(&self) -> Duration {
        self.asleep_until(slept())
    }

    fn asleep_until(&self, slept: Duration) -> Duration {
        let slept = slept.saturating_sub(self.slept);
        if slept < SHORTEST_SLEEP { Duration::ZERO } else { slept }
    }
}

/// In whole microseconds, as far as they go.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// How long the machine has slept since it was started.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn slept() -> Duration {
    use nix::time::{ClockId, clock_gettime};

    /// How far apart the clocks may have been read.
    const CLOSE: Duration = Duration::from_millis(1);

    // The machine that runs a simulation may sleep, those within do not.
    #[cfg(test)]
    if crate::simulation::Process::current().is_some() {
        return Duration::ZERO;
    }
    let read = |clock| clock_gettime(clock).map_or(Duration::ZERO, Duration::from);
    loop {
        let before = read(ClockId::CLOCK_MONOTONIC);
        let with_sleep = read(ClockId::CLOCK_BOOTTIME);
        let after = read(ClockId::CLOCK_MONOTONIC);
        // Unless the process was held up in between.
        if after.saturating_sub(before) <= CLOSE {
            let slept = with_sleep.saturating_sub(before);
            #[cfg(test)]
            let slept = slept + tests::ASLEEP.get();
            return slept;
        }
    }
}

/// Of other systems it is not known.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn slept() -> Duration {
    Duration::ZERO
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        /// How long the machine is said to have slept besides.
        pub(super) static ASLEEP: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    /// Lets the machine sleep, as far as this thread can tell.
    pub(crate) fn sleep_for(duration: Duration) {
        ASLEEP.set(ASLEEP.get() + duration);
    }

    #[tokio::test(start_paused = true)]
    async fn time_goes_on_while_the_machine_sleeps() {
        let moment = Moment::now();
        assert_eq!(moment.elapsed(), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(moment.elapsed(), Duration::from_secs(1));
        sleep_for(Duration::from_secs(5));
        let elapsed = moment.elapsed();
        assert!(elapsed.abs_diff(Duration::from_secs(6)) < SHORTEST_SLEEP, "{elapsed:?}");
        assert_eq!(Moment::now().elapsed(), Duration::ZERO, "it slept before");
    }

    #[test]
    fn what_the_clocks_differ_by_without_a_sleep_is_none() {
        let moment = Moment::now();
        for _ in 0..10_000 {
            assert_eq!(moment.slept_since(), Duration::ZERO);
        }
    }
}
