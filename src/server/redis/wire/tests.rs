//! Batches as commands, and their replies.

use super::*;
use proptest::prelude::*;

fn blob(data: &[u8]) -> Resp3Frame {
    Resp3Frame::BlobString {
        data: Bytes::copy_from_slice(data),
        attributes: None,
    }
}

const CHEAPEST: Form = Form {
    script: Script::Cheapest,
    declares: true,
};

fn outcomes(operations: usize, list: &[u8]) -> Vec<Outcome> {
    match answer(&blob(list), EVALSHA, operations, CHEAPEST, Keys::Watched) {
        Answer::Outcomes(outcomes) => outcomes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_answer_of_the_script_is_read() {
    let list = b"\x95\x01\x00\xcd\x01\x00\x92\xff\xa7web_1_a\xa6OOM so";
    let held = Outcome::Held {
        pttl: -1,
        value: "web_1_a".into(),
    };
    assert_eq!(
        outcomes(5, list),
        [
            Outcome::Done,
            Outcome::Missing,
            Outcome::Fenced(256),
            held,
            Outcome::Failed("OOM so".into())
        ]
    );
    assert!(is_empty_answer(&blob(b"\x90")));
}

#[test]
fn what_the_script_never_says_is_no_grant() {
    for list in [
        &b"\x91\x02"[..],
        b"\x91\x90",
        b"\x91\xff",
        b"\x91\xd3\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x91\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00",
        b"\x91\xcf\x00\x20\x00\x00\x00\x00\x00\x00",
        b"\x91\x92\x01",
        b"\x91\xc0",
        b"\xdd\xff\xff\xff\xff",
        b"",
        b"OK",
    ] {
        assert_eq!(outcomes(1, list), [], "{list:?}");
    }
    let number = Resp3Frame::Number {
        data: 1,
        attributes: None,
    };
    for name in [SET, EVAL, EVALSHA] {
        assert!(matches!(
            answer(&number, name, 1, CHEAPEST, Keys::Watched),
            Answer::Rejected(_)
        ));
    }
    assert!(matches!(
        answer(&blob(b"OK"), SET, 1, CHEAPEST, Keys::Watched),
        Answer::Rejected(_)
    ));
    assert!(matches!(
        answer(&Resp3Frame::Null, EVALSHA, 1, CHEAPEST, Keys::Watched),
        Answer::Rejected(_)
    ));
}

#[test]
fn a_list_of_another_length_says_nothing() {
    let list = b"\x92\x01\x01";
    assert_eq!(outcomes(2, list), [Outcome::Done, Outcome::Done]);
    assert_eq!(outcomes(1, list), []);
    assert_eq!(outcomes(3, list), []);
    assert_eq!(outcomes(2, b"\x92\x01"), []);
    assert_eq!(outcomes(2, b"\x92\x01\x01\x01"), []);
}

#[test]
fn a_missing_script_is_taught_once() {
    let frame = Resp3Frame::SimpleError {
        data: "NOSCRIPT No matching script.".into(),
        attributes: None,
    };
    let is_source = |answer| matches!(answer, Answer::Again(form) if form.script == Script::Source);
    assert!(is_source(answer(&frame, EVALSHA, 1, CHEAPEST, Keys::Watched)));
    assert!(matches!(
        answer(&frame, EVAL, 1, CHEAPEST, Keys::Watched),
        Answer::Rejected(_)
    ));
}

#[test]
fn a_lone_lock_that_is_not_granted_asks_the_script_who_holds_it() {
    let ok = Resp3Frame::SimpleString {
        data: Bytes::from_static(b"OK"),
        attributes: None,
    };
    assert!(
        matches!(answer(&ok, SET, 1, CHEAPEST, Keys::Watched), Answer::Outcomes(outcomes) if outcomes == [Outcome::Done])
    );
    let refused = answer(&Resp3Frame::Null, SET, 1, CHEAPEST, Keys::Watched);
    assert!(matches!(refused, Answer::Again(form) if form.script == Script::Known));
}

proptest! {
    #[test]
    fn any_bytes_can_be_read_and_yield_an_outcome_for_each_operation_or_none(list in prop::collection::vec(any::<u8>(), 0..100)) {
        for operations in 1..=4 {
            let read = outcomes(operations, &list).len();
            prop_assert!(read == operations || read == 0);
        }
    }
}
