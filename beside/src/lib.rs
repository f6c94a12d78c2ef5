//! A program that uses `multiredlock`, and fred with other features.

pub use fred::clients::Client;
pub use multiredlock::Redlock;
