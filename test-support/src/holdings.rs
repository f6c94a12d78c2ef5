//! What clients believed to hold, and where two of them contradict each other.

/// That a client believed to hold a resource. All times are of one clock, whatever its unit is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding<I> {
    /// Which lock it was.
    pub id: I,
    /// When the client asked for it.
    pub asked: u64,
    /// When it was granted.
    pub granted: u64,
    /// Until when the client found it valid.
    pub until: u64,
    /// The fencing token.
    pub token: u64,
}

/// Pairs that were held at the same time, of holdings of one resource in the order in which they were granted. Each holding
/// is paired with one before it at the most.
pub fn overlaps<I: PartialEq>(holdings: &[Holding<I>]) -> impl Iterator<Item = (&Holding<I>, &Holding<I>)> {
    let mut longest: Option<&Holding<I>> = None;
    holdings.iter().filter_map(move |holding| {
        let before = longest.filter(|before| before.until > holding.granted && before.id != holding.id);
        if longest.is_none_or(|longest| holding.until > longest.until) {
            longest = Some(holding);
        }
        before
            .filter(|_| holding.until > holding.granted)
            .map(|before| (before, holding))
    })
}

/// Pairs of which the second was asked for after the first was granted, and has no larger token; of holdings of one resource in
/// the order in which they were granted. There is no first if the larger token is the `floor`, one of a holding that is forgotten.
pub fn disorders<I: PartialEq>(
    holdings: &[Holding<I>],
    floor: u64,
) -> impl Iterator<Item = (Option<&Holding<I>>, &Holding<I>)> {
    // Those with a larger token than all that were granted before.
    let mut largest: Vec<&Holding<I>> = Vec::new();
    for holding in holdings {
        if holding.token > largest.last().map_or(floor, |last| last.token) {
            largest.push(holding);
        }
    }
    holdings.iter().filter_map(move |holding| {
        let granted_before = largest.partition_point(|large| large.granted < holding.asked);
        let before = granted_before.checked_sub(1).map(|index| largest[index]);
        let largest_before = before.map_or(floor, |before| before.token);
        (largest_before >= holding.token && before.is_none_or(|before| before.id != holding.id))
            .then_some((before, holding))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(id: char, (asked, granted, until): (u64, u64, u64), token: u64) -> Holding<char> {
        Holding {
            id,
            asked,
            granted,
            until,
            token,
        }
    }

    fn overlapping(holdings: &[Holding<char>]) -> Vec<(char, char)> {
        overlaps(holdings).map(|(one, other)| (one.id, other.id)).collect()
    }

    fn disordered(holdings: &[Holding<char>], floor: u64) -> Vec<(Option<char>, char)> {
        let found = disorders(holdings, floor);
        found.map(|(one, other)| (one.map(|one| one.id), other.id)).collect()
    }

    #[test]
    fn holdings_one_after_another_do_not_overlap() {
        let holdings = [holding('a', (1, 10, 20), 1), holding('b', (15, 20, 25), 2)];
        assert_eq!(overlapping(&holdings), []);
        assert_eq!(disordered(&holdings, 0), []);
    }

    #[test]
    fn holdings_at_the_same_time_overlap_also_if_others_ended_meanwhile() {
        let holdings = [
            holding('a', (1, 10, 30), 1),
            holding('b', (2, 12, 13), 2),
            holding('c', (2, 28, 29), 3),
        ];
        assert_eq!(overlapping(&holdings), [('a', 'b'), ('a', 'c')]);
    }

    #[test]
    fn a_lock_does_not_overlap_itself_and_one_that_was_over_when_granted_overlaps_nothing() {
        let holdings = [
            holding('a', (1, 10, 30), 1),
            holding('a', (1, 20, 40), 1),
            holding('b', (1, 25, 25), 2),
        ];
        assert_eq!(overlapping(&holdings), []);
    }

    #[test]
    fn a_token_may_be_smaller_only_of_a_lock_that_was_asked_for_before() {
        let asked_before = [holding('a', (1, 10, 12), 5), holding('b', (2, 20, 22), 3)];
        assert_eq!(disordered(&asked_before, 0), []);
        let asked_after = [holding('a', (1, 10, 12), 5), holding('b', (11, 20, 22), 4)];
        assert_eq!(disordered(&asked_after, 0), [(Some('a'), 'b')]);
        let same = [holding('a', (1, 10, 12), 5), holding('b', (11, 20, 22), 5)];
        assert_eq!(disordered(&same, 0), [(Some('a'), 'b')]);
    }

    #[test]
    fn tokens_are_compared_with_those_that_are_forgotten() {
        let holdings = [holding('a', (1, 10, 12), 50), holding('b', (11, 20, 22), 60)];
        assert_eq!(disordered(&holdings, 49), []);
        assert_eq!(disordered(&holdings, 50), [(None, 'a')]);
        assert_eq!(disordered(&holdings, 70), [(None, 'a'), (None, 'b')]);
    }
}
