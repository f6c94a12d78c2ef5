//! What the script does on a real server, operation by operation.

mod model;
mod server;

use crate::{
    fence::{self, Fence},
    resource::Resources,
    server::{Operation, Subject, Verb, link::Outcome},
};
use server::{Connection, Reply};
use std::{collections::HashMap, sync::Arc, time::Duration};
use test_support::RedisServer;
use tokio::time::Instant;

/// Commands that put something into a fence's key that is no token, or none that can be counted up.
const BAD_FENCES: [&str; 14] = [
    "SET KEY web_1_a",
    // As long as a token, and before it in order.
    "SET KEY host_1700000000000_abc",
    "SET KEY token:1.00000000000000",
    "SET KEY 1700000000000000",
    "SET KEY token:",
    "SET KEY token:x",
    "SET KEY token:1e300",
    "SET KEY token:9007199254740991",
    "SET KEY token:99999999999999999999",
    "SET KEY token:-1",
    "RPUSH KEY x",
    "HSET KEY x y",
    "ZADD KEY 1 x",
    "SADD KEY x",
];

const TTL: Duration = Duration::from_secs(10);
const EXPIRY: Duration = Duration::from_secs(604_800);

fn operation(verb: Verb, keys: &[&str], value: &str, ttl: Duration) -> Operation {
    let now = Instant::now();
    let keys = Resources::from(keys);
    Operation::new(verb, Subject::new(keys, value), now, now + ttl, ttl, 1)
}

fn fenced(verb: Verb, keys: &[&str], value: &str, token: u64) -> Arc<Operation> {
    let mut operation = operation(verb, keys, value, TTL);
    operation.fence = Some(Fence { token, expiry: EXPIRY });
    Arc::new(operation)
}

fn fence_of(key: &str) -> String {
    String::from_utf8(fence::key(key.as_bytes())).expect("the tests name keys in text")
}

/// What keys and their fences hold, if anything, and for how many milliseconds.
type Snapshot = HashMap<String, (Option<String>, i64)>;

fn snapshot(connection: &mut Connection, keys: &[&str]) -> Snapshot {
    const LOOK: &str = "local all = {} for i, key in ipairs(KEYS) do local kind = redis.call('TYPE', key).ok \
        local held = kind == 'string' and redis.call('GET', key) or kind ~= 'none' and kind \
        all[#all + 1] = { held, redis.call('PTTL', key) } end return all";
    let names: Vec<String> = keys.iter().flat_map(|key| [(*key).to_owned(), fence_of(key)]).collect();
    let count = names.len().to_string();
    let mut words: Vec<&[u8]> = vec![b"EVAL", LOOK.as_bytes(), count.as_bytes()];
    words.extend(names.iter().map(String::as_bytes));
    let Reply::List(found) = connection.command(&words) else {
        panic!("it is a list");
    };
    let entry = |reply: Reply| match reply {
        Reply::List(entry) => match entry.as_slice() {
            [Reply::Bulk(held), Reply::Number(pttl)] => (Some(String::from_utf8_lossy(held).into_owned()), *pttl),
            [Reply::Nil, Reply::Number(pttl)] => (None, *pttl),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    names.into_iter().zip(found.into_iter().map(entry)).collect()
}

/// Checks that nothing has another value or a longer life, nor a much shorter one.
fn assert_unchanged(before: &Snapshot, after: &Snapshot) {
    for (name, (held, pttl)) in before {
        let (held_now, pttl_now) = &after[name];
        assert_eq!(held_now, held, "the value of {name}");
        let is_as_before = if *pttl < 0 {
            pttl_now == pttl
        } else {
            (pttl - 1_500..=*pttl).contains(pttl_now)
        };
        assert!(is_as_before, "{name} had {pttl} ms left, and has {pttl_now}");
    }
}

/// Runs one operation that has to fail, and checks that nothing changed.
fn fails(server: &RedisServer, connection: &mut Connection, operation: Arc<Operation>) {
    let keys = ["a", "b", "c"];
    let mut onlooker = Connection::to(server);
    let before = snapshot(&mut onlooker, &keys);
    let what = format!("{operation:?}");
    let outcome = connection.run(&[operation]).remove(0);
    assert!(matches!(outcome, Outcome::Failed(_)), "{what}: {outcome:?}");
    assert_unchanged(&before, &snapshot(&mut onlooker, &keys));
}

#[test]
fn what_is_no_token_refuses_a_fenced_lock_and_stays_as_it_is() {
    let server = RedisServer::start();
    let mut connection = Connection::to(&server);
    for bad in BAD_FENCES {
        for ttl in [None, Some("5000")] {
            connection.say("FLUSHALL");
            connection.run(&[fenced(Verb::Lock, &["a"], "before", 1)]);
            connection.say("DEL a");
            connection.say(&bad.replace("KEY", &fence_of("b")));
            if let Some(ttl) = ttl {
                connection.say(&format!("PEXPIRE {} {ttl}", fence_of("b")));
            }
            for keys in [&["b"][..], &["a", "b"], &["b", "c"], &["a", "b", "c"]] {
                fails(&server, &mut connection, fenced(Verb::Lock, keys, "v", 1));
            }
            // A key that is ours lives on without its token.
            connection.run(&[Arc::new(operation(Verb::Lock, &["a", "b"], "v", TTL))]);
            fails(&server, &mut connection, fenced(Verb::UpdateFence, &["a", "b"], "v", 2));
            let before = snapshot(&mut connection, &["a", "b", "c"]);
            for verb in [Verb::Renew, Verb::ReSet] {
                assert_eq!(connection.run(&[fenced(verb, &["a", "b"], "v", 2)]), [Outcome::Done]);
            }
            let after = snapshot(&mut connection, &["a", "b", "c"]);
            for key in ["a", "b", "c"] {
                assert_eq!(after[&fence_of(key)].0, before[&fence_of(key)].0);
                assert!(after[&fence_of(key)].1 <= before[&fence_of(key)].1);
            }
        }
    }
}

/// A connection of a user that may read all keys, and write these patterns.
fn restricted(server: &RedisServer, patterns: &str) -> Option<Connection> {
    let user = format!("ACL SETUSER reader on nopass resetkeys %R~* {patterns} +@all");
    let mut connection = Connection::to(server);
    // Redis 6.2 has no permissions to read only.
    if matches!(connection.say(&user), Reply::Error(_)) {
        return None;
    }
    assert_eq!(connection.say("AUTH reader any"), Reply::Simple("OK".into()));
    Some(connection)
}

#[test]
fn keys_that_cannot_all_be_changed_are_not_changed_at_all() {
    let server = RedisServer::start();
    let Some(mut connection) = restricted(&server, "~a* ~b*") else {
        return;
    };
    let mut anyone = Connection::to(&server);
    let all = |verb| Arc::new(operation(verb, &["a", "b", "c"], "v", TTL));
    for verb in [Verb::Lock, Verb::ReSet] {
        fails(&server, &mut connection, all(verb));
    }
    for a in ["SET a v PX 5000", "SET a v"] {
        for b in ["SET b v PX 5000", "DEL b"] {
            for words in [a, b, "SET c v PX 5000"] {
                anyone.say(words);
            }
            fails(&server, &mut connection, all(Verb::ReSet));
            if b != "DEL b" {
                fails(&server, &mut connection, all(Verb::Renew));
            }
        }
    }
}

#[test]
fn a_token_that_cannot_be_stored_for_all_keys_is_stored_for_none() {
    let server = RedisServer::start();
    let Some(mut connection) = restricted(&server, "~a* ~b* ~c") else {
        return;
    };
    connection.say(&format!("SET {} token:5 PX 5000", fence_of("a")));
    fails(&server, &mut connection, fenced(Verb::Lock, &["a", "b", "c"], "v", 1));
    fails(&server, &mut connection, fenced(Verb::Lock, &["c"], "v", 1));
    connection.say(&format!("PERSIST {}", fence_of("a")));
    fails(&server, &mut connection, fenced(Verb::Lock, &["a", "b", "c"], "v", 1));
    connection.say("SET c v PX 10000");
    fails(&server, &mut connection, fenced(Verb::UpdateFence, &["c"], "v", 7));
}

#[test]
fn a_key_that_is_put_back_never_ends_sooner_than_it_would_have() {
    let server = RedisServer::start();
    let mut connection = Connection::to(&server);
    let re_set = |keys: &[&str], ttl| Arc::new(operation(Verb::ReSet, keys, "v", ttl));
    for keys in [&["a"][..], &["a", "b", "c"]] {
        for left in [None, Some(60_000)] {
            connection.say("FLUSHALL");
            connection.say("SET a v");
            if let Some(left) = left {
                connection.say(&format!("PEXPIRE a {left}"));
            }
            let before = snapshot(&mut connection, &["a"]);
            assert_eq!(connection.run(&[re_set(keys, TTL)]), [Outcome::Done]);
            assert_unchanged(&before, &snapshot(&mut connection, &["a"]));
        }
        assert_eq!(connection.run(&[re_set(keys, 10 * TTL)]), [Outcome::Done]);
        for key in keys {
            let left = snapshot(&mut connection, &[key])[*key].1;
            assert!((99_000..=100_000).contains(&left), "{left}");
        }
    }
}

#[test]
fn the_bounds_of_a_token_are_those_of_the_script() {
    let script = super::wire::SCRIPT;
    for line in [
        format!("local FURTHEST_AHEAD = {}", fence::FURTHEST_AHEAD.as_micros()),
        "local LARGEST_TOKEN = 2 ^ 53 - 1".to_owned(),
        format!("local NO_TOKEN = '{}'", fence::NO_TOKEN),
    ] {
        assert!(script.lines().any(|found| found == line), "{line}");
    }
}
