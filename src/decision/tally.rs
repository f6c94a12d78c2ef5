//! The votes of one attempt, and what they decide.

use super::{Vote, majority, value::Holder};
use crate::fault_injection::InjectedFault;
use std::time::Duration;

/// What the votes of an attempt decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// A majority granted it.
    Won,
    /// A majority can no longer grant it.
    Lost,
}

/// Counts the votes of one attempt. Pure: whoever holds it says when the time is up.
#[derive(Debug)]
pub(crate) struct Tally {
    votes: Vec<Vote>,
    granted: usize,
    answered: usize,
}

impl Tally {
    pub(crate) fn new(servers: usize) -> Self {
        Self {
            votes: vec![Vote::Pending; servers],
            granted: 0,
            answered: 0,
        }
    }

    /// Notes a vote. A server's first answer counts and any later one is ignored.
    pub(crate) fn cast(&mut self, server: usize, vote: Vote) {
        if matches!(self.votes[server], Vote::Pending) {
            self.answered += 1;
            self.granted += usize::from(matches!(vote, Vote::Granted));
            self.votes[server] = vote;
        }
    }

    /// What the votes would decide if these servers were silent for good.
    pub(crate) fn without(&self, is_silent: impl Fn(usize) -> bool) -> Self {
        let mut tally = Self {
            votes: self.votes.clone(),
            ..*self
        };
        for server in (0..self.votes.len()).filter(|server| is_silent(*server)) {
            tally.cast(server, Vote::TimedOut);
        }
        tally
    }

    /// Decides at the earliest vote that settles it: the quorum-th grant, or the (N − quorum + 1)-th of anything else.
    pub(crate) fn decision(&self) -> Option<Decision> {
        let servers = self.votes.len();
        let quorum = majority(servers) - usize::from(InjectedFault::QuorumTooSmall.is_on());
        if InjectedFault::WaitsForAll.is_on() && !self.is_complete() {
            None
        } else if self.granted >= quorum {
            Some(Decision::Won)
        } else if self.answered - self.granted > servers - quorum {
            Some(Decision::Lost)
        } else {
            None
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.answered == self.votes.len()
    }

    pub(crate) fn votes(&self) -> &[Vote] {
        &self.votes
    }
}

/// The votes of an attempt whose time is up: who has not answered is silent.
pub(crate) fn silent(mut votes: Vec<Vote>) -> Vec<Vote> {
    for vote in &mut votes {
        if *vote == Vote::Pending {
            *vote = Vote::TimedOut;
        }
    }
    votes
}

/// How many servers were reached, whatever they said. One that did not answer before the decision is among them: nothing
/// is known against it.
pub(crate) fn reachable(votes: &[Vote]) -> usize {
    count(votes, |vote| {
        !matches!(vote, Vote::Unreachable(_) | Vote::OutcomeUnknown | Vote::TimedOut)
    })
}

/// Counts the votes for which `is` holds.
pub(crate) fn count(votes: &[Vote], is: impl Fn(&Vote) -> bool) -> usize {
    votes.iter().filter(|vote| is(vote)).count()
}

/// Whether the attempt failed because somebody holds the resource, rather than for lack of servers: whether the servers
/// that could vote are a majority, and at least one of them says that it is held.
pub(crate) fn is_held(votes: &[Vote]) -> bool {
    let refused = count(votes, |vote| matches!(vote, Vote::Refused(_)));
    let could_vote = reachable(votes) - refused;
    let could_vote = if InjectedFault::UnreachableIsHeld.is_on() {
        votes.len()
    } else {
        could_vote
    };
    count(votes, |vote| matches!(vote, Vote::Held { .. })) > 0 && could_vote >= majority(votes.len())
}

/// Whether a majority can no longer hold our value: so many servers hold another or none that the rest is no majority.
pub(crate) fn is_lost(votes: &[Vote]) -> bool {
    let gone = count(votes, |vote| matches!(vote, Vote::Held { .. } | Vote::Missing));
    gone > votes.len() - majority(votes.len())
}

/// The holders that the servers name, one for each server.
pub(crate) fn holders(votes: &[Vote]) -> impl Iterator<Item = &Holder> + Clone {
    votes.iter().filter_map(|vote| match vote {
        Vote::Held(holder) => Some(holder),
        _ => None,
    })
}

/// The holder that most of the servers name, and how many do.
pub(crate) fn leading_holder(votes: &[Vote]) -> Option<(&Holder, usize)> {
    leading(&holders(votes))
}

/// The holder that is named most often, and how often.
pub(crate) fn leading<'a>(holders: &(impl Iterator<Item = &'a Holder> + Clone)) -> Option<(&'a Holder, usize)> {
    let count = |holder: &Holder| {
        let same = holders
            .clone()
            .filter(|other| other.fingerprint() == holder.fingerprint());
        same.count()
    };
    holders
        .clone()
        .map(|holder| (holder, count(holder)))
        .max_by_key(|(_, count)| *count)
}

/// When enough keys will have expired for a majority to be free, if their owners do nothing.
pub(crate) fn retry_after(votes: &[Vote]) -> Option<Duration> {
    let free = votes.iter().filter(|vote| **vote == Vote::Granted).count();
    let mut left: Vec<_> = votes
        .iter()
        .filter_map(|vote| match vote {
            // A key without a ttl is the last to be waited for.
            Vote::Held(holder) => Some(holder.remaining.unwrap_or(Duration::MAX)),
            _ => None,
        })
        .collect();
    left.sort_unstable();
    let needed = majority(votes.len()).saturating_sub(free).clamp(1, left.len());
    left.get(needed - 1).copied().filter(|left| *left != Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{DownReason, Refusal},
        *,
    };
    use proptest::prelude::*;

    fn held() -> Vote {
        Vote::Held(Holder::new(b"?", None))
    }

    fn held_by(id: &str, remaining: Option<u64>) -> Vote {
        let value = format!("{id}_0_random");
        Vote::Held(Holder::new(value.as_bytes(), remaining.map(Duration::from_millis)))
    }

    fn down() -> Vote {
        Vote::Unreachable(DownReason::ConnectionLost)
    }

    fn after(servers: usize, votes: &[Vote]) -> Option<Decision> {
        let mut tally = Tally::new(servers);
        for (server, vote) in votes.iter().enumerate() {
            tally.cast(server, vote.clone());
        }
        tally.decision()
    }

    #[test]
    fn a_server_that_refused_could_not_vote_on_who_holds_the_resource() {
        let refused = || Vote::Refused(Refusal::OutOfMemory);
        assert!(!is_held(&[held(), refused(), refused()]));
        assert!(is_held(&[held(), Vote::Granted, refused()]));
    }

    #[test]
    fn an_even_number_of_servers_is_lost_at_half_of_them() {
        assert_eq!(after(2, &[held()]), Some(Decision::Lost));
        assert_eq!(after(4, &[held()]), None);
        assert_eq!(after(4, &[held(), down()]), Some(Decision::Lost));
        assert_eq!(after(4, &[Vote::Granted, Vote::Granted]), None);
    }

    #[test]
    fn a_server_votes_once() {
        let mut tally = Tally::new(3);
        for _ in 0..3 {
            tally.cast(0, Vote::Granted);
        }
        tally.cast(0, down());
        assert_eq!(tally.decision(), None);
        assert_eq!(tally.votes(), [Vote::Granted, Vote::Pending, Vote::Pending]);
    }

    #[test]
    fn unreachable_is_never_called_held() {
        assert!(!is_held(&[down(), down(), Vote::Pending]));
        assert!(!is_held(&[down(), down(), held()]));
        assert!(!is_held(&silent(vec![held(), Vote::Pending, Vote::Pending])));
        assert!(is_held(&[down(), held(), Vote::Pending]));
        assert!(is_held(&[held(), held(), Vote::Pending]));
        assert!(!is_held(&[down(), Vote::OutcomeUnknown, Vote::Granted]));
    }

    #[test]
    fn nobody_holds_what_no_server_calls_held() {
        assert!(!is_held(&[Vote::Granted, Vote::Granted, Vote::Missing]));
        assert!(!is_held(&[]));
    }

    #[test]
    fn a_server_is_reachable_unless_it_is_away_or_its_answer_is() {
        let refused = Vote::Refused(Refusal::OutOfMemory);
        let reached = [Vote::Granted, held(), Vote::Missing, refused, Vote::Pending];
        assert_eq!(reachable(&reached), 5);
        assert_eq!(reachable(&[down(), Vote::OutcomeUnknown, Vote::TimedOut]), 0);
    }

    #[test]
    fn only_a_vote_that_is_not_there_becomes_a_silent_one() {
        let votes = [Vote::Granted, held(), Vote::OutcomeUnknown];
        assert_eq!(silent(votes.to_vec()), votes);
        assert_eq!(
            silent(vec![Vote::Pending, Vote::Granted]),
            [Vote::TimedOut, Vote::Granted]
        );
    }

    #[test]
    fn servers_that_are_silent_for_good_count_as_silent_votes_unless_they_answered() {
        let mut tally = Tally::new(3);
        tally.cast(1, Vote::Granted);
        assert!(!tally.is_complete());
        let without = |silent: &[usize]| {
            let tally = tally.without(|server| silent.contains(&server));
            (tally.decision(), tally.votes().to_vec())
        };
        let (pending, silent) = (Vote::Pending, Vote::TimedOut);
        assert_eq!(
            without(&[0, 1]),
            (None, vec![silent.clone(), Vote::Granted, pending.clone()])
        );
        assert_eq!(
            without(&[0, 2]),
            (Some(Decision::Lost), vec![silent.clone(), Vote::Granted, silent])
        );
        assert_eq!(tally.votes(), [pending.clone(), Vote::Granted, pending]);
    }

    #[test]
    fn a_lock_is_lost_only_when_the_rest_is_no_majority() {
        assert!(!is_lost(&[held(), down(), down()]));
        assert!(!is_lost(&[held(), Vote::OutcomeUnknown, Vote::Pending]));
        assert!(is_lost(&[held(), Vote::Missing, down()]));
        assert!(is_lost(&[held(), Vote::Missing, Vote::Granted, Vote::Granted]));
        assert!(!is_lost(&[Vote::Missing, Vote::Granted, Vote::Granted, down()]));
    }

    #[test]
    fn retrying_pays_once_enough_keys_have_expired() {
        let after = |votes: &[Vote]| retry_after(votes).map(|left| left.as_millis());
        assert_eq!(
            after(&[held_by("a", Some(30)), held_by("a", Some(10)), Vote::Granted]),
            Some(10)
        );
        assert_eq!(
            after(&[held_by("a", Some(30)), held_by("a", Some(10)), held_by("b", Some(20))]),
            Some(20)
        );
        assert_eq!(
            after(&[held_by("a", None), held_by("a", None), held_by("b", Some(20))]),
            None
        );
        assert_eq!(after(&[held_by("a", Some(5)), Vote::Pending, Vote::Pending]), Some(5));
    }

    #[test]
    fn the_owner_is_the_one_that_most_servers_name() {
        let leading = |votes: &[Vote]| {
            let (holder, count) = leading_holder(votes)?;
            Some((holder.owner.clone()?.id, count))
        };
        assert_eq!(
            leading(&[held_by("a", None), held_by("b", None), held_by("b", None)]),
            Some(("b".into(), 2))
        );
        assert_eq!(leading(&[Vote::Granted, Vote::Pending]), None);
    }

    fn any_vote() -> impl Strategy<Value = Vote> {
        prop_oneof![
            Just(Vote::Granted),
            Just(held()),
            Just(Vote::Missing),
            Just(down()),
            Just(Vote::OutcomeUnknown),
            Just(Vote::Refused(Refusal::OutOfMemory)),
        ]
    }

    proptest! {
        #[test]
        fn it_decides_at_the_earliest_vote_that_settles_it_and_never_changes_its_mind(
            votes in prop::collection::vec(any_vote(), 1..10),
        ) {
            let servers = votes.len();
            let mut tally = Tally::new(servers);
            let mut decided = None;
            for (server, vote) in votes.iter().enumerate() {
                tally.cast(server, vote.clone());
                let cast = &votes[..=server];
                let granted = cast.iter().filter(|vote| **vote == Vote::Granted).count();
                let open = servers - cast.len();
                let settled = if granted >= majority(servers) {
                    Some(Decision::Won)
                } else if granted + open < majority(servers) {
                    Some(Decision::Lost)
                } else {
                    None
                };
                prop_assert_eq!(tally.decision(), settled);
                if decided.is_some() {
                    prop_assert_eq!(tally.decision(), decided);
                }
                decided = tally.decision();
            }
            prop_assert!(decided.is_some() && tally.is_complete());
        }
    }
}
