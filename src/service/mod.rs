//! What the daemon offers: files, fixed answers, the classic byte services; and the formats of its access log.

pub mod access;
pub mod files;
pub mod respond;
