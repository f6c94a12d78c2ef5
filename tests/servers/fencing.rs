//! Tokens on real servers: counted up by the script, stored beside the lock, raised where they lag.

use multiredlock::{
    Lock, LockError, Redlock,
    error::{InvalidRequest, InvalidResource, Refusal, Vote},
};

use crate::support::{
    LONG, RedisCluster, RedisServer, Reply, Servers, Together, all_up, assert_matches, connect, eventually, extract,
    finishes, ms, quick, up,
};

/// Where the token of a resource is.
fn fence(resource: &str) -> String {
    format!("{resource}:fence:{{{resource}}}")
}

/// What is stored there of a token.
fn text(token: u64) -> String {
    format!("token:{token}")
}

fn stored(server: &RedisServer, resource: &str) -> Option<u64> {
    let stored = server.get(&fence(resource))?;
    Some(stored.strip_prefix("token:").unwrap().parse().unwrap())
}

/// Servers, and a client whose locks are all fenced.
async fn fenced(count: usize) -> (Servers, Redlock) {
    let servers = Servers::start(count);
    let redlock = connect(servers.builder().fenced()).await;
    (servers, redlock)
}

fn number(lock: &Lock) -> Option<u64> {
    lock.token().map(u64::from)
}

/// Locks and unlocks, and returns the token.
async fn token(redlock: &Redlock, resource: &str) -> u64 {
    let lock = redlock.lock(resource, LONG).await.unwrap();
    finishes("the unlock", redlock.unlock(&lock).counts()).await;
    number(&lock).expect("it is fenced")
}

fn micros_since_1970() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_about_the_time_and_a_majority_has_stored_it() {
    let (servers, redlock) = fenced(3).await;
    let before = micros_since_1970();
    let lock = redlock.lock("r", LONG).await.unwrap();
    let token = number(&lock).unwrap();
    assert!(token >= before && token < micros_since_1970() + 2_000_000);
    let count = servers
        .iter()
        .filter(|server| stored(server, "r") >= Some(token))
        .count();
    assert!(count >= 2);
    let ttl = servers[0].pttl(&fence("r"));
    assert!(ttl > 6 * 86_400_000 && ttl <= 7 * 86_400_000, "{ttl}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_grow_over_changing_majorities_and_clients() {
    let (servers, redlock) = fenced(3).await;
    let clients = [redlock, connect(servers.builder().fenced()).await];
    let mut last = 0;
    for turn in 0..12 {
        let redlock = &clients[turn % 2];
        servers[turn % 3].freeze();
        for _ in 0..10 {
            let next = token(redlock, "r").await;
            assert!(next > last, "{next} after {last}");
            last = next;
        }
        servers[turn % 3].thaw();
        all_up(redlock).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_on_one_server_that_is_far_ahead_is_raised_on_another_before_the_lock_is_granted() {
    let (servers, redlock) = fenced(3).await;
    let ahead = micros_since_1970() + 3_600_000_000;
    servers[1].command(&["SET", &fence("r"), &text(ahead)]);
    servers[0].crash();
    eventually("two are left", async || up(&redlock) == 2).await;
    let lock = redlock.lock("r", LONG).await.unwrap();
    assert_eq!(number(&lock), Some(ahead + 1));
    assert_eq!(stored(&servers[2], "r"), Some(ahead + 1));
    finishes("the unlock", redlock.unlock(&lock).counts()).await;

    servers[0].restart();
    all_up(&redlock).await;
    servers[1].crash();
    eventually("two are left", async || up(&redlock) == 2).await;
    assert!(token(&redlock, "r").await > ahead + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_counted_up_exactly_as_far_as_a_script_can() {
    let (servers, redlock) = fenced(1).await;
    let largest = (1_u64 << 53) - 1;
    servers[0].command(&["SET", &fence("r"), &text(largest - 3)]);
    for behind in [2, 1, 0] {
        assert_eq!(token(&redlock, "r").await, largest - behind);
        assert_eq!(stored(&servers[0], "r"), Some(largest - behind));
    }
    let beyond = text(largest + 1);
    for nonsense in [
        &text(largest),
        &beyond,
        "token:1e300",
        "token:nan",
        "token:",
        "1700000000000000",
        "a lock",
    ] {
        servers[0].command(&["SET", &fence("r"), nonsense]);
        let error = redlock.try_lock("r", LONG).await.unwrap_err();
        assert!(error.to_string().contains("the fence holds no token"), "{error}");
        assert_eq!(servers[0].get("r"), None, "nothing is left of it");
        assert_eq!(servers[0].get(&fence("r")).as_deref(), Some(nonsense));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_that_is_no_string_refuses_the_lock_and_leaves_no_key() {
    let (servers, redlock) = fenced(1).await;
    servers[0].command(&["RPUSH", &fence("b"), "x"]);
    for resources in [&["b"][..], &["a", "b", "c"]] {
        let error = redlock.try_lock(resources, LONG).await.unwrap_err();
        let failure = extract!(&error, LockError::Refused { failure, .. } => failure);
        assert_eq!(failure.votes[0].vote, Vote::Refused(Refusal::WrongType));
        let keys = servers[0].keys();
        assert!(keys.iter().all(|key| key.contains(":fence:")), "{keys:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_resources_have_one_token_and_store_it_for_each() {
    let (servers, redlock) = fenced(3).await;
    let a = token(&redlock, "a").await;
    let both = redlock.lock(["a", "b"], LONG).await.unwrap();
    assert!(number(&both) > Some(a));
    finishes("the unlock", redlock.unlock(&both).counts()).await;
    assert!(token(&redlock, "b").await > number(&both).unwrap());

    // One of them is far ahead, so that its token is that of both.
    let ahead = micros_since_1970() + 3_600_000_000;
    servers.command(&["SET", &fence("a"), &text(ahead)]);
    let both = redlock.lock(["a", "b"], LONG).await.unwrap();
    assert_eq!(number(&both), Some(ahead + 1));
    for resource in ["a", "b"] {
        let have_it = servers
            .iter()
            .filter(|server| stored(server, resource) == number(&both));
        assert!(have_it.count() >= 2, "{resource}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_others_where_a_token_would_be_is_refused_its_neighbor_and_left_as_it_is() {
    let (servers, redlock) = fenced(3).await;
    servers.command(&["SET", &fence("a"), "theirs", "NX", "PX", "60000"]);
    let error = redlock.try_lock("a", LONG).await.unwrap_err();
    assert!(error.to_string().contains("the fence holds no token"), "{error}");
    for server in servers.iter() {
        assert_eq!(server.get(&fence("a")).as_deref(), Some("theirs"));
        assert!((1..=60_000).contains(&server.pttl(&fence("a"))));
    }
    servers.command(&["DEL", &fence("a")]);
    let lock = redlock.lock("a", LONG).await.unwrap();
    eventually("the first server has a token", async || {
        stored(&servers[0], "a").is_some()
    })
    .await;
    let taken = servers[0].command(&["SET", &fence("a"), "theirs", "NX", "PX", "60000"]);
    assert_eq!(taken, Reply::Nil, "where a token is nobody can lock");
    let error = redlock.try_lock(fence("a"), LONG).await.unwrap_err();
    assert_matches!(
        error,
        LockError::Invalid(InvalidRequest::Resource(InvalidResource::Fence { .. }))
    );
    finishes("the unlock", redlock.unlock(&lock).counts()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_brings_the_token_to_a_server_that_forgot_it() {
    let (servers, redlock) = fenced(3).await;
    let lock = redlock.lock("r", LONG).await.unwrap();
    servers[0].command(&["FLUSHALL"]);
    let renewed = redlock.renew(&lock, LONG).await.unwrap();
    assert_eq!(renewed.token(), lock.token());
    eventually("the key and the token are back", async || {
        servers[0].get("r").is_some() && stored(&servers[0], "r") == number(&lock)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_the_quorum_may_be_a_cluster() {
    let (cluster, servers) = (RedisCluster::start(3), Servers::start(2));
    let urls = [cluster.url(), servers[0].url(), servers[1].url()];
    let redlock = connect(quick().servers(urls).fenced()).await;
    servers[1].crash();
    eventually("two are left", async || up(&redlock) == 2).await;
    for resource in ["a", "b", "c", "{tag}d", "e{tag}f", "x}y"] {
        let mut last = 0;
        for _ in 0..5 {
            // With braces that are no tag the token would have another slot.
            match redlock.lock(resource, LONG).await {
                Ok(lock) => {
                    finishes("the unlock", redlock.unlock(&lock).counts()).await;
                    assert!(number(&lock) > Some(last));
                    last = number(&lock).unwrap();
                }
                Err(error) => assert_eq!(resource, "x}y", "{error}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_permission_for_the_fence_the_lock_is_refused_and_none_is_left() {
    for rules in [
        // Other locks are granted.
        "on >pw ~lock:? +@all",
        "on >pw ~lock:* +@all -time",
    ] {
        let server = RedisServer::builder().user("locker", rules).start();
        let builder = quick().servers([server.url_as("locker:pw")]).key_prefix("lock:");
        let redlock = connect(builder).await;
        let lock = redlock.lock("a", LONG).await.unwrap();
        finishes("the unlock", redlock.unlock(&lock).counts()).await;
        let error = redlock.try_lock("a", LONG).fenced().await.unwrap_err();
        assert!(error.to_string().contains("no permission"), "{error}");
        assert_eq!(server.keys(), [""; 0]);
    }
    let server = RedisServer::builder().user("locker", "on >pw ~lock:* +@all").start();
    let builder = quick().servers([server.url_as("locker:pw")]).key_prefix("lock:");
    let redlock = connect(builder.fenced()).await;
    token(&redlock, "a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_fenced_and_what_is_not_exclude_each_other() {
    let (servers, redlock) = fenced(3).await;
    let plain = servers.connected().await;
    let lock = redlock.lock("r", LONG).await.unwrap();
    assert!(plain.try_lock("r", LONG).await.is_err());
    finishes("the unlock", redlock.unlock(&lock).counts()).await;
    let lock = plain.lock("r", ms(60_000)).await.unwrap();
    assert!(redlock.try_lock("r", LONG).await.is_err());
    finishes("the unlock", plain.unlock(&lock).counts()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_round_is_rare() {
    let (servers, redlock) = fenced(3).await;
    // Until every clock was read.
    eventually("all servers come to one token", async || {
        let lock = redlock.lock("first", LONG).await.unwrap();
        finishes("the unlock", redlock.unlock(&lock).counts()).await;
        servers.iter().all(|server| stored(server, "first") == number(&lock))
    })
    .await;
    let calls = || servers[0].calls("evalsha");
    let before = calls();
    for turn in 0..50 {
        token(&redlock, &format!("of its own {turn}")).await;
        token(&redlock, "the same").await;
    }
    // A lock and an unlock each.
    let more = calls() - before - 200;
    assert!(more < 20, "{more} second attempts");
}
