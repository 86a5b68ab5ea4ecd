//! **Tidemill**: an event-loop network server. One thread, one `mio::Poll`, one slab of connection state
//! machines, each moved from *connect* through *transfer* to *teardown* purely by readiness events.

#[cfg(feature = "http")]
pub mod http;
pub mod proto;
pub mod reactor;
#[cfg(feature = "http")]
pub mod service;
#[cfg(feature = "signals")]
pub mod signals;

/// The Rust blocks of the documents, compiled and run as tests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../README.md")]
    mod readme {}

    #[doc = include_str!("../docs/embedding.md")]
    mod embedding {}

    #[doc = include_str!("../docs/tasks.md")]
    mod tasks {}

    #[cfg(feature = "http")]
    #[doc = include_str!("../docs/http.md")]
    mod http {}

    #[cfg(feature = "http")]
    #[doc = include_str!("../docs/http-conditional.md")]
    mod http_conditional {}
}
