//! Any answer to the first PING.

#![no_main]

libfuzzer_sys::fuzz_target!(|answer: &[u8]| multiredlock::fuzzing::greeting(answer));
