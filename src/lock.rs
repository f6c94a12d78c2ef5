//! What a caller holds.

use crate::{
    decision::Shortened,
    group::lease::{Lease, Locked},
    resource::{LONGEST, Resources},
    server::{LockState, Subject},
    token::FencingToken,
};
use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// A resource that is locked, or several that are locked together.
///
/// Dropping it does nothing: the resource stays locked until [`unlock`](crate::Redlock::unlock) or the end of the ttl.
///
/// Nobody else can be granted the resource before [`validity`](Self::validity) is over, as far as the assumptions hold
/// that the crate's documentation names.
///
/// ```
/// use multiredlock::Redlock;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let redlock = Redlock::builder().servers(["memory://a", "memory://b", "memory://c"]).build()?;
/// let ttl = Duration::from_secs(10);
/// let lock = redlock.lock("invoice:7", ttl).await?;
/// assert!(lock.is_valid() && lock.validity() < ttl);
///
/// let lock = redlock.renew(&lock, ttl).await?;
/// redlock.unlock(&lock).await?; // an error if the lock was lost before
/// # Ok(())
/// # }
/// ```
///
/// Two locks are equal if their resources and their values are the same, so a lock is equal to its renewals, and to a lock that is
/// put together [from its parts](Self::from_parts). Validity and token do not count,
/// and neither does what copies of a lock share: a lock is a sound key of a map, although `clippy::mutable_key_type` cannot know that.
///
/// ```
/// # use multiredlock::Redlock;
/// # use std::{collections::HashMap, time::Duration};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let redlock = Redlock::builder().servers(["memory://a"]).build()?;
/// # redlock.wait_connected().await?;
/// let lock = redlock.lock("console", Duration::from_secs(10)).await?;
/// let mut jobs = HashMap::from([(lock.clone(), "job 7")]);
/// let renewed = redlock.renew(&lock, Duration::from_secs(20)).await?;
/// assert_eq!(renewed, lock);
/// assert_eq!(jobs.remove(&renewed), Some("job 7"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "the resource stays locked until it is unlocked or its ttl is over"]
pub struct Lock {
    resources: Resources,
    value: Arc<str>,
    state: Arc<LockState>,
    /// Nothing for a lock that was put together from its parts.
    lease: Option<Lease>,
    token: Option<FencingToken>,
}

impl Lock {
    pub(crate) fn new(resources: Resources, locked: Locked) -> Self {
        let Locked {
            value,
            lock_state,
            lease,
            token,
        } = locked;
        Self {
            resources,
            value,
            state: lock_state,
            lease: Some(lease),
            token,
        }
    }

    /// Puts a lock together that was taken elsewhere, so that it can be renewed or unlocked here.
    ///
    /// How long it is valid is not known here: [`validity`](Self::validity) is zero until it is
    /// [renewed](crate::Redlock::renew).
    pub fn from_parts(resource: impl Into<Resources>, value: impl Into<String>) -> Self {
        Self {
            resources: resource.into(),
            value: value.into().into(),
            state: Arc::default(),
            lease: None,
            token: None,
        }
    }

    /// Adds the token of a [fenced](crate::future::LockRequest::fenced) lock that was taken elsewhere, so that its renewals keep it.
    pub fn with_token(mut self, token: FencingToken) -> Self {
        self.token = Some(token);
        self
    }

    /// Returns what is locked; of several resources the first in order.
    pub fn resource(&self) -> &[u8] {
        self.resources.as_slice().first().map_or(&[], |resource| resource)
    }

    /// Returns all that is locked, in order.
    pub fn resources(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.resources.as_slice().iter().map(|resource| &resource[..])
    }

    /// Returns the unique proof of ownership that is stored on the servers: `{id}_{unix_ms}_{random}`.
    ///
    /// Whoever knows it can unlock.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns the fencing token, if the lock is [fenced](crate::future::LockRequest::fenced): it is larger than that of every
    /// fenced lock on this resource that had been granted when this one was asked for.
    ///
    /// Of two locks that were asked for at the same time, of which the first lost its keys before its ttl was over, the one has
    /// the larger token that was granted the keys last by the servers that granted them to both.
    ///
    /// Hand it to whatever the lock protects, which has to refuse a token that is smaller than one it has seen. Then an
    /// owner that was suspended for longer than its lock was valid does no harm when it goes on.
    pub fn token(&self) -> Option<FencingToken> {
        self.token
    }

    /// Returns how much longer the lock is valid, zero if it no longer is or was unlocked here.
    ///
    /// That is the ttl, less what has passed since before the first byte was sent, less the drift. The clock is monotonic.
    /// On Linux and Android it counts the time that the machine sleeps; elsewhere it may stand still then, so that this tells
    /// too much afterwards. It does so on every system for a virtual machine that was stopped from outside.
    pub fn validity(&self) -> Duration {
        match self.lease {
            Some(lease) if !self.state.is_released() => self.state.left(&lease.promise),
            _ => Duration::ZERO,
        }
    }

    /// Returns whether the lock is valid at this moment.
    pub fn is_valid(&self) -> bool {
        !self.validity().is_zero()
    }

    /// When it was granted or renewed last; now if that was elsewhere.
    pub(crate) fn since(&self) -> Instant {
        self.lease
            .map_or_else(Instant::now, |lease| lease.promise.start.instant())
    }

    /// When the validity is over, unless the machine sleeps until then; a time that has passed if nothing is known of it.
    pub(crate) fn valid_until(&self) -> Instant {
        self.lease
            .map_or_else(Instant::now, |lease| self.state.ends(&lease.promise))
    }

    pub(crate) fn shared_resources(&self) -> &Resources {
        &self.resources
    }

    pub(crate) fn shared_value(&self) -> &Arc<str> {
        &self.value
    }

    /// The lock by these keys, which are its resources with a prefix.
    pub(crate) fn subject(&self, keys: Resources) -> Subject {
        Subject {
            keys,
            value: Arc::clone(&self.value),
            lock_state: Arc::clone(&self.state),
        }
    }

    pub(crate) fn lock_state(&self) -> &Arc<LockState> {
        &self.state
    }

    /// Whether no server can hold its value, which came from elsewhere.
    pub(crate) fn is_too_long(&self) -> bool {
        self.value.len() > LONGEST
    }

    /// Whether it was granted or renewed here, so that its lock state tells when the keys expire.
    pub(crate) fn is_of_known_age(&self) -> bool {
        self.lease.is_some()
    }
}

impl PartialEq for Lock {
    fn eq(&self, other: &Self) -> bool {
        (&self.resources, &self.value) == (&other.resources, &other.value)
    }
}

impl Eq for Lock {}

impl Hash for Lock {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.resources, &self.value).hash(state);
    }
}

#[expect(clippy::missing_fields_in_debug, reason = "the others say nothing to a user")]
impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lock = f.debug_struct("Lock");
        lock.field("resource", &self.resources);
        lock.field("value", &Shortened(self.value()));
        if let Some(token) = self.token {
            lock.field("token", &format_args!("{token}"));
        }
        lock.field("validity", &self.validity()).finish()
    }
}
