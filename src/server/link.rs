//! What a connection to a server can do, whatever kind of server it is.

use super::operation::Operation;
use crate::decision::{DownReason, Refusal};
use std::{fmt::Debug, future::Future, pin::Pin, sync::Arc, time::Duration};
use tokio_stream::Stream;

/// A connection, until it ends.
pub(crate) trait Link: Debug + Send + Sync {
    /// Sends a command.
    ///
    /// It is queued on the connection when this returns: whatever is sent later reaches the server later. The command is
    /// answered once, and never before this returns, since its sender may hold a lock that answering takes.
    fn send(&self, command: Command);

    /// Whether a command may carry no more than one operation. Then commands may overtake each other, unless one is answered
    /// before the other is sent, and an answer to one is no sign of life for all that the connection leads to.
    fn takes_one_by_one(&self) -> bool {
        false
    }

    /// Asks the server to tell of changes of keys that operations watch from now on, and tells `done` later whether it does. Returns
    /// false if it certainly will not.
    fn track(&self, done: Box<dyn FnOnce(bool) + Send>) -> bool;

    /// Asks for a sign of life, and if `asks_time` for what the clock of each process says, in microseconds; nothing if one of
    /// them does not tell.
    fn ping(&self, asks_time: bool) -> Task<Result<Vec<u64>, DownReason>>;

    /// Ends the connection at once. What was sent may still be carried out, but its answer is lost.
    fn end(&self);
}

pub(crate) type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a server tells of its own accord, on a connection that tracks.
#[derive(Debug)]
pub(crate) enum Change {
    /// These keys may have changed.
    Keys(Vec<Box<[u8]>>),
    /// So much changed that some of it is not told.
    Anything,
}

/// All that a server tells of its own accord.
pub(crate) type Feed = Pin<Box<dyn Stream<Item = Change> + Send>>;

/// Operations that travel together, in order.
pub(crate) struct Command {
    pub(crate) operations: Arc<[Arc<Operation>]>,
    pub(crate) form: Form,
    done: Done,
}

/// How operations are put to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) script: Script,
    /// Whether the keys of operations that watch are declared, without which a server does not tell of changes. Redis then
    /// refuses the whole command if the user may not access one of them.
    pub(crate) declares: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// In whatever form costs least.
    Cheapest,
    /// As a script that the server knows.
    Known,
    /// As a script that the server learns.
    Source,
}

type Done = Box<dyn FnOnce(Answer) + Send>;

impl Command {
    pub(crate) fn new(
        operations: Arc<[Arc<Operation>]>,
        form: Form,
        done: impl FnOnce(Answer) + Send + 'static,
    ) -> Self {
        Self {
            operations,
            form,
            done: Box::new(done),
        }
    }

    pub(crate) fn answer(self, answer: Answer) {
        (self.done)(answer);
    }
}

/// What became of a command.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It ran: one outcome for each operation, in order.
    Outcomes(Vec<Outcome>),
    /// Nothing was done, and it takes this form to do it or to say why not.
    Again(Form),
    /// The server refused to run it, so nothing was done.
    Rejected(Refusal),
    /// The answer was lost with the connection: it may or may not have run, or may yet.
    Lost,
}

/// What became of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// A fenced lock was granted, and this is the token that was stored.
    Fenced(u64),
    Missing,
    /// `pttl` as Redis counts it: milliseconds, or -1 for a key that never expires.
    Held {
        value: Vec<u8>,
        pttl: i64,
    },
    Failed(String),
}

/// A connection that was made and inspected.
pub(crate) struct Connected {
    pub(crate) link: Arc<dyn Link>,
    pub(crate) facts: Facts,
    pub(crate) feed: Feed,
    pub(crate) ended: Ended,
}

/// The end of a connection.
pub(crate) struct Ended {
    task: Task<DownReason>,
    reason: Option<DownReason>,
}

impl Ended {
    pub(crate) fn new(task: impl Future<Output = DownReason> + Send + 'static) -> Self {
        Self {
            task: Box::pin(task),
            reason: None,
        }
    }

    /// Waits for the end and returns its reason, also if it is asked again.
    pub(crate) async fn wait(&mut self) -> DownReason {
        if self.reason.is_none() {
            self.reason = Some((&mut self.task).await);
        }
        self.reason.clone().unwrap_or(DownReason::ConnectionLost)
    }
}

impl Debug for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ended")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

/// What is known about the server at the other end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent facts")]
pub(crate) struct Facts {
    /// Tells the server from any other; `None` if it does not let us know.
    pub(crate) run_id: Option<String>,
    /// What tells one start of each process from any other; `None` if one of them does not let us know.
    pub(crate) starts: Option<Vec<String>>,
    /// For how long, at least, each process has been running, as a master.
    pub(crate) uptime: Duration,
    pub(crate) version: Option<String>,
    /// Whether the server did not let us look, so that the rest of this is a guess.
    pub(crate) is_hidden: bool,
    pub(crate) is_replica: bool,
    pub(crate) is_loading: bool,
    /// The eviction policy, if it could make the server drop a lock.
    pub(crate) eviction: Option<String>,
    /// For how long a master without replicas remembers that it was a replica itself, if the server lets us know.
    pub(crate) backlog_ttl: Option<Duration>,
    /// Whether this user may not ask to be told of changes.
    pub(crate) tells_nothing: bool,
    /// Whether an older connection of ours may still be carrying out what it was sent.
    pub(crate) old_connection_lives: bool,
}
