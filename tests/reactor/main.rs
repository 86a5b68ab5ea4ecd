//! The reactor on the real kernel, over loopback, with clients of the standard library.
//!
//! A test turns the reactor until an observable holds, never for a time; every wait ends at a deadline.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "a test's deadlines are read from the clock")]

mod connect;
mod drain;
mod exhaustion;
mod files;
mod flow;
mod ledger;
mod life;
mod limits;
mod panics;
mod posts;
mod services;
mod support;
mod timers;
mod watch;
mod watchdog;
