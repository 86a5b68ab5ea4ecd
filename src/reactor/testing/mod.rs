//! A simulated kernel to test against: seeded, single-threaded, without a socket or a sleep.
//!
//! A [`World`] is a network with its own clock. [`World::sys`] gives a [`Sys`](super::sys::Sys) for a reactor, and
//! [`World::dial`] and [`World::serve`] give scripted peers. [`Faults`] says what goes wrong; [`seeds`] runs a test over
//! many seeds and names the one that fails. The kernel follows Linux: edge-triggered polls, buffers that fill, FIN, RST,
//! accept queues, descriptors that run out. It is never kinder than Linux; what it does without faults is compared
//! with the real kernel, call by call, in its tests.
//!
//! ```
//! use std::time::Duration;
//! use tidemill::reactor::endpoint::Endpoint;
//! use tidemill::reactor::testing::World;
//!
//! let world = World::new(7);
//! let server = world.serve(&Endpoint::tcp(([127, 0, 0, 1], 80))).unwrap();
//! let mut client = world.dial(server.endpoint()).unwrap();
//! let mut accepted = server.accept().unwrap();
//! client.write(b"hello");
//! assert_eq!(accepted.read(), b"hello");
//! ```
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's tool: a broken assumption should stop the test where it is"
)]

pub mod contract;
mod faults;
mod kernel;
mod peer;
mod probe;
mod rng;
mod runner;
mod setup;
mod socket;
mod spy;
mod stream;
mod sys;
mod watched;
mod work;
mod world;

#[cfg(test)]
mod tests;

#[doc(inline)]
pub use crate::__tidemill_contract as contract;
pub use faults::Faults;
pub use kernel::{Call, ProcessId};
pub use peer::{SimPeer, SimServer};
pub use probe::Probe;
pub use rng::Rng;
pub use runner::seeds;
pub use spy::watch;
pub use sys::{SimListener, SimSocket, SimSys};
pub use watched::SimWatched;
pub use world::World;
