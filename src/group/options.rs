//! What an attempt asks for.

use crate::decision::{Patience, Ttl};
use std::time::Duration;
use tokio::time::Instant;

/// What an attempt or a renewal asks for, once it was checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttemptOptions {
    pub(crate) ttl: Ttl,
    pub(crate) patience: Patience,
    /// How long a server remembers the lock's token, if it is to have one.
    pub(crate) fence_expiry: Option<Duration>,
    /// When the request began.
    pub(crate) since: Instant,
}
