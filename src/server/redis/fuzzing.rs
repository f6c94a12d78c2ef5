//! What fuzzing calls of what reads replies, and what has to hold of them.

use super::{
    bounds, cluster, info, preflight, sentinel,
    wire::{self, EVAL, EVALSHA, Keys, SET},
};
use crate::{
    decision::{DownReason, Refusal},
    server::link::{Answer, Form, Outcome, Script},
};
use fred::interfaces::Resp3Frame;
use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};
use tokio::io::{join, sink};

/// What ends replies that are untrusted.
#[derive(Debug)]
pub struct Bounds(bounds::Bounds);

impl Bounds {
    /// At the start of a connection.
    pub fn new(speaks_resp3: bool) -> Self {
        Self(bounds::Bounds::new(speaks_resp3))
    }

    /// How many of these bytes are whole replies, none of which is too long to be passed on.
    pub fn whole(&mut self, bytes: &[u8]) -> Result<usize, DownReason> {
        let whole = self.0.whole(&mut bytes.to_vec());
        is_short(whole.as_ref().err());
        whole
    }
}

/// Only a Redis server's answer to the first PING lets it in.
pub fn greeting(answer: &[u8]) {
    let mut greeted = pin!(preflight::greet(join(answer, sink())));
    let Poll::Ready(greeted) = greeted.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("all of the answer is there");
    };
    is_short(greeted.as_ref().err());
    if greeted.is_ok() {
        let starts = [
            "+PONG",
            "-NOAUTH",
            "-NOPERM",
            "-LOADING",
            "-MASTERDOWN",
            "-BUSY",
            "-ERR ",
        ];
        assert!(starts.iter().any(|start| answer.starts_with(start.as_bytes())));
        assert!(answer.iter().take(preflight::LONGEST_LINE).any(|byte| *byte == b'\n'));
    }
}

/// A reply yields an outcome for each operation or for none, and no grant but in the exact words of one.
pub fn reply(frame: &Resp3Frame, operations: usize) {
    for name in [SET, EVAL, EVALSHA] {
        let operations = if name == SET { 1 } else { operations };
        for declares in [true, false] {
            let form = Form {
                script: Script::Cheapest,
                declares,
            };
            let answer = wire::answer(frame, name, operations, form, Keys::Watched);
            is_answer(&answer, frame, name, operations);
        }
    }
    let text = wire::text(frame);
    if let Some(facts) = info::parse(&text) {
        for words in [facts.run_id, facts.version, facts.eviction].into_iter().flatten() {
            assert!(words.chars().count() <= 64);
        }
    }
    assert!(cluster::smallest_id(&text).is_none_or(|id| id.chars().count() <= 64));
    if let Some(master) = sentinel::read(frame) {
        assert_eq!(master.problem(), None);
    }
    let _ = wire::time(frame);
    if wire::is_empty_answer(frame) {
        assert_eq!(text, "\u{fffd}", "one byte that is no text");
    }
}

fn is_answer(answer: &Answer, frame: &Resp3Frame, name: &str, operations: usize) {
    let outcomes = match answer {
        Answer::Outcomes(outcomes) => outcomes,
        Answer::Again(Form { script, declares }) => {
            // Whatever is asked again is asked in another way, of which there is an end.
            assert!(match script {
                Script::Source => name == EVALSHA,
                Script::Known => name == SET || !declares,
                Script::Cheapest => false,
            });
            return;
        }
        Answer::Rejected(refusal) => return is_short(Some(refusal)),
        Answer::Lost => panic!("there is an answer"),
    };
    assert!(outcomes.is_empty() || outcomes.len() == operations);
    for outcome in outcomes {
        if let Outcome::Failed(words) = outcome {
            is_short(Some(&Refusal::parse(words)));
        }
    }
    match frame {
        Resp3Frame::SimpleString { data, .. } => assert!(outcomes.is_empty() || (name == SET && data == "OK")),
        Resp3Frame::BlobString { data, .. } => {
            let plain: Option<Vec<u8>> = outcomes
                .iter()
                .map(|outcome| match outcome {
                    Outcome::Done => Some(1),
                    Outcome::Missing => Some(0),
                    _ => None,
                })
                .collect();
            let plain = plain.filter(|plain| !plain.is_empty());
            assert!(name != SET && plain.is_none_or(|plain| data.ends_with(&plain) && data.len() <= plain.len() + 5));
        }
        other => panic!("{other:?} says nothing of an operation"),
    }
}

fn is_short(words: Option<&impl std::fmt::Display>) {
    assert!(words.is_none_or(|words| words.to_string().chars().count() < 300));
}
