//! The reactor: one poll, one slab of connection state machines, handlers that never see readiness.

pub mod class;
pub mod timers;
