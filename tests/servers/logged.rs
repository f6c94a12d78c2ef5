//! What the log says without being asked for details.

use std::io;
use std::sync::{Arc, Mutex};

use multiredlock::{Server, status::DownReason};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Level};

use crate::support::{
    FakeServer, Manner, Proxy, RedisServer, Ruling, alone, client, eventually, is_down, ms, name, quick, up,
};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Takes in what this thread logs at `warn` and above.
    ///
    /// Beside a single subscriber `tracing` takes what another thread logs first, without one, for what nobody ever wants. So
    /// there is a second one.
    fn begin() -> (Self, (DefaultGuard, Dispatch)) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::WARN)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let logging = tracing::subscriber::set_default(subscriber);
        let second = Dispatch::new(tracing_subscriber::fmt().with_writer(io::sink).finish());
        (log, (logging, second))
    }

    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let ours = text.lines().filter(|line| line.contains("multiredlock"));
        ours.map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn a_wrong_password_is_logged_once_until_the_server_was_up() {
    let server = RedisServer::builder().password("right").start();
    let (log, _logging) = Log::begin();
    let redlock = client([server.url_as(":wrong")]);
    is_down(&redlock, 0, |reason| matches!(reason, DownReason::Auth(_))).await;
    let refused = server.calls("auth") + server.calls("hello");
    eventually("it was tried again and again", async || {
        server.calls("auth") + server.calls("hello") > refused + 5
    })
    .await;
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("WARN") && lines[0].contains("not authenticated"),
        "{lines:?}"
    );
    assert!(lines[0].contains(&server.address().to_string()), "{lines:?}");
    assert!(!lines[0].contains("wrong"), "{lines:?}");

    server.command(&["CONFIG", "SET", "requirepass", "wrong"]);
    eventually("it is up", async || up(&redlock) == 1).await;
    server.command(&["CONFIG", "SET", "requirepass", "right"]);
    server.kill_clients();
    is_down(&redlock, 0, |reason| matches!(reason, DownReason::Auth(_))).await;
    assert_eq!(log.lines().len(), 2, "{:?}", log.lines());
}

#[tokio::test]
async fn what_is_no_redis_server_is_logged_and_one_that_is_away_is_not() {
    let fake = FakeServer::start(Manner::Says {
        words: b"HTTP/1.1 400 Bad Request\r\n\r\n",
        hangs_up: true,
    })
    .await;
    let (log, _logging) = Log::begin();
    let redlock = client([fake.url()]);
    is_down(&redlock, 0, |reason| matches!(reason, DownReason::NotRedis(_))).await;
    assert!(log.lines()[0].contains("not a Redis server"), "{:?}", log.lines());
    redlock.close().await;

    let (log, _logging) = Log::begin();
    let away = RedisServer::builder().prepare();
    let redlock = client([away.url()]);
    is_down(&redlock, 0, |reason| *reason == DownReason::ConnectionRefused).await;
    assert_eq!(log.lines(), [""; 0]);
}

#[tokio::test]
async fn a_host_without_an_address_is_logged_by_its_name() {
    let (log, _logging) = Log::begin();
    let redlock = quick()
        .heartbeat_timeout(ms(30_000))
        .servers([Server::new("nowhere.invalid")])
        .build()
        .unwrap();
    is_down(&redlock, 0, |reason| matches!(reason, DownReason::Unresolved(_))).await;
    let lines = log.lines();
    assert!(
        lines[0].contains("no address for the host `nowhere.invalid`"),
        "{lines:?}"
    );
}

/// Takes in all that fred logs in this process, for which it uses `log`.
struct Details(Log);

impl log::Log for Details {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}: {}\n", record.level(), record.target(), record.args());
        self.0.0.lock().unwrap().extend(line.bytes());
    }

    fn flush(&self) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_a_server_repeats_is_not_logged() {
    alone(async || {
        let log = Log::default();
        log::set_boxed_logger(Box::new(Details(log.clone()))).unwrap();
        // At `trace` fred logs each error as it is.
        log::set_max_level(log::LevelFilter::Debug);
        let server = RedisServer::start();
        for scheme in ["redis", "redis-cluster", "redis-sentinel"] {
            let proxy = Proxy::start(&server, |asked| match &*name(asked) {
                words @ ("HELLO" | "AUTH") => Ruling::Says(format!(
                    "-ERR unknown command '{words}', with args beginning with: 'hunter2' \r\n"
                )),
                _ => Ruling::Pass,
            })
            .await;
            let url = proxy.url().replacen("redis://", &format!("{scheme}://:hunter2@"), 1);
            let (url, _) = url.split_once('?').unwrap();
            let url = match scheme {
                "redis-sentinel" => format!("{url}?sentinelServiceName=s&sentinelPassword=hunter2"),
                _ => url.to_owned(),
            };
            let redlock = client([url]);
            is_down(&redlock, 0, |reason| *reason != DownReason::NotYet).await;
            redlock.close().await;
        }
        let lines = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(lines.contains("HELLO"), "fred logs what it does");
        let told: Vec<_> = lines.lines().filter(|line| line.contains("hunter")).collect();
        assert!(told.is_empty(), "{told:?}");
    })
    .await;
}
