//! What is looked at while a connection lasts: that its server answers, what its clock says, and whether our machine slept.

use super::{
    Pipeline,
    held_up::answer_within,
    later,
    link::{Ended, Link},
    time::{Jump, Reading},
};
use crate::{
    clock::Moment,
    config::ConnectionConfig,
    decision::{DownReason, Drift},
    monitor::Warning,
    monitor::{Monitor, ServerId},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until, timeout};

/// How many heartbeat intervals may pass on a busy connection before the server's clock is read again.
const CLOCK_INTERVALS: u32 = 10;

pub(super) struct Heartbeat<'a> {
    pub(super) server: ServerId,
    pub(super) pipeline: &'a Arc<Pipeline>,
    pub(super) link: &'a dyn Link,
    pub(super) monitor: &'a Monitor,
    pub(super) config: &'a ConnectionConfig,
    pub(super) drift: Drift,
}

impl Heartbeat<'_> {
    /// Returns why the connection is of no use any more: it ended, or a heartbeat was not answered in time.
    ///
    /// Any answer counts as a heartbeat, so that one is asked for only while the connection is silent, or to read the clock.
    pub(super) async fn watch(&self, ended: &mut Ended) -> DownReason {
        let mut awake = Moment::now();
        let reason = self.beat(ended, &mut awake).await;
        // A connection that did not survive a sleep of the machine is the first to tell of it.
        self.tell_if_slept(&mut awake);
        reason
    }

    async fn beat(&self, ended: &mut Ended, awake: &mut Moment) -> DownReason {
        let mut clock = Clock::Unread;
        loop {
            self.tell_if_slept(awake);
            let beat = later(self.pipeline.last_heard(), self.config.heartbeat_interval).min(self.next_reading(&clock));
            if beat > Instant::now() {
                tokio::select! {
                    biased;
                    reason = ended.wait() => return reason,
                    () = self.pipeline.demoted() => return DownReason::Replica,
                    () = sleep_until(beat) => {
                        self.pipeline.deliver_late();
                        continue;
                    }
                }
            }
            let (asked, sent) = (Moment::now(), Instant::now());
            let asks_time = !matches!(clock, Clock::Hidden);
            tokio::select! {
                biased;
                reason = ended.wait() => return reason,
                pong = answer_within(self.config.heartbeat_timeout, self.link.ping(asks_time)) => match pong {
                    Ok(Ok(times)) => {
                        self.pipeline.heard(sent.elapsed());
                        if asks_time {
                            clock = self.read(&clock, Reading::new(asked, times));
                        }
                    }
                    // The connection ended while we asked. Its end may tell more than that.
                    Ok(Err(reason)) => {
                        let told = timeout(self.config.heartbeat_timeout, ended.wait()).await;
                        return told.unwrap_or(reason);
                    }
                    Err(_) => return DownReason::Unresponsive,
                }
            }
        }
    }

    fn tell_if_slept(&self, awake: &mut Moment) {
        if !awake.slept_since().is_zero() {
            *awake = Moment::now();
            self.monitor.woke();
        }
    }

    fn next_reading(&self, clock: &Clock) -> Instant {
        let now = Instant::now();
        match clock {
            Clock::Unread => now,
            Clock::Read(reading) => {
                let interval = self.config.heartbeat_interval.saturating_mul(CLOCK_INTERVALS);
                later(now, interval.saturating_sub(reading.age()))
            }
            Clock::Hidden => later(now, Duration::MAX),
        }
    }

    fn read(&self, before: &Clock, reading: Option<Reading>) -> Clock {
        let Some(reading) = reading else {
            self.monitor.warn(self.server, Warning::TimeDenied);
            return Clock::Hidden;
        };
        if let Clock::Read(before) = before {
            match reading.jump_since(before, self.drift) {
                Some(Jump::Ahead(by)) => self.monitor.warn(self.server, Warning::ClockAhead { by }),
                Some(Jump::Back(by)) => self.monitor.warn(self.server, Warning::ClockBack { by }),
                None => {}
            }
        }
        self.pipeline.clock_read(reading.clone());
        Clock::Read(reading)
    }
}

/// What is known of the server's clock.
enum Clock {
    Unread,
    Read(Reading),
    /// The server does not let us know.
    Hidden,
}
