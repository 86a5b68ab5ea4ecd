//! Fuzz target: the oracle `chunked` of `fuzz/checks.rs`.
#![no_main]

#[path = "../checks.rs"]
#[allow(dead_code, reason = "one oracle of several")]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::chunked(data));
