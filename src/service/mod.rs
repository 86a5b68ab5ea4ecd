//! What the daemon offers: files, fixed answers, the classic byte services.

pub mod files;
pub mod respond;
pub mod site;
