//! Requests: futures that can be adjusted until they are polled.

mod deferred;
mod kind;
pub(crate) mod lock;
mod owner;
mod renew;
mod unlock;

pub use kind::ErrorKind;
pub use lock::{LockError, LockRequest};
pub use owner::{OwnerError, OwnerRequest, Ownership, Survey};
pub use renew::{RenewError, RenewRequest};
pub use unlock::{ReleaseError, Unlocked, Unlocking};

pub(crate) use {deferred::Deferred, renew::Renewal};

use std::time::Duration;
use tracing::{Span, field};

/// The setters of a request whose parameters have `options`.
macro_rules! option_setters {
    ($request:ident) => {
        impl $request {
            /// Sets the drift of this call, and of the renewals of its guard. The default is [`Builder::drift`](crate::Builder::drift).
            pub fn drift(mut self, drift: $crate::Drift) -> Self {
                self.0.parameters().options.drift = drift;
                self
            }

            /// Sets how long each server may take to answer an attempt of this call, or a renewal of its guard. It must be longer
            /// than 0. The default is [`Builder::attempt_timeout`](crate::Builder::attempt_timeout).
            pub fn attempt_timeout(mut self, timeout: std::time::Duration) -> Self {
                self.0.parameters().options.attempt_timeout = Some(timeout);
                self
            }
        }
    };
}

/// The setter of a request for a lock, which may be fenced.
macro_rules! fenced_setter {
    ($request:ident) => {
        impl $request {
            /// Gives the lock a [fencing token](crate::Lock::token) that is larger than that of every fenced lock granted on the resource
            /// before. [`Builder::fenced`](crate::Builder::fenced) does so for all locks.
            pub fn fenced(mut self) -> Self {
                self.0.parameters().options.fenced = true;
                self
            }
        }
    };
}

pub(crate) use {fenced_setter, option_setters};

/// Notes in a span how a call came out, and returns what that is called where things are counted.
pub(crate) fn outcome<T, E>(
    span: &Span,
    result: &Result<T, E>,
    validity: impl Fn(&T) -> Duration,
    kind: impl Fn(&E) -> ErrorKind,
) -> &'static str {
    let outcome = match result {
        Ok(granted) => {
            span.record("validity", field::debug(validity(granted)));
            "granted"
        }
        Err(error) => kind(error).as_str(),
    };
    span.record("outcome", outcome);
    outcome
}
