//! What was found, how bad that is, and what to do about it.

use serde::Serialize;
use serde_json::Value;

/// How far a finding is from what makes a quorum trustworthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    Ok,
    /// Worth knowing. It takes nothing away from the locks.
    Note,
    /// Locks are less available, or less safe once something else goes wrong as well.
    Warning,
    /// Two may hold a lock at once, or nobody can.
    Unsafe,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Check {
    Majority,
    Number,
    Hosts,
    RestartGuard,
    ClocksApart,
    Reachable,
    Authentication,
    Tls,
    Distinct,
    Role,
    Restart,
    Permissions,
    Locking,
    Persistence,
    Promotion,
    Eviction,
    Memory,
    Version,
    Clock,
    Rate,
    RoundTrip,
    /// Whether the server itself could be asked for what the library does not tell.
    Inspection,
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) check: Check,
    pub(super) level: Level,
    pub(super) group: usize,
    /// Which server it is about, if it is not the quorum as a whole.
    pub(super) server: Option<String>,
    pub(super) found: String,
    /// What to do about it.
    pub(super) advice: Option<String>,
}

/// A finding that is not fine, and still lacks its advice.
#[derive(Debug)]
pub(super) struct Complaint(Finding);

impl Complaint {
    pub(super) fn advise(self, advice: impl Into<String>) -> Finding {
        let advice = Some(advice.into());
        Finding { advice, ..self.0 }
    }
}

impl Finding {
    pub(super) fn about(self, group: usize, server: Option<&str>) -> Self {
        let server = server.map(str::to_owned);
        Self { group, server, ..self }
    }
}

impl Level {
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Ok | Self::Note => 0,
            Self::Warning => 1,
            Self::Unsafe => 2,
        }
    }
}

impl Check {
    pub(super) fn ok(self, found: impl Into<String>) -> Finding {
        self.found(Level::Ok, found).0
    }

    pub(super) fn found(self, level: Level, found: impl Into<String>) -> Complaint {
        Complaint(Finding {
            check: self,
            level,
            group: 0,
            server: None,
            found: found.into(),
            advice: None,
        })
    }

    /// What people call it: what programs do, but for the underscores.
    pub(super) fn name(self) -> String {
        match serde_json::to_value(self) {
            Ok(Value::String(name)) if self != Self::Tls => name.replace('_', " "),
            _ => "TLS".into(),
        }
    }
}

/// All findings, and what they come to.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) verdict: Level,
    exit_code: u8,
    ttl_ms: u64,
    pub(super) counts: Counts,
    pub(super) findings: Vec<Finding>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub(super) ok: usize,
    pub(super) note: usize,
    pub(super) warning: usize,
    #[serde(rename = "unsafe")]
    pub(super) dangerous: usize,
}

impl Report {
    pub(super) fn new(findings: Vec<Finding>, ttl_ms: u64) -> Self {
        let worst = findings.iter().map(|finding| finding.level).max();
        // A note is no more than fine.
        let verdict = worst.filter(|level| *level > Level::Note).unwrap_or(Level::Ok);
        let count = |level| findings.iter().filter(|finding| finding.level == level).count();
        let counts = Counts {
            ok: count(Level::Ok),
            note: count(Level::Note),
            warning: count(Level::Warning),
            dangerous: count(Level::Unsafe),
        };
        Self {
            verdict,
            exit_code: verdict.exit_code(),
            ttl_ms,
            counts,
            findings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_is_the_verdict_and_a_note_is_none() {
        use Level::{Note, Ok, Unsafe, Warning};
        for (levels, verdict, exit_code) in [
            (&[][..], Ok, 0),
            (&[Ok, Note], Ok, 0),
            (&[Ok, Warning, Note], Warning, 1),
            (&[Unsafe, Warning], Unsafe, 2),
        ] {
            let finding = |level: &Level| Check::Role.found(*level, "").advise("");
            let report = Report::new(levels.iter().map(finding).collect(), 1);
            assert_eq!((report.verdict, report.exit_code), (verdict, exit_code), "{levels:?}");
            let Counts { ok, note, .. } = report.counts;
            let counted = ok + note + report.counts.warning + report.counts.dangerous;
            assert_eq!(counted, levels.len());
        }
    }
}
