//! Durations as people write them: `30s`, `1m 30s`, `500ms`.

use std::time::Duration;

/// Reads a duration, for clap.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}: a duration has a unit, as in 500ms, 30s, or 1m 30s"))
}

/// Writes a duration for people: as exact as it helps.
pub(crate) fn show(duration: Duration) -> String {
    let unit = match duration.as_millis() {
        0 if !duration.is_zero() => return format!("{} µs", duration.as_micros().max(1)),
        0..10_000 => Duration::from_millis(1),
        10_000..60_000 => Duration::from_millis(100),
        _ => Duration::from_secs(1),
    };
    let units = duration.as_nanos() / unit.as_nanos();
    let rounded = unit.saturating_mul(u32::try_from(units).unwrap_or(u32::MAX));
    if rounded.as_secs() >= 60 || rounded.subsec_millis() == 0 {
        humantime::format_duration(rounded).to_string()
    } else if rounded.as_secs() >= 1 {
        format!("{:.1}s", rounded.as_secs_f64())
    } else {
        format!("{}ms", rounded.as_millis())
    }
}

/// Milliseconds for JSON.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Microseconds for JSON.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_as_exact_as_it_helps() {
        for (micros, text) in [
            (0, "0s"),
            (70, "70 µs"),
            (1_000, "1ms"),
            (999_999, "999ms"),
            (1_260_000, "1.3s"),
            (30_000_000, "30s"),
            (30_260_000, "30.2s"),
            (90_400_000, "1m 30s"),
            (7_200_000_000, "2h"),
        ] {
            assert_eq!(show(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused_with_what_is_expected() {
        let error = parse("30").unwrap_err();
        assert!(error.contains("a duration has a unit"), "{error}");
        assert_eq!(parse("1m 30s"), Ok(Duration::from_secs(90)));
    }
}
