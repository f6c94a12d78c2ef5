//! Redis and Valkey servers for tests and measurements: each is a process on a port and in a directory of its own, which
//! ends when its value is dropped, also when a test panics. Around them: proxies, fake servers and certificates, and the comparison
//! of what clients believed to hold.
//!
//! The program is taken from `REDIS_SERVER`, or else is the `redis-server` on the search path. This crate does not know
//! the library that it helps to test.

mod client;
mod fake;
pub mod holdings;
mod listener;
mod network;
mod place;
mod process;
mod proxy;
mod resp;
mod server;
mod settings;
#[cfg(feature = "tls")]
mod tls;
mod wait;

pub use fake::{FakeServer, Manner};
pub use listener::{Accept, Listener, Visits};
pub use network::{Mode, Network};
pub use place::Directory;
pub use process::program;
pub use proxy::{Proxy, Ruling, name};
pub use resp::Reply;
pub use server::{RedisServer, are_untrusted};
pub use settings::RedisServerBuilder;
#[cfg(feature = "tls")]
pub use tls::{Certificates, ClientCertificate, Identity};
pub use wait::{block_until, block_until_some, eventually, finishes};

/// Fails unless the value has this form, and prints it.
#[macro_export]
macro_rules! assert_matches {
    ($value:expr, $form:pat $(if $condition:expr)? $(,)?) => {
        let value = $value;
        assert!(matches!(value, $form $(if $condition)?), "{value:?}");
    };
}

/// The part of a value that has this form. Panics with the value if it has another.
#[macro_export]
macro_rules! extract {
    ($value:expr, $form:pat => $part:expr) => {
        match $value {
            $form => $part,
            other => panic!("{other:?}"),
        }
    };
}
