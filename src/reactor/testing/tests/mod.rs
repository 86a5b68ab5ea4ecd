//! The simulated kernel against the real one, and against its own promises.

mod differential;
mod promises;
mod rig;
mod watched;
mod work;
