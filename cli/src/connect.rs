//! A client whose majority was reached.

use crate::{
    exit::{self, Failure},
    settings::Settings,
};
use multiredlock::{
    Redlock,
    status::{DownReason, ServerState, ServerStatus},
};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// For how long a server that could not be reached at first may come back, as it does when it is started again.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a majority waits for the others, so that they vote too.
const LAGGARDS: Duration = Duration::from_millis(100);

/// How often it is looked whether a heartbeat was answered.
const LOOK: Duration = Duration::from_millis(1);

/// Connects, and waits for a majority of the servers that a resource belongs to.
pub(crate) async fn connect(settings: &Settings, resource: &str) -> Result<Redlock, Failure> {
    let redlock = settings.redlock()?;
    wait_for(&redlock, resource).await?;
    Ok(redlock)
}

/// Waits for a majority of the servers that a resource belongs to, and says who is in the way.
pub(crate) async fn wait_for(redlock: &Redlock, resource: &str) -> Result<(), Failure> {
    if settle(redlock, resource, PATIENCE).await {
        return Ok(());
    }
    // A far server may still be on its way, for as long as the heartbeat timeout lets it take for each answer.
    tokio::select! {
        biased;
        () = reached(redlock, resource) => Ok(()),
        () = all_tried(redlock) => Err(no_quorum(&redlock.servers())),
    }
}

/// Waits until it is known of every server whether it can be reached, and says who is in the way of a majority of each group.
pub(crate) async fn wait(redlock: &Redlock) -> Result<(), Failure> {
    all_tried(redlock).await;
    let waited = redlock.wait_connected().timeout(PATIENCE).await;
    waited.map_err(|error| Failure::new(exit::UNAVAILABLE, error.to_string()))
}

/// Waits for a majority of the servers that a resource belongs to, and a little for the others. Returns whether there is one.
pub(crate) async fn settle(redlock: &Redlock, resource: &str, longest: Duration) -> bool {
    if timeout(longest, reached(redlock, resource)).await.is_err() {
        return false;
    }
    // Who is not there by then votes on what follows.
    let _ = timeout(LAGGARDS, all_tried(redlock)).await;
    true
}

/// Waits for a majority of the servers that a resource belongs to.
async fn reached(redlock: &Redlock, resource: &str) {
    let mut events = redlock.events();
    while !is_reached(redlock, resource) {
        events.recv().await;
    }
}

/// Whether a majority of the servers that a resource belongs to can be reached; of each group, if that is no resource.
pub(crate) fn is_reached(redlock: &Redlock, resource: &str) -> bool {
    match redlock.group_of(resource) {
        Ok(group) => redlock.quorums()[group].is_reached(),
        Err(_) => redlock.is_connected(),
    }
}

/// Connects, and waits until it is known of every server whether it can be reached.
pub(crate) async fn look_around(settings: &Settings) -> Result<Redlock, Failure> {
    let redlock = settings.redlock()?;
    all_tried(&redlock).await;
    Ok(redlock)
}

/// Waits until each server that is up has answered a heartbeat, so that its round trip is known.
pub(crate) async fn all_answered(redlock: &Redlock) {
    // No event reports it.
    let is_open = |server: &ServerStatus| server.state == ServerState::Up && server.round_trip.is_none();
    let answered = async {
        while redlock.servers().iter().any(is_open) {
            sleep(LOOK).await;
        }
    };
    let _ = timeout(PATIENCE, answered).await;
}

/// Waits until it is known of every server whether it can be reached. The library's limits for a connection end that.
pub(crate) async fn all_tried(redlock: &Redlock) {
    let mut events = redlock.events();
    while is_connecting(redlock) {
        events.recv().await;
    }
}

/// Whether it is not known yet of every server whether it can be reached.
pub(crate) fn is_connecting(redlock: &Redlock) -> bool {
    let is_open = |server: &ServerStatus| server.state == ServerState::Down(DownReason::NotYet);
    redlock.servers().iter().any(is_open)
}

/// Who is in the way of a majority.
pub(crate) fn no_quorum(servers: &[ServerStatus]) -> Failure {
    let message = format!("no majority of the servers can be reached{}", troubles(servers));
    Failure::new(exit::UNAVAILABLE, message)
}

/// Why servers are down, for the end of a message.
pub(crate) fn troubles<'a>(servers: impl IntoIterator<Item = &'a ServerStatus>) -> String {
    let reasons: Vec<String> = servers
        .into_iter()
        .filter_map(|server| Some(format!("{}: {}", server.address, server.state.reason()?)))
        .collect();
    // One that was in the way may just have come back.
    match reasons.as_slice() {
        [] => String::new(),
        reasons => format!(" ({})", reasons.join("; ")),
    }
}
