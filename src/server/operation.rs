//! One operation of a caller on one key of all servers, and where their votes gather.

use crate::engine::ballot::{Ballot, Decision, Vote};
use bytes::Bytes;
use std::{
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Sets the key to our value unless it is there.
    Lock,
    /// Sets a key that went missing on a minority again. Nobody waits for the answer.
    Restore,
    /// Sets a new ttl if the key still holds our value.
    Renew,
    /// Removes the key if it still holds our value.
    Unlock,
}

/// An operation that is shared by the lanes of all servers.
pub(crate) struct Operation {
    pub(crate) verb: Verb,
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    /// Milliseconds in decimal, as the script takes them.
    pub(crate) ttl: Bytes,
    /// When it stops mattering: the end of its round, or for an unlock the end of the ttl.
    until: Instant,
    submitted: Instant,
    /// When a key that it sets at once would expire.
    expires: Instant,
    votes: Mutex<Votes>,
    abandoned: AtomicBool,
}

struct Votes {
    ballot: Ballot,
    waker: Option<Waker>,
}

impl Operation {
    /// A vote on a key that lives for `ttl_ms`, of which nobody wants to hear after `until`.
    pub(crate) fn vote_by(until: Instant, verb: Verb, key: Bytes, value: Bytes, ttl_ms: u64, servers: usize) -> Self {
        let ttl = Duration::from_millis(ttl_ms);
        let submitted = Instant::now();
        Self {
            verb,
            key,
            value,
            ttl: ttl_ms.to_string().into(),
            until,
            submitted,
            expires: submitted + ttl,
            votes: Mutex::new(Votes {
                ballot: Ballot::new(servers),
                waker: None,
            }),
            abandoned: AtomicBool::new(false),
        }
    }

    /// An unlock, which is of use until the key has expired anyway.
    pub(crate) fn unlock(key: Bytes, value: Bytes, expires: Instant, servers: usize) -> Self {
        Self {
            ttl: Bytes::from_static(b"0"),
            expires,
            ..Self::vote_by(expires, Verb::Unlock, key, value, 0, servers)
        }
    }

    /// The unlock that undoes this operation, whose key may appear only now.
    pub(crate) fn undo(&self) -> Self {
        let servers = self.votes().ballot.votes().len();
        let expires = Instant::now() + self.ttl();
        Self::unlock(self.key.clone(), self.value.clone(), expires, servers)
    }

    /// When it stops mattering.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// How long a key lives that it sets or renews.
    pub(crate) fn ttl(&self) -> Duration {
        self.expires.duration_since(self.submitted)
    }

    /// Notes a server's vote and wakes the caller if that was what it waits for.
    pub(crate) fn vote(&self, server: usize, vote: Vote) {
        let waker = {
            let mut votes = self.votes();
            votes.ballot.cast(server, vote);
            let settled = match self.verb {
                Verb::Unlock => votes.ballot.is_complete(),
                _ => votes.ballot.decision().is_some(),
            };
            if settled { votes.waker.take() } else { None }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Resolves at the vote that decides.
    pub(crate) fn poll_decision(&self, cx: &mut Context<'_>) -> Poll<Decision> {
        self.poll(cx, Ballot::decision)
    }

    /// Resolves once every server answered.
    pub(crate) fn poll_complete(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll(cx, |ballot| ballot.is_complete().then_some(()))
    }

    fn poll<T>(&self, cx: &mut Context<'_>, settled: impl Fn(&Ballot) -> Option<T>) -> Poll<T> {
        let mut votes = self.votes();
        if let Some(settled) = settled(&votes.ballot) {
            return Poll::Ready(settled);
        }
        match &mut votes.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            waker => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Returns the votes so far.
    pub(crate) fn votes_so_far(&self) -> Vec<Vote> {
        self.votes().ballot.votes().to_vec()
    }

    /// Says that nobody waits for the outcome any more: what was not sent yet need not be.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
    }

    /// Whether a key that it sets belongs to no lock: its round failed, or its ttl is over.
    pub(crate) fn is_orphaned(&self, now: Instant) -> bool {
        now >= self.expires || self.abandoned.load(Ordering::Acquire)
    }

    /// Whether sending it would be of no use.
    pub(crate) fn is_stale(&self, now: Instant) -> bool {
        now >= self.until || self.abandoned.load(Ordering::Acquire)
    }

    /// Whether it may be sent again after the server refused to run the script.
    ///
    /// A SET may be only while its round is open: later its unlock could already have been sent, and a SET that comes
    /// after its unlock stays until its ttl is over.
    pub(crate) fn may_be_resent(&self, now: Instant) -> bool {
        let in_order = match self.verb {
            Verb::Lock => self.votes().ballot.decision().is_none(),
            Verb::Restore => false,
            Verb::Renew | Verb::Unlock => true,
        };
        in_order && !self.is_stale(now)
    }

    fn votes(&self) -> MutexGuard<'_, Votes> {
        // The ballot is whole after each statement, so a panic elsewhere leaves nothing half done.
        self.votes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever knows the value can unlock, so it is not shown.
impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let votes = self.votes_so_far();
        f.debug_struct("Operation")
            .field("verb", &self.verb)
            .field("votes", &votes)
            .finish_non_exhaustive()
    }
}
