//! Drives the command as a person or a script does, on real servers.

mod access;
mod bench;
mod blocked;
mod common;
mod doctor;
#[cfg(feature = "tls")]
mod encryption;
mod ending;
mod hangup;
mod herd;
mod job;
mod locks;
mod pty;
mod run;
mod sources;
mod stdout;
mod usage;
mod waiting;
mod watch;
