//! A connection to a Redis server: commands, changes of keys, and heartbeats.

use super::{
    cluster::Cluster,
    inline::Replies,
    peer::Peer,
    router::Router,
    wire::{self, Keys},
};
use crate::{
    decision::{DownReason, Refusal},
    server::link::{Answer, Change, Command, Feed, Link, Task},
};
use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::{ClientLike, Resp3Frame, TrackingInterface},
    types::{ClusterHash, CustomCommand, RespVersion, Value, config::Server as FredServer},
};
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};
use tokio::{runtime, task::AbortHandle};
use tokio_stream::{
    StreamExt,
    wrappers::{BroadcastStream, errors::BroadcastStreamRecvError},
};

/// One connection, or one to each node of a cluster.
pub(super) struct RedisLink {
    pub(super) client: Client,
    pub(super) router: AbortHandle,
    pub(super) limit: Duration,
    pub(super) replies: Arc<Replies>,
    pub(super) cluster: Option<Arc<Cluster>>,
    /// Whether scripts have to declare all their keys, as if the server was a cluster.
    pub(super) must_declare: AtomicBool,
    /// Whether the server can tell something that is no reply.
    pub(super) has_pushes: bool,
}

impl fmt::Debug for RedisLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLink").finish_non_exhaustive()
    }
}

/// Who a command is for.
#[derive(Clone)]
pub(super) enum To {
    /// The only process there is.
    Only,
    /// The node of a cluster that has this slot.
    Slot(u16),
    Node(FredServer),
}

impl RedisLink {
    pub(super) fn new(client: Client, router: &Router, cluster: Option<Cluster>) -> Self {
        Self {
            has_pushes: client.protocol_version() == RespVersion::RESP3,
            client,
            router: router.handle(),
            limit: router.limit,
            replies: Arc::new(Replies::new(runtime::Handle::current())),
            cluster: cluster.map(Arc::new),
            must_declare: AtomicBool::new(false),
        }
    }

    /// The command is queued on the connection at the first poll.
    pub(super) fn start(
        &self,
        to: To,
        name: &'static str,
        args: Vec<Value>,
    ) -> impl Future<Output = Result<Resp3Frame, Error>> + Send + use<> {
        let client = self.client.clone();
        let ended = self.router.is_finished() || self.cluster.as_ref().is_some_and(|cluster| cluster.has_ended());
        async move {
            if ended {
                // fred would keep the command for ever.
                return Err(Error::new(ErrorKind::Canceled, "connection lost"));
            }
            let command = |hash| CustomCommand::new_static(name, hash, false);
            match to {
                To::Only => client.custom_raw(command(ClusterHash::FirstKey), args).await,
                To::Slot(slot) => client.custom_raw(command(ClusterHash::Custom(slot)), args).await,
                To::Node(node) => {
                    let node = client.with_cluster_node(node);
                    node.custom_raw(command(ClusterHash::Random), args).await
                }
            }
        }
    }

    /// What is read from the answer of each process, or nothing as soon as one gives none. All are asked at the first poll.
    pub(super) fn ask_all<T: Send + 'static>(
        &self,
        name: &'static str,
        args: fn() -> Vec<Value>,
        read: fn(&Resp3Frame) -> T,
    ) -> impl Future<Output = Option<Vec<T>>> + Send + use<T> {
        let replies = self.destinations().into_iter().map(|to| self.start(to, name, args()));
        let mut replies: Vec<Pin<Box<_>>> = replies.map(Box::pin).collect();
        let mut answers: Vec<Option<T>> = replies.iter().map(|_| None).collect();
        poll_fn(move |cx| {
            for (reply, answer) in replies
                .iter_mut()
                .zip(&mut answers)
                .filter(|(_, answer)| answer.is_none())
            {
                match reply.as_mut().poll(cx) {
                    Poll::Ready(Ok(frame)) => *answer = Some(read(&frame)),
                    Poll::Ready(Err(_)) => return Poll::Ready(None),
                    Poll::Pending => {}
                }
            }
            if answers.iter().any(Option::is_none) {
                Poll::Pending
            } else {
                Poll::Ready(answers.drain(..).collect())
            }
        })
    }

    pub(super) fn must_declare(&self) -> bool {
        self.must_declare.load(Ordering::Relaxed)
    }

    /// The processes that it leads to.
    pub(super) fn peers(&self) -> Vec<Peer<'_>> {
        self.destinations().into_iter().map(|to| Peer::new(self, to)).collect()
    }

    pub(super) fn destinations(&self) -> Vec<To> {
        match &self.cluster {
            None => vec![To::Only],
            Some(cluster) if cluster.is_lone() => vec![To::Only],
            Some(cluster) => cluster.nodes().iter().cloned().map(To::Node).collect(),
        }
    }
}

impl Link for RedisLink {
    fn send(&self, command: Command) {
        let (operations, form) = (&command.operations, command.form);
        let way = self.cluster.clone().map(|cluster| {
            let place = cluster.place(operations);
            (cluster, place)
        });
        let (to, keys) = match &way {
            None if self.must_declare() => (To::Only, Keys::All),
            None => (To::Only, Keys::Watched),
            Some((_, place)) => (To::Slot(place.slot), Keys::All),
        };
        let (name, args) = wire::command(operations, form, keys);
        let reply = self.start(to, name, args);
        let replies = Arc::clone(&self.replies);
        self.replies.when_ready(reply, move |reply| {
            let answer = match (reply, way) {
                (_, Some((cluster, _))) if cluster.has_ended() => Answer::Lost,
                (Some(Ok(frame)), Some((cluster, _))) if cluster.has_ended_for(&frame) => {
                    Answer::Rejected(Refusal::Moving)
                }
                (Some(Ok(frame)), _) => wire::answer(&frame, name, command.operations.len(), form, keys),
                (Some(Err(error)), Some((cluster, place))) => {
                    let then = move |answer| command.answer(answer);
                    return cluster.given_up(&error, place, form, &replies, then);
                }
                (Some(Err(_)) | None, _) => Answer::Lost,
            };
            command.answer(answer);
        });
    }

    fn takes_one_by_one(&self) -> bool {
        self.cluster.is_some() || self.must_declare()
    }

    fn track(&self, done: Box<dyn FnOnce(bool) + Send>) -> bool {
        if !self.has_pushes {
            return false;
        }
        // A change that we made ourselves is known here.
        let args = || vec!["TRACKING".into(), "ON".into(), "NOLOOP".into()];
        let tracked = self.ask_all("CLIENT", args, |frame| wire::error(frame).is_none());
        self.replies.when_ready(tracked, |tracked| {
            let by_all = |tracked: Vec<bool>| !tracked.contains(&false);
            done(tracked.flatten().is_some_and(by_all));
        });
        true
    }

    fn ping(&self, asks_time: bool) -> Task<Result<Vec<u64>, DownReason>> {
        let command = if asks_time { "TIME" } else { "PING" };
        // That it may not tell the time is a sign of life, too.
        let answers = self.ask_all(command, Vec::new, wire::time);
        Box::pin(async move {
            let times = answers.await.ok_or(DownReason::ConnectionLost)?;
            Ok(times.into_iter().collect::<Option<Vec<_>>>().unwrap_or_default())
        })
    }

    fn end(&self) {
        self.router.abort();
        self.replies.cancel();
    }
}

/// What the server tells of changed keys.
pub(super) fn feed(client: &Client) -> Feed {
    let told = BroadcastStream::new(client.invalidation_rx());
    Box::pin(told.map(|told| match told {
        Ok(invalidation) => Change::Keys(invalidation.keys.iter().map(|key| key.as_bytes().into()).collect()),
        Err(BroadcastStreamRecvError::Lagged(_)) => Change::Anything,
    }))
}
