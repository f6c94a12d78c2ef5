//! What INFO tells about a server.

use crate::server::link::Facts;
use std::time::Duration;

/// By how much the uptime may be too long: it is the difference of two times that are cut to whole seconds.
const ROUNDING: Duration = Duration::from_secs(1);

/// Reads it, or nothing if it tells no version: every Redis server does.
pub(super) fn parse(info: &str) -> Option<Facts> {
    let field = |name: &str| {
        info.lines()
            .filter_map(|line| line.trim_end().split_once(':'))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    };
    let bounded = |value: &str| value.chars().take(64).collect::<String>();
    let may_evict = field("maxmemory").is_some_and(|limit| limit != "0");
    let version = field("valkey_version").or(field("redis_version"))?;
    let run_id = field("run_id").filter(|id| !id.is_empty()).map(bounded);
    // A master has a new history since it stopped being a replica, and remembers the one before.
    let history = field("master_replid").map(bounded).unwrap_or_default();
    let was_replica = field("master_replid2").is_some_and(|before| before.bytes().any(|digit| digit != b'0'));
    // A master that has had no replica for `repl-backlog-ttl` gives up its backlog, and with it all that it knew of its history: it
    // may have been a replica itself. One that took no part in any replication is still at the offset where it began.
    let has_no_backlog = field("repl_backlog_active") == Some("0");
    let forgot_history = has_no_backlog && field("master_repl_offset").is_some_and(|offset| offset != "0");
    let is_known = !was_replica && !forgot_history;
    let uptime = field("uptime_in_seconds").filter(|_| is_known);
    Some(Facts {
        starts: run_id.as_ref().map(|id| vec![format!("{id} {history}")]),
        run_id,
        uptime: Duration::from_secs(uptime.and_then(|secs| secs.parse().ok()).unwrap_or(0)).saturating_sub(ROUNDING),
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
