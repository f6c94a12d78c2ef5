//! The report for people.

use super::{
    clock::Measured,
    finding::{Counts, Finding, Level, Report},
};
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

/// How far a measured number is from zero, and how far off that may be.
pub(super) fn measured(measured: Measured) -> String {
    format!("{} ±{}", seconds(measured.value.abs()), seconds(measured.error))
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
    let names = findings.iter().map(|finding| finding.check.name().len());
    let width = names.max().unwrap_or(0);
    let has_groups = findings.iter().any(|finding| finding.group > 0);
    let mut text = String::new();
    for about in findings.chunk_by(|a, b| (a.group, &a.server) == (b.group, &b.server)) {
        let title = match &about[0].server {
            Some(server) => server.clone(),
            None if has_groups => format!("quorum of group {}", about[0].group),
            None => "quorum".into(),
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
            let found = paint(if *level == Level::Ok { style::FAINT } else { style }, found);
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
    let many = |count: usize, name: &str| format!("{count} {name}{}", if count == 1 { "" } else { "s" });
    let (warnings, notes) = (many(counts.warning, "warning"), many(counts.note, "note"));
    format!("{} unsafe, {warnings}, {notes}, {} ok", counts.dangerous, counts.ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Check;

    #[test]
    fn a_time_and_a_size_have_the_unit_that_fits() {
        assert_eq!(
            [0.0, 0.000_123, 0.5, 3.204].map(seconds),
            ["0.00 ms", "0.12 ms", "500.00 ms", "3.20 s"]
        );
        assert_eq!(
            [0, 1023, 1024, 1_600_000, 1 << 50, u64::MAX].map(bytes),
            ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "1024.0 TiB", "16777215.9 TiB"]
        );
    }

    #[test]
    fn findings_are_grouped_aligned_and_counted() {
        let eviction = Check::Eviction.found(Level::Warning, "allkeys-lru");
        let role = Check::Role.found(Level::Unsafe, "replica");
        let findings = vec![
            Check::Majority.ok("3 of 3"),
            Check::Role.ok("master").about(0, Some("h:1")),
            eviction.advise("Do.").about(0, Some("h:1")),
            role.advise("Don't.").about(0, Some("h:2")),
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
