//! What is decided, and when. Pure: no I/O, no locks, no clock; randomness and moments are passed in.

pub(crate) mod crowd;
pub(crate) mod grouping;
pub(crate) mod head;
mod patience;
mod prospects;
pub(crate) mod quorum;
mod reason;
mod retry;
pub(crate) mod tally;
mod ttl;
pub(crate) mod turns;
mod value;
mod vote;

pub(crate) use patience::Patience;
pub use quorum::Quorum;
pub(crate) use quorum::{Connection, majority};
pub use reason::{DownReason, Refusal};
pub use retry::Retry;
pub use ttl::{Drift, InvalidDrift, InvalidTtl};
pub(crate) use ttl::{LONGEST_TTL, Ttl};
pub use value::{Holder, Owner};
pub(crate) use value::{Shortened, Waited, fresh, holder_in_words};
pub use vote::{Failure, ServerVote, Vote};
