//! How a majority is asked. The pure parts decide; [`round`] does what they say.

pub(crate) mod ballot;
pub(crate) mod crowd;
pub(crate) mod line;
#[cfg(test)]
mod order;
mod patience;
mod retry;
pub(crate) mod room;
pub(crate) mod round;
pub(crate) mod turns;
mod validity;
mod value;
pub(crate) mod wait;

pub use ballot::Vote;
pub(crate) use patience::Patience;
pub use retry::Retry;
pub use validity::Drift;
pub(crate) use validity::{LONGEST_TTL, Ttl};
pub use value::{Holder, Owner};
pub(crate) use value::{Shortened, Waited, fresh};
