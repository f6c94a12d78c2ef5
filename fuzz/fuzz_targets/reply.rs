//! Any reply, as fred decodes it, to any of our commands.

#![no_main]

use bytes::{Bytes, BytesMut};
use redis_protocol::resp3::{
    decode::complete::decode_bytes_mut,
    types::{BytesFrame, VerbatimStringFormat},
};

libfuzzer_sys::fuzz_target!(|data: (u8, &[u8])| {
    let (operations, bytes) = data;
    let operations = usize::from(operations % 20) + 1;
    if let Ok(Some((frame, _, _))) = decode_bytes_mut(&mut BytesMut::from(bytes)) {
        multiredlock::fuzzing::reply(&frame, operations);
    }
    // The same bytes as what most replies are, so that not everything depends on their being framed rightly.
    let data = Bytes::copy_from_slice(bytes);
    let attributes = None;
    for frame in [
        BytesFrame::BlobString {
            data: data.clone(),
            attributes: None,
        },
        BytesFrame::BlobError {
            data: data.clone(),
            attributes: None,
        },
        BytesFrame::SimpleString {
            data: data.clone(),
            attributes: None,
        },
        BytesFrame::VerbatimString {
            data,
            format: VerbatimStringFormat::Text,
            attributes,
        },
    ] {
        multiredlock::fuzzing::reply(&frame, operations);
    }
});
