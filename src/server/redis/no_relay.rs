//! In place of a relay, on a system without Unix sockets.

use crate::{decision::DownReason, text::Text};
use fred::types::config::Config;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Relay;

impl Relay {
    #[expect(clippy::unused_async, reason = "it waits on other systems")]
    pub(super) async fn to_server_of(_: &mut Config, _: Duration) -> Result<Self, DownReason> {
        Err(DownReason::Io(Text::new(
            "a untrusted server needs Unix sockets, which this system has not",
        )))
    }

    #[expect(clippy::unused_async, reason = "it waits on other systems")]
    pub(super) async fn ended(&mut self) -> Option<DownReason> {
        None
    }
}
