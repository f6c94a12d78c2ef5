//! Any bytes under a resource: somebody else's value, or what looks like one of ours.

#![no_main]

libfuzzer_sys::fuzz_target!(|value: &[u8]| multiredlock::fuzzing::value(value));
