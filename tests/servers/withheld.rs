//! Servers that lack a command, do not permit it, or want to know all keys of a script.

use multiredlock::{Redlock, event::Warning, status::DownReason};
use tokio::task::JoinSet;

use crate::access::works;
use crate::events::warnings;
use crate::support::{
    LONG, Proxy, RedisCluster, RedisServer, Ruling, Servers, Together, all_up, client, extract, finishes, is_down,
    name, quick,
};

fn without(command: &str) -> RedisServer {
    RedisServer::builder()
        .line(format!("rename-command {command} \"\""))
        .start()
}

/// Waits until the server is down, and returns why.
async fn why(redlock: &Redlock) -> DownReason {
    is_down(redlock, 0, |reason| *reason != DownReason::NotYet).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_locking_needs_is_missing() {
    for command in ["EVAL", "EVALSHA", "SET", "GET", "PTTL", "PEXPIRE", "DEL"] {
        let server = without(command);
        let reason = why(&client([server.url()])).await;
        let words = extract!(&reason, DownReason::Refused(words) => words);
        let names = words.as_str().rsplit([' ', '`', '\'']).find(|word| !word.is_empty());
        assert_eq!(names, Some(command), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_locking_needs_is_denied() {
    let server = RedisServer::start();
    // Since Redis 7.2 the denial names the user.
    for command in ["eval", "evalsha", "set", "get", "pttl", "pexpire", "del"] {
        let rule = format!("-{command}");
        server.command(&[
            "ACL", "SETUSER", "keycloak", "reset", "on", "nopass", "~*", "+@all", &rule,
        ]);
        let reason = why(&client([server.url_as("keycloak")])).await;
        assert!(matches!(reason, DownReason::NoPermission(_)), "{command}: {reason:?}");
        let reason = reason.to_string().to_lowercase();
        assert!(reason.contains(command), "{command}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_a_node_is_missing_or_denied() {
    let cluster = RedisCluster::start_with(2, |node| node.line("rename-command DEL \"\""));
    let reason = why(&client([cluster.url()])).await;
    assert_eq!(reason.to_string(), "refused: the server lacks what locking needs: DEL");

    let cluster = RedisCluster::start_with(2, |node| node.user("locker", "on nopass ~* &* +@all"));
    cluster[1].command(&["ACL", "SETUSER", "locker", "-pexpire"]);
    let url = cluster.url().replacen("://", "://locker@", 1);
    let reason = why(&client([url])).await;
    assert_eq!(reason.to_string(), "no permission: locking needs PEXPIRE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_missing_costs_no_more_than_one_that_is_denied() {
    for (command, warning) in [("INFO", Warning::InfoDenied), ("CLIENT", Warning::TrackingDenied)] {
        let server = without(command);
        works(&client([server.url()]), 1).await;
        assert_eq!(warnings(&server, server.url(), |_| ()).await, [warning], "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_tried_changes_nothing_and_is_no_call() {
    let server = RedisServer::start();
    all_up(&client([server.url()])).await;
    assert_eq!(server.keys(), [""; 0]);
    let can_ask = server.command(&["EVAL", "return redis.acl_check_cmd and 1 or 0", "0"]);
    for command in ["set", "get", "pexpire", "del", "evalsha"] {
        let calls = server.calls(command);
        assert!(calls == 0 || can_ask.clone().integer() == 0, "{calls} of {command}");
    }
}

/// A way to the server on which scripts may touch only the keys that their command declares.
async fn declares(server: &RedisServer) -> Proxy {
    const STRICT: &str = "local declared = {} for _, key in ipairs(KEYS) do declared[key] = true end
        local redis = { pcall = function(command, ...)
            local key = ...
            if key and not declared[key] then return { err = 'ERR script tried accessing undeclared key' } end
            return redis.pcall(command, ...)
        end }\n";
    let mut batch = None;
    Proxy::start(server, move |words| {
        let source = match &*name(words) {
            "EVAL" => {
                let is_batch = words[1].windows(8).any(|word| word == b"cmsgpack");
                batch = batch.take().or(is_batch.then(|| words[1].clone()));
                &words[1]
            }
            "EVALSHA" if words[1].iter().any(|digit| *digit != b'0') => batch.as_ref().expect("it was taught"),
            _ => return Ruling::Pass,
        };
        let source = [STRICT.as_bytes(), source].concat();
        Ruling::Becomes([&[b"EVAL".to_vec(), source], &words[2..]].concat())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_to_know_all_keys_is_told_all_keys() {
    let servers = Servers::start(3);
    let mut strict = Vec::new();
    for server in servers.iter() {
        strict.push(declares(server).await);
    }
    let redlock = quick()
        .servers(strict.iter().map(|proxy| proxy.url()))
        .fenced()
        .build()
        .unwrap();
    works(&redlock, 3).await;
    let several = redlock.lock(["{a}1", "{a}2"], LONG).await.unwrap();
    let several = redlock.renew(&several, LONG).await.unwrap();
    finishes("the unlock", redlock.unlock(&several).counts()).await;
    let mut locks = JoinSet::new();
    for number in 0..64 {
        locks.spawn(redlock.lock(format!("{number}"), LONG));
    }
    while let Some(lock) = locks.join_next().await {
        redlock.unlock(&lock.unwrap().unwrap());
    }
    servers
        .each("only fences are left", |server| {
            server.keys().iter().all(|key| key.contains(":fence:"))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_scripts_cannot_touch_a_key_is_down() {
    let server = RedisServer::start();
    let proxy = Proxy::start(&server, |words| match &*name(words) {
        "EVAL" => {
            let never = b"local redis = { pcall = function() return { err = 'ERR no key is to be touched' } end }\n";
            let source = [&never[..], &words[1]].concat();
            Ruling::Becomes([&[b"EVAL".to_vec(), source], &words[2..]].concat())
        }
        _ => Ruling::Pass,
    })
    .await;
    let reason = why(&client([proxy.url()])).await;
    assert_eq!(reason.to_string(), "refused: ERR no key is to be touched");
}
