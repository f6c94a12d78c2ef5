//! Distributed locks on a majority of independent Redis servers.
//!
//! A resource is locked when a majority of N servers granted it, ⌊N/2⌋ + 1, so that locking survives the loss of the
//! others. A [`Redlock`] also tells, as events, whether a majority can be reached at all.
//!
//! Futures of this crate are cancel-safe: each says what dropping it leaves behind.

mod config;
mod server;

mod quorum;

mod events;
mod monitor;

mod engine;

mod lock;
mod redlock;
mod request;

mod error;

pub mod testing;

#[cfg(feature = "tls")]
pub use config::Tls;
pub use config::{Address, Builder, Server};
pub use engine::{Drift, Owner, Retry, Vote};
pub use error::{AddressProblem, ConfigError, Failure, InvalidResource, InvalidTtl, LockError, RenewError, ServerVote};
pub use events::{Crossings, Event, Events, Warning};
pub use lock::Lock;
pub use monitor::{ServerState, ServerStatus};
pub use quorum::Quorum;
pub use redlock::Redlock;
pub use request::{LockRequest, RenewRequest, Unlocked, Unlocking};
pub use server::{DownReason, Refusal, Text};
