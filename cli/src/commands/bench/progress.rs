//! How far it is, for whoever looks on.

use super::{
    measure::Record,
    numbers::{grouped, latency},
};
use crate::{duration::millis, live};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// A bar on standard error that is gone in the end.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new(duration: Duration) -> Self {
        let style = ProgressStyle::with_template("{bar:24} {wide_msg}").expect("the template is right");
        let bar = ProgressBar::with_draw_target(Some(millis(duration)), live::target())
            .with_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        bar.set_message("warming up");
        Self(bar)
    }

    pub(super) fn show(&self, elapsed: Duration, record: &Record) {
        let (cycles, failed) = (record.unlock.len(), record.failed.total());
        let mut parts = vec![format!("{} locks", grouped(cycles))];
        if cycles > 0 {
            let half = latency(record.lock.value_at_quantile(0.5));
            parts.push(format!("half of them within {half}"));
        }
        if failed > 0 {
            parts.push(format!("{} failed", grouped(failed)));
        }
        self.0.set_position(millis(elapsed));
        self.0.set_message(parts.join(", "));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
