//! The futures that the calls return.

pub use crate::{
    guard::AcquireRequest,
    monitor::WaitConnected,
    request::{LockRequest, OwnerRequest, RenewRequest, Unlocking},
};
