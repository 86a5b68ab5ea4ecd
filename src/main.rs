//! The program `tidemill`: parse, run, exit code.

fn main() {}
