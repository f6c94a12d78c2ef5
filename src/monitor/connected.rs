//! Waiting for a majority, and why that ends without one.

use super::{Monitor, ServerStatus};
use crate::decision::Quorum;
use std::{
    fmt::{self, Write},
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::sleep;

/// A pending wait for a majority, from [`Redlock::wait_connected`](crate::Redlock::wait_connected).
///
/// Awaiting it returns `Ok` if a majority of the servers can be reached, in every [group](crate::Builder::group). It waits as long as it
/// takes, also if a wrong password or address keeps a server down. [`timeout`](Self::timeout) limits that.
///
/// # Errors
///
/// [`Closed`] if the client is closed.
///
/// # Cancel safety
///
/// It does nothing but wait.
#[must_use = "futures do nothing unless awaited"]
pub struct WaitConnected {
    monitor: Arc<Monitor>,
    settled: Pin<Box<dyn Future<Output = Result<(), Closed>> + Send + Sync>>,
}

impl WaitConnected {
    pub(crate) fn new(monitor: Arc<Monitor>) -> Self {
        let waiting = Arc::clone(&monitor);
        Self {
            monitor,
            settled: Box::pin(async move { waiting.wait_connected().await }),
        }
    }

    /// Waits at most this long.
    ///
    /// ```
    /// # use multiredlock::{Redlock, testing::MemoryServer};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let servers = [MemoryServer::named("a"), MemoryServer::named("b")];
    /// let redlock = Redlock::builder().servers(&servers).build()?;
    /// redlock.wait_connected().timeout(Duration::from_secs(5)).await?;
    ///
    /// servers[1].crash();
    /// redlock.disconnected().recv().await;
    /// let error = redlock.wait_connected().timeout(Duration::from_secs(5)).await.unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "no majority of the servers could be reached within 5s: 1 of 2 servers can vote, 2 required \
    ///      (memory://b: connection refused)"
    /// );
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`WaitConnectedError`]: `TimedOut` if a majority cannot be reached by then, with the reason why each server is down. `Closed` if the
    /// client is closed.
    ///
    /// # Panics
    ///
    /// If it is polled outside a tokio runtime with timers.
    ///
    /// # Cancel safety
    ///
    /// It does nothing but wait.
    pub async fn timeout(self, limit: Duration) -> Result<(), WaitConnectedError> {
        tokio::select! {
            biased;
            settled = self.settled => Ok(settled?),
            () = sleep(limit) => self.monitor.timed_out(limit),
        }
    }
}

impl Future for WaitConnected {
    type Output = Result<(), Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.settled.as_mut().poll(cx)
    }
}

impl fmt::Debug for WaitConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitConnected").finish_non_exhaustive()
    }
}

/// The client was closed, or the runtime in which it was built has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the client is closed")]
pub struct Closed;

/// Why waiting for a majority ended without one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitConnectedError {
    /// The time was up that [`timeout`](crate::future::WaitConnected::timeout) had set.
    #[error(
        "no majority of the servers could be reached within {waited:?}: {}",
        standing(quorums, down)
    )]
    #[non_exhaustive]
    TimedOut {
        /// How long it waited.
        waited: Duration,
        /// The quorum of each [group](crate::Builder::group).
        quorums: Vec<Quorum>,
        /// The servers that are down, in the order in which they are configured.
        down: Vec<ServerStatus>,
    },
    /// The client was closed, or the runtime in which it was built has ended.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// How many servers can vote in each group that has no majority, and why the others are down.
fn standing(quorums: &[Quorum], down: &[ServerStatus]) -> String {
    let missing = quorums.iter().filter(|quorum| !quorum.is_reached());
    let counts: Vec<String> = missing
        .map(|quorum| match quorums.len() {
            1 => quorum.to_string(),
            _ => format!("{quorum} in group {}", quorum.group),
        })
        .collect();
    let mut text = counts.join("; ");
    for (i, ServerStatus { address, state, .. }) in down.iter().enumerate() {
        text += if i == 0 { " (" } else { "; " };
        // Writing to a string does not fail.
        let _ = match state.reason() {
            Some(reason) => write!(text, "{address}: {reason}"),
            None => write!(text, "{address}"),
        };
    }
    if !down.is_empty() {
        text.push(')');
    }
    text
}
