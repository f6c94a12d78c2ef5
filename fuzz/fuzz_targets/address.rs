//! Any text as the address of a server.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| multiredlock::fuzzing::address(text));
