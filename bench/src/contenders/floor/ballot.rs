//! The votes on one operation, counted without a lock.

use std::{
    future::poll_fn,
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
};

use futures_util::task::AtomicWaker;

use crate::contenders::quorum;

#[derive(Clone, Copy)]
pub enum Rule {
    /// Settled by the first majority, or by the vote that makes one impossible.
    Majority,
    /// Settled when every server has answered, and passed when all of them agreed.
    All,
}

pub struct Ballot {
    yes_needed: usize,
    /// The votes against that settle it.
    no_needed: usize,
    /// Settled no sooner than with this many votes in all.
    votes_needed: usize,
    // Votes for in the lower half, votes against in the upper one, so that one addition counts a vote and reads both.
    votes: AtomicUsize,
    waker: AtomicWaker,
}

const NO: usize = 1 << (usize::BITS / 2);

impl Ballot {
    pub fn new(rule: Rule, servers: usize) -> Self {
        let (yes_needed, votes_needed) = match rule {
            Rule::Majority => (quorum(servers), 0),
            Rule::All => (servers, servers),
        };
        Self {
            yes_needed,
            no_needed: servers - yes_needed + 1,
            votes_needed,
            votes: AtomicUsize::new(0),
            waker: AtomicWaker::new(),
        }
    }

    pub fn vote(&self, yes: bool) {
        let vote = if yes { 1 } else { NO };
        let votes = self.votes.fetch_add(vote, Ordering::AcqRel) + vote;
        if self.outcome(votes).is_some() {
            self.waker.wake();
        }
    }

    /// Waits for the vote that settles it: whether it passed.
    pub async fn settled(&self) -> bool {
        poll_fn(|context| {
            if let Some(passed) = self.outcome(self.votes.load(Ordering::Acquire)) {
                return Poll::Ready(passed);
            }
            self.waker.register(context.waker());
            // The vote may have come between the look and the registration.
            match self.outcome(self.votes.load(Ordering::Acquire)) {
                Some(passed) => Poll::Ready(passed),
                None => Poll::Pending,
            }
        })
        .await
    }

    fn outcome(&self, votes: usize) -> Option<bool> {
        let (yes, no) = (votes % NO, votes / NO);
        if yes + no < self.votes_needed {
            None
        } else if yes >= self.yes_needed {
            Some(true)
        } else if no >= self.no_needed {
            Some(false)
        } else {
            None
        }
    }
}
