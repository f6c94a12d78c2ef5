//! Errors of calls that wait, and what a refused call becomes in the error of each request.

use crate::{
    client::InvalidRequest,
    request::{LockError, OwnerError, RenewError},
    runtime::InsideRuntime,
};
use std::time::Duration;

/// Why a blocking call stopped waiting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
    /// The time limit of the call was reached.
    #[error("it did not happen within {waited:?}")]
    #[non_exhaustive]
    TimedOut {
        /// The time limit.
        waited: Duration,
    },
    /// The call was made inside a tokio runtime.
    #[error(transparent)]
    InsideRuntime(#[from] InsideRuntime),
}

impl From<InsideRuntime> for LockError {
    fn from(error: InsideRuntime) -> Self {
        InvalidRequest::from(error).into()
    }
}

impl From<InsideRuntime> for RenewError {
    fn from(error: InsideRuntime) -> Self {
        InvalidRequest::from(error).into()
    }
}

impl From<InsideRuntime> for OwnerError {
    fn from(error: InsideRuntime) -> Self {
        InvalidRequest::from(error).into()
    }
}
