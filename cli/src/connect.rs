//! A handle whose majority was reached.

use crate::{
    exit::{self, Failure},
    settings::Settings,
};
use multiredlock::{Redlock, ServerState, ServerStatus};
use std::{fmt::Write, time::Duration};
use tokio::time::timeout;

/// How long it takes at the most until a server that can be reached is: a connection may take one heartbeat timeout.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Connects, and waits for a majority of each group.
pub(crate) async fn connect(settings: &Settings) -> Result<Redlock, Failure> {
    let redlock = settings.redlock()?;
    wait(&redlock).await?;
    Ok(redlock)
}

/// Waits for a majority of each group, and says who is in the way.
pub(crate) async fn wait(redlock: &Redlock) -> Result<(), Failure> {
    match timeout(PATIENCE, redlock.wait_connected()).await {
        Ok(_) => Ok(()),
        Err(_) => Err(no_quorum(&redlock.servers())),
    }
}

/// Connects, and waits until every server was reached, or the patience is over: for those who look at all of them.
pub(crate) async fn look_around(settings: &Settings) -> Result<Redlock, Failure> {
    let redlock = settings.redlock()?;
    let is_open = |server: &ServerStatus| matches!(server.state, ServerState::Down(ref reason) if *reason == multiredlock::DownReason::NotYet);
    let settled = async {
        let mut events = redlock.events();
        while redlock.servers().iter().any(is_open) {
            tokio_stream::StreamExt::next(&mut events).await;
        }
    };
    // Who has not answered by then is told as not connected.
    let _ = timeout(PATIENCE, settled).await;
    Ok(redlock)
}

/// Who is in the way of a majority.
pub(crate) fn no_quorum(servers: &[ServerStatus]) -> Failure {
    let mut message = String::from("no majority of the servers can be reached");
    let mut separator = " (";
    for server in servers {
        if let ServerState::Down(reason) = &server.state {
            // Writing to a string does not fail.
            let _ = write!(message, "{separator}{}: {reason}", server.address);
            separator = "; ";
        }
    }
    message.push(')');
    Failure::new(exit::UNAVAILABLE, message)
}
