//! Whatever listens where a server should be, the other servers go on working.

use multiredlock::{DownReason, Redlock};

use crate::support::{
    FakeServer, LONG, Manner, RedisServer, SecondProcess, Servers, eventually, finishes, quick, reason, up,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_web_server_is_no_server() {
    let words = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    let reason = stays_down(Manner::Says { words, hangs_up: true }).await;
    assert!(matches!(reason, DownReason::NotRedis(_)), "{reason:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_no_server() {
    let words = b"\xff\xfe\x00\x01\x02\xf0\x9f\r\n\r\n\x00\x00garbage\r\n";
    let reason = stays_down(Manner::Says { words, hangs_up: false }).await;
    assert!(matches!(reason, DownReason::NotRedis(_)), "{reason:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_reply_is_no_server() {
    stays_down(Manner::Says {
        words: b"$100\r\nhalf",
        hangs_up: false,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_reply_and_a_lost_connection_is_no_server() {
    stays_down(Manner::Says {
        words: b"$100\r\nhalf",
        hangs_up: true,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_claims_to_be_huge_is_no_server() {
    stays_down(Manner::Says {
        words: b"$9223372036854775807\r\nx",
        hangs_up: false,
    })
    .await;
    stays_down(Manner::Says {
        words: b"*2147483647\r\n",
        hangs_up: false,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_of_negative_length_is_no_server() {
    stays_down(Manner::Says {
        words: b"*-9223372036854775808\r\n",
        hangs_up: false,
    })
    .await;
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
async fn a_server_that_answers_ok_to_everything_is_no_server() {
    stays_down(Manner::Says {
        words: b"+OK\r\n",
        hangs_up: false,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_nothing_to_everything_is_no_server() {
    stays_down(Manner::Says {
        words: b"$-1\r\n",
        hangs_up: false,
    })
    .await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_replies_is_no_server() {
    stays_down(Manner::Floods(b"+OK\r\n")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_hangs_up_is_no_server() {
    stays_down(Manner::HangsUp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_never_answers_is_no_server() {
    let reason = stays_down(Manner::Silent).await;
    assert_eq!(reason, DownReason::ConnectTimeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_is_down_with_its_own_words() {
    let words = b"-ERR max number of clients reached\r\n";
    let reason = stays_down(Manner::Says { words, hangs_up: true }).await;
    assert!(reason.to_string().contains("max number of clients"), "{reason:?}");
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
    assert!(finishes("two servers", redlock.wait_connected()).await);

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
    let unlocked = finishes("the unlock", redlock.unlock(&lock)).await;
    assert_eq!((unlocked.removed, unlocked.unreachable), (2, 1));
    servers.empty().await;
}
