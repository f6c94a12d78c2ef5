//! The report for people.

use super::finding::{Counts, Finding, Level, Report};
use crate::output::style::{self, paint};
use anstyle::Style;
use std::fmt::Write;

/// A measured time: always in the same unit as long as it is short, so that those of several servers compare.
pub(super) fn seconds(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.2} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

/// A size, rounded down to a tenth of the unit.
pub(super) fn bytes(bytes: u64) -> String {
    let mut unit = "B";
    let mut tenths = u128::from(bytes) * 10;
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = larger;
    }
    if unit == "B" {
        format!("{bytes} B")
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

/// Grouped by server, and the verdict last, where a terminal still shows it.
pub(super) fn report(report: &Report) -> String {
    let findings = &report.findings;
    let width = findings
        .iter()
        .map(|finding| finding.check.name().len())
        .max()
        .unwrap_or(0);
    let has_groups = findings.iter().any(|finding| finding.group > 0);
    let mut text = String::new();
    for about in findings.chunk_by(|a, b| (a.group, &a.server) == (b.group, &b.server)) {
        let title = match &about[0] {
            Finding {
                server: Some(server), ..
            } => server.clone(),
            Finding { group, .. } if has_groups => format!("quorum of group {group}"),
            _ => "quorum".into(),
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", paint(style::STRONG, title));
        for Finding {
            check,
            level,
            found,
            advice,
            ..
        } in about
        {
            let (style, sign) = look(*level);
            let found = if *level == Level::Ok {
                paint(style::FAINT, found)
            } else {
                paint(style, found)
            };
            let _ = writeln!(text, "  {} {:width$}  {found}", paint(style, sign), check.name());
            if let Some(advice) = advice {
                let _ = writeln!(text, "    {:width$}  {advice}", "");
            }
        }
        text.push('\n');
    }
    let (style, _) = look(report.verdict);
    let verdict = match report.verdict {
        Level::Unsafe => "unsafe",
        Level::Warning => "not as it should be",
        Level::Note | Level::Ok => "fine",
    };
    let _ = writeln!(text, "{}: {}", paint(style, verdict), counts(report.counts));
    text
}

fn look(level: Level) -> (Style, &'static str) {
    match level {
        Level::Ok => (style::GOOD, "✓"),
        Level::Note => (Style::new(), "·"),
        Level::Warning => (style::WARN, "!"),
        Level::Unsafe => (style::BAD, "✗"),
    }
}

fn counts(counts: Counts) -> String {
    let Counts {
        ok,
        note,
        warning,
        dangerous,
    } = counts;
    let many = |count: usize, name: &str| format!("{count} {name}{}", if count == 1 { "" } else { "s" });
    format!(
        "{dangerous} unsafe, {}, {}, {ok} ok",
        many(warning, "warning"),
        many(note, "note")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::{Check, Outcome};

    #[test]
    fn a_time_and_a_size_have_the_unit_that_fits() {
        for (number, text) in [
            (0.0, "0.00 ms"),
            (0.000_123, "0.12 ms"),
            (0.5, "500.00 ms"),
            (3.204, "3.20 s"),
        ] {
            assert_eq!(seconds(number), text);
        }
        for (number, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_600_000, "1.5 MiB"),
            (1 << 50, "1024.0 TiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn findings_are_grouped_aligned_and_counted() {
        let findings = vec![
            Outcome::ok(Check::Majority, "3 of 3").about(0, None),
            Outcome::ok(Check::Role, "master").about(0, Some("h:1")),
            Outcome::new(Check::Eviction, Level::Warning, "allkeys-lru", "Do.").about(0, Some("h:1")),
            Outcome::new(Check::Role, Level::Unsafe, "replica", "Don't.").about(0, Some("h:2")),
        ];
        let colored = report(&Report::new(findings.clone(), 1));
        let plain = anstream::adapter::strip_str(&colored).to_string();
        assert_eq!(
            plain,
            "quorum\n  ✓ majority  3 of 3\n\nh:1\n  ✓ role      master\n  ! eviction  allkeys-lru\n              Do.\n\n\
             h:2\n  ✗ role      replica\n              Don't.\n\nunsafe: 1 unsafe, 1 warning, 0 notes, 2 ok\n"
        );
        assert_ne!(colored, plain);
        let several = findings
            .into_iter()
            .map(|finding| Finding { group: 1, ..finding })
            .collect();
        assert!(report(&Report::new(several, 1)).contains("quorum of group 1"));
    }
}
