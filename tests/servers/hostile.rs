//! Whatever listens where a server should be, the other servers go on working.

use multiredlock::{Redlock, status::DownReason};

use crate::support::{
    FakeServer, LONG, Manner, RedisServer, SecondProcess, Servers, Together, eventually, finishes, quick, reason, up,
};

/// Whether a reason is one that is expected.
type Expected = fn(&DownReason) -> bool;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_else_listens_is_no_server_and_costs_the_others_nothing() {
    let says = |words, hangs_up| Manner::Says { words, hangs_up };
    let any: Expected = |_| true;
    let is_no_redis: Expected = |reason| matches!(reason, DownReason::NotRedis(_));
    let cases: [(Manner, Expected); 13] = [
        (
            says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", true),
            is_no_redis,
        ),
        (
            says(b"\xff\xfe\x00\x01\x02\xf0\x9f\r\n\r\n\x00\x00garbage\r\n", false),
            is_no_redis,
        ),
        // Half a reply.
        (says(b"$100\r\nhalf", false), any),
        (says(b"$100\r\nhalf", true), any),
        // Replies that claim to be huge, or to have a negative length.
        (says(b"$9223372036854775807\r\nx", false), any),
        (says(b"*2147483647\r\n", false), any),
        (says(b"*-9223372036854775808\r\n", false), any),
        // The same answer to everything.
        (says(b"+OK\r\n", false), any),
        (says(b"$-1\r\n", false), any),
        (Manner::Floods(b"+OK\r\n"), any),
        (Manner::HangsUp, any),
        (Manner::Silent, |reason| *reason == DownReason::ConnectTimeout),
        // A server that is full is down with its own words.
        (says(b"-ERR max number of clients reached\r\n", true), |reason| {
            reason.to_string().contains("max number of clients")
        }),
    ];
    for (manner, expected) in cases {
        let reason = stays_down(manner).await;
        assert!(expected(&reason), "{manner:?}: {reason:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_in_arrays_without_end_are_no_server() {
    // A decoder that runs out of stack ends its process, so that must not be the one of all other tests.
    let mut process = SecondProcess::run("hostile::arrays_in_arrays_without_end", &[(NESTED, "100000")]);
    assert!(process.ends().await.success());
}

const NESTED: &str = "MULTIREDLOCK_TEST_NESTED";

/// What the process above does. Started as a test of its own, it has nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn arrays_in_arrays_without_end() {
    let Ok(depth) = std::env::var(NESTED) else { return };
    stays_down(Manner::Nests(depth.parse().unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_knows_nothing_but_ping_is_no_server() {
    for words in [
        b"+OK\r\n".as_slice(),
        b"$-1\r\n",
        b":1\r\n",
        b"*0\r\n",
        b"$4\r\nrole\r\n",
        b"-ERR unknown command\r\n",
        b"$100\r\nhalf",
        b"*2147483647\r\n",
        b"%-5\r\n",
        b"\xff\x00garbage\r\n",
    ] {
        stays_down(Manner::Pongs(words)).await;
    }
}

/// Locks with two servers and one that is none, and returns why that one is down.
async fn stays_down(manner: Manner) -> DownReason {
    let servers = Servers::start(2);
    let fake = FakeServer::start(manner).await;
    let urls = servers.iter().map(RedisServer::url).chain([fake.url()]);
    let redlock = quick()
        .heartbeat_timeout(crate::support::ms(400))
        .servers(urls)
        .build()
        .unwrap();
    finishes("two servers", redlock.wait_connected()).await.unwrap();

    locks(&servers, &redlock).await;
    eventually(&format!("{manner:?} is tried again and again"), async || {
        fake.visits() >= 3
    })
    .await;
    locks(&servers, &redlock).await;

    assert_eq!(up(&redlock), 2);
    reason(&redlock, 2).expect("it is down")
}

async fn locks(servers: &Servers, redlock: &Redlock) {
    let lock = finishes("the lock", redlock.lock("console", LONG)).await.unwrap();
    let lock = finishes("the renewal", redlock.renew(&lock, LONG)).await.unwrap();
    let unlocked = finishes("the unlock", redlock.unlock(&lock).counts()).await;
    assert_eq!((unlocked.removed, unlocked.unreachable), (2, 1));
    servers.empty().await;
}
