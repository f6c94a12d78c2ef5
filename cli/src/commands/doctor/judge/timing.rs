//! The server's clock and the way to it.

use crate::{
    commands::doctor::{
        clock::{self, Sample},
        facts::{Patience, Terms},
        finding::{Check, Finding, Level},
        words,
    },
    duration::show,
};
use std::time::Duration;

/// From when on people are misled by what a clock shows, in seconds.
const MISLEADING: f64 = 1.0;

pub(super) fn judge(samples: &[Sample], absence: Level, terms: &Terms) -> Vec<Finding> {
    let findings = [
        round_trip(samples, absence, terms),
        offset(samples),
        rate(samples, terms),
    ];
    findings.into_iter().flatten().collect()
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

fn round_trip(samples: &[Sample], absence: Level, terms: &Terms) -> Option<Finding> {
    let (median, longest) = clock::round_trips(samples)?;
    let waits = match terms.patience(median) {
        Patience::Time(time) => show(time),
        Patience::RoundTrips => "four round trips".into(),
    };
    let [usual, most] = [median, longest].map(|time| words::seconds(time.as_secs_f64()));
    let found = format!("{usual}, at most {most}; an attempt waits for {waits}");
    let limit = limit(median, terms);
    let (level, problem) = if median >= limit {
        (absence, "its votes come too late")
    } else if median * 2 > limit {
        (Level::Warning, "its votes come late as soon as anything is slower")
    } else {
        return Some(Check::RoundTrip.ok(found));
    };
    Some(if limit == terms.validity() {
        let validity = show(limit);
        let found = format!("{found}, and no longer than the validity of {validity}: {problem}");
        let complaint = Check::RoundTrip.found(level, found);
        complaint.advise("Move it closer, or use a longer --ttl.")
    } else {
        let complaint = Check::RoundTrip.found(level, format!("{found}: {problem}"));
        complaint.advise("Move it closer, or raise or remove `attempt_timeout`.")
    })
}

fn offset(samples: &[Sample]) -> Option<Finding> {
    let offset = clock::offset(samples)?;
    let direction = if offset.value < 0.0 { "behind" } else { "ahead of" };
    let found = format!("{} {direction} this machine", words::measured(offset));
    if offset.least() <= MISLEADING {
        return Some(Check::Clock.ok(found));
    }
    let note = Check::Clock.found(Level::Note, format!("{found}, which misleads people and no lock"));
    Some(note.advise("Run an NTP client, such as chronyd, on both."))
}

fn rate(samples: &[Sample], terms: &Terms) -> Option<Finding> {
    let gained = clock::rate(samples)?.times(terms.ttl.as_secs_f64());
    let drift = terms.drift.as_secs_f64();
    let direction = if gained.value < 0.0 { "loses" } else { "gains" };
    let (much, ttl, allowed) = (words::measured(gained), show(terms.ttl), show(terms.drift));
    let found = format!("it {direction} {much} over a ttl of {ttl}, {allowed} allowed by the drift");
    let (level, problem, advice) = if gained.least() > drift {
        (
            Level::Warning,
            "a lock may end there before its validity does",
            "Let NTP slew its clock and not step it, or raise `drift` for every process.",
        )
    } else if gained.most() > drift {
        (
            Level::Note,
            "too close to call",
            "Ask again when the network is calm, or raise `drift` if the round trips stay this uneven.",
        )
    } else {
        return Some(Check::Rate.ok(found));
    };
    Some(Check::Rate.found(level, format!("{found}: {problem}")).advise(advice))
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{ms, samples, terms},
        Level::{Ok, Unsafe, Warning},
        *,
    };

    fn judged(ttl: u64, attempt_timeout: Option<u64>, took: u64) -> Finding {
        let terms = Terms {
            ttl: ms(ttl),
            attempt_timeout: attempt_timeout.map(ms),
            ..terms()
        };
        let samples = samples(ms(0), ms(0), ms(took));
        let finding = round_trip(&samples, Unsafe, &terms).unwrap();
        assert_eq!(is_late(&samples, &terms), finding.level == Unsafe);
        finding
    }

    #[test]
    fn an_attempt_waits_for_four_round_trips_unless_the_time_is_set() {
        for (ttl, attempt_timeout, took, level, words) in [
            (30_000, None, 1, Ok, "waits for 1s"),
            (30_000, None, 250, Ok, "waits for 1s"),
            (30_000, None, 600, Ok, "waits for four round trips"),
            (30_000, None, 1_500, Ok, "waits for four round trips"),
            (300, None, 40, Ok, "waits for four round trips"),
            (30_000, Some(200), 100, Ok, "waits for 200ms"),
            (30_000, Some(200), 101, Warning, "late as soon as anything is slower"),
            (30_000, Some(200), 200, Unsafe, "200ms: its votes come too late"),
        ] {
            let finding = judged(ttl, attempt_timeout, took);
            assert_eq!(finding.level, level, "{finding:?}");
            assert!(finding.found.ends_with(words), "{finding:?}");
        }
    }

    #[test]
    fn no_vote_counts_that_comes_when_the_validity_is_over() {
        let in_time = judged(1_000, None, 450);
        let words = "an attempt waits for four round trips";
        assert!(in_time.found.ends_with(words), "{in_time:?}");
        assert_eq!((in_time.level, in_time.advice), (Ok, None));
        for (attempt_timeout, took, level, waits, problem) in [
            (
                None,
                451,
                Warning,
                "four round trips",
                "late as soon as anything is slower",
            ),
            (Some(2_000), 900, Unsafe, "2s", "too late"),
        ] {
            let finding = judged(1_000, attempt_timeout, took);
            assert_eq!(finding.level, level, "{finding:?}");
            let words = format!("{waits}, and no longer than the validity of 900ms: its votes come {problem}");
            assert!(finding.found.ends_with(&words), "{finding:?}");
            assert!(finding.advice.unwrap().contains("--ttl"));
        }
    }
}
