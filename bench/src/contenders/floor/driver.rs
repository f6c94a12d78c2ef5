//! The one task that reads and writes all connections: with a task for each, tokio's threads would spend the time of a
//! lone caller on waking each other.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    link::Link,
    queue::{Batch, Queue},
};

/// With fewer commands out there is nobody to wait for, and a command is written at once.
const FEW: usize = 4;

pub struct Driver {
    links: Vec<Link>,
    queue: Arc<Queue>,
    batch: Batch,
    waited: bool,
}

impl Driver {
    pub fn new(links: Vec<Link>, queue: Arc<Queue>) -> Self {
        Self {
            links,
            queue,
            batch: Batch::default(),
            waited: false,
        }
    }

    /// Callers that are ready to run should add their commands to this write, not cause one of their own each.
    fn should_wait(&self) -> bool {
        !self.waited && self.links.iter().any(|link| link.unanswered() >= FEW)
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let driver = &mut *self;
        driver.queue.register(context.waker());
        for link in &mut driver.links {
            link.read(context);
        }
        if !driver.queue.is_empty() {
            if driver.should_wait() {
                driver.waited = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            driver.waited = false;
            driver.queue.take(&mut driver.batch);
            for link in &mut driver.links {
                link.submit(&driver.batch);
            }
            driver.batch.commands.clear();
            driver.batch.ballots.clear();
        }
        for link in &mut driver.links {
            link.write(context);
        }
        Poll::Pending
    }
}
