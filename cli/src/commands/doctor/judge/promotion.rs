//! Whether the restart guard can see that the server was promoted from a replica.

use crate::{
    commands::doctor::{
        facts::{Inspected, Terms},
        finding::{Check, Finding, Level},
    },
    duration::show,
};
use std::time::Duration;

/// `repl-backlog-ttl` unless it is configured.
const DEFAULT_BACKLOG_TTL: Duration = Duration::from_secs(3_600);

pub(super) fn judge(inspected: &Inspected, terms: &Terms) -> Option<Finding> {
    let guard = terms.restart_guard?;
    inspected.info.get("role")?;
    let setting = inspected.config.get("repl-backlog-ttl");
    let backlog_ttl = match setting.and_then(|seconds| seconds.parse().ok()) {
        Some(0) => return Some(Check::Promotion.ok("seen for as long as the server runs")),
        Some(seconds) => Duration::from_secs(seconds),
        None => DEFAULT_BACKLOG_TTL,
    };
    if backlog_ttl >= guard {
        let whose = if setting.is_some() { "" } else { ", by default" };
        let found = format!("seen for {} (repl-backlog-ttl{whose})", show(backlog_ttl));
        return Some(Check::Promotion.ok(found));
    }
    // Since Redis 7.0 it counts what it received as a replica.
    let counts = inspected.info.number("total_net_repl_input_bytes").is_some();
    Some(if counts {
        too_short(backlog_ttl, guard, Level::Note, "not seen after CONFIG RESETSTAT")
    } else {
        forgotten(backlog_ttl, guard)
    })
}

/// Of a server on which nothing else shows that it was a replica.
pub(super) fn forgotten(backlog_ttl: Duration, guard: Duration) -> Finding {
    let consequence = "a promoted replica may vote too early";
    too_short(backlog_ttl, guard, Level::Warning, consequence)
}

fn too_short(backlog_ttl: Duration, guard: Duration, level: Level, consequence: &str) -> Finding {
    let (kept, waits) = (show(backlog_ttl), show(guard));
    let found = format!("repl-backlog-ttl ({kept}) is shorter than restart_guard ({waits}): {consequence}");
    // A part of a second counts as one.
    let seconds = guard.as_secs() + u64::from(guard.subsec_nanos() > 0);
    let advice = format!("CONFIG SET repl-backlog-ttl {seconds}, and the same in its redis.conf.");
    Check::Promotion.found(level, found).advise(advice)
}
