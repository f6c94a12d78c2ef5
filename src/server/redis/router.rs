//! fred's task that serves a connection.

use super::relay::Relay;
use crate::{decision::DownReason, text::Text};
use fred::error::{Error, ErrorKind};
use std::time::Duration;
use tokio::{
    task::{AbortHandle, JoinHandle},
    time::timeout,
};

/// fred's task that owns the socket, and what it goes through to a server that is untrusted. Both end when this is dropped.
#[derive(Debug)]
pub(super) struct Router {
    pub(super) task: JoinHandle<Result<(), Error>>,
    pub(super) relay: Option<Relay>,
    /// How long each answer to a command of the inspection may take.
    pub(super) limit: Duration,
}

impl Router {
    pub(super) fn handle(&self) -> AbortHandle {
        self.task.abort_handle()
    }

    pub(super) async fn ended(&mut self) -> DownReason {
        let result = (&mut self.task).await;
        match (self.hung_up().await, result) {
            (Some(reason), _) => reason,
            (None, Ok(Err(error))) if matches!(error.kind(), ErrorKind::Protocol | ErrorKind::Parse) => {
                DownReason::NotRedis(Text::new(error.details()))
            }
            (None, _) => DownReason::ConnectionLost,
        }
    }

    /// The same of one that has lost its connection.
    pub(super) async fn ended_within(&mut self, limit: Duration) -> DownReason {
        timeout(limit, self.ended()).await.unwrap_or(DownReason::ConnectionLost)
    }

    /// Why the relay hung up, if there is one and it did.
    pub(super) async fn hung_up(&mut self) -> Option<DownReason> {
        self.relay.as_mut()?.ended().await
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.task.abort();
    }
}
