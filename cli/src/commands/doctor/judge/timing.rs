//! The server's clock and the way to it.

use crate::{
    commands::doctor::{
        clock::{self, Sample},
        facts::{Patience, Terms},
        finding::{Check, Level, Outcome},
        words,
    },
    duration::show,
};
use std::time::Duration;

/// From when on people are misled by what a clock shows, in seconds.
const MISLEADING: f64 = 1.0;

pub(super) fn judge(samples: &[Sample], absence: Level, terms: &Terms) -> Vec<Outcome> {
    let outcomes = [
        round_trip(samples, absence, terms),
        offset(samples),
        rate(samples, terms),
    ];
    outcomes.into_iter().flatten().collect()
}

/// Whether its votes are too late to count.
pub(super) fn is_late(samples: &[Sample], terms: &Terms) -> bool {
    clock::round_trips(samples).is_some_and(|(median, _)| median >= limit(median, terms))
}

/// How long a vote may take, so that it counts.
fn limit(round_trip: Duration, terms: &Terms) -> Duration {
    match terms.patience(round_trip) {
        Patience::Time(time) => time.min(terms.validity()),
        Patience::RoundTrips => terms.validity(),
    }
}

fn round_trip(samples: &[Sample], absence: Level, terms: &Terms) -> Option<Outcome> {
    let (median, longest) = clock::round_trips(samples)?;
    let waits = match terms.patience(median) {
        Patience::Time(time) => show(time),
        Patience::RoundTrips => "four round trips".into(),
    };
    let found = format!(
        "{}, at most {}; an attempt waits for {waits}",
        words::seconds(median.as_secs_f64()),
        words::seconds(longest.as_secs_f64()),
    );
    let limit = limit(median, terms);
    let (level, problem) = if median >= limit {
        (absence, "its votes come too late")
    } else if median * 2 > limit {
        (Level::Warning, "its votes come late as soon as anything is slower")
    } else {
        return Some(Outcome::ok(Check::RoundTrip, found));
    };
    let (found, advice) = if limit == terms.validity() {
        let found = format!("{found}, and no longer than the validity of {}", show(limit));
        (found, "Move it closer, or use a longer --ttl.")
    } else {
        (found, "Move it closer, or raise or remove `attempt_timeout`.")
    };
    Some(Outcome::new(
        Check::RoundTrip,
        level,
        format!("{found}: {problem}"),
        advice,
    ))
}

fn offset(samples: &[Sample]) -> Option<Outcome> {
    let offset = clock::offset(samples)?;
    let direction = if offset.value < 0.0 { "behind" } else { "ahead of" };
    let found = format!(
        "{} ±{} {direction} this machine",
        words::seconds(offset.value.abs()),
        words::seconds(offset.error)
    );
    Some(if offset.least() > MISLEADING {
        Outcome::new(
            Check::Clock,
            Level::Note,
            format!("{found}, which misleads people and no lock"),
            "Run an NTP client, such as chronyd, on both.",
        )
    } else {
        Outcome::ok(Check::Clock, found)
    })
}

fn rate(samples: &[Sample], terms: &Terms) -> Option<Outcome> {
    let rate = clock::rate(samples)?;
    let gained = rate.times(terms.ttl.as_secs_f64());
    let drift = terms.drift.as_secs_f64();
    let direction = if gained.value < 0.0 { "loses" } else { "gains" };
    let found = format!(
        "it {direction} {} ±{} over a ttl of {}, {} allowed by the drift",
        words::seconds(gained.value.abs()),
        words::seconds(gained.error),
        show(terms.ttl),
        show(terms.drift)
    );
    Some(if gained.least() > drift {
        Outcome::new(
            Check::Rate,
            Level::Warning,
            format!("{found}: a lock may end there before its validity does"),
            "Let NTP slew its clock and not step it, or raise `drift` for every process.",
        )
    } else if gained.most() > drift {
        Outcome::new(
            Check::Rate,
            Level::Note,
            format!("{found}: too close to call"),
            "Ask again when the network is calm, or raise `drift` if the round trips stay this uneven.",
        )
    } else {
        Outcome::ok(Check::Rate, found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Finding;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn judged(ttl: u64, attempt_timeout: Option<u64>, took: u64) -> Finding {
        let terms = Terms {
            ttl: ms(ttl),
            drift: ms(100),
            attempt_timeout: attempt_timeout.map(ms),
            restart_guard: None,
            key_prefix: String::new(),
            accepts_any_certificate: false,
        };
        let sample = Sample {
            asked: ms(0),
            answered: ms(took),
            wall: ms(0),
            told: ms(0),
        };
        let outcome = round_trip(&[sample], Level::Unsafe, &terms).unwrap();
        assert_eq!(is_late(&[sample], &terms), outcome.level == Level::Unsafe);
        outcome.about(0, None)
    }

    #[test]
    fn an_attempt_waits_for_four_round_trips_unless_the_time_is_set() {
        for (ttl, attempt_timeout, took, level, words) in [
            (30_000, None, 1, Level::Ok, "waits for 1s"),
            (30_000, None, 250, Level::Ok, "waits for 1s"),
            (30_000, None, 600, Level::Ok, "waits for four round trips"),
            (30_000, None, 1_500, Level::Ok, "waits for four round trips"),
            (300, None, 40, Level::Ok, "waits for four round trips"),
            (30_000, Some(200), 100, Level::Ok, "waits for 200ms"),
            (
                30_000,
                Some(200),
                101,
                Level::Warning,
                "its votes come late as soon as anything is slower",
            ),
            (
                30_000,
                Some(200),
                200,
                Level::Unsafe,
                "waits for 200ms: its votes come too late",
            ),
        ] {
            let Finding { level: told, found, .. } = judged(ttl, attempt_timeout, took);
            assert_eq!(told, level, "{found}");
            assert!(found.ends_with(words), "{found}");
        }
    }

    #[test]
    fn no_vote_counts_that_comes_when_the_validity_is_over() {
        for (attempt_timeout, took, level, words) in [
            (None, 450, Level::Ok, "an attempt waits for four round trips"),
            (
                None,
                451,
                Level::Warning,
                "four round trips, and no longer than the validity of 900ms: its votes come late as soon as anything is slower",
            ),
            (
                Some(2_000),
                900,
                Level::Unsafe,
                "2s, and no longer than the validity of 900ms: its votes come too late",
            ),
        ] {
            let Finding {
                level: told,
                found,
                advice,
                ..
            } = judged(1_000, attempt_timeout, took);
            assert_eq!(told, level, "{found}");
            assert!(found.ends_with(words), "{found}");
            assert_eq!(
                advice.is_some_and(|advice| advice.contains("--ttl")),
                level != Level::Ok
            );
        }
    }
}
