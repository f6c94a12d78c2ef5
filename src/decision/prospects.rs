//! Which servers could grant a resource, and when a majority could.

use super::{Vote, majority, turns::TICK};
use rand::Rng;
use std::time::Duration;
use tokio::time::Instant;

/// What is known of each server.
#[derive(Debug)]
pub(super) struct Prospects(Vec<Prospect>);

/// Whether a server could grant the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prospect {
    Likely,
    /// Its key will have expired then.
    From(Instant),
    Unlikely,
}

impl Prospects {
    pub(super) fn new(servers: usize) -> Self {
        Self(vec![Prospect::Likely; servers])
    }

    /// Forgets what was known.
    pub(super) fn reset(&mut self) {
        self.0.fill(Prospect::Likely);
    }

    /// Notes that all servers hold the resource for this client until then.
    pub(super) fn expire(&mut self, expires: Instant) {
        self.0.fill(Prospect::From(expires));
    }

    /// Notes that a server reported a change.
    pub(super) fn changed(&mut self, server: usize) {
        self.0[server] = Prospect::Likely;
    }

    /// Notes the votes of all servers. Servers that have not voted yet are likely to grant it if `may_open_votes_grant`.
    pub(super) fn take(&mut self, votes: &[Vote], may_open_votes_grant: bool, now: Instant, rng: &mut impl Rng) {
        for (server, vote) in votes.iter().enumerate() {
            if *vote == Vote::Pending && may_open_votes_grant {
                self.changed(server);
            } else {
                self.vote(server, vote, now, rng);
            }
        }
    }

    /// Notes the vote of one server.
    pub(super) fn vote(&mut self, server: usize, vote: &Vote, now: Instant, rng: &mut impl Rng) {
        self.0[server] = match vote {
            // A grant is undone, or was a probe.
            Vote::Granted | Vote::Missing => Prospect::Likely,
            Vote::Held(holder) => match holder.remaining {
                // A little later, so that not all clients that know the moment ask at once.
                Some(left) => Prospect::From(now + left + TICK + rng.gen_range(Duration::ZERO..=2 * TICK)),
                None => Prospect::Unlikely,
            },
            _ => Prospect::Unlikely,
        };
    }

    /// When a majority could grant it, as far as is known.
    pub(super) fn free_at(&self, now: Instant) -> Option<Instant> {
        let moment = |prospect: &Prospect| match prospect {
            Prospect::Likely => Some(now),
            Prospect::From(then) => Some(*then),
            Prospect::Unlikely => None,
        };
        let mut moments: Vec<_> = self.0.iter().filter_map(moment).collect();
        moments.sort_unstable();
        moments.get(majority(self.0.len()) - 1).copied()
    }
}
