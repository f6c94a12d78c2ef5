//! Asks a server what the library does not tell of it, on a connection and a thread of its own.

use super::trial;
use crate::{
    commands::doctor::{
        clock::Sample,
        facts::{Denied, Info, Inspected, Missed},
    },
    settings::{Settings, TlsFiles},
};
use redis::{Client, Connection, ConnectionInfo, ErrorKind, FromRedisValue, RedisError, RedisResult};
use std::{
    future::Future,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::oneshot;

const CONNECTING: Duration = Duration::from_secs(2);
const ANSWERING: Duration = Duration::from_secs(1);

/// For how long the clock is watched, how often it is read in that time, and how often at the least.
const WATCHING: Duration = Duration::from_secs(1);
const APART: Duration = Duration::from_millis(90);
const FEWEST: u32 = 4;

/// What is set where.
const SETTINGS: [&str; 6] = [
    "maxmemory",
    "maxmemory-policy",
    "appendonly",
    "appendfsync",
    "save",
    "repl-backlog-ttl",
];

/// Of no script, and of no client.
const NO_HASH: &str = "0000000000000000000000000000000000000000";
const NO_CLIENT: &str = "9223372036854775807";

/// Nobody waits for the thread once this is dropped.
pub(super) fn through(
    target: Result<ConnectionInfo, String>,
    settings: &Settings,
) -> impl Future<Output = Result<Inspected, Missed>> + use<> {
    let key = settings.key_prefix.clone().unwrap_or_default() + &trial::name();
    let tls = settings.tls.clone();
    async move {
        let target = target.map_err(Missed::Skipped)?;
        let (done, looked) = oneshot::channel();
        thread::Builder::new()
            .name("inspect".into())
            .spawn(move || {
                // If nobody waits any more, nobody wants to know.
                let _ = done.send(inspect(target, &tls, &key));
            })
            .map_err(|error| Missed::Skipped(format!("no thread: {error}")))?;
        let broke_off = |_| Err(Missed::Skipped("the look at it broke off".into()));
        looked.await.unwrap_or_else(broke_off)
    }
}

fn inspect(target: ConnectionInfo, tls: &TlsFiles, key: &str) -> Result<Inspected, Missed> {
    let looked = client(target, tls).and_then(|client| {
        let connection = client.get_connection_with_timeout(CONNECTING)?;
        connection.set_read_timeout(Some(ANSWERING))?;
        connection.set_write_timeout(Some(ANSWERING))?;
        let denied = Vec::new();
        Session { connection, denied }.look(key)
    });
    looked.map_err(|error| {
        if error.is_timeout() {
            Missed::Silent(format!("it left a question unanswered for {ANSWERING:?}"))
        } else {
            Missed::Skipped(error.to_string())
        }
    })
}

#[cfg(feature = "tls")]
fn client(target: ConnectionInfo, tls: &TlsFiles) -> RedisResult<Client> {
    if !matches!(target.addr(), redis::ConnectionAddr::TcpTls { .. }) {
        return Client::open(target);
    }
    let identity = tls.identity.clone();
    let client_tls = identity.map(|(client_cert, client_key)| redis::ClientTlsConfig {
        client_cert,
        client_key,
    });
    let root_cert = tls.ca.clone();
    Client::build_with_tls(target, redis::TlsCertificates { client_tls, root_cert })
}

#[cfg(not(feature = "tls"))]
fn client(target: ConnectionInfo, _: &TlsFiles) -> RedisResult<Client> {
    Client::open(target)
}

/// A connection, and what was refused on it.
struct Session {
    connection: Connection,
    denied: Vec<Denied>,
}

impl Session {
    fn look(mut self, key: &str) -> RedisResult<Inspected> {
        let info = self.wants::<String>("info", &["INFO"])?;
        let mut inspected = Inspected {
            info: info.map(|text| Info::parse(&text)).unwrap_or_default(),
            ..Inspected::default()
        };
        for name in SETTINGS {
            // Few users may ask for it, and it is not told as missing.
            if let Ok((_, value)) = self.ask::<(String, String)>(&["CONFIG", "GET", name])? {
                inspected.config.insert(name, value);
            }
        }
        // It asks for the protocol that is spoken already, and so changes nothing.
        inspected.has_resp3 = self.ask::<redis::Value>(&["HELLO", "2"])?.is_ok();
        self.try_commands(key)?;
        if self.wants::<redis::Value>("time", &["TIME"])?.is_some() {
            inspected.samples = self.read_clock()?;
        }
        inspected.denied = self.denied;
        Ok(inspected)
    }

    /// Tries each command that a lock may take.
    fn try_commands(&mut self, key: &str) -> RedisResult<()> {
        let ttl = trial::TTL.as_millis().to_string();
        for (name, words) in [
            ("ping", &["PING"][..]),
            ("eval", &["EVAL", "return 1", "0"]),
            ("evalsha", &["EVALSHA", NO_HASH, "0"]),
            ("set", &["SET", key, "trial", "NX", "PX", &ttl]),
            ("get", &["GET", key]),
            ("pttl", &["PTTL", key]),
            ("pexpire", &["PEXPIRE", key, &ttl]),
            ("del", &["DEL", key]),
        ] {
            if let Err(refusal) = self.ask::<redis::Value>(words)? {
                self.note(&refusal, Denied::Needed(name));
            }
        }
        for (name, words) in [
            ("client|id", &["CLIENT", "ID"][..]),
            ("client|kill", &["CLIENT", "KILL", "ID", NO_CLIENT]),
            ("client|tracking", &["CLIENT", "TRACKING", "OFF"]),
        ] {
            self.wants::<redis::Value>(name, words)?;
        }
        Ok(())
    }

    fn read_clock(&mut self) -> RedisResult<Vec<Sample>> {
        let start = Instant::now();
        let mut samples = Vec::new();
        for read in 0.. {
            if read >= FEWEST && start.elapsed() >= WATCHING {
                break;
            }
            thread::sleep(APART);
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let asked = start.elapsed();
            if let Ok((seconds, micros)) = self.ask::<(u64, u32)>(&["TIME"])? {
                samples.push(Sample {
                    asked,
                    answered: start.elapsed(),
                    wall,
                    told: Duration::from_secs(seconds) + Duration::from_micros(micros.into()),
                });
            }
        }
        Ok(samples)
    }

    /// Runs a command that it is better to have.
    fn wants<T: FromRedisValue>(&mut self, name: &'static str, words: &[&str]) -> RedisResult<Option<T>> {
        match self.ask(words)? {
            Ok(answer) => Ok(Some(answer)),
            Err(refusal) => {
                self.note(&refusal, Denied::Wanted(name));
                Ok(None)
            }
        }
    }

    /// Keeps what was refused for want of a permission. Any other refusal is told by the lock that was tried.
    fn note(&mut self, refusal: &RedisError, command: Denied) {
        if refusal.code() != Some("NOPERM") {
            return;
        }
        // "No permissions to access a key", and in Redis 6 "to access one of the keys used as arguments".
        let is_key = refusal.detail().is_some_and(|words| words.contains(" key"));
        let denied = if is_key { Denied::Keys } else { command };
        if !self.denied.contains(&denied) {
            self.denied.push(denied);
        }
    }

    /// Runs a command. The inner error is the server's own; the outer one means that there is no more to be had from it.
    fn ask<T: FromRedisValue>(&mut self, words: &[&str]) -> RedisResult<RedisResult<T>> {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        match command.query(&mut self.connection) {
            Ok(answer) => Ok(redis::from_redis_value(answer).map_err(RedisError::from)),
            Err(error) if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) => Ok(Err(error)),
            Err(error) => Err(error),
        }
    }
}
