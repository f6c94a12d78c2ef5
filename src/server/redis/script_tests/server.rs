//! A `redis-server` process that runs batches, without the rest of the library.

use crate::server::{
    link::{Answer, Form, Outcome, Script},
    operation::Operation,
    redis::wire::{self, Keys},
};
use fred::{bytes::Bytes, interfaces::Resp3Frame, types::Value};
use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::sleep,
    time::Duration,
};

const FORM: Form = Form {
    script: Script::Source,
    declares: false,
};

/// A server of its own, which ends with this value.
pub(super) struct Server {
    process: Child,
    directory: PathBuf,
}

impl Server {
    pub(super) fn start() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = env::temp_dir().join(format!("multiredlock-script-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).expect("the temporary directory is writable");
        let program = env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
        let process = Command::new(&program)
            .args(["--port", "0", "--unixsocket"])
            .arg(directory.join("s"))
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("this test needs redis-server, or a program named by REDIS_SERVER: {error}")
            });
        Self { process, directory }
    }

    /// A new connection, of the default user.
    pub(super) fn connect(&self) -> Connection {
        // It has just been started.
        for _ in 0..1_000 {
            if let Ok(stream) = UnixStream::connect(self.directory.join("s")) {
                stream
                    .set_read_timeout(Some(Duration::from_secs(10)))
                    .expect("the timeout is not zero");
                return Connection(BufReader::new(stream));
            }
            sleep(Duration::from_millis(10));
        }
        panic!("redis-server did not start");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

pub(super) struct Connection(BufReader<UnixStream>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Nil,
    Bulk(Vec<u8>),
    Simple(String),
    Error(String),
    Number(i64),
    List(Vec<Reply>),
}

impl Connection {
    /// Runs operations as one batch.
    pub(super) fn run(&mut self, batch: &[Arc<Operation>]) -> Vec<Outcome> {
        let (name, args) = wire::command(batch, FORM, Keys::Watched);
        let words: Vec<Vec<u8>> = args.iter().map(bytes).collect();
        let words: Vec<&[u8]> = std::iter::once(name.as_bytes())
            .chain(words.iter().map(Vec::as_slice))
            .collect();
        let frame = match self.command(&words) {
            Reply::Bulk(data) => Resp3Frame::BlobString {
                data: Bytes::from(data),
                attributes: None,
            },
            other => panic!("{other:?}"),
        };
        match wire::answer(&frame, name, batch.len(), FORM, Keys::Watched) {
            Answer::Outcomes(outcomes) if outcomes.len() == batch.len() => outcomes,
            other => panic!("{other:?}"),
        }
    }

    /// Runs any command, of words that are parted by spaces.
    pub(super) fn say(&mut self, words: &str) -> Reply {
        let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        self.command(&words)
    }

    pub(super) fn command(&mut self, words: &[&[u8]]) -> Reply {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend(b"\r\n");
        }
        self.0.get_mut().write_all(&request).expect("the server lives");
        self.reply()
    }

    fn reply(&mut self) -> Reply {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("the server answers");
        let (kind, rest) = line.trim_end().split_at(1);
        let number = || rest.parse::<i64>().expect("it is a number");
        match kind {
            "+" => Reply::Simple(rest.into()),
            "-" => Reply::Error(rest.into()),
            ":" => Reply::Number(number()),
            "$" => match usize::try_from(number()) {
                Err(_) => Reply::Nil,
                Ok(length) => {
                    let mut data = vec![0; length + 2];
                    self.0.read_exact(&mut data).expect("the server answers");
                    data.truncate(length);
                    Reply::Bulk(data)
                }
            },
            "*" => Reply::List((0..number()).map(|_| self.reply()).collect()),
            _ => panic!("{line}"),
        }
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::Integer(number) => number.to_string().into_bytes(),
        value => value.as_bytes().expect("it is text").to_vec(),
    }
}
