//! The program `tidemill`: parse, run, exit code.
//!
//! [`cli`] reads the command line, [`daemon`] wires services to a reactor; what is served lives in the library.

mod cli;
mod daemon;

fn main() -> std::process::ExitCode {
    cli::main()
}
