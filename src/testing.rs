//! Servers within the process, for testing code that locks without Redis.

pub use crate::server::memory::MemoryServer;
