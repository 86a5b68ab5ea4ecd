//! The command line: one file per verb, and nothing else in the program reads arguments.
//!
//! Owns help, usage errors and the exit code. What a verb serves is handed to [`daemon`](crate::daemon).

mod access;
mod common;
mod echo;
mod listing;
mod respond;
mod run;
mod serve;
#[cfg(test)]
mod tests;
mod values;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use self::common::Verbosity;
use crate::daemon::failure::{self, Failure};
use crate::daemon::log as records;

/// How long the last log records may take to be written. A pipe that nobody reads must not keep the process.
const LOG_WAIT: Duration = Duration::from_millis(500);

/// An event-loop network server: files, HTTP answers and echo, safe by default.
///
/// Without a command it serves a welcome over HTTP on 127.0.0.1:8080 and echo on 127.0.0.1:8007.
#[derive(Debug, Parser)]
#[command(name = "tidemill", version, after_help = EXAMPLES, after_long_help = LONG)]
#[command(subcommand_value_name = "COMMAND", max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    verbosity: Verbosity,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Run),
    Serve(serve::Serve),
    Respond(respond::Respond),
    Echo(echo::Echo),
}

macro_rules! examples {
    () => {
        "\
Examples:
  tidemill                                   a welcome on port 8080, echo on port 8007
  tidemill serve site                        the files beneath ./site on http://127.0.0.1:8000/
  tidemill serve --listen 0.0.0.0:80 site    the same for everyone
  tidemill respond --status 503 --body wait  this answer to every request
  tidemill echo --listen unix:echo.sock      echo on a Unix socket

'tidemill COMMAND --help' tells what a command takes."
    };
}

const EXAMPLES: &str = examples!();

const LONG: &str = concat!(
    examples!(),
    "

Ready lines:
  Once it serves, standard output has one line for each listener, such as
  'listening tcp:127.0.0.1:8000 files'. NOTIFY_SOCKET is told READY=1 and STOPPING=1.

Signals:
  TERM, INT        drain: accept nothing more, complete what is under way, exit with 0;
                   a second one cuts what is left and exits with 1
  USR1             opens the access log anew, after it was renamed
  HUP, USR2        a line in the log: reload and upgrade are not built yet

Log:
  Standard error has what is of level info or graver. -v, -vv, -q and -qq change that, else
  TIDEMILL_LOG, else RUST_LOG: off, error, warn, info, debug or trace, or a list such as
  'warn,tidemill::reactor=debug'.

Access log:
  --access-log FILE has one line for each request, '-' means standard output. Its format is
  common, combined, json, or a template of these names:
    {time} {time_common} {unix_time} {remote} {remote_port} {conn} {nth} {request} {method}
    {host} {target} {path} {query} {protocol} {status} {bytes_in} {bytes_out} {referer}
    {user_agent} {header:NAME} {end} {class} {duration}, and the parts of that time:
    {request_line} {request_headers} {request_body} {to_status_line} {response_headers}
    {response_body}; times are nanoseconds, or with _us, _ms or _s behind their names.
  {end} is two letters, who ended the request and in which phase, '--' when all went well:
    - nobody, C the client, T a deadline, L a limit or a fault in what the client sent,
      S the server, D a drain;
    - finished, R in the request's head, B in its body, W waiting for the answer,
      H in the answer's head, D in its body
  Bytes that could mislead are written as \\xHH. It never holds up the server: records that
  find no room are dropped and counted in the log.

Exit codes:
   0  done: it was asked to stop and has drained
   1  aborted by a second signal
   2  usage: an unknown flag, a bad endpoint, duration or header
  66  the directory to serve does not exist, or is none
  69  an address is taken, is not of this machine, or its name has no address
  70  an internal error: please report it
  71  the operating system failed otherwise, for example for want of descriptors
  73  a Unix socket cannot be created there
  77  no permission for an address or a directory"
);

/// The program: parses, runs, and says how it went.
pub(crate) fn main() -> ExitCode {
    let cli = match parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(e) => {
            // Help that nobody can read is no failure.
            let _ = e.print();
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(failure::USAGE));
        }
    };
    let filter = match cli.verbosity.filter(|name| std::env::var(name).ok()) {
        Ok(filter) => filter,
        Err(failure) => return report(&failure),
    };
    let log = records::start(filter);
    records::log_panics();
    let outcome = catch_unwind(AssertUnwindSafe(|| dispatch(cli)));
    log.flush(LOG_WAIT);
    match outcome {
        Ok(Ok(code)) => ExitCode::from(code),
        Ok(Err(failure)) => report(&failure),
        Err(_) => ExitCode::from(failure::SOFTWARE),
    }
}

/// Without a verb, the arguments mean those of `run`; parsing them so also reads the variables of its flags. What is
/// wrong either way is told as it was written.
fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let as_written = Cli::try_parse_from(&args);
    match as_written {
        Ok(cli) if cli.verb.is_some() => return Ok(cli),
        Err(e) if e.kind() != ErrorKind::UnknownArgument => return Err(e),
        Ok(_) | Err(_) => {}
    }
    args.insert(args.len().min(1), "run".into());
    match (Cli::try_parse_from(&args), as_written) {
        (Err(_), Err(e)) => Err(e),
        (other, _) => other,
    }
}

fn dispatch(cli: Cli) -> Result<u8, Failure> {
    match cli.verb {
        Some(Verb::Serve(verb)) => verb.run(),
        Some(Verb::Respond(verb)) => verb.run(),
        Some(Verb::Echo(verb)) => verb.run(),
        Some(Verb::Run(verb)) => verb.run(),
        None => Ok(failure::USAGE),
    }
}

/// One line on standard error; that it cannot be written changes nothing about the code.
fn report(failure: &Failure) -> ExitCode {
    let line = format!("tidemill: {failure}\n");
    crate::daemon::write_all(std::io::stderr(), line.as_bytes());
    ExitCode::from(failure.code)
}
