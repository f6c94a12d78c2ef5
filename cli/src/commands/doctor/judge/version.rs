//! What the server's release lacks.

use crate::commands::doctor::{
    facts::Inspected,
    finding::{Check, Finding, Level},
};

pub(super) fn judge(inspected: &Inspected) -> Option<Finding> {
    let info = &inspected.info;
    let (name, version) = match info.get("valkey_version") {
        Some(version) => ("Valkey", version),
        None => ("Redis", info.get("redis_version")?),
    };
    // Every Valkey has all of it, and Redis calls what it is compatible with by the same field.
    let compatible = info.get("redis_version").unwrap_or(version);
    let major = compatible.split('.').next().and_then(|number| number.parse().ok());
    let lacks = if major.unwrap_or(0) < 6 {
        "client tracking (who waits has to ask ten times a second)"
    } else if !inspected.has_resp3 {
        "HELLO, and so no RESP3 and no client tracking (who waits has to ask ten times a second)"
    } else {
        return Some(Check::Version.ok(format!("{name} {version}")));
    };
    let warning = Check::Version.found(Level::Warning, format!("{name} {version} has no {lacks}"));
    Some(warning.advise("Use Redis 6.2 or later, or Valkey, and rename no HELLO in its redis.conf."))
}
