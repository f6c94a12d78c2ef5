//! How a batch of operations looks as a command, and how its answer is read.

use crate::server::{
    Refusal,
    link::{Answer, Outcome},
    operation::{Operation, Verb},
};
use bytes::Bytes;
use fred::{interfaces::Resp3Frame, types::Value};
use std::sync::{Arc, LazyLock};

pub(super) const SCRIPT: &str = include_str!("../scripts/batch.lua");

/// What the server knows the script by.
static SCRIPT_HASH: LazyLock<Bytes> = LazyLock::new(|| fred::util::sha1_hash(SCRIPT).into());

pub(super) fn arguments(batch: &[Arc<Operation>], with_source: bool) -> Vec<Value> {
    let mut args = Vec::with_capacity(2 + 4 * batch.len());
    args.push(Value::Bytes(if with_source {
        Bytes::from_static(SCRIPT.as_bytes())
    } else {
        SCRIPT_HASH.clone()
    }));
    args.push(Value::Integer(0));
    for operation in batch {
        let verb: &'static [u8] = match operation.verb {
            Verb::Lock | Verb::Restore => b"lock",
            Verb::Renew => b"renew",
            Verb::Unlock => b"unlock",
        };
        args.push(Value::Bytes(operation.key.clone()));
        args.push(Value::Bytes(Bytes::from_static(verb)));
        args.push(Value::Bytes(operation.value.clone()));
        args.push(Value::Bytes(operation.ttl.clone()));
    }
    args
}

/// Reads the answer to a batch. What is not of the script's form counts as a failed operation, never as a grant.
pub(super) fn answer(frame: Resp3Frame, with_source: bool) -> Answer {
    if let Some(error) = error(&frame) {
        return if error.starts_with("NOSCRIPT") && !with_source {
            Answer::NoScript
        } else {
            Answer::Rejected(Refusal::parse(&error))
        };
    }
    match frame {
        Resp3Frame::Array { data, .. } => Answer::Outcomes(data.into_iter().map(outcome).collect()),
        _ => Answer::Rejected(Refusal::parse("the answer is not a list")),
    }
}

fn outcome(frame: Resp3Frame) -> Outcome {
    match frame {
        Resp3Frame::Number { data: 1, .. } => Outcome::Done,
        Resp3Frame::Number { data: 0, .. } => Outcome::Missing,
        Resp3Frame::BlobString { .. } | Resp3Frame::SimpleString { .. } => Outcome::Failed(text(&frame)),
        Resp3Frame::Array { data, .. } => match data.as_slice() {
            [
                Resp3Frame::Number { data: pttl, .. },
                Resp3Frame::BlobString { data: value, .. },
            ] => Outcome::Held {
                pttl: *pttl,
                value: value.clone(),
            },
            _ => Outcome::Failed("the answer is not a holder".into()),
        },
        _ => Outcome::Failed("the answer is of no known kind".into()),
    }
}

/// Whether this is the answer to a batch of no operations.
pub(super) fn is_empty_answer(frame: &Resp3Frame) -> bool {
    matches!(frame, Resp3Frame::Array { data, .. } if data.is_empty())
}

/// The text of an error reply, if it is one.
pub(super) fn error(frame: &Resp3Frame) -> Option<String> {
    match frame {
        Resp3Frame::SimpleError { data, .. } => Some(data.to_string()),
        Resp3Frame::BlobError { data, .. } => Some(String::from_utf8_lossy(data).into_owned()),
        _ => None,
    }
}

pub(super) fn text(frame: &Resp3Frame) -> String {
    match frame {
        Resp3Frame::BlobString { data, .. }
        | Resp3Frame::SimpleString { data, .. }
        | Resp3Frame::VerbatimString { data, .. } => String::from_utf8_lossy(data).into_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(data: i64) -> Resp3Frame {
        Resp3Frame::Number { data, attributes: None }
    }

    fn array(data: Vec<Resp3Frame>) -> Resp3Frame {
        Resp3Frame::Array { data, attributes: None }
    }

    fn blob(data: &'static str) -> Resp3Frame {
        Resp3Frame::BlobString {
            data: data.into(),
            attributes: None,
        }
    }

    fn outcomes(data: Vec<Resp3Frame>) -> Vec<Outcome> {
        match answer(array(data), false) {
            Answer::Outcomes(outcomes) => outcomes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_answer_of_the_script_is_read() {
        let answers = vec![
            number(1),
            number(0),
            array(vec![number(-1), blob("web_1_a")]),
            blob("OOM command not allowed"),
        ];
        let held = Outcome::Held {
            pttl: -1,
            value: "web_1_a".into(),
        };
        assert_eq!(
            outcomes(answers),
            [
                Outcome::Done,
                Outcome::Missing,
                held,
                Outcome::Failed("OOM command not allowed".into())
            ]
        );
    }

    #[test]
    fn what_the_script_never_says_is_no_grant() {
        let odd = vec![
            number(2),
            array(vec![]),
            array(vec![number(1)]),
            array(vec![array(vec![])]),
            Resp3Frame::Null,
        ];
        assert!(
            outcomes(odd)
                .iter()
                .all(|outcome| matches!(outcome, Outcome::Failed(_)))
        );
        for frame in [number(1), blob("OK"), Resp3Frame::Null] {
            assert!(matches!(answer(frame, false), Answer::Rejected(_)));
        }
    }

    #[test]
    fn a_missing_script_is_taught_once() {
        let frame = || Resp3Frame::SimpleError {
            data: "NOSCRIPT No matching script.".into(),
            attributes: None,
        };
        assert!(matches!(answer(frame(), false), Answer::NoScript));
        assert!(matches!(answer(frame(), true), Answer::Rejected(_)));
    }
}
