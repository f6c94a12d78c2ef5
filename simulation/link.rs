//! A connection as the library sees it.

use super::{find_world, network::Opened, tasks::Process, world};
use crate::{
    decision::DownReason,
    server::{
        link::{Command, Connected, Ended, Link, Task},
        parse_info,
    },
};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;
use tokio_stream::wrappers::UnboundedReceiverStream;

#[derive(Debug)]
struct SimulatedLink {
    wire: usize,
}

/// Connects a client to the server of this name.
pub(crate) async fn connect(client: Process, name: &str, limit: Duration) -> Result<Connected, DownReason> {
    let Opened {
        wire,
        welcome,
        ended,
        feed,
    } = {
        let world = world();
        let mut network = world.network.borrow_mut();
        let server = network.server_named(name).ok_or(DownReason::ConnectionRefused)?;
        network.open(client, server)
    };
    let link = SimulatedLink { wire };
    let life = match timeout(limit, welcome).await {
        Ok(Ok(welcome)) => welcome?,
        Ok(Err(_)) => return Err(DownReason::ConnectionLost),
        Err(_) => return Err(DownReason::ConnectTimeout),
    };
    Ok(Connected {
        link: Arc::new(link),
        feed: Box::pin(UnboundedReceiverStream::new(feed)),
        facts: parse_info(&life.info()).expect("the server has a version"),
        ended: Ended::new(async move {
            let _ = ended.await;
            DownReason::ConnectionLost
        }),
    })
}

impl Link for SimulatedLink {
    fn send(&self, command: Command) {
        let world = world();
        let (mut network, mut history) = (world.network.borrow_mut(), world.history.borrow_mut());
        network.submit(self.wire, command, &mut history);
    }

    fn track(&self, done: Box<dyn FnOnce(bool) + Send>) -> bool {
        world().network.borrow_mut().track(self.wire, done);
        true
    }

    fn ping(&self, _: bool) -> Task<Result<Vec<u64>, DownReason>> {
        world().network.borrow_mut().ping(self.wire)
    }

    fn end(&self) {
        world().network.borrow_mut().end(self.wire);
    }
}

impl Drop for SimulatedLink {
    fn drop(&mut self) {
        // A run that is over has no network any more.
        if let Some(world) = find_world() {
            world.network.borrow_mut().end(self.wire);
        }
    }
}
