//! The futures that the calls return.

pub use crate::{
    guard::AcquireRequest,
    request::{LockRequest, OwnerRequest, RenewRequest, Unlocking},
};
