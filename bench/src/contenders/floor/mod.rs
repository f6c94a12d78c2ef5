//! The floor: what a lock on these servers costs when nothing but the lock is written.
//!
//! A hand-written RESP client that knows two commands and one-line answers. It has no reconnection, no timeouts and no
//! checks of time, so it is no lock to use; it is what the others are held against.

mod ballot;
mod driver;
mod link;
mod queue;

use std::{fmt::Write, net::SocketAddr, sync::Arc, time::Duration};

use tokio::task::JoinHandle;

use self::{
    ballot::{Ballot, Rule},
    driver::Driver,
    link::Link,
    queue::Queue,
};
use super::{Contender, Held, UNLOCK};
use crate::Result;

/// Callers put commands in the queue; one task takes them to all servers and the answers back to the ballots.
pub struct Floor {
    queue: Arc<Queue>,
    servers: usize,
    /// The name by which every server knows the script that unlocks.
    unlock: String,
    driver: JoinHandle<()>,
}

impl Contender for Floor {
    type Held = Held;

    async fn connect(addresses: &[SocketAddr]) -> Result<Self> {
        let mut links = Vec::with_capacity(addresses.len());
        let mut unlock = String::new();
        for address in addresses {
            let mut link = Link::connect(*address).await?;
            unlock = link.load_script(&encode(&["SCRIPT", "LOAD", UNLOCK])).await?;
            links.push(link);
        }
        let queue = Arc::new(Queue::default());
        let driver = tokio::spawn(Driver::new(links, Arc::clone(&queue)));
        Ok(Self {
            queue,
            servers: addresses.len(),
            unlock,
            driver,
        })
    }

    async fn lock(&self, resource: &str, ttl: Duration) -> Result<Held> {
        let held = Held::new(resource);
        let ttl = ttl.as_millis().to_string();
        let words = ["SET", resource, &held.value, "NX", "PX", &ttl];
        if self.submit(Rule::Majority, &words).settled().await {
            Ok(held)
        } else {
            self.release(held);
            Err("no majority".into())
        }
    }

    async fn unlock(&self, held: Held) -> Result<()> {
        if self.submit_unlock(&held).settled().await {
            Ok(())
        } else {
            Err("a server did not unlock".into())
        }
    }

    fn release(&self, held: Held) {
        self.submit_unlock(&held);
    }

    /// Dropping it ends the driver, and with it the connections.
    async fn close(self) {}
}

impl Floor {
    fn submit_unlock(&self, held: &Held) -> Arc<Ballot> {
        let words = ["EVALSHA", &self.unlock, "1", &held.resource, &held.value];
        self.submit(Rule::All, &words)
    }

    fn submit(&self, rule: Rule, words: &[&str]) -> Arc<Ballot> {
        let ballot = Arc::new(Ballot::new(rule, self.servers));
        self.queue.push(&encode(words), &ballot);
        ballot
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn encode(words: &[&str]) -> Vec<u8> {
    let mut command = String::with_capacity(256);
    // Writing to a string cannot fail.
    let _ = write!(command, "*{}\r\n", words.len());
    for word in words {
        let _ = write!(command, "${}\r\n{word}\r\n", word.len());
    }
    command.into_bytes()
}
