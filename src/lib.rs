//! Distributed locks on a majority of independent Redis or Valkey servers.
//!
//! A resource is locked when a majority of N servers granted it: ⌊N/2⌋ + 1. Locking stays available while a majority of your servers is
//! reachable, and a [`Redlock`] reports as events when that changes. To scale beyond one set of servers, add another with
//! [`group`](Builder::group): the resources are divided between the groups.
//!
//! ```
//! use multiredlock::Redlock;
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let redlock = Redlock::builder().servers(["memory://a", "memory://b", "memory://c"]).build()?;
//! // If no majority can be reached within 10 s, the error says why each server is down.
//! redlock.wait_connected().timeout(Duration::from_secs(10)).await?;
//!
//! let lock = redlock.lock("console", Duration::from_secs(10)).await?;
//! assert!(lock.is_valid());
//! redlock.unlock(&lock);
//! redlock.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! The [guide] answers what comes up next: which ttl, how many servers, what a restart does, when fencing is needed, how to test
//! without Redis, and what the calls of other libraries are called here.
//!
//! # What is guaranteed
//!
//! If two conditions hold, no other client is granted the resource while a lock is [valid](Lock::validity). First, over one TTL, the clocks
//! of client and servers drift apart by at most the [drift](Drift). Second, no server forgets a key that it granted. A server
//! forgets keys by a restart without its data, by eviction, or by a failover to a replica that lags. A
//! [restart guard](Builder::restart_guard) makes up for restarts. A lock cannot stop a process that is suspended past the end of its
//! lock. If the storage checks the [fencing token](Builder::fenced), it rejects that process's writes. `SAFETY.md` says more.
//!
//! The algorithm is the one of the
//! [Redis page on distributed locks](https://redis.io/docs/latest/develop/use/patterns/distributed-locks/).
//!
//! # Cancel safety
//!
//! Every future of this crate can be dropped at any point; each says what that leaves behind.
//!
//! # Features
//!
//! - `tls` (default): servers with `rediss://` and `valkeys://` addresses, also of clusters and sentinels.
//! - `blocking`: the same calls for threads, see the module `blocking`.
//! - `metrics`: counts and measures, see the module `metrics`.
//! - `serde`: a [`Lock`] can be handed over (its resources, its value and its token; the validity is not serialized, so renew the
//!   lock to get one), and a [`Server`] read from a configuration file, as the text that [`Server::parse`] reads. Passwords are
//!   never written. A [`FencingToken`] is a number.
//!
//! There are `tracing` spans `lock`, `acquire` and `renew` at level debug, with the fields `resource`, `ttl`, `outcome` and
//! `validity`, and `attempts` for `lock`; and events for attempts, server states and quorum changes. None shows a value or a password.

// docs.rs shows beside each item which feature brings it.
#![cfg_attr(docsrs, feature(doc_cfg))]

// Each module imports only from those above it.

mod clock;
mod fault_injection;
mod fence;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(not(feature = "metrics"))]
#[path = "no_metrics.rs"]
mod metrics;
mod random;
mod runtime;
mod text;

mod address;
mod resource;
mod token;

mod decision;

mod monitor;

mod config;
mod server;

mod group;
mod lock;

mod client;
mod request;

mod guard;

mod redlock;

#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;

#[cfg(feature = "serde")]
mod serde;

pub mod error;
pub mod event;
pub mod future;
pub mod status;

#[cfg(feature = "blocking")]
pub mod blocking;

pub mod guide;
pub mod testing;

pub use address::Address;
#[cfg(feature = "tls")]
pub use config::Tls;
pub use config::{Builder, ConfigError, Server};
pub use decision::{Drift, Retry};
pub use guard::{Guard, LockLost};
pub use lock::Lock;
pub use redlock::Redlock;
pub use request::{LockError, ReleaseError, RenewError};
pub use resource::{ResourceName, Resources};
pub use token::FencingToken;

#[cfg(test)]
mod floors;
#[cfg(test)]
mod growth;

#[cfg(test)]
#[path = "../simulation/mod.rs"]
mod simulation;

/// The README's example is compiled and run with the other documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
