//! At most one owner at a time, across tasks, clients, processes and libraries.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use multiredlock::{Lock, LockError, Redlock, RenewError, Retry, error::Vote};
use tokio::task::JoinSet;

use crate::support::{
    LONG, RedisServer, Reply, SecondProcess, Servers, Together, all_up, assert_matches, connect, eventually, extract,
    finishes, lock_once, locked_on_three, ms, quick, servers_and_client, servers_and_two, up,
};

/// Attempts for as long as others have the lock.
fn in_a_crowd() -> Retry {
    Retry::new(100_000, ms(5))
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_of_many_clients_exclude_each_other() {
    let servers = Servers::start(3);
    let inside = Arc::new(AtomicBool::new(false));
    let counter = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let redlock = servers.connected().await;
        for _ in 0..8 {
            tasks.spawn(count_alone(redlock.clone(), inside.clone(), counter.clone()));
        }
    }
    finishes("every task", tasks.join_all()).await;
    assert_eq!(counter.load(Ordering::Relaxed), 4 * 8 * 5);
}

async fn count_alone(redlock: Redlock, inside: Arc<AtomicBool>, counter: Arc<AtomicU32>) {
    for _ in 0..5 {
        let lock = redlock.lock("counter", LONG).retry(in_a_crowd()).await.unwrap();
        assert!(!inside.swap(true, Ordering::SeqCst), "somebody else is inside");
        // Read, let others run, write: what two at a time would spoil.
        let before = counter.load(Ordering::Relaxed);
        tokio::task::yield_now().await;
        counter.store(before + 1, Ordering::Relaxed);
        inside.store(false, Ordering::SeqCst);
        redlock.unlock(&lock);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_resources_are_locked_at_once() {
    let (servers, redlock) = servers_and_client(3).await;
    let requests = (0..2_000).map(|number| redlock.lock(format!("resource {number}"), LONG));
    let tasks: JoinSet<_> = requests.collect();

    let locks = finishes("every lock", tasks.join_all()).await;

    let locks: Vec<_> = locks.into_iter().map(Result::unwrap).collect();
    servers
        .each("every server has every key", |server| {
            server.command(&["DBSIZE"]).integer() == 2_000
        })
        .await;
    for lock in &locks {
        redlock.unlock(lock);
    }
    servers.empty().await;
}

const SERVERS: &str = "MULTIREDLOCK_TEST_SERVERS";
const FILE: &str = "MULTIREDLOCK_TEST_FILE";
const TURNS: u32 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_exclude_each_other() {
    let servers = Servers::start(3);
    let urls = servers.iter().map(RedisServer::url).collect::<Vec<_>>().join(",");
    let file = servers[0].socket().with_file_name("counter");
    fs::write(&file, "0").unwrap();

    let settings = [
        (SERVERS, urls.as_str()),
        (FILE, file.to_str().expect("the path is text")),
    ];
    let name = "exclusion::one_process_counts_under_the_lock";

    let mut processes = [0, 1].map(|_| SecondProcess::run(name, &settings));

    for process in &mut processes {
        assert!(process.ends().await.success());
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), (2 * TURNS).to_string());
    servers.empty().await;
}

/// What the two processes above do. Started as a test of its own, it has nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn one_process_counts_under_the_lock() {
    let (Ok(urls), Ok(file)) = (std::env::var(SERVERS), std::env::var(FILE)) else {
        return;
    };
    let redlock = connect(quick().servers(urls.split(','))).await;
    for _ in 0..TURNS {
        let lock = redlock.lock("counter", LONG).retry(in_a_crowd()).await.unwrap();
        let before: u32 = fs::read_to_string(&file).unwrap().parse().unwrap();
        tokio::task::yield_now().await;
        fs::write(&file, (before + 1).to_string()).unwrap();
        redlock.unlock(&lock);
    }
    redlock.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_librarys_key_excludes_us() {
    let (servers, redlock) = servers_and_client(3).await;
    servers.command(&["SET", "console", "1f0c9a", "NX", "PX", "30000"]);

    let refused = redlock.lock("console", LONG).await;

    let Err(LockError::Held {
        owner,
        retry_after,
        failure,
        ..
    }) = refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!(owner, None, "its value tells nothing");
    assert!(retry_after.is_some_and(|left| left <= ms(30_000)), "{retry_after:?}");
    assert_eq!(failure.granted(), 0);
    assert!(
        servers
            .iter()
            .all(|server| server.get("console").as_deref() == Some("1f0c9a"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn our_key_excludes_another_library_and_is_one_it_could_unlock() {
    let (servers, _redlock, lock) = locked_on_three().await;

    for server in servers.iter() {
        assert_eq!(
            server.command(&["SET", "console", "1f0c9a", "NX", "PX", "30000"]),
            Reply::Nil
        );
        let unlock = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";
        assert_eq!(
            server.command(&["EVAL", unlock, "1", "console", lock.value()]),
            Reply::Integer(1)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_tells_who_holds_the_lock_and_for_how_long() {
    let servers = Servers::start(3);
    let web = servers.builder().id("web-3").build().unwrap();
    let billing = servers.builder().id("billing-7").build().unwrap();
    all_up(&web).await;
    all_up(&billing).await;
    let lock = web.lock("console", LONG).await.unwrap();
    servers.all_hold(&lock).await;

    let refused = billing.try_lock("console", LONG).await.unwrap_err();

    let text = refused.to_string();
    assert!(text.contains("`console`") && text.contains("web-3"), "{text}");
    assert!(
        !format!("{refused:?} {text}").contains(lock.value()),
        "a value is never told in full"
    );
    let (owner, retry_after) = extract!(refused, LockError::Held { owner, retry_after, .. } => (owner, retry_after));
    assert_eq!(owner.expect("the value tells").id, "web-3");
    assert!(retry_after.is_some_and(|left| left <= LONG), "{retry_after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_not_the_owners_neither_renews_nor_unlocks() {
    let (servers, redlock, lock) = locked_on_three().await;
    let forged = Lock::from_parts("console", "somebody_else_entirely");

    let failure = extract!(redlock.renew(&forged, 2 * LONG).await, Err(RenewError::Lost { failure, .. }) => failure);
    assert!(failure.votes.iter().all(|vote| vote.vote != Vote::Granted));
    let unlocked = finishes("the unlock", redlock.unlock(&forged).counts()).await;
    assert_eq!((unlocked.removed, unlocked.not_ours), (0, 3));

    assert_eq!(servers.holding(&lock), 3);
    assert!(
        servers.iter().all(|server| server.pttl("console") <= 60_000),
        "nor is the ttl extended"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_handed_over_to_another_client_is_renewed_and_unlocked_there() {
    let (servers, one, other) = servers_and_two().await;
    let lock = one.lock("console", LONG).await.unwrap();
    servers.all_hold(&lock).await;

    let received = Lock::from_parts("console", lock.value());
    let renewed = other.renew(&received, 2 * LONG).await.unwrap();
    servers
        .each("the ttl is longer", |server| server.pttl("console") > 60_000)
        .await;

    assert_eq!(finishes("the unlock", other.unlock(&renewed).counts()).await.removed, 3);
}

/// Half of an even number is no majority, neither of what is up nor of what grants.
#[tokio::test(flavor = "multi_thread")]
async fn two_servers_need_both_and_four_need_three() {
    for count in [2, 4] {
        let (servers, redlock) = servers_and_client(count).await;
        let half = &servers[..count / 2];

        for server in half {
            server.command(&["SET", "console", "somebody else", "PX", "60000"]);
        }
        assert_matches!(redlock.lock("console", LONG).await, Err(LockError::Held { .. }));
        half[0].command(&["DEL", "console"]);
        lock_once(&redlock).await;

        half[0].crash();
        eventually("it is down", async || up(&redlock) == count - 1).await;
        assert_eq!(redlock.lock("other", LONG).await.is_ok(), count - 1 > count / 2);
        half.iter().for_each(RedisServer::crash);
        eventually("half is down", async || up(&redlock) == count - half.len()).await;
        assert_matches!(redlock.lock("another", LONG).await, Err(LockError::NoQuorum { .. }));
        assert!(!redlock.is_connected());
    }
}
