//! More processes of this binary, which talk with the one that started them in lines: each side waits for the other on
//! its standard input or output.

mod child;
mod parent;

pub use self::{
    child::{Process, spawn},
    parent::Parent,
};

/// What a process says when it is connected and can start.
pub const READY: &str = "ready";
