//! Any bytes from a server that is untrusted, in pieces of any size. What is let through is what fred's decoder takes for
//! whole replies: it never waits for more, and begins no stream.

#![no_main]

use bytes::BytesMut;
use multiredlock::fuzzing::Bounds;
use redis_protocol::{resp2, resp3, resp3::types::DecodedFrame};

libfuzzer_sys::fuzz_target!(|data: (bool, u8, &[u8])| {
    let (speaks_resp3, piece, bytes) = data;
    let (whole, is_refused) = let_through(speaks_resp3, bytes, bytes.len().max(1));
    let in_pieces = let_through(speaks_resp3, bytes, usize::from(piece) + 1);
    assert!(
        (whole, is_refused) == in_pieces || is_refused,
        "it depends on the pieces"
    );
    if is_refused {
        assert!(in_pieces.1, "refused at once, and not in pieces");
    }

    let mut rest = BytesMut::from(&bytes[..in_pieces.0]);
    while !rest.is_empty() {
        if speaks_resp3 {
            match resp3::decode::streaming::decode_bytes_mut(&mut rest) {
                Ok(Some((DecodedFrame::Complete(_), _, _))) => {}
                Ok(Some((DecodedFrame::Streaming(_), _, _))) => panic!("a stream"),
                Ok(None) => panic!("no whole reply"),
                // It is framed rightly, but no number or no text. fred ends the connection.
                Err(_) => break,
            }
        } else {
            match resp2::decode::decode_bytes_mut(&mut rest) {
                Ok(Some(_)) => {}
                Ok(None) => panic!("no whole reply"),
                Err(_) => break,
            }
        }
    }
});

/// How many of these bytes are let through when so many arrive at once, and whether the rest is refused.
fn let_through(speaks_resp3: bool, bytes: &[u8], piece: usize) -> (usize, bool) {
    let mut bounds = Bounds::new(speaks_resp3);
    let (mut start, mut end) = (0, 0);
    while end < bytes.len() {
        end = (end + piece).min(bytes.len());
        match bounds.whole(&bytes[start..end]) {
            Ok(whole) => start += whole,
            Err(_) => return (start, true),
        }
    }
    (start, false)
}
