//! How a batch of operations looks as a command, and how its answer is read.

use crate::{
    decision::Refusal,
    fence,
    server::{
        link::{Answer, Form, Outcome, Script},
        operation::{Operation, Verb},
    },
};
use fred::{bytes::Bytes, interfaces::Resp3Frame, types::Value};
use rmp::{
    Marker,
    decode::{self, RmpRead},
    encode,
};
use std::{
    io::Write,
    sync::{Arc, LazyLock},
    time::Duration,
};

pub(super) const SCRIPT: &str = include_str!("../scripts/batch.lua");

/// What the server knows the script by.
static SCRIPT_HASH: LazyLock<Bytes> = LazyLock::new(|| fred::util::sha1_hash(SCRIPT).into());

pub(super) const SET: &str = "SET";
pub(super) const EVAL: &str = "EVAL";
pub(super) const EVALSHA: &str = "EVALSHA";

/// Which keys a script's command declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// Those that are watched, if the form says so.
    Watched,
    /// All, for the nodes of a cluster to see.
    All,
}

/// The name and the arguments of the command that carries out a batch.
///
/// A lone lock needs no script as long as it is granted: that is what most locks are, and a sixth faster.
pub(super) fn command(batch: &[Arc<Operation>], form: Form, keys: Keys) -> (&'static str, Vec<Value>) {
    match (form.script, batch) {
        (Script::Cheapest, [lock]) if is_plain(lock) => {
            let key = Bytes::copy_from_slice(&lock.keys.as_slice()[0]);
            let ttl_ms = i64::try_from(ttl_ms(lock)).unwrap_or(i64::MAX);
            let args = [
                key.into(),
                lock.value.as_ref().into(),
                "PX".into(),
                ttl_ms.into(),
                "NX".into(),
            ];
            (SET, args.into())
        }
        (Script::Cheapest | Script::Known, _) => (EVALSHA, script(SCRIPT_HASH.clone(), batch, form, keys)),
        (Script::Source, _) => {
            let source = Bytes::from_static(SCRIPT.as_bytes());
            (EVAL, script(source, batch, form, keys))
        }
    }
}

fn is_plain(operation: &Operation) -> bool {
    operation.verb == Verb::Lock && !operation.watches && operation.fence.is_none() && operation.keys.is_one()
}

fn script(script: Bytes, batch: &[Arc<Operation>], form: Form, keys: Keys) -> Vec<Value> {
    let is_declared = |operation: &&Arc<Operation>| match keys {
        Keys::Watched => form.declares && operation.watches,
        Keys::All => true,
    };
    let declared = batch.iter().filter(is_declared);
    let mut names = Vec::new();
    for operation in declared {
        names.extend(operation.keys.as_slice().iter().map(|key| Bytes::copy_from_slice(key)));
        if keys == Keys::All && operation.fence.is_some() {
            names.extend(operation.keys.as_slice().iter().map(|key| fence::key(key).into()));
        }
    }
    let mut args = Vec::with_capacity(3 + names.len());
    args.extend([script.into(), i64::try_from(names.len()).unwrap_or(i64::MAX).into()]);
    args.extend(names.into_iter().map(Value::from));
    args.push(Bytes::from(packed(batch)).into());
    args
}

fn ttl_ms(operation: &Operation) -> u64 {
    millis(operation.ttl())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The batch in the form that the script reads.
fn packed(batch: &[Arc<Operation>]) -> Vec<u8> {
    let size = |operation: &Arc<Operation>| {
        operation.keys.bytes() + 5 * operation.keys.as_slice().len() + operation.value.len() + 60
    };
    let mut list = Vec::with_capacity(5 + batch.iter().map(size).sum::<usize>());
    // Writing to a `Vec` does not fail.
    let _ = encode::write_array_len(&mut list, u32::try_from(6 * batch.len()).unwrap_or(u32::MAX));
    for operation in batch {
        if !operation.keys.is_one() {
            let keys = operation.keys.as_slice().len();
            let _ = encode::write_array_len(&mut list, u32::try_from(keys).unwrap_or(u32::MAX));
        }
        for key in operation.keys.as_slice() {
            write_text(&mut list, key);
        }
        write_text(&mut list, verb(operation).as_bytes());
        write_text(&mut list, operation.value.as_bytes());
        write_digits(&mut list, ttl_ms(operation));
        // Any token is larger than 0. One that is too large has to arrive as such.
        let clamped = |token: u64| token.clamp(1, fence::LARGEST_TOKEN + 1);
        let token = operation.fence.map_or(0, |fence| clamped(fence.token));
        let _ = encode::write_uint(&mut list, token);
        write_digits(&mut list, operation.fence.map_or(0, |fence| millis(fence.expiry)));
    }
    list
}

/// What the script calls it.
fn verb(operation: &Operation) -> &'static str {
    if operation.shortens() {
        "shorten"
    } else {
        operation.verb.name()
    }
}

/// A number as text.
fn write_digits(list: &mut Vec<u8>, number: u64) {
    let _ = encode::write_str_len(list, number.checked_ilog10().unwrap_or(0) + 1);
    let _ = write!(list, "{number}");
}

fn write_text(list: &mut Vec<u8>, text: &[u8]) {
    let _ = encode::write_str_len(list, u32::try_from(text.len()).unwrap_or(u32::MAX));
    list.extend_from_slice(text);
}

/// Reads the answer to a command for so many operations. What is not of the expected form counts as a refusal, or says nothing,
/// and is never a grant.
pub(super) fn answer(frame: &Resp3Frame, name: &str, operations: usize, form: Form, keys: Keys) -> Answer {
    let again = |script| Answer::Again(Form { script, ..form });
    if let Some(error) = error(frame) {
        let refusal = Refusal::parse(&error);
        return if error.starts_with("NOSCRIPT") && name == EVALSHA {
            again(Script::Source)
        } else if refusal == Refusal::NoPermission && form.declares && keys == Keys::Watched && name != SET {
            // Each operation is to be refused or not for its own keys.
            Answer::Again(Form {
                script: Script::Known,
                declares: false,
            })
        } else {
            Answer::Rejected(refusal)
        };
    }
    match frame {
        Resp3Frame::SimpleString { data, .. } if name == SET && data == "OK" => Answer::Outcomes(vec![Outcome::Done]),
        // The script tells who holds it.
        Resp3Frame::Null if name == SET => again(Script::Known),
        Resp3Frame::BlobString { data, .. } if name != SET => {
            Answer::Outcomes(unpacked(data, operations).unwrap_or_default())
        }
        _ => Answer::Rejected(Refusal::parse("the answer is none of those expected")),
    }
}

/// The outcomes of so many operations, if the list is exactly that.
fn unpacked(mut list: &[u8], operations: usize) -> Option<Vec<Outcome>> {
    let length = decode::read_array_len(&mut list).ok()?;
    if length as usize != operations {
        return None;
    }
    let mut outcomes = Vec::with_capacity(operations);
    for _ in 0..operations {
        outcomes.push(outcome(&mut list)?);
    }
    list.is_empty().then_some(outcomes)
}

fn outcome(list: &mut &[u8]) -> Option<Outcome> {
    let mut rest = *list;
    match Marker::from_u8(rest.read_u8().ok()?) {
        Marker::FixPos(1) => {
            *list = rest;
            Some(Outcome::Done)
        }
        Marker::FixPos(0) => {
            *list = rest;
            Some(Outcome::Missing)
        }
        Marker::FixArray(2) => {
            *list = rest;
            let pttl = decode::read_int(list).ok()?;
            let value = bytes(list)?;
            Some(Outcome::Held {
                pttl,
                value: value.to_vec(),
            })
        }
        Marker::U8 | Marker::U16 | Marker::U32 | Marker::U64 => {
            let token = decode::read_int(list).ok();
            token
                .filter(|token| *token <= fence::LARGEST_TOKEN)
                .map(Outcome::Fenced)
        }
        _ => bytes(list).map(|error| Outcome::Failed(String::from_utf8_lossy(error).into_owned())),
    }
}

fn bytes<'a>(list: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = decode::read_str_len(list).ok()? as usize;
    let (bytes, rest) = list.split_at_checked(length)?;
    *list = rest;
    Some(bytes)
}

/// Whether this is the answer to a batch of no operations.
pub(super) fn is_empty_answer(frame: &Resp3Frame) -> bool {
    matches!(frame, Resp3Frame::BlobString { data, .. } if data[..] == [Marker::FixArray(0).to_u8()])
}

/// The text of an error reply, if it is one.
pub(super) fn error(frame: &Resp3Frame) -> Option<String> {
    match frame {
        Resp3Frame::SimpleError { data, .. } => Some(data.to_string()),
        Resp3Frame::BlobError { data, .. } => Some(String::from_utf8_lossy(data).into_owned()),
        _ => None,
    }
}

/// The latest time that is believed, some 285 years after 1970: what is larger a script of the server cannot count exactly.
const LATEST_TIME: u64 = 1 << 53;

/// The time that a reply to `TIME` tells, in microseconds since 1970.
pub(super) fn time(frame: &Resp3Frame) -> Option<u64> {
    let Resp3Frame::Array { data, .. } = frame else {
        return None;
    };
    let [secs, micros] = data.as_slice() else {
        return None;
    };
    let number = |frame| text(frame).parse::<u64>().ok();
    let time = number(secs)?.checked_mul(1_000_000)?.checked_add(number(micros)?)?;
    (time <= LATEST_TIME).then_some(time)
}

/// The seconds that a reply to `CONFIG GET` tells of one setting.
pub(super) fn seconds(frame: &Resp3Frame) -> Option<Duration> {
    let value = match frame {
        Resp3Frame::Map { data, .. } => data.values().next().map(text),
        Resp3Frame::Array { data, .. } => data.get(1).map(text),
        _ => None,
    };
    value?.parse().ok().map(Duration::from_secs)
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
mod tests;
