//! How long a server may leave an operation unanswered before it counts as silent.

use std::time::Duration;

/// How many round trips a server has, unless the time is set: a command may wait for another that is on its way.
const ROUND_TRIPS: u32 = 4;

/// The time within which a server has to answer, from when the operation was sent there, or from the server's last answer to
/// anything else.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    Set(Duration),
    /// At least this long, and as long as a few round trips take.
    AtLeast(Duration),
}

impl Patience {
    /// The time that a caller sets, or a tenth of the TTL within bounds.
    pub(crate) fn new(set: Option<Duration>, ttl: Duration) -> Self {
        let default = || (ttl / 10).clamp(Duration::from_millis(50), Duration::from_secs(1));
        set.map_or_else(|| Self::AtLeast(default()), Self::Set)
    }

    /// The time for a server with this round trip. Before any is measured, nobody knows how long one takes.
    pub(crate) fn with(self, round_trip: Option<Duration>) -> Duration {
        match (self, round_trip) {
            (Self::Set(time), _) => time,
            (Self::AtLeast(time), Some(round_trip)) => time.max(round_trip.saturating_mul(ROUND_TRIPS)),
            (Self::AtLeast(time), None) => time.max(Duration::from_secs(1)),
        }
    }

    /// The shortest time that any server has.
    pub(crate) fn shortest(self) -> Duration {
        match self {
            Self::Set(time) | Self::AtLeast(time) => time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_server_has_a_tenth_of_the_ttl_within_bounds() {
        let default = |ttl| Patience::new(None, ms(ttl)).with(Some(ms(1)));
        assert_eq!(default(200), ms(50));
        assert_eq!(default(2_000), ms(200));
        assert_eq!(default(60_000), ms(1_000));
    }

    #[test]
    fn no_server_has_less_than_the_shortest_time() {
        assert_eq!(Patience::new(None, ms(2_000)).shortest(), ms(200));
        assert_eq!(Patience::new(Some(ms(20)), ms(2_000)).shortest(), ms(20));
    }

    #[test]
    fn a_server_that_is_far_away_has_a_few_round_trips_unless_the_time_is_set() {
        assert_eq!(Patience::new(None, ms(1_000)).with(Some(ms(150))), ms(600));
        assert_eq!(Patience::new(Some(ms(20)), ms(1_000)).with(Some(ms(150))), ms(20));
        assert_eq!(Patience::new(None, ms(1_000)).with(None), ms(1_000));
    }
}
