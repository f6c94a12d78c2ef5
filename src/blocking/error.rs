//! Errors of calls that wait, and what a refused call becomes in the error of each request.

use crate::{
    client::InvalidRequest,
    monitor::{Closed, WaitConnectedError},
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
    /// The time limit of [`recv_timeout`](super::Events::recv_timeout) was reached.
    #[error("no event came within {waited:?}")]
    #[non_exhaustive]
    TimedOut {
        /// The time limit.
        waited: Duration,
    },
    /// No majority could be reached in time. It says why each server is down.
    #[error(transparent)]
    NotConnected(WaitConnectedError),
    /// The call was made inside a tokio runtime.
    #[error(transparent)]
    InsideRuntime(#[from] InsideRuntime),
}

impl From<WaitConnectedError> for WaitError {
    fn from(error: WaitConnectedError) -> Self {
        match error {
            WaitConnectedError::Closed(Closed) => Self::Closed,
            error @ WaitConnectedError::TimedOut { .. } => Self::NotConnected(error),
        }
    }
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
