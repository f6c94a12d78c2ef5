//! A server that turns hostile harms nobody but itself: the other two go on granting, and memory stays bounded.
//!
//! Each test is a process of its own, since it measures its memory, and since a stack that overflows ends its process.

use multiredlock::{DownReason, Server};

#[cfg(feature = "tls")]
use crate::support::Certificates;
use crate::support::{
    Door, FakeServer, LONG, Malice, Manner, Scene, Servers, Then, alone, eventually, finishes, quick, reason,
};

const INVALIDATION: &[u8] = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$7\r\nconsole\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_place_of_a_grant() {
    alone(async || {
        let malice = Malice::new(b"\xff\x00garbage\r\n", Then::Silence);
        withstands(malice, |reason| matches!(reason, DownReason::NotRedis(_))).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_reply_and_silence() {
    alone(async || {
        let malice = Malice::new(b"$100\r\nhalf", Then::Silence);
        withstands(malice, |reason| *reason == DownReason::Unresponsive).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_reply_and_a_lost_connection() {
    alone(async || {
        let malice = Malice::new(b"$100\r\nhalf", Then::HangsUp);
        withstands(malice, |reason| *reason == DownReason::ConnectionLost).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_reset() {
    alone(async || {
        let malice = Malice::new(b"", Then::Resets);
        withstands(malice, |reason| *reason == DownReason::ConnectionLost).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_drips() {
    alone(async || {
        let malice = Malice::new(b"+", Then::Drips(b'x'));
        let expected = |reason: &DownReason| {
            // The bound on a line may be reached first.
            *reason == DownReason::Unresponsive || matches!(reason, DownReason::Excessive(_))
        };
        withstands(malice, expected).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_of_the_wrong_kind() {
    alone(async || {
        let scenes = [
            Scene::set(Door::Tcp, |server| server).await,
            Scene::set(Door::Tcp, Server::distrusted).await,
        ];
        for words in [
            &b":1\r\n"[..],
            b"_\r\n",
            b"*0\r\n",
            b"#t\r\n",
            b"%1\r\n+OK\r\n+OK\r\n",
            b"$2\r\nOK\r\n",
            b"$3\r\n\x92\x01\x01\r\n",
            b"-ERR no\r\n",
            b"-MOVED 3999 127.0.0.1:6381\r\n",
            b"-ASK 3999 127.0.0.1:6381\r\n",
            b"-NOSCRIPT again and again\r\n",
        ] {
            for scene in &scenes {
                scene.is_told_nothing(Malice::new(words, Then::SaysItAgain)).await;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_nobody_asked_for() {
    alone(async || {
        let malice = Malice::new(b"", Then::Repeats(b"+OK\r\n".into()));
        withstands(malice, |reason| *reason == DownReason::Unresponsive).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_keys_without_end() {
    alone(async || {
        let malice = Malice::new(b"", Then::Repeats(INVALIDATION.into()));
        withstands(malice, |reason| *reason == DownReason::Unresponsive).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_in_lists_without_end() {
    alone(async || {
        let malice = Malice::new(b"", Then::Repeats(b"*1\r\n".into()));
        distrusted(malice, Door::Tcp, is_excessive).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_without_end() {
    alone(async || {
        let malice = Malice::new(b"$9223372036854775807\r\n", Then::Repeats(b"x".into()));
        distrusted(malice, Door::Tcp, is_excessive).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_without_end() {
    alone(async || {
        let malice = Malice::new(b"*9223372036854775807\r\n", Then::Repeats(b":1\r\n".into()));
        distrusted(malice, Door::Tcp, is_excessive).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_without_end() {
    alone(async || {
        let malice = Malice::new(b"", Then::Repeats(b"+".into()));
        distrusted(malice, Door::Tcp, is_excessive).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_within_a_text_within_a_map_without_end() {
    alone(async || {
        let malice = Malice::new(b"", Then::Repeats(b"%2\r\n$1\r\na\r\n".into()));
        distrusted(malice, Door::Tcp, is_excessive).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_without_end() {
    alone(async || {
        for start in [&b"*?\r\n"[..], b"*-1\r\n", b"$?\r\n", b"%?\r\n"] {
            let malice = Malice::new(start, Then::Repeats(b":1\r\n".into()));
            distrusted(malice, Door::Tcp, |reason| matches!(reason, DownReason::NotRedis(_))).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_keys_with_endless_names() {
    alone(async || {
        let name = vec![b'x'; 10 << 20];
        let change = [b">2\r\n$10\r\ninvalidate\r\n*1\r\n$10485760\r\n", &name[..], b"\r\n"];
        let malice = Malice::new(change.concat(), Then::SaysItAgain);
        distrusted(malice, Door::Tcp, is_excessive).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_keys_just_within_the_bounds() {
    alone(async || {
        let names = [&b"$55\r\n"[..], &[b'x'; 55], b"\r\n"].concat().repeat(1000);
        let change = [&b">2\r\n$10\r\ninvalidate\r\n*1000\r\n"[..], &names].concat();
        let malice = Malice::new(b"", Then::Repeats(change));
        distrusted(malice, Door::Tcp, |reason| *reason == DownReason::Unresponsive).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_honest_server_never_sends_through_a_unix_socket() {
    alone(async || {
        let malice = Malice::new(b"", Then::Repeats(b"*1\r\n".into()));
        distrusted(malice, Door::Unix, is_excessive).await;
        let malice = Malice::new(b"$9223372036854775807\r\n", Then::Repeats(b"x".into()));
        distrusted(malice, Door::Unix, is_excessive).await;
    })
    .await;
}

#[cfg(feature = "tls")]
#[tokio::test(flavor = "multi_thread")]
async fn what_an_honest_server_never_sends_through_tls() {
    alone(async || {
        let door = || Door::Tls(Certificates::new());
        let malice = Malice::new(b"", Then::Repeats(b"*1\r\n".into()));
        distrusted(malice, door(), is_excessive).await;
        let malice = Malice::new(b"$9223372036854775807\r\n", Then::Repeats(b"x".into()));
        distrusted(malice, door(), is_excessive).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_in_lists_in_place_of_a_handshake() {
    alone(async || {
        let nested = Box::leak(b"*1\r\n".repeat(100_000).into_boxed_slice());
        let (honest, fake) = (Servers::start(2), FakeServer::start(Manner::Pongs(nested)).await);
        let addresses = honest.iter().map(|server| Server::parse(&server.url()).unwrap());
        let fake = Server::parse(&fake.url()).unwrap().distrusted();
        let redlock = quick().servers(addresses.chain([fake])).build().unwrap();
        eventually("it is found out", async || {
            reason(&redlock, 2).is_some_and(|reason| is_excessive(&reason))
        })
        .await;
        let lock = finishes("the lock", redlock.lock("console", LONG)).await.unwrap();
        redlock.unlock(&lock);
    })
    .await;
}

fn is_excessive(reason: &DownReason) -> bool {
    matches!(reason, DownReason::Excessive(_))
}

/// Tries it on a server that is trusted and on one that is not.
async fn withstands(malice: Malice, expected: fn(&DownReason) -> bool) {
    let trusted = Scene::set(Door::Tcp, |server| server).await;
    trusted.withstands(malice.clone(), expected).await;
    distrusted(malice, Door::Tcp, expected).await;
}

async fn distrusted(malice: Malice, door: Door, expected: fn(&DownReason) -> bool) {
    let scene = Scene::set(door, Server::distrusted).await;
    scene.withstands(malice, expected).await;
}
