//! The library against real servers, each a process of its own that a test may crash, freeze and restart.
//!
//! The program is taken from `REDIS_SERVER`, or else is the `redis-server` on the search path.

// They are frozen by signals, and some listen at Unix sockets.
#![cfg(unix)]

mod access;
mod close;
mod cluster;
mod events;
mod exclusion;
mod far;
mod faults;
mod fencing;
mod groups;
mod guard;
mod hostile;
mod introduction;
mod logged;
mod original;
mod owner;
mod refusals;
mod restart;
mod sentinel;
mod several;
mod starved;
mod support;
#[cfg(feature = "tls")]
mod tls;
mod told;
#[cfg(feature = "tls")]
mod trust;
mod turncoat;
mod turns;
mod undo;
mod using;
mod waiting;
mod withheld;
