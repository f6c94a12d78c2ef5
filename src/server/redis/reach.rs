//! The way to a host: its addresses, and a connection to one of them.

use super::preflight;
use crate::server::{DownReason, Text};
use std::net::SocketAddr;
use tokio::net::{TcpStream, lookup_host};

/// Connects to a host by one of its addresses.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, DownReason> {
    let addresses = resolve(host, port).await?;
    TcpStream::connect(&addresses[..])
        .await
        .map_err(|error| preflight::reason(&error))
}

/// The addresses of a host, of which there is at least one.
async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, DownReason> {
    let unresolved = |problem: String| {
        // It is said already what failed.
        let problem = problem.trim_start_matches("failed to lookup address information: ");
        DownReason::Unresolved(Text::new(format!("`{host}`: {problem}")))
    };
    let found = lookup_host((host, port)).await;
    let found: Vec<_> = found.map_err(|error| unresolved(error.to_string()))?.collect();
    if found.is_empty() {
        return Err(unresolved("it has no address".into()));
    }
    Ok(found)
}
