//! What one can subscribe to.

use super::{Monitor, Notice, Snapshot};
use crate::{
    decision::{Quorum, quorum::Connection},
    monitor::Event,
};
use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio_stream::{
    Stream,
    wrappers::{BroadcastStream, errors::BroadcastStreamRecvError},
};

/// Every [`Event`], from [`Redlock::events`](crate::Redlock::events).
///
/// The first items are the state that holds at the subscription: one `ServerUp` or `ServerDown` for each server that was
/// tried, then with several groups `GroupConnected` or `GroupDisconnected` for each that was reached, then `Connected` or
/// `Disconnected` unless neither was reached yet. Then each event in order; warnings are told as they come up, and not
/// again. A subscriber that is more than 256 events behind gets `Lagged` and the state that holds then. The stream ends
/// when the client is closed or its last clone is dropped. [`recv`](Self::recv) waits for one item without `StreamExt`.
#[must_use = "streams do nothing unless polled"]
pub struct Events {
    monitor: Arc<Monitor>,
    notices: BroadcastStream<Notice>,
    ahead: VecDeque<Notice>,
    /// How many events there had been by the last one that was told, or by the subscription.
    number: u64,
}

impl Events {
    pub(crate) fn new(monitor: Arc<Monitor>) -> Self {
        let (receiver, snapshot) = monitor.subscribe();
        Self {
            monitor,
            notices: BroadcastStream::new(receiver),
            number: snapshot.number,
            ahead: snapshot.into_notices(),
        }
    }

    /// Waits for the next event, as the stream does. Returns `None` when the client is closed or its last clone is dropped.
    ///
    /// A subscriber that is more than 256 events behind gets `Lagged` and then the state that holds.
    ///
    /// ```
    /// # use multiredlock::{Redlock, event::Event};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let redlock = Redlock::builder().servers(["memory://a"]).build()?;
    /// let mut events = redlock.events();
    /// while let Some(event) = events.recv().await {
    ///     println!("{event}");
    ///     if let Event::Connected(quorum) = event {
    ///         assert_eq!(quorum.to_string(), "1 of 1 servers can vote, 1 required");
    ///         break;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// It is cancel-safe: a future that is dropped takes no event with it.
    pub async fn recv(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_notice(cx)).await.map(|notice| notice.event)
    }

    fn poll_notice(&mut self, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        if let Some(notice) = self.ahead.pop_front() {
            return Poll::Ready(Some(notice));
        }
        let next = loop {
            match ready!(Pin::new(&mut self.notices).poll_next(cx)) {
                // What holds at the subscription is what this led to.
                Some(Ok(notice)) if notice.number <= self.number => {}
                next => break next,
            }
        };
        match next {
            Some(Ok(notice)) => {
                self.number = notice.number;
                Poll::Ready(Some(notice))
            }
            // Those that are still kept are dropped as well, since the state that holds now follows.
            Some(Err(BroadcastStreamRecvError::Lagged(_))) => {
                let (receiver, snapshot) = self.monitor.subscribe();
                let (crossing, number) = (snapshot.crossing, snapshot.number);
                let missed = number - std::mem::replace(&mut self.number, number);
                self.notices = BroadcastStream::new(receiver);
                self.ahead = snapshot.into_notices();
                Poll::Ready(Some(Notice {
                    event: Event::Lagged { missed },
                    crossing,
                    number,
                }))
            }
            None => Poll::Ready(None),
        }
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_notice(cx).map(|notice| Some(notice?.event))
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

/// One kind of crossing of the majority, as `Connected` and `Disconnected` among the [events](Event), from [`Redlock::connected`](crate::Redlock::connected) or
/// [`Redlock::disconnected`](crate::Redlock::disconnected).
///
/// If that state holds at the subscription it is the first item (before a majority was reached for the first time neither
/// holds); then each crossing into that state is one item. A
/// subscriber that is more than 256 events behind misses the crossings in between, but not the state that holds then. The
/// stream ends when the client is closed or its last clone is dropped. [`recv`](Self::recv) waits for one item without `StreamExt`.
#[must_use = "streams do nothing unless polled"]
#[derive(Debug)]
pub struct QuorumChanges {
    events: Events,
    wanted: Connection,
    /// The last crossing that was told, so that a state that is replayed after a lag is not told twice.
    told: u64,
}

impl QuorumChanges {
    pub(crate) fn new(monitor: Arc<Monitor>, wanted: Connection) -> Self {
        Self {
            events: Events::new(monitor),
            wanted,
            told: 0,
        }
    }

    /// Waits for the next change, as the stream does. Returns `None` when the client is closed or its last clone is dropped.
    ///
    /// A subscriber that is more than 256 events behind misses the changes in between, but not the state that holds then.
    ///
    /// # Cancel safety
    ///
    /// It is cancel-safe: a future that is dropped takes no change with it.
    pub async fn recv(&mut self) -> Option<Quorum> {
        poll_fn(|cx| self.poll_change(cx)).await
    }

    fn poll_change(&mut self, cx: &mut Context<'_>) -> Poll<Option<Quorum>> {
        loop {
            let Some(Notice { event, crossing, .. }) = ready!(self.events.poll_notice(cx)) else {
                return Poll::Ready(None);
            };
            let (connection, quorum) = match event {
                Event::Connected(quorum) => (Connection::Connected, quorum),
                Event::Disconnected(quorum) => (Connection::Disconnected, quorum),
                _ => continue,
            };
            // A state that is replayed after a lag may have been told before.
            if connection == self.wanted && crossing > self.told {
                self.told = crossing;
                return Poll::Ready(Some(quorum));
            }
        }
    }
}

impl Stream for QuorumChanges {
    type Item = Quorum;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Quorum>> {
        self.poll_change(cx)
    }
}

impl Snapshot {
    fn into_notices(self) -> VecDeque<Notice> {
        let Self {
            events,
            crossing,
            number,
        } = self;
        let notices = events.into_iter().map(|event| Notice {
            event,
            crossing,
            number,
        });
        notices.collect()
    }
}
