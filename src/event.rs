//! What happens to the servers, as streams.

pub use crate::monitor::{Event, Events, QuorumChanges, Warning};
