//! Fuzz target: the oracle `websocket` of `fuzz/others.rs`.
#![no_main]

#[path = "../others.rs"]
#[allow(dead_code, reason = "one oracle of several")]
mod others;

libfuzzer_sys::fuzz_target!(|data: &[u8]| others::websocket(data));
