//! Requests: awaited as they are, or adjusted first.

pub(crate) mod lock;
mod owner;
mod renew;
mod unlock;

pub use lock::{LockError, LockRequest};
pub use owner::{OwnerError, OwnerRequest, Ownership, Survey};
pub use renew::{RenewError, RenewRequest};
pub use unlock::{ReleaseError, Releasing, Unlocked, Unlocking};

use std::{future::Future, pin::Pin, time::Duration};
use tracing::{Span, field};

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Notes in a span how a call came out, and returns what that is called where things are counted.
pub(crate) fn outcome<T, E>(
    span: &Span,
    result: &Result<T, E>,
    validity: impl Fn(&T) -> Duration,
    name: impl Fn(&E) -> &'static str,
) -> &'static str {
    let outcome = match result {
        Ok(granted) => {
            span.record("validity", field::debug(validity(granted)));
            "granted"
        }
        Err(error) => name(error),
    };
    span.record("outcome", outcome);
    outcome
}
