//! What INFO tells about a server.

use crate::server::link::Facts;
use std::time::Duration;

/// By how much the uptime may be too long: it is the difference of two times that are cut to whole seconds.
const ROUNDING: Duration = Duration::from_secs(1);

/// Reads it, or nothing if it tells no version: every Redis server does.
pub(crate) fn parse(info: &str) -> Option<Facts> {
    let field = |name| field(info, name);
    let bounded = |value: &str| value.chars().take(64).collect::<String>();
    let may_evict = field("maxmemory").is_some_and(|limit| limit != "0");
    let version = field("valkey_version").or(field("redis_version"))?;
    let run_id = field("run_id").filter(|id| !id.is_empty()).map(bounded);
    // A master has a new history since it stopped being a replica, and remembers the one before.
    let history = field("master_replid").map(bounded).unwrap_or_default();
    let is_known = !remembers_history(info) && !gave_up_history(info);
    Some(Facts {
        starts: run_id.as_ref().map(|id| vec![format!("{id} {history}")]),
        run_id,
        uptime: if is_known { uptime(info) } else { Duration::ZERO },
        version: Some(bounded(version)),
        is_hidden: false,
        is_replica: matches!(field("role"), Some("slave" | "replica")),
        is_loading: field("loading").is_some_and(|loading| loading != "0"),
        eviction: field("maxmemory_policy")
            .filter(|policy| may_evict && *policy != "noeviction")
            .map(bounded),
        backlog_ttl: None,
        tells_nothing: false,
        old_connection_lives: false,
    })
}

/// For how long, at least, a server has been a master that gave up the history from which `parse` would know it: it did so no
/// sooner than `repl-backlog-ttl` after it was promoted. Zero if that is not known.
pub(super) fn time_as_master(info: &str, backlog_ttl: Option<Duration>) -> Duration {
    match backlog_ttl {
        Some(ttl) if gave_up_history(info) => uptime(info).min(ttl.saturating_sub(ROUNDING)),
        _ => Duration::ZERO,
    }
}

/// Whether a server was a replica, or may have been one, and no longer reports the history before.
///
/// A master that has had no replica for `repl-backlog-ttl` frees its backlog and clears `master_replid2`. If it received nothing
/// after the first synchronization, even its offset is that of a master which was never a replica. From Redis 7.0 on the bytes
/// that it received as a replica are counted. There the offset proves nothing: with `appendonly yes` it grows without
/// replicas from 7.2 on. Before, a master that has an offset but no backlog took part in a replication.
fn gave_up_history(info: &str) -> bool {
    if remembers_history(info) {
        return false;
    }
    let is_positive = |name: &str| field(info, name).map(|number| number != "0");
    match is_positive("total_net_repl_input_bytes") {
        Some(has_received) => has_received,
        None => is_positive("repl_backlog_active") == Some(false) && is_positive("master_repl_offset") == Some(true),
    }
}

/// Whether a server still reports the history that it had as a replica.
fn remembers_history(info: &str) -> bool {
    field(info, "master_replid2").is_some_and(|before| before.bytes().any(|digit| digit != b'0'))
}

/// For how long a process has been running at least.
pub(super) fn uptime(info: &str) -> Duration {
    let seconds = field(info, "uptime_in_seconds").and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0)).saturating_sub(ROUNDING)
}

/// The value of a field.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .filter_map(|line| line.trim_end().split_once(':'))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_that_matter_are_found() {
        let info = "# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\nuptime_in_seconds:61\r\n\r\n# Memory\r\nmaxmemory:100\r\n\
                    maxmemory_policy:allkeys-lru\r\n# Replication\r\nrole:slave\r\n# Persistence\r\nloading:1\r\n";
        let facts = parse(info).unwrap();
        assert_eq!(facts.run_id.as_deref(), Some("abc"));
        assert_eq!(facts.starts, Some(vec!["abc ".into()]));
        assert_eq!(facts.uptime, Duration::from_secs(60), "it may have been rounded up");
        assert_eq!(facts.version.as_deref(), Some("7.0.15"));
        assert_eq!(facts.eviction.as_deref(), Some("allkeys-lru"));
        assert!(facts.is_replica && facts.is_loading);
    }

    #[test]
    fn since_when_a_master_is_one_is_not_known_if_it_was_a_replica() {
        let zeros = "0".repeat(40);
        for (before, secs) in [(zeros.as_str(), 99), ("abc", 0)] {
            let info = format!(
                "redis_version:7\r\nrun_id:a\r\nuptime_in_seconds:100\r\nmaster_replid:b\r\nmaster_replid2:{before}\r\n"
            );
            let facts = parse(&info).unwrap();
            assert_eq!(facts.uptime, Duration::from_secs(secs));
            assert_eq!(facts.starts, Some(vec!["a b".into()]));
        }
    }

    #[test]
    fn since_when_a_master_is_one_is_not_known_if_it_gave_up_its_history() {
        for (active, offset, secs) in [("0", "0", 99), ("0", "14", 0), ("1", "14", 99), ("1", "0", 99)] {
            let info = format!(
                "redis_version:7\r\nrun_id:a\r\nuptime_in_seconds:100\r\nmaster_repl_offset:{offset}\r\n\
                 repl_backlog_active:{active}\r\n"
            );
            assert_eq!(
                parse(&info).unwrap().uptime,
                Duration::from_secs(secs),
                "{active} {offset}"
            );
        }
    }

    #[test]
    fn what_a_replica_received_says_more_than_the_offset() {
        for (received, active, offset, secs) in [
            // As Redis 7.0.15 reports after it was promoted and its backlog was freed, and once it has a replica again.
            ("269", "0", "0", 0),
            ("269", "1", "0", 0),
            // As Valkey 9.1 reports with `appendonly yes` after three writes, without ever having had a replica.
            ("0", "0", "3", 99),
            ("0", "0", "0", 99),
        ] {
            let info = format!(
                "redis_version:7\r\nrun_id:a\r\nuptime_in_seconds:100\r\ntotal_net_repl_input_bytes:{received}\r\n\
                 master_repl_offset:{offset}\r\nrepl_backlog_active:{active}\r\n"
            );
            let uptime = parse(&info).unwrap().uptime;
            assert_eq!(uptime, Duration::from_secs(secs), "{received} {active} {offset}");
        }
    }

    #[test]
    fn a_history_was_given_up_no_sooner_than_the_backlog() {
        let time = |info: &str, ttl: Option<u64>| time_as_master(info, ttl.map(Duration::from_secs)).as_secs();
        let promoted = "uptime_in_seconds:100\r\ntotal_net_repl_input_bytes:269\r\n";
        for (ttl, secs) in [(None, 0), (Some(0), 0), (Some(2), 1), (Some(3_600), 99)] {
            assert_eq!(time(promoted, ttl), secs, "{ttl:?}");
        }
        let remembers = format!("{promoted}master_replid2:b\r\n");
        assert_eq!(time(&remembers, Some(3_600)), 0, "it may have been promoted just now");
        assert_eq!(
            time("uptime_in_seconds:100\r\ntotal_net_repl_input_bytes:0\r\n", Some(3_600)),
            0
        );
    }

    #[test]
    fn a_policy_without_a_limit_evicts_nothing() {
        let facts = parse("redis_version:7\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n").unwrap();
        assert_eq!(facts.eviction, None);
        assert!(!facts.is_replica && !facts.is_loading);
    }

    #[test]
    fn anything_may_stand_there() {
        for info in ["", ":", "run_id:", "OK", "\u{0}\n\n:::", &"run_id:x".repeat(10_000)] {
            assert_eq!(parse(info), None, "{info:.20}");
        }
        let facts = parse(&format!("redis_version:7\nrun_id:{}", "x".repeat(10_000))).unwrap();
        assert_eq!(facts.run_id.unwrap().len(), 64);
    }
}
