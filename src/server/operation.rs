//! One operation of a caller on the keys of one lock, on all servers, and where their votes gather.

#[cfg(test)]
mod tests;

use super::{
    later,
    lock_state::{LockState, Renewal},
};
use crate::{
    decision::{
        Vote,
        tally::{Decision, Tally},
    },
    fault_injection::InjectedFault,
    fence::Fence,
    resource::Resources,
};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Sets the keys to our value unless any of them is there.
    Lock,
    /// Sets keys that went missing on a minority again. Nobody waits for the answer.
    ReSet,
    /// Sets a new ttl if the keys still hold our value.
    Renew,
    /// Raises the fence to our token if the keys still hold our value.
    UpdateFence,
    /// Changes nothing.
    Probe,
    /// Removes the keys that still hold our value.
    Unlock,
}

impl Verb {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::ReSet => "re_set",
            Self::Renew => "renew",
            Self::UpdateFence => "update_fence",
            Self::Probe => "probe",
            Self::Unlock => "unlock",
        }
    }

    pub(crate) fn sets_keys(self) -> bool {
        matches!(self, Self::Lock | Self::ReSet)
    }
}

/// The lock that an operation is about.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// The Redis keys.
    pub(crate) keys: Resources,
    /// The value that proves who owns them.
    pub(crate) value: Arc<str>,
    pub(crate) lock_state: Arc<LockState>,
}

impl Subject {
    /// A lock that has done nothing yet.
    pub(crate) fn new(keys: Resources, value: impl Into<Arc<str>>) -> Self {
        Self {
            keys,
            value: value.into(),
            lock_state: Arc::default(),
        }
    }
}

/// An operation that is shared by the pipelines of all servers.
pub(crate) struct Operation {
    pub(crate) verb: Verb,
    pub(crate) keys: Resources,
    pub(crate) value: Arc<str>,
    /// When it stops mattering: the end of its attempt, or for an unlock the end of the ttl.
    until: Instant,
    submitted: Instant,
    /// When a key that it sets at once would expire.
    expires: Instant,
    pub(crate) lock_state: Arc<LockState>,
    /// Whether the server is to tell of the next change of the keys, if they are held.
    pub(crate) watches: bool,
    pub(crate) fence: Option<Fence>,
    /// Which renewal of the lock it is, if it is one.
    renewal: Option<Renewal>,
    /// The operation that is answered by what this one finds out, too.
    stands_for: Option<Arc<Operation>>,
    votes: Mutex<Votes>,
}

struct Votes {
    tally: Tally,
    /// Which servers have stored which token, for a fenced lock.
    tokens: Vec<(usize, u64)>,
    waker: Option<Waker>,
}

impl Operation {
    /// An operation on keys that live for `ttl` from `now`. Its votes are of no interest after `until`.
    pub(crate) fn new(
        verb: Verb,
        subject: Subject,
        now: Instant,
        until: Instant,
        ttl: Duration,
        servers: usize,
    ) -> Self {
        let Subject {
            keys,
            value,
            lock_state,
        } = subject;
        // What is only asked for lives for as long as its caller waits, and that may be for ever.
        let expires = later(now, ttl);
        if verb == Verb::Lock {
            lock_state.sets();
        }
        if matches!(verb, Verb::Lock | Verb::ReSet | Verb::Renew) {
            lock_state.sets_until(expires);
        }
        Self {
            verb,
            keys,
            value,
            until,
            submitted: now,
            expires,
            lock_state,
            watches: false,
            fence: None,
            renewal: None,
            stands_for: None,
            votes: Mutex::new(Votes {
                tally: Tally::new(servers),
                tokens: Vec::new(),
                waker: None,
            }),
        }
    }

    /// The same as a renewal of the lock, which its lock state has counted.
    pub(crate) fn counted(self, renewal: Renewal) -> Self {
        Self {
            renewal: Some(renewal),
            ..self
        }
    }

    /// Whether it may set a shorter TTL than the keys have.
    pub(crate) fn shortens(&self) -> bool {
        self.renewal.as_ref().is_some_and(|renewal| renewal.shortens)
    }

    /// Whether it may set a shorter TTL than a later renewal has set, if it is sent again.
    pub(crate) fn is_superseded(&self) -> bool {
        let is_superseded = |renewal: &Renewal| renewal.shortens && self.lock_state.is_superseded(renewal.number);
        self.renewal.as_ref().is_some_and(is_superseded)
    }

    /// An unlock, which is of use to a server that is away until the key has expired there.
    pub(crate) fn unlock(subject: Subject, now: Instant, expires: Instant, servers: usize) -> Self {
        let ttl = expires.saturating_duration_since(now);
        Self::new(Verb::Unlock, subject, now, expires, ttl, servers)
    }

    /// The unlock that undoes this operation, whose key may appear only now.
    pub(crate) fn undo(&self) -> Self {
        let now = Instant::now();
        Self::unlock(self.subject(), now, now + self.ttl(), self.servers())
    }

    /// What is sent of it at this moment: nothing, if sending it would be of no use or harm.
    pub(crate) fn to_send(self: &Arc<Self>, now: Instant) -> Option<Arc<Self>> {
        if !self.is_stale(now) {
            return Some(Arc::clone(self));
        }
        // Its attempt was lost without this server. Who made it waits on, and is to be told of changes here as well.
        let still_watches = self.watches && !self.is_over(now);
        still_watches.then(|| Arc::new(self.probe(now)))
    }

    fn probe(self: &Arc<Self>, now: Instant) -> Self {
        let subject = Subject {
            lock_state: Arc::default(),
            ..self.subject()
        };
        let mut probe = Self::new(Verb::Probe, subject, now, self.until, self.ttl(), self.servers());
        probe.watches = true;
        probe.stands_for = Some(Arc::clone(self));
        probe
    }

    /// The SET that puts a key back which a won renewal found missing.
    pub(crate) fn re_set(&self) -> Self {
        let now = Instant::now();
        let left = self
            .expires
            .saturating_duration_since(now)
            .max(Duration::from_millis(1));
        let mut re_set = Self::new(Verb::ReSet, self.subject(), now, self.expires, left, self.servers());
        re_set.fence = self.fence;
        re_set
    }

    /// The operation that makes the servers store this token which have not, with the votes of those that have, and of those
    /// that did not grant the lock.
    pub(crate) fn update_fence(&self, fence: Fence, now: Instant) -> Self {
        let mut update = Self::new(
            Verb::UpdateFence,
            self.subject(),
            now,
            self.until,
            self.ttl(),
            self.servers(),
        );
        update.fence = Some(fence);
        let tokens = self.tokens();
        let has_it = |server: usize| tokens.contains(&(server, fence.token));
        for (server, vote) in self.votes_so_far().into_iter().enumerate() {
            match vote {
                Vote::Granted if !has_it(server) => {}
                Vote::Pending | Vote::OutcomeUnknown => {}
                vote => {
                    update.vote(server, vote);
                }
            }
        }
        update
    }

    fn subject(&self) -> Subject {
        Subject {
            keys: self.keys.clone(),
            value: Arc::clone(&self.value),
            lock_state: Arc::clone(&self.lock_state),
        }
    }

    fn servers(&self) -> usize {
        self.with_votes(<[Vote]>::len)
    }

    pub(crate) fn submitted(&self) -> Instant {
        self.submitted
    }

    /// When it stops mattering.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// How long a key lives that it sets or renews.
    pub(crate) fn ttl(&self) -> Duration {
        self.expires.duration_since(self.submitted)
    }

    /// Notes a server's vote and wakes the caller if that was what it waits for. Returns what was decided before.
    pub(crate) fn vote(&self, server: usize, vote: Vote) -> Option<Decision> {
        if let Some(operation) = &self.stands_for {
            operation.vote(server, vote.clone());
        }
        let mut votes = self.votes();
        let before = votes.tally.decision();
        votes.tally.cast(server, vote);
        let settled = match self.verb {
            Verb::Lock | Verb::ReSet | Verb::Renew | Verb::UpdateFence => votes.tally.decision().is_some(),
            Verb::Unlock | Verb::Probe => true,
        };
        let waker = if settled { votes.waker.take() } else { None };
        let was_refused = self.renewal.as_ref().filter(|_| self.is_refused(&votes.tally));
        drop(votes);
        if let Some(renewal) = was_refused {
            self.lock_state.refused(renewal.number);
        }
        if let Some(waker) = waker {
            waker.wake();
        }
        before
    }

    /// Whether no server carried it out, nor will.
    fn is_refused(&self, tally: &Tally) -> bool {
        tally.is_complete()
            && tally.votes().iter().all(|vote| match vote {
                Vote::Held(_) | Vote::Missing | Vote::Unreachable(_) => true,
                // Of several keys some may have been renewed before one failed.
                Vote::Refused(_) => self.keys.is_one(),
                Vote::Granted | Vote::OutcomeUnknown | Vote::TimedOut | Vote::Pending => false,
            })
    }

    /// Notes which token a server has stored, to be told before its vote.
    pub(crate) fn has_stored(&self, server: usize, token: u64) {
        self.votes().tokens.push((server, token));
    }

    /// Which servers have stored which token.
    pub(crate) fn tokens(&self) -> Vec<(usize, u64)> {
        self.votes().tokens.clone()
    }

    /// Resolves at the vote that decides.
    pub(crate) fn poll_decision(&self, cx: &mut Context<'_>) -> Poll<Decision> {
        self.poll(cx, Tally::decision)
    }

    /// Resolves once `settled` finds what it looks for, which it does at the latest when every server answered.
    pub(crate) fn poll_votes<T>(&self, cx: &mut Context<'_>, settled: impl Fn(&[Vote]) -> Option<T>) -> Poll<T> {
        self.poll(cx, |tally| settled(tally.votes()))
    }

    /// Resolves once every server answered.
    pub(crate) fn poll_complete(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll(cx, |tally| tally.is_complete().then_some(()))
    }

    fn poll<T>(&self, cx: &mut Context<'_>, settled: impl Fn(&Tally) -> Option<T>) -> Poll<T> {
        let mut votes = self.votes();
        if let Some(settled) = settled(&votes.tally) {
            return Poll::Ready(settled);
        }
        match &mut votes.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            waker => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Returns the votes so far, with these servers taken for silent, if they decide that way.
    pub(crate) fn decided_without(&self, is_silent: impl Fn(usize) -> bool) -> Option<Vec<Vote>> {
        let tally = self.votes().tally.without(is_silent);
        tally.decision().map(|_| tally.votes().to_vec())
    }

    /// Returns the votes so far.
    pub(crate) fn votes_so_far(&self) -> Vec<Vote> {
        self.with_votes(<[Vote]>::to_vec)
    }

    pub(crate) fn with_votes<T>(&self, act: impl FnOnce(&[Vote]) -> T) -> T {
        act(self.votes().tally.votes())
    }

    /// Whether a key that it sets or renews belongs to nobody.
    pub(crate) fn is_orphaned(&self, now: Instant) -> bool {
        let is_old = InjectedFault::OldSetsUndone.is_on() && now >= self.expires && self.verb != Verb::Renew;
        self.lock_state.is_released() || is_old
    }

    /// Whether sending it would be of no use, or harm.
    ///
    /// An unlock is always of use: the SET before it may have waited, and be carried out only now.
    pub(crate) fn is_stale(&self, now: Instant) -> bool {
        match self.verb {
            Verb::Lock | Verb::ReSet | Verb::Renew | Verb::UpdateFence => {
                self.is_over(now) || self.lock_state.is_released()
            }
            Verb::Probe => self.is_over(now),
            Verb::Unlock => false,
        }
    }

    /// Whether the time is over in which it matters.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now >= self.until
    }

    fn votes(&self) -> MutexGuard<'_, Votes> {
        // The tally is whole after each statement, so a panic elsewhere leaves nothing half done.
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
