//! What the server's release lacks.

use crate::commands::doctor::{
    facts::Inspected,
    finding::{Check, Level, Outcome},
};

pub(super) fn judge(inspected: &Inspected) -> Option<Outcome> {
    let info = &inspected.info;
    let (name, version) = match info.get("valkey_version") {
        Some(version) => ("Valkey", version),
        None => ("Redis", info.get("redis_version")?),
    };
    // Every Valkey has all of it, and Redis calls what it is compatible with by the same field.
    let lacks = lacks(info.get("redis_version").unwrap_or(version), inspected.has_resp3);
    Some(if lacks.is_empty() {
        Outcome::ok(Check::Version, format!("{name} {version}"))
    } else {
        Outcome::new(
            Check::Version,
            Level::Warning,
            format!("{name} {version} has no {}", lacks.join(", no ")),
            "Use Redis 6.2 or later, or Valkey, and rename no HELLO in its redis.conf.",
        )
    })
}

fn lacks(version: &str, has_resp3: bool) -> Vec<&'static str> {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let release = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let mut lacks = Vec::new();
    if release < (6, 0) {
        lacks.push("client tracking (who waits has to ask ten times a second)");
    } else if !has_resp3 {
        lacks.push("HELLO, and so no RESP3 and no client tracking (who waits has to ask ten times a second)");
    }
    lacks
}
