//! A server that turns hostile harms nobody but itself: the other two go on granting, and memory stays bounded.
//!
//! Each test is a process of its own, since it measures its memory, and since a stack that overflows ends its process.

use std::time::{Duration, Instant};

use multiredlock::{DownReason, Event, Redlock, Retry, Server};
use tokio::time::timeout;
use tokio_stream::StreamExt;

#[cfg(feature = "tls")]
use crate::support::Certificates;
use crate::support::{
    Door, LONG, Malice, SecondProcess, Servers, Then, Turncoat, all_up, eventually, finishes, ms, quick,
};

/// By how much the memory of the process may grow. What is kept of what a server tells unasked takes most of it.
const BOUND: usize = 100 << 20;

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

/// Two servers that stay honest and one that does not, all of which are up.
struct Scene {
    honest: Servers,
    turncoat: Turncoat,
    redlock: Redlock,
}

impl Scene {
    async fn set(door: Door, trust: fn(Server) -> Server) -> Self {
        let honest = Servers::start(2);
        let turncoat = Turncoat::start(door).await;
        let addresses = honest.iter().map(|server| Server::parse(&server.url()).unwrap());
        let servers = addresses.chain([trust(turncoat.address())]);
        let redlock = quick().round_timeout(LONG).servers(servers).build().unwrap();
        all_up(&redlock).await;
        let scene = Self {
            honest,
            turncoat,
            redlock,
        };
        scene.works_with_all().await;
        scene
    }

    /// The server is down again and again, for these reasons, and is as the others are once it is honest.
    async fn withstands(&self, malice: Malice, expected: fn(&DownReason) -> bool) {
        let mut events = self.redlock.events();
        let (strikes, before) = (self.turncoat.strikes(), memory("VmRSS"));
        self.turncoat.turn(malice);
        let (mut reasons, mut waits) = (Vec::new(), Vec::new());
        // It comes back each time, greets as before, and turns as soon as it is asked for a lock.
        while self.turncoat.strikes() < strikes + 3 || reasons.len() < 2 {
            assert!(waits.len() < 10_000, "it goes unnoticed: {reasons:?}");
            waits.push(self.lock_with_two().await);
            while let Ok(Some(event)) = timeout(Duration::ZERO, events.next()).await {
                if let Event::ServerDown { server, reason, .. } = event {
                    assert_eq!(server, self.turncoat.address().address());
                    assert!(expected(&reason), "{reason:?}");
                    reasons.push(reason);
                }
            }
        }
        is_bounded(before);
        waits.sort_unstable();
        let median = waits[waits.len() / 2];
        assert!(
            median < ms(400),
            "a lock that waits for a silent server takes 800 ms: {median:?}"
        );
        self.recovers().await;
    }

    /// The server stays up, and nothing that it says is taken for a vote.
    async fn is_told_nothing(&self, malice: Malice) {
        let strikes = self.turncoat.strikes();
        self.turncoat.turn(malice);
        for _ in 0..10 {
            self.lock_with_two().await;
        }
        assert_eq!(self.turncoat.strikes(), strikes + 1, "the connection lasts");
        let lock = finishes("the lock", self.redlock.lock("console", LONG)).await.unwrap();
        let unlocked = finishes("the unlock", self.redlock.unlock(&lock)).await;
        assert_eq!((unlocked.removed, unlocked.unreachable), (2, 1));
        self.recovers().await;
    }

    async fn recovers(&self) {
        self.turncoat.is_honest_again();
        all_up(&self.redlock).await;
        self.works_with_all().await;
    }

    /// The time that a lock took which the two others granted.
    async fn lock_with_two(&self) -> Duration {
        let start = Instant::now();
        let lock = self.redlock.lock("console", LONG).retry(Retry::none());
        let lock = finishes("the lock", lock).await.expect("two servers are a majority");
        let took = start.elapsed();
        // The third may have been believed before the second was heard.
        eventually("both hold it", async || self.honest.holding(&lock) == 2).await;
        // What the third says of it is worth nothing, and may never come.
        drop(self.redlock.unlock(&lock));
        self.honest.empty().await;
        took
    }

    async fn works_with_all(&self) {
        eventually("all three hold a lock", async || {
            let lock = finishes("the lock", self.redlock.lock("console", LONG)).await.unwrap();
            finishes("the unlock", self.redlock.unlock(&lock)).await.removed == 3
        })
        .await;
        self.honest.empty().await;
    }
}
/// Checks the memory that the process took at the most, where the system tells.
fn is_bounded(before: Option<usize>) {
    let Some((before, most)) = before.zip(memory("VmHWM")) else {
        return;
    };
    let grown = most.saturating_sub(before);
    assert!(grown < BOUND, "grown by {} MiB", grown >> 20);
}

/// What Linux says of the memory of this process, in bytes.
fn memory(field: &str) -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: usize = line.trim_matches([':', ' ', '\t']).strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

/// Runs this test in a process of its own.
async fn alone<F: AsyncFnOnce()>(test: F) {
    const SIGN: &str = "MULTIREDLOCK_TEST_ALONE";
    if let Some(sign) = std::env::var_os(SIGN) {
        test().await;
        std::fs::remove_file(sign).expect("it is there until a test has passed");
        return;
    }
    // What is handed over is part of the test's function, and named after it.
    let place = std::any::type_name::<F>();
    let name = place.split("::").skip(1).take_while(|part| !part.starts_with('{'));
    let name = name.collect::<Vec<_>>().join("::");
    let sign = std::env::temp_dir().join(format!("{}-{}", std::process::id(), name.replace("::", "-")));
    std::fs::write(&sign, "").expect("the folder for temporary files is writable");
    let mut process = SecondProcess::run(&name, &[(SIGN, sign.to_str().expect("it is plain"))]);
    let status = process.ends().await;
    assert!(status.success() && !sign.exists(), "{name}: {status}");
}
