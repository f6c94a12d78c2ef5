//! What the crate counts and measures, for the recorder of the [`metrics`](https://docs.rs/metrics) facade that the program
//! installs.
//!
//! | name | kind | unit | labels |
//! |:--|:--|:--|:--|
//! | [`multiredlock_attempts_total`](ATTEMPTS) | counter | attempts | `verb`: `lock`, `renew`, `update_fence`; `outcome`: `won`, `lost`, `expired`, `silent` |
//! | [`multiredlock_lock_seconds`](LOCK) | histogram | seconds | `outcome`: `granted`, `held`, `refused`, `no_quorum`, `too_slow`, `expired`, `invalid`, `closed` |
//! | [`multiredlock_wait_seconds`](WAIT) | histogram | seconds | `outcome`: `granted`, `held`, `refused`, `no_quorum`, `too_slow`, `expired`, `timed_out`, `invalid`, `closed` |
//! | [`multiredlock_renewals_total`](RENEWALS) | counter | renewals | `outcome`: `granted`, `lost`, `unknown`, `expired`, `invalid`, `closed` |
//! | [`multiredlock_losses_total`](LOSSES) | counter | guards | `reason`: `gone`, `expired`, `max_hold` |
//! | [`multiredlock_servers_up`](SERVERS_UP) | gauge | servers | `group`: `0`, `1`, … |
//! | [`multiredlock_batch_operations`](BATCH) | histogram | operations | none |
//!
//! The verb `update_fence` counts the second attempts of fenced locks, which store the largest token on a majority. The outcome of a whole call
//! is `granted` or the error in words. A future that was dropped is not counted. All clients of a program add to the same numbers.
//!
//! The recorder may be called while a client holds a lock of its own. It must not call the client.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use std::time::Duration;

/// Attempts on all servers that came to a decision or to their end.
pub const ATTEMPTS: &str = "multiredlock_attempts_total";

/// How long a `lock` took, with all its attempts and the waits between them.
pub const LOCK: &str = "multiredlock_lock_seconds";

/// How long an `acquire` took, most of which is waiting in line.
pub const WAIT: &str = "multiredlock_wait_seconds";

/// Renewals, those of guards among them.
pub const RENEWALS: &str = "multiredlock_renewals_total";

/// Guards that lost their lock.
pub const LOSSES: &str = "multiredlock_losses_total";

/// Servers that can vote.
pub const SERVERS_UP: &str = "multiredlock_servers_up";

/// How many operations travelled as one command.
pub const BATCH: &str = "multiredlock_batch_operations";

/// Tells the recorder what the numbers mean. Call it once, after the recorder was installed.
pub fn describe() {
    describe_counter!(ATTEMPTS, Unit::Count, "Attempts on all servers");
    describe_histogram!(LOCK, Unit::Seconds, "How long locking took, with all attempts");
    describe_histogram!(WAIT, Unit::Seconds, "How long acquiring a guard took");
    describe_counter!(RENEWALS, Unit::Count, "Renewals");
    describe_counter!(LOSSES, Unit::Count, "Guards that lost their lock");
    describe_gauge!(SERVERS_UP, Unit::Count, "Servers that can vote");
    describe_histogram!(BATCH, Unit::Count, "Operations that travelled as one command");
}

pub(crate) fn round(verb: &'static str, outcome: &'static str) {
    counter!(ATTEMPTS, "verb" => verb, "outcome" => outcome).increment(1);
}

pub(crate) fn lock(outcome: &'static str, took: Duration) {
    histogram!(LOCK, "outcome" => outcome).record(took);
}

pub(crate) fn wait(outcome: &'static str, took: Duration) {
    histogram!(WAIT, "outcome" => outcome).record(took);
}

pub(crate) fn renewal(outcome: &'static str) {
    counter!(RENEWALS, "outcome" => outcome).increment(1);
}

pub(crate) fn loss(reason: &'static str) {
    counter!(LOSSES, "reason" => reason).increment(1);
}

pub(crate) fn server(group: usize, is_up: bool) {
    let servers = gauge!(SERVERS_UP, "group" => group.to_string());
    if is_up {
        servers.increment(1);
    } else {
        servers.decrement(1);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a batch has at most 1024 operations")]
pub(crate) fn batch(operations: usize) {
    histogram!(BATCH).record(operations as f64);
}
