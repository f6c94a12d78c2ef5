//! What a majority granted, and until when.

use crate::{
    decision::Vote,
    server::{LockState, Promise},
    token::FencingToken,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Keys that a majority holds for us.
#[derive(Clone, Debug)]
pub(crate) struct Locked {
    pub(crate) value: Arc<str>,
    pub(crate) lock_state: Arc<LockState>,
    pub(crate) lease: Lease,
    /// Of a fenced lock.
    pub(crate) token: Option<FencingToken>,
}

/// For how long a majority holds keys for us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    pub(crate) promise: Promise,
    /// By then every server has dropped the keys.
    pub(crate) expires: Instant,
}

/// Why an attempt or a renewal did not succeed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The votes did not make a majority.
    Outvoted(Vec<Vote>),
    /// They did, but too late.
    Expired { elapsed: Duration, votes: Vec<Vote> },
}
