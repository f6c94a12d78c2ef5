//! What is known of servers and owners at one moment.

pub use crate::{
    config::{Location, ServerParts},
    decision::{DownReason, Holder, Owner, Quorum},
    monitor::{ServerState, ServerStatus},
    request::{Ownership, Survey, Unlocked},
    text::Text,
};
