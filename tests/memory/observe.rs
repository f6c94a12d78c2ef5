//! What spans and warnings tell.

use crate::support::{ms, secs, servers_and_two};
use multiredlock::{Redlock, Retry, Server, testing::MemoryServer};
use std::{
    any::Any,
    io,
    sync::{Arc, Mutex},
};
use tracing_subscriber::fmt::format::FmtSpan;

/// What is logged, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The line that tells of the end of a span.
    fn closed(&self, span: &str) -> String {
        let text = self.text();
        let mut ends = text.lines().filter(|line| line.contains("close time"));
        let line = ends.rfind(|line| line.contains(&format!(" {span}{{")));
        line.unwrap_or_else(|| panic!("no span {span} in\n{text}")).into()
    }
}

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs everything of this thread.
///
/// Beside a single subscriber `tracing` takes what another thread logs first, without one, for what nobody ever wants. So
/// there is a second one.
fn log() -> (Log, [Box<dyn Any>; 2]) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let logging = tracing::subscriber::set_default(subscriber);
    let second = tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(io::sink).finish());
    (log, [Box::new(logging), Box::new(second)])
}

#[track_caller]
fn has(line: &str, fields: &[&str]) {
    for field in fields {
        assert!(line.contains(field), "no {field} in {line}");
    }
}

#[tokio::test(start_paused = true)]
async fn spans_tell_what_was_asked_for_and_how_it_came_out() {
    let (log, _logging) = log();
    let (_servers, redlock, other) = servers_and_two(3).await;

    let lock = redlock.lock("r", secs(10)).await.unwrap();
    let granted = ["resource=r", "ttl=10s", "outcome=\"granted\"", "validity=9.9s"];
    has(&log.closed("lock"), &granted);
    has(&log.closed("lock"), &["attempts=1"]);

    let retry = Retry::new(2, ms(1));
    other.lock("r", secs(10)).retry(retry).await.unwrap_err();
    has(&log.closed("lock"), &["outcome=\"held\"", "attempts=3"]);

    let lock = redlock.renew(&lock, secs(10)).await.unwrap();
    has(&log.closed("renew"), &granted);
    redlock.unlock(&lock).counts().await;
    redlock.renew(&lock, secs(10)).await.unwrap_err();
    has(&log.closed("renew"), &["outcome=\"lost\""]);

    let guard = redlock.acquire("r", secs(10)).await.unwrap();
    has(&log.closed("acquire"), &granted);
    other.acquire("r", secs(10)).timeout(ms(10)).await.unwrap_err();
    has(&log.closed("acquire"), &["outcome=\"timed_out\""]);

    let random = |value: &str| value.rsplit('_').next().unwrap().to_owned();
    for value in [lock.value(), guard.lock().value()].map(random) {
        assert!(!log.text().contains(&value), "a value is a secret");
    }
}

#[tokio::test]
async fn an_in_memory_server_that_is_given_by_its_address_is_warned_of_and_one_of_a_test_is_not() {
    let (log, _logging) = log();
    let warnings = || log.text().lines().filter(|line| line.contains("WARN")).count();
    let server = MemoryServer::new();
    let handles = Redlock::builder()
        .servers([server.server()])
        .group([&MemoryServer::new()]);
    let _redlock = handles.build().unwrap();
    assert_eq!(warnings(), 0, "{}", log.text());

    let typed = Server::parse("memory://by-address").unwrap();
    let refused = Redlock::builder().servers([typed.clone()]).group(["h:0"]).build();
    assert!(refused.is_err());
    assert_eq!(warnings(), 0, "nothing is built");

    let _redlock = Redlock::builder()
        .servers(["memory://as-text"])
        .group([typed])
        .build()
        .unwrap();
    assert_eq!(warnings(), 2, "{}", log.text());
    for address in ["memory://as-text", "memory://by-address"] {
        let words = format!("in-memory server: locks exclude nobody outside of this process server={address}");
        has(&log.text(), &[&words]);
    }
}
