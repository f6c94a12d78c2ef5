//! A server that turns hostile harms nobody but itself: the other two go on granting, and memory stays bounded.
//!
//! Each test is a process of its own, since it measures its memory, and since a stack that overflows ends its process.

use multiredlock::{Server, status::DownReason};

#[cfg(feature = "tls")]
use crate::support::Certificates;
use crate::support::{Door, FakeServer, LONG, Malice, Manner, Scene, Servers, Then, alone, client, finishes, is_down};

/// Whether a reason is one that is expected.
type Expected = fn(&DownReason) -> bool;

const INVALIDATION: &[u8] = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$7\r\nconsole\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn garbage_half_a_reply_a_reset_or_a_drip_in_place_of_a_grant() {
    alone(async || {
        let cases: [(&[u8], Then, Expected); 5] = [
            (b"\xff\x00garbage\r\n", Then::Silence, is_not_redis),
            (b"$100\r\nhalf", Then::Silence, is_unresponsive),
            (b"$100\r\nhalf", Then::HangsUp, is_lost),
            (b"", Then::Resets, is_lost),
            // The bound on a line may be reached first.
            (b"+", Then::Drips(b'x'), |reason| {
                is_unresponsive(reason) || is_excessive(reason)
            }),
        ];
        for (words, then, expected) in cases {
            withstands(Malice::new(words, then), expected).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_of_the_wrong_kind() {
    alone(async || {
        let scenes = [
            Scene::set(Door::Tcp, |server| server).await,
            Scene::set(Door::Tcp, Server::untrusted).await,
        ];
        for words in [
            &b":1\r\n"[..],
            b"_\r\n",
            b"*0\r\n",
            b"#t\r\n",
            b"%1\r\n+OK\r\n+OK\r\n",
            b"$2\r\nOK\r\n",
            // More outcomes than any batch here has operations.
            b"$16\r\n\x9f\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\r\n",
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
async fn replies_and_changes_of_keys_that_nobody_asked_for_without_end() {
    alone(async || {
        for words in [b"+OK\r\n", INVALIDATION] {
            withstands(Malice::new(b"", Then::Repeats(words.into())), is_unresponsive).await;
        }
    })
    .await;
}

/// How texts, lists, lines and maps begin that never end, and how they go on.
const ENDLESS: [(&[u8], &[u8]); 5] = [
    (b"", b"*1\r\n"),
    (b"$9223372036854775807\r\n", b"x"),
    (b"*9223372036854775807\r\n", b":1\r\n"),
    (b"", b"+"),
    (b"", b"%2\r\n$1\r\na\r\n"),
];

#[tokio::test(flavor = "multi_thread")]
async fn texts_lists_lines_and_maps_without_end() {
    alone(async || {
        for (start, then) in ENDLESS {
            let malice = Malice::new(start, Then::Repeats(then.into()));
            untrusted(malice, Door::Tcp, is_excessive).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_without_end() {
    alone(async || {
        for start in [&b"*?\r\n"[..], b"*-1\r\n", b"$?\r\n", b"%?\r\n"] {
            let malice = Malice::new(start, Then::Repeats(b":1\r\n".into()));
            untrusted(malice, Door::Tcp, is_not_redis).await;
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
        untrusted(malice, Door::Tcp, is_excessive).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_keys_just_within_the_bounds() {
    alone(async || {
        let names = [&b"$55\r\n"[..], &[b'x'; 55], b"\r\n"].concat().repeat(1000);
        let change = [&b">2\r\n$10\r\ninvalidate\r\n*1000\r\n"[..], &names].concat();
        let malice = Malice::new(b"", Then::Repeats(change));
        untrusted(malice, Door::Tcp, is_unresponsive).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_honest_server_never_sends_through_a_unix_socket() {
    alone(async || never_sent_through(|| Door::Unix).await).await;
}

#[cfg(feature = "tls")]
#[tokio::test(flavor = "multi_thread")]
async fn what_an_honest_server_never_sends_through_tls() {
    alone(async || never_sent_through(|| Door::Tls(Certificates::new())).await).await;
}

async fn never_sent_through(door: fn() -> Door) {
    for (start, then) in &ENDLESS[..2] {
        let malice = Malice::new(*start, Then::Repeats((*then).into()));
        untrusted(malice, door(), is_excessive).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_in_lists_in_place_of_a_handshake() {
    alone(async || {
        let nested = Box::leak(b"*1\r\n".repeat(100_000).into_boxed_slice());
        let (honest, fake) = (Servers::start(2), FakeServer::start(Manner::Pongs(nested)).await);
        let addresses = honest.iter().map(|server| Server::parse(&server.url()).unwrap());
        let fake = Server::parse(&fake.url()).unwrap().untrusted();
        let redlock = client(addresses.chain([fake]));
        is_down(&redlock, 2, is_excessive).await;
        let lock = finishes("the lock", redlock.lock("console", LONG)).await.unwrap();
        redlock.unlock(&lock);
    })
    .await;
}

fn is_not_redis(reason: &DownReason) -> bool {
    matches!(reason, DownReason::NotRedis(_))
}

fn is_unresponsive(reason: &DownReason) -> bool {
    *reason == DownReason::Unresponsive
}

fn is_lost(reason: &DownReason) -> bool {
    *reason == DownReason::ConnectionLost
}

fn is_excessive(reason: &DownReason) -> bool {
    matches!(reason, DownReason::Excessive(_))
}

/// Tries it on a server that is trusted and on one that is not.
async fn withstands(malice: Malice, expected: Expected) {
    let trusted = Scene::set(Door::Tcp, |server| server).await;
    trusted.withstands(malice.clone(), expected).await;
    untrusted(malice, Door::Tcp, expected).await;
}

async fn untrusted(malice: Malice, door: Door, expected: Expected) {
    let scene = Scene::set(door, Server::untrusted).await;
    scene.withstands(malice, expected).await;
}
