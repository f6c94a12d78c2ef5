//! The server's clock and the way to it.

use crate::{
    commands::doctor::{
        clock::{self, Sample},
        facts::Terms,
        finding::{Check, Level, Outcome},
        words,
    },
    duration::show,
};

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
    clock::round_trips(samples).is_some_and(|(median, _)| median >= terms.round_timeout)
}

fn round_trip(samples: &[Sample], absence: Level, terms: &Terms) -> Option<Outcome> {
    let (median, longest) = clock::round_trips(samples)?;
    let found = format!(
        "{}, at most {}; a round waits for {}",
        words::seconds(median.as_secs_f64()),
        words::seconds(longest.as_secs_f64()),
        show(terms.round_timeout)
    );
    let advice = "Move it closer, or use a longer --ttl or `round_timeout`.";
    Some(if is_late(samples, terms) {
        Outcome::new(
            Check::RoundTrip,
            absence,
            format!("{found}: its votes come too late"),
            advice,
        )
    } else if median * 2 > terms.round_timeout {
        let found = format!("{found}: its votes come late as soon as anything is slower");
        Outcome::new(Check::RoundTrip, Level::Warning, found, advice)
    } else {
        Outcome::ok(Check::RoundTrip, found)
    })
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
