//! One server: its connections one after the other, its heartbeat, and its lane of operations.

mod lane;
mod link;
pub(crate) mod memory;
mod operation;
mod reason;
mod redis;
mod supervisor;

pub(crate) use lane::Lane;
pub(crate) use operation::{Claim, KeyAndValue, Operation, Verb};

pub use reason::{DownReason, Refusal, Text};
pub(crate) use supervisor::{Connector, Supervisor};
