//! Fuzz target: the oracle `connection` of `fuzz/connection.rs`.
#![no_main]

#[path = "../connection.rs"]
#[allow(dead_code, reason = "one oracle of several")]
mod connection;

libfuzzer_sys::fuzz_target!(|data: &[u8]| connection::connection(data));
