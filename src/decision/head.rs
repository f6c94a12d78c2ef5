//! The head of the wait queue for one set of resources: when it asks the servers. Pure: the clock and the randomness are
//! passed in.

use super::{
    Holder, Vote,
    crowd::Crowd,
    majority,
    prospects::Prospects,
    tally::{count, holders, leading, leading_holder},
    turns::TICK,
    value::Waited,
};
use rand::{Rng, seq::SliceRandom};
use std::time::Duration;
use tokio::time::Instant;

/// How often the head asks anyway, if the servers report changes. No report is lost but with its connection, and that is noticed
/// sooner; so this only bounds the wait where a server breaks that rule. All queues of a client ask at the same moments, so that they
/// share their commands: 1,000 waiters cost some 20 commands a second.
pub(crate) const POLL_TRACKED: Duration = Duration::from_secs(5);

/// The same if they do not report changes, on average: a compromise between the servers' load and the wait.
pub(crate) const POLL_UNTRACKED: Duration = Duration::from_millis(100);

/// The longest pause after split votes in a row, in powers of two of the unit: 128 units separate some hundred clients.
pub(crate) const LONGEST_SPLIT: u32 = 7;

/// For how many races a head that lost one stays careful. Each race that it wins without losing one takes one off, so that a client
/// without rivals is soon as fast as before.
const CAREFUL: u32 = 8;

/// After how many lost races in a row a careful head asks sooner when the resource becomes free, as it has waited for longer than most:
/// at once, or a unit later, by chance. So a head that was overtaken, which asks at once, is the first of several more often.
const PATIENT: u32 = 2;

/// The longest pause of a careful head between two attempts, in units. Each lost race makes it one unit shorter, so that the client that
/// lost most often comes first. [`PAUSE`](super::turns::PAUSE) has to be longer.
pub(crate) const POLITE: u32 = 3;

/// When the head asks. A unit is how long an attempt takes, at least [`TICK`].
#[derive(Debug)]
pub(crate) struct Head {
    prospects: Prospects,
    plan: Plan,
    /// The holders that the last votes named, by fingerprints of their values.
    holders: Vec<u64>,
    /// How many more races to be careful for.
    careful: u32,
    /// Races that were lost since the last turn.
    lost_races: u32,
    crowd: Crowd,
    /// Split votes in a row.
    splits: u32,
    /// Whether that was known only when the last of them was decided.
    was_split_late: bool,
    /// Whether the head was woken rather than asked of its own accord.
    was_woken: bool,
    /// What pauses are measured in: how long an attempt takes.
    unit: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// Ask now.
    Ask,
    /// Ask then, whatever happens until then.
    Pause(Instant),
    /// An attempt is under way.
    Asking,
    /// Ask when enough servers could grant it, but not before the first moment, and at the second in any case.
    Listen(Instant, Instant),
}

/// What the head does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Ask,
    /// Probe the resource before asking for it. In a crowd, another client has probably been faster.
    Probe,
    /// Wait for a sign, or until then.
    Wait(Instant),
    /// Wait until then.
    Pause(Instant),
    /// Wait for the attempt that an unlock has begun for it.
    Stay,
}

/// What happens when the resource is unlocked here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handover {
    /// The head asks for it at once, behind the unlock.
    Next,
    /// The head pauses, so that others get their turn.
    Yield,
    /// The head is asking already.
    Asking,
}

/// What the servers were like in an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conditions {
    /// How long an attempt takes.
    pub(crate) round_trip: Duration,
    /// Whether servers report when a majority may have become free.
    pub(crate) is_tracked: bool,
}

/// When an attempt ended, for how long the head has waited, and when all queues of the client ask next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) now: Instant,
    pub(crate) waited: Waited,
    pub(crate) common_poll: Instant,
}

impl Head {
    pub(crate) fn new(servers: usize) -> Self {
        Self {
            prospects: Prospects::new(servers),
            plan: Plan::Ask,
            holders: Vec::new(),
            careful: 0,
            lost_races: 0,
            crowd: Crowd::new(),
            splits: 0,
            was_split_late: false,
            was_woken: false,
            unit: TICK,
        }
    }

    /// Whether others want the resource as well, as far as is known.
    pub(crate) fn has_rivals(&self) -> bool {
        self.careful > 0
    }

    /// Begins anew after nobody has stood in the queue for a while. If others want the resource as well, they come first unless
    /// this is a turn of a run.
    pub(crate) fn resume(&mut self, now: Instant, is_in_run: bool, rng: &mut impl Rng) {
        self.prospects.reset();
        self.was_woken = false;
        self.plan = if is_in_run {
            Plan::Ask
        } else {
            Plan::Pause(now + self.polite_pause(rng))
        };
    }

    /// Notes that a server could grant it now.
    pub(crate) fn changed(&mut self, server: usize) {
        self.prospects.changed(server);
    }

    /// Says what the head does now.
    pub(crate) fn step(&mut self, now: Instant, rng: &mut impl Rng) -> Step {
        match self.plan {
            Plan::Pause(until) if now < until => return Step::Pause(until),
            Plan::Ask | Plan::Pause(_) => {}
            Plan::Asking => return Step::Stay,
            Plan::Listen(not_before, poll) => match self.prospects.free_at(now) {
                Some(free) if free <= now => {
                    let not_before = self.woken(not_before, now, rng);
                    if now < not_before {
                        return Step::Pause(not_before);
                    }
                }
                free if now < poll => return Step::Wait(free.map_or(poll, |free| free.min(poll))),
                _ => {}
            },
        }
        let is_planned = self.plan == Plan::Ask;
        self.plan = Plan::Asking;
        if self.crowd.probes_first() && !is_planned {
            Step::Probe
        } else {
            Step::Ask
        }
    }

    /// Notes that the resource may be free, and returns when to ask.
    fn woken(&mut self, not_before: Instant, now: Instant, rng: &mut impl Rng) -> Instant {
        if std::mem::replace(&mut self.was_woken, true) {
            return not_before;
        }
        // Those that have waited for longer come first.
        let is_patient = self.lost_races >= PATIENT && !self.crowd.is_younger();
        let pause = match self.crowd.pause(self.unit, rng) {
            Some(pause) => pause,
            None if self.careful == 0 => Duration::ZERO,
            None if is_patient => *[Duration::ZERO, self.unit].choose(rng).unwrap_or(&self.unit),
            None => rng.gen_range(self.unit..=self.unit * 3 / 2),
        };
        let not_before = not_before.max(now + pause);
        if let Plan::Listen(planned, _) = &mut self.plan {
            *planned = not_before;
        }
        not_before
    }

    /// Says who is next when the resource is unlocked here, and left to others until some moment if it is their turn.
    pub(crate) fn unlocked(&mut self, left_until: Option<Instant>) -> Handover {
        if !matches!(self.plan, Plan::Listen(..)) {
            return Handover::Asking;
        }
        if let Some(until) = left_until {
            self.plan = Plan::Pause(until);
            Handover::Yield
        } else {
            self.plan = Plan::Asking;
            Handover::Next
        }
    }

    /// Notes that the head was granted the resource until then.
    pub(crate) fn won(&mut self, expires: Instant, was_handed_over: bool, times: Times, conditions: Conditions) {
        if !was_handed_over && self.lost_races == 0 {
            self.careful = self.careful.saturating_sub(1);
        }
        self.crowd.won(was_handed_over);
        self.lost_races = 0;
        self.splits = 0;
        self.was_split_late = false;
        self.holders.clear();
        self.was_woken = false;
        self.prospects.expire(expires);
        self.plan = Plan::Listen(times.now, times.common_poll);
        self.unit = conditions.round_trip.max(TICK);
    }

    /// Notes that the head was refused by these votes, perhaps after the resource `was_left` to others.
    pub(crate) fn refused(
        &mut self,
        votes: &[Vote],
        was_left: bool,
        times: Times,
        conditions: Conditions,
        rng: &mut impl Rng,
    ) {
        let now = times.now;
        self.unit = conditions.round_trip.max(TICK);
        let known = count(votes, |vote| matches!(vote, Vote::Granted | Vote::Held(_)));
        // If the attempt was lost without a server, another may be won with it.
        let may_open_votes_grant = known < majority(votes.len());
        self.prospects.take(votes, may_open_votes_grant, now, rng);
        let is_new = |holder: &&Holder| !self.holders.contains(&holder.fingerprint());
        let new = holders(votes).filter(is_new);
        let (is_another, winner) = (new.clone().next().is_some(), last_winner(new));
        self.holders = holders(votes).map(Holder::fingerprint).collect();
        let named = leading_holder(votes).map_or(0, |(_, named)| named);
        let is_split = named > 0 && named < majority(votes.len()) && count(votes, |vote| *vote == Vote::Granted) > 0;
        let was_woken = std::mem::take(&mut self.was_woken);

        if is_another {
            self.crowd.compare(times.waited, winner, self.unit);
        }
        if (is_split || was_woken) && is_another && !was_left {
            self.crowd.lost();
        }
        if is_split && is_another {
            self.splits = LONGEST_SPLIT.min(self.splits + 1);
            self.plan = Plan::Pause(now + rng.gen_range(Duration::ZERO..=self.unit * (1 << self.splits)));
            return;
        }
        if !std::mem::take(&mut self.was_split_late) {
            self.splits = 0;
        }
        if was_woken && is_another && !was_left {
            self.careful = CAREFUL;
            self.lost_races += 1;
        }
        let poll = Self::poll(votes, times, conditions, rng);
        self.plan = Plan::Listen(now + self.polite_pause(rng), poll);
    }

    /// When to ask again whatever is reported.
    fn poll(votes: &[Vote], times: Times, conditions: Conditions, rng: &mut impl Rng) -> Instant {
        if conditions.is_tracked && votes.iter().all(is_clear) {
            times.common_poll
        } else {
            soon(times.now, rng)
        }
    }

    /// Notes a vote of the head's last attempt that came after this was decided.
    pub(crate) fn late(&mut self, server: usize, vote: &Vote, now: Instant, rng: &mut impl Rng) {
        self.prospects.vote(server, vote, now, rng);
        if let Plan::Listen(not_before, poll) = &mut self.plan {
            if !is_clear(vote) {
                *poll = soon(now, rng).min(*poll);
            }
            // The vote was split, and the others undo as this one does.
            if *vote == Vote::Granted {
                self.splits = LONGEST_SPLIT.min(self.splits + 1);
                self.was_split_late = true;
                *not_before = (*not_before).max(now + rng.gen_range(Duration::ZERO..=self.unit * (1 << self.splits)));
            }
        }
    }

    /// Notes what the servers said when they were asked to report changes.
    pub(crate) fn probed(&mut self, votes: &[Vote], times: Times, conditions: Conditions, rng: &mut impl Rng) {
        self.prospects.take(votes, true, times.now, rng);
        self.unit = conditions.round_trip.max(TICK);
        if count(votes, |vote| *vote == Vote::Missing) >= majority(votes.len()) {
            self.plan = Plan::Ask;
            return;
        }
        self.was_woken = false;
        self.crowd.compare(times.waited, last_winner(holders(votes)), self.unit);
        self.careful = self.careful.max(1);
        self.plan = Plan::Listen(times.now, Self::poll(votes, times, conditions, rng));
    }

    /// Notes that the head asks again soon: its attempt took too long, or it is the turn of others.
    pub(crate) fn ask_again(&mut self, at: Instant) {
        self.plan = Plan::Pause(at);
    }

    /// Notes that the head is gone.
    pub(crate) fn left(&mut self) {
        self.crowd.has_new_head();
        if self.plan == Plan::Asking {
            self.plan = Plan::Ask;
        }
    }

    /// How long the head waits before it races others again.
    fn polite_pause(&self, rng: &mut impl Rng) -> Duration {
        if self.careful == 0 {
            return Duration::ZERO;
        }
        let longest = self.unit * POLITE.saturating_sub(self.lost_races).max(1);
        rng.gen_range(longest / 2..=longest)
    }
}

/// How long the last winner among these holders had waited, as far as their values say.
fn last_winner<'a>(holders: impl Iterator<Item = &'a Holder> + Clone) -> Option<Waited> {
    let (winner, _) = leading(&holders.filter(|holder| holder.waited().is_some()))?;
    winner.waited()
}

/// Whether the server tells of a change, or is heard of when it is back.
fn is_clear(vote: &Vote) -> bool {
    matches!(
        vote,
        Vote::Granted | Vote::Held(_) | Vote::Missing | Vote::Pending | Vote::Unreachable(_)
    )
}

/// When to ask again if no server tells of a change.
fn soon(now: Instant, rng: &mut impl Rng) -> Instant {
    now + rng.gen_range(POLL_UNTRACKED / 2..=POLL_UNTRACKED * 3 / 2)
}

#[cfg(test)]
mod tests;
