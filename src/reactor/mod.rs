//! The reactor: one poll, one slab of connection state machines, handlers that never see readiness.

pub mod class;
pub mod endpoint;
pub mod id;
pub mod sys;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
