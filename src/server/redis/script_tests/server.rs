//! A connection to a `redis-server` process that runs batches, without the rest of the library.

use crate::server::{
    link::{Answer, Form, Outcome, Script},
    operation::Operation,
    redis::wire::{self, Keys},
};
use fred::{bytes::Bytes, interfaces::Resp3Frame, types::Value};
use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    sync::Arc,
    time::Duration,
};
use test_support::RedisServer;

const FORM: Form = Form {
    script: Script::Source,
    declares: false,
};

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
    /// A new connection, of the default user.
    pub(super) fn to(server: &RedisServer) -> Self {
        let stream = UnixStream::connect(server.socket()).expect("the server has started");
        let timeout = Some(Duration::from_secs(10));
        stream.set_read_timeout(timeout).expect("the timeout is not zero");
        Self(BufReader::new(stream))
    }

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
