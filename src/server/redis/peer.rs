//! A process that a connection leads to, and what is asked of it before it is used.

use super::{
    link::{RedisLink, To},
    wire,
};
use crate::{decision::DownReason, server::held_up::answer_within};
use fred::{error::Error, interfaces::Resp3Frame, types::Value};
use std::{
    future::{Future, poll_fn, ready},
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::Poll,
};

pub(super) struct Peer<'a> {
    pub(super) link: &'a RedisLink,
    pub(super) to: To,
    /// The commands that are on their way already.
    ahead: Mutex<Vec<Ahead>>,
}

/// A command that was sent before its answer is wanted.
struct Ahead {
    name: &'static str,
    args: Vec<Value>,
    reply: Reply,
}

type Reply = Pin<Box<dyn Future<Output = Result<Resp3Frame, Error>> + Send>>;

impl<'a> Peer<'a> {
    pub(super) fn new(link: &'a RedisLink, to: To) -> Self {
        Self {
            link,
            to,
            ahead: Mutex::default(),
        }
    }

    pub(super) fn is_node(&self) -> bool {
        self.link.cluster.is_some()
    }

    /// Sends commands that are going to be run, so that a far server answers all of them in one round trip.
    pub(super) async fn send_ahead(&self, commands: Vec<(&'static str, Vec<Value>)>) {
        for (name, args) in commands {
            let mut reply: Reply = Box::pin(self.link.start(self.to.clone(), name, args.clone()));
            let polled = poll_fn(|cx| Poll::Ready(reply.as_mut().poll(cx))).await;
            if let Poll::Ready(answer) = polled {
                reply = Box::pin(ready(answer));
            }
            self.ahead().push(Ahead { name, args, reply });
        }
    }

    /// Runs a command of the inspection. The inner error is the server's reply.
    pub(super) async fn command(
        &self,
        name: &'static str,
        args: Vec<Value>,
    ) -> Result<Result<Resp3Frame, String>, DownReason> {
        let reply = self.take(name, &args);
        let reply = reply.unwrap_or_else(|| Box::pin(self.link.start(self.to.clone(), name, args)));
        match answer_within(self.link.limit, reply).await {
            Ok(Ok(frame)) => Ok(wire::error(&frame).map_or(Ok(frame), Err)),
            Ok(Err(_)) => Err(DownReason::ConnectionLost),
            Err(_) => Err(DownReason::ConnectTimeout),
        }
    }

    fn take(&self, name: &str, args: &[Value]) -> Option<Reply> {
        let mut ahead = self.ahead();
        let place = ahead.iter().position(|sent| sent.name == name && sent.args == args)?;
        Some(ahead.remove(place).reply)
    }

    fn ahead(&self) -> std::sync::MutexGuard<'_, Vec<Ahead>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
