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
use rand::Rng;
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

/// After how many lost races in a row a careful head asks at once when the resource becomes free, as it has waited for longer than most.
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
        let pause = match self.crowd.pause(self.unit, rng) {
            Some(pause) => pause,
            None if self.careful > 0 && self.lost_races < PATIENT => rng.gen_range(self.unit..=self.unit * 3 / 2),
            None => Duration::ZERO,
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
mod tests {
    use super::*;
    use crate::decision::{DownReason, Refusal, fresh};
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::SmallRng};

    const LATER: Duration = Duration::from_secs(5);
    const TRACKED: Conditions = Conditions {
        round_trip: Duration::ZERO,
        is_tracked: true,
    };

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn rng() -> SmallRng {
        SmallRng::seed_from_u64(1)
    }

    fn times(now: Instant) -> Times {
        Times {
            now,
            waited: Waited::default(),
            common_poll: now + LATER,
        }
    }

    fn held(value: &str, left: Option<u64>) -> Vote {
        Vote::Held(Holder::new(value.as_bytes(), left.map(ms)))
    }

    /// A queue whose head asked, and was told that somebody holds the resource for a minute.
    fn refused(now: Instant) -> Head {
        let mut head = Head::new(3);
        assert_eq!(head.step(now, &mut rng()), Step::Ask);
        let vote = held("other", Some(60_000));
        head.refused(
            &[vote.clone(), vote, Vote::Pending],
            false,
            times(now),
            TRACKED,
            &mut rng(),
        );
        head
    }

    /// A queue whose head has the resource, by asking for it.
    fn won(now: Instant) -> Head {
        let mut head = Head::new(3);
        head.step(now, &mut rng());
        head.won(now + LATER, false, times(now), TRACKED);
        head
    }

    #[test]
    fn the_first_asks_at_once_and_one_at_a_time() {
        let now = Instant::now();
        let mut head = Head::new(3);
        assert_eq!(head.step(now, &mut rng()), Step::Ask);
        assert_eq!(head.step(now, &mut rng()), Step::Stay);
        head.left();
        assert_eq!(head.step(now, &mut rng()), Step::Ask);
    }

    #[test]
    fn it_asks_again_when_so_many_servers_changed_that_a_majority_may_be_free() {
        let now = Instant::now();
        let mut head = refused(now);
        assert_eq!(head.step(now, &mut rng()), Step::Wait(now + LATER));
        head.changed(2);
        assert_eq!(head.step(now, &mut rng()), Step::Wait(now + LATER));
        head.changed(0);
        assert_eq!(head.step(now, &mut rng()), Step::Ask);
    }

    #[test]
    fn a_server_that_was_not_needed_to_lose_is_not_counted_as_free() {
        let now = Instant::now();
        let mut head = refused(now);
        head.changed(0);
        assert_eq!(head.step(now, &mut rng()), Step::Wait(now + LATER));
    }

    #[test]
    fn a_majority_for_another_is_no_split_vote() {
        let now = Instant::now();
        let mut head = Head::new(3);
        head.step(now, &mut rng());
        let vote = held("other", Some(60_000));
        head.refused(
            &[Vote::Granted, vote.clone(), vote],
            false,
            times(now),
            TRACKED,
            &mut rng(),
        );
        assert_eq!(head.step(now, &mut rng()), Step::Wait(now + LATER));
    }

    #[test]
    fn a_grant_that_comes_late_is_followed_by_a_pause_as_a_split_vote_is() {
        let now = Instant::now();
        let paused = (0..20).filter(|seed| {
            let mut rng = SmallRng::seed_from_u64(*seed);
            let mut head = refused(now);
            head.changed(0);
            head.late(2, &Vote::Granted, now, &mut rng);
            matches!(head.step(now, &mut rng), Step::Pause(until) if until <= now + 2 * TICK)
        });
        assert!(paused.count() >= 15);
    }

    #[test]
    fn it_asks_again_when_the_ttl_of_the_holder_runs_out_on_a_majority() {
        let now = Instant::now();
        let mut head = Head::new(3);
        head.step(now, &mut rng());
        let votes = [held("a", Some(100)), held("a", Some(300)), held("a", Some(200))];
        head.refused(&votes, false, times(now), TRACKED, &mut rng());
        let Step::Wait(until) = head.step(now, &mut rng()) else {
            panic!("it waits");
        };
        assert!(until >= now + ms(201) && until <= now + ms(203), "{:?}", until - now);
        assert_eq!(head.step(until, &mut rng()), Step::Ask);
    }

    #[test]
    fn it_asks_more_often_where_nobody_tells_of_changes() {
        let now = Instant::now();
        let mut head = Head::new(3);
        head.step(now, &mut rng());
        let votes = [held("a", None), held("a", None), Vote::Pending];
        let conditions = Conditions {
            is_tracked: false,
            ..TRACKED
        };
        head.refused(&votes, false, times(now), conditions, &mut rng());
        let Step::Wait(until) = head.step(now, &mut rng()) else {
            panic!("it waits");
        };
        assert!(until >= now + POLL_UNTRACKED / 2 && until <= now + POLL_UNTRACKED * 3 / 2);
    }

    #[test]
    fn it_waits_for_servers_that_are_down_and_asks_when_one_completes_a_majority() {
        let now = Instant::now();
        let mut head = Head::new(3);
        head.step(now, &mut rng());
        let down = Vote::Unreachable(DownReason::ConnectionLost);
        head.refused(
            &[down.clone(), down, Vote::Pending],
            false,
            times(now),
            TRACKED,
            &mut rng(),
        );
        assert_eq!(head.step(now, &mut rng()), Step::Wait(now + LATER));
        head.changed(0);
        assert_eq!(head.step(now, &mut rng()), Step::Ask);
    }

    #[test]
    fn turns_are_handed_on_until_they_are_left_to_others() {
        let now = Instant::now();
        let mut head = won(now);
        assert_eq!(head.unlocked(None), Handover::Next);
        assert_eq!(head.unlocked(None), Handover::Asking, "the next one has it not yet");
        head.won(now + LATER, true, times(now), TRACKED);
        let until = now + 4 * TICK;
        assert_eq!(head.unlocked(Some(until)), Handover::Yield);
        // Whatever it is told meanwhile.
        head.changed(0);
        head.changed(1);
        assert_eq!(head.step(now, &mut rng()), Step::Pause(until));
        assert_eq!(head.step(until, &mut rng()), Step::Ask);
    }

    #[test]
    fn to_leave_a_resource_to_others_is_not_to_lose_a_race() {
        let now = Instant::now();
        let mut head = refused(now);
        for number in 0..3 {
            head.changed(0);
            head.changed(1);
            assert_eq!(head.step(now, &mut rng()), Step::Ask);
            let vote = held(&format!("other {number}"), Some(60_000));
            head.refused(
                &[vote.clone(), vote, Vote::Pending],
                true,
                times(now),
                TRACKED,
                &mut rng(),
            );
        }
    }

    #[test]
    fn every_vote_that_comes_late_says_what_its_server_could_do() {
        let now = Instant::now();
        let others = |head: &mut Head| {
            head.step(now, &mut rng());
            let votes = [held("foreign", None), held("a", Some(60_000)), Vote::Pending];
            head.refused(&votes, false, times(now), TRACKED, &mut rng());
            // The holder unlocks it on the second server.
            head.changed(1);
        };
        let late = |vote: Vote| {
            let mut head = Head::new(3);
            others(&mut head);
            head.late(2, &vote, now, &mut rng());
            head.step(now, &mut rng())
        };
        // It is undone, so that it could be had, after a pause as for every split vote.
        assert!(matches!(late(Vote::Granted), Step::Ask | Step::Pause(_)));
        assert_eq!(late(Vote::Missing), Step::Ask, "it was only looked at");
        assert!(matches!(late(held("a", Some(100))), Step::Wait(until) if until <= now + ms(103)));
        assert_eq!(late(held("a", None)), Step::Wait(now + LATER));
        let down = Vote::Unreachable(DownReason::ConnectionLost);
        assert_eq!(late(down), Step::Wait(now + LATER), "it is heard of when it is back");
        for vote in [Vote::Unknown, Vote::Refused(Refusal::OutOfMemory)] {
            assert!(matches!(late(vote), Step::Wait(until) if until <= now + POLL_UNTRACKED * 3 / 2));
        }
    }

    #[test]
    fn who_lost_a_race_lets_some_time_pass_before_the_next_and_less_with_each_that_it_loses() {
        let now = Instant::now();
        let mut head = refused(now);
        let mut longest = Vec::new();
        for race in 0..4 {
            head.changed(0);
            head.changed(1);
            let mut then = now;
            while let Step::Pause(until) = head.step(then, &mut rng()) {
                then = until;
            }
            longest.push(then - now);
            let vote = held(&format!("winner {race}"), Some(60_000));
            head.refused(
                &[vote.clone(), vote, Vote::Pending],
                false,
                times(now),
                TRACKED,
                &mut rng(),
            );
        }
        assert_eq!(longest[0], Duration::ZERO, "it had lost none");
        assert!(longest[1] >= TICK && longest[1] <= 2 * TICK, "{longest:?}");
        assert!(longest[3] >= TICK / 2 && longest[3] <= TICK, "{longest:?}");
    }

    /// Loses a race to another client, after a look that found the resource free if there is a crowd.
    fn lose(head: &mut Head, race: u32, now: Instant) {
        head.changed(0);
        head.changed(1);
        loop {
            match head.step(now + LATER * race, &mut rng()) {
                Step::Ask => break,
                Step::Pause(_) => head.plan = Plan::Listen(now, now),
                Step::Probe => head.probed(&FREE, times(now), TRACKED, &mut rng()),
                other => panic!("{other:?}"),
            }
        }
        head.refused(
            &taken(&format!("winner {race}")),
            false,
            times(now),
            TRACKED,
            &mut rng(),
        );
    }

    const FREE: [Vote; 3] = [Vote::Missing, Vote::Missing, Vote::Pending];

    /// The votes of servers on which this value stands for long.
    fn taken(value: &str) -> [Vote; 3] {
        let vote = held(value, Some(60_000_000));
        [vote.clone(), vote, Vote::Pending]
    }

    /// The queue of a resource that many want.
    fn crowded(now: Instant) -> Head {
        let mut head = refused(now);
        for race in 1..=100 {
            lose(&mut head, race, now);
            if head.crowd.probes_first() {
                assert!(race > 8, "few others are no crowd");
                break;
            }
        }
        head
    }

    #[test]
    fn split_votes_make_a_crowd_as_well() {
        let now = Instant::now();
        let mut head = Head::new(3);
        for split in 0..100 {
            head.step(now + LATER * split, &mut rng());
            let votes = [Vote::Granted, held(&format!("a {split}"), None), Vote::Pending];
            head.refused(&votes, false, times(now), TRACKED, &mut rng());
        }
        assert!(head.crowd.probes_first());
    }

    #[test]
    fn votes_are_split_also_beside_a_key_that_was_left_behind() {
        let now = Instant::now();
        let left_behind = held("left behind", None);
        for place in 0..3 {
            let mut head = Head::new(3);
            for split in 0..20 {
                head.step(now + LATER * split, &mut rng());
                let mut votes = vec![Vote::Granted, held(&format!("a {split}"), None)];
                votes.insert(place, left_behind.clone());
                head.refused(&votes, false, times(now), TRACKED, &mut rng());
                assert!(matches!(head.step(now, &mut rng()), Step::Pause(_)), "{votes:?}");
            }
            assert!(head.crowd.probes_first());
        }
    }

    #[test]
    fn a_key_that_was_left_behind_does_not_hide_how_long_the_winner_had_waited() {
        let now = Instant::now();
        let winner = fresh("other", std::time::SystemTime::now(), Waited::new(ms(10)));
        for place in 0..3 {
            let mut head = crowded(now);
            let times = Times {
                waited: Waited::new(ms(100)),
                ..times(now)
            };
            let mut votes = vec![Vote::Pending, held(&winner, None)];
            votes.insert(place, held("left behind", None));
            head.probed(&votes, times, TRACKED, &mut rng());
            head.ask_again(now);
            assert_eq!(head.step(now, &mut rng()), Step::Ask, "the head was overtaken");
        }
    }

    #[test]
    fn in_a_crowd_the_head_probes_before_it_asks() {
        let now = Instant::now();
        let mut head = crowded(now);
        head.changed(0);
        head.changed(1);
        let Step::Pause(until) = head.step(now, &mut rng()) else {
            panic!("it draws a moment");
        };
        assert_eq!(head.step(until, &mut rng()), Step::Probe);
        head.probed(&taken("faster"), times(now), TRACKED, &mut rng());
        assert!(matches!(head.step(now, &mut rng()), Step::Wait(_)));
        // At the poll, too.
        assert_eq!(head.step(now + LATER, &mut rng()), Step::Probe);
        head.probed(&FREE, times(now), TRACKED, &mut rng());
        assert_eq!(head.step(now, &mut rng()), Step::Ask);
    }

    #[test]
    fn a_head_that_was_overtaken_asks_at_once_and_its_successor_does_not() {
        let now = Instant::now();
        let mut head = crowded(now);
        let winner = fresh("other", std::time::SystemTime::now(), Waited::new(ms(10)));
        let times = Times {
            waited: Waited::new(ms(100)),
            ..times(now)
        };
        head.probed(&taken(&winner), times, TRACKED, &mut rng());
        head.changed(0);
        head.changed(1);
        assert_eq!(head.step(now, &mut rng()), Step::Ask);
        head.left();
        head.ask_again(now);
        assert_eq!(head.step(now, &mut rng()), Step::Probe);
    }

    /// A queue whose head lost a race when it was woken, and wins the next.
    fn careful(now: Instant) -> Head {
        let mut head = refused(now);
        assert!(!head.has_rivals());
        head.changed(0);
        head.changed(1);
        assert_eq!(head.step(now, &mut rng()), Step::Ask);
        let vote = held("winner", Some(60_000));
        let votes = [vote.clone(), vote, Vote::Pending];
        head.refused(&votes, false, times(now), TRACKED, &mut rng());
        head
    }

    #[test]
    fn a_careful_waiter_lets_some_time_pass_whenever_it_is_woken() {
        let now = Instant::now();
        let mut head = careful(now);
        let woken = now + ms(1_000);
        head.changed(0);
        head.changed(1);
        let Step::Pause(until) = head.step(woken, &mut rng()) else {
            panic!("those that have waited for longer come first");
        };
        assert!(
            until >= woken + TICK && until <= woken + TICK * 3 / 2,
            "{:?}",
            until - woken
        );
        assert_eq!(head.step(until, &mut rng()), Step::Ask);
    }

    #[test]
    fn a_waiter_is_careful_until_it_has_won_so_many_races() {
        let now = Instant::now();
        let mut head = careful(now);
        head.won(now + LATER, false, times(now), TRACKED);
        for race in 0..CAREFUL {
            assert!(head.has_rivals(), "after {race} races");
            head.won(now + LATER, true, times(now), TRACKED);
            assert!(head.has_rivals(), "what was handed over was no race");
            head.won(now + LATER, false, times(now), TRACKED);
        }
        assert!(!head.has_rivals());
    }

    #[test]
    fn what_is_found_free_by_a_look_is_asked_for_at_once() {
        let now = Instant::now();
        let look = |votes: &[Vote]| {
            let mut head = Head::new(3);
            head.step(now, &mut rng());
            head.probed(votes, times(now), TRACKED, &mut rng());
            (head.step(now, &mut rng()), head.has_rivals())
        };
        let held = || held("other", Some(60_000));
        assert_eq!(look(&[Vote::Missing, Vote::Missing, held()]), (Step::Ask, false));
        assert_eq!(look(&[Vote::Missing, Vote::Missing, Vote::Pending]), (Step::Ask, false));
        assert_eq!(look(&[Vote::Missing, held(), held()]), (Step::Wait(now + LATER), true));
    }

    #[test]
    fn who_had_a_turn_lets_others_come_first_also_if_its_line_was_empty() {
        let now = Instant::now();
        let mut head = refused(now);
        head.changed(0);
        head.changed(1);
        head.step(now, &mut rng());
        let vote = held("winner", Some(60_000));
        head.refused(
            &[vote.clone(), vote, Vote::Pending],
            false,
            times(now),
            TRACKED,
            &mut rng(),
        );
        head.won(now + LATER, false, times(now), TRACKED);
        assert!(head.has_rivals());
        head.resume(now, true, &mut rng());
        assert_eq!(head.step(now, &mut rng()), Step::Ask);
        head.won(now + LATER, false, times(now), TRACKED);
        head.resume(now, false, &mut rng());
        assert!(matches!(head.step(now, &mut rng()), Step::Pause(until) if until >= now + TICK * 3 / 2));
    }

    #[test]
    fn a_holder_that_renews_is_no_race_lost() {
        let now = Instant::now();
        let mut head = refused(now);
        for _ in 0..3 {
            head.changed(0);
            head.changed(1);
            assert_eq!(head.step(now, &mut rng()), Step::Ask);
            let vote = held("other", Some(60_000));
            head.refused(
                &[vote.clone(), vote, Vote::Pending],
                false,
                times(now),
                TRACKED,
                &mut rng(),
            );
        }
    }

    #[test]
    fn a_split_vote_is_followed_by_a_pause_unless_the_same_holder_stays() {
        let now = Instant::now();
        let mut head = Head::new(3);
        for split in 1..=10_u32 {
            head.step(now + LATER, &mut rng());
            let votes = [
                Vote::Granted,
                held(&format!("a {split}"), Some(60_000)),
                held(&format!("b {split}"), Some(60_000)),
            ];
            head.refused(&votes, false, times(now), TRACKED, &mut rng());
            match head.step(now, &mut rng()) {
                Step::Pause(until) => {
                    assert!(until <= now + TICK * (1 << split.min(LONGEST_SPLIT)));
                    // It does not listen while it pauses.
                    head.changed(1);
                    assert_eq!(head.step(now, &mut rng()), Step::Pause(until));
                }
                other => panic!("{other:?}"),
            }
        }
        // One server down, one granted, and one that somebody holds for good.
        head.step(now + LATER, &mut rng());
        let lasting = [
            Vote::Granted,
            held("c", None),
            Vote::Unreachable(DownReason::ConnectionLost),
        ];
        head.refused(&lasting, false, times(now), TRACKED, &mut rng());
        head.step(now + LATER, &mut rng());
        head.refused(&lasting, false, times(now), TRACKED, &mut rng());
        assert_eq!(head.step(now, &mut rng()), Step::Wait(now + LATER));
    }

    fn any_vote() -> impl Strategy<Value = Vote> {
        prop_oneof![
            Just(Vote::Granted),
            Just(Vote::Pending),
            Just(Vote::Silent),
            Just(Vote::Unknown),
            Just(Vote::Unreachable(DownReason::ConnectionLost)),
            ("[ab]", prop::option::of(0_u64..100_000)).prop_map(|(value, left)| held(&value, left)),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happened_the_head_asks_again_in_bounded_time(
            events in prop::collection::vec((0_u8..8, prop::collection::vec(any_vote(), 3), 0_u64..1_000), 0..40),
            seed: u64,
        ) {
            let (mut rng, mut now) = (SmallRng::seed_from_u64(seed), Instant::now());
            let mut head = Head::new(3);
            for (event, votes, passed) in events {
                now += ms(passed);
                match event {
                    0 => head.changed([0, 1, 2][votes.iter().filter(|vote| **vote == Vote::Granted).count() % 3]),
                    1 => { head.step(now, &mut rng); }
                    2 => { head.unlocked((passed % 3 == 0).then(|| now + 4 * TICK)); }
                    3 => head.won(now + LATER, passed % 2 == 0, times(now), TRACKED),
                    4 => head.refused(&votes, passed % 2 == 0, times(now), TRACKED, &mut rng),
                    5 => head.late(0, &votes[0], now, &mut rng),
                    6 => head.probed(&votes, times(now), TRACKED, &mut rng),
                    _ => head.left(),
                }
            }
            head.left();
            let end = now + 2 * LATER;
            loop {
                match head.step(now, &mut rng) {
                    Step::Ask | Step::Probe => break,
                    Step::Wait(until) | Step::Pause(until) => {
                        prop_assert!(until > now, "it goes in circles");
                        now = until;
                    }
                    Step::Stay => prop_assert!(false, "nobody else asks for it"),
                }
                prop_assert!(now <= end, "it waits for ever");
            }
        }
    }
}
