//! **Tidemill**: an event-loop network server. One thread, one `mio::Poll`, one slab of connection state
//! machines, each moved from *connect* through *transfer* to *teardown* purely by readiness events.

pub mod proto;
pub mod reactor;
#[cfg(feature = "cli")]
pub mod service;
