//! The server, driven in memory. Each script runs with whole writes, byte by byte, and with a transport that takes one
//! byte of an answer at a time.

mod answers;
mod bodies;
mod corners;
mod desk;
mod ends;
mod keep;
mod later;
mod limits;
mod records;

mod rig;
mod sinks;
mod streams;
mod time;
mod upgrades;
