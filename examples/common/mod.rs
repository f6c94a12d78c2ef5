//! What the examples share.

use multiredlock::{Builder, Redlock};
use std::{error::Error, fmt, time::Duration};

/// Why an example ended. `main` prints errors by `Debug`; this one is written for people.
pub(crate) struct Failed(Box<dyn Error>);

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl<E: Into<Box<dyn Error>>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// Connects to the servers with these addresses, or to three within the process if there are none. If that takes longer
/// than 5 s, the error says which server is down and why.
#[allow(dead_code, reason = "`events` also watches servers that are down")]
pub(crate) async fn connect(addresses: &[String], adjust: impl FnOnce(Builder) -> Builder) -> Result<Redlock, Failed> {
    let builder = if addresses.is_empty() {
        Redlock::builder().servers(["memory://a", "memory://b", "memory://c"])
    } else {
        Redlock::builder().servers(addresses)
    };
    let redlock = adjust(builder).build()?;
    redlock.wait_connected().timeout(Duration::from_secs(5)).await?;
    Ok(redlock)
}
