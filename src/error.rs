//! What failed, and why: the parts of the errors at the root of the crate, and the errors of single calls.

pub use crate::{
    address::AddressProblem,
    client::InvalidRequest,
    decision::{Failure, InvalidDrift, InvalidTtl, Refusal, ServerVote, Vote},
    guard::{EnsureError, UsingError},
    monitor::{Closed, WaitConnectedError},
    request::{ErrorKind, OwnerError},
    resource::InvalidResource,
    runtime::InsideRuntime,
    token::InvalidFencingToken,
};
