//! Failures of the program: one line with cause and remedy, and the exit code (sysexits.h).

use std::fmt;
use std::io;
use std::path::Path;

use rustix::io::Errno;
use tidemill::reactor::{Error, close};

/// The drain was cut by a second signal.
pub(crate) const ABORTED: u8 = 1;
/// EX_USAGE is 64; clap and the shells' own tools say 2.
pub(crate) const USAGE: u8 = 2;
/// The directory to serve is missing or is none.
pub(crate) const NO_INPUT: u8 = 66;
/// An address cannot be had.
pub(crate) const UNAVAILABLE: u8 = 69;
/// A mistake in this program.
pub(crate) const SOFTWARE: u8 = 70;
/// The system failed otherwise.
pub(crate) const OS: u8 = 71;
/// A Unix socket cannot be created.
pub(crate) const CANNOT_CREATE: u8 = 73;
/// No permission.
pub(crate) const PERMISSION: u8 = 77;

/// Why the program ends.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Failure {
    /// The user asked for something that makes no sense.
    pub(crate) fn usage(text: String) -> Self {
        Self { code: USAGE, text: format!("{text}. For more information, try '--help'.") }
    }

    /// A mistake in this program.
    pub(crate) fn software(e: &dyn std::error::Error) -> Self {
        Self { code: SOFTWARE, text: format!("internal error: {e}. Please report it.") }
    }

    /// A system call failed that has nothing to do with what the user asked for.
    pub(crate) fn system(what: &str, e: &io::Error) -> Self {
        Self { code: OS, text: format!("cannot {what}: {} (os.failed).", plain(e)) }
    }

    /// The directory to serve cannot be held.
    pub(crate) fn root(dir: &Path, e: &io::Error) -> Self {
        let (code, class, remedy) = match errno(e) {
            Some(Errno::NOENT) => (NO_INPUT, "file.not_found", "Check the spelling, or make it first."),
            Some(Errno::NOTDIR) => {
                (NO_INPUT, "file.not_a_directory", "Name the directory that the files lie in.")
            }
            Some(Errno::NAMETOOLONG | Errno::LOOP) => (NO_INPUT, "file.not_found", "Check the path."),
            Some(Errno::ACCESS | Errno::PERM) => (
                PERMISSION,
                "file.permission",
                "Give this user the right to enter it (chmod +x), or run as its owner.",
            ),
            _ => (OS, "file.failed", "Check the file system."),
        };
        Self { code, text: format!("cannot serve '{}': {} ({class}). {remedy}", dir.display(), plain(e)) }
    }

    /// The reactor, or one of its listeners, failed. `holder` is who has the address.
    pub(crate) fn reactor(e: &Error, holder: Option<String>) -> Self {
        let place = e.endpoint.as_deref().unwrap_or_default();
        let unix = place.starts_with("unix:");
        if e.op == "resolve" {
            return Self {
                code: UNAVAILABLE,
                text: format!(
                    "cannot resolve {place}: {} (dns.failed). Check the name, or write the address in numbers.",
                    plain(&e.source)
                ),
            };
        }
        let (code, remedy) = judge(errno(&e.source), unix, holder.is_some()).unwrap_or((OS, e.class.remedy));
        let by = holder.map(|who| format!(" by {who}")).unwrap_or_default();
        let text =
            format!("cannot {} {place}: {}{by} ({}). {remedy}", verb(e.op), plain(&e.source), e.class.name);
        Self { code, text: text.replace(" :", ":") }
    }
}

/// The exit code and the remedy, where the error number and the kind of address tell more than the class.
fn judge(errno: Option<Errno>, unix: bool, held: bool) -> Option<(u8, &'static str)> {
    Some(match (errno?, unix) {
        (Errno::ADDRINUSE | Errno::EXIST, false) if held => {
            (UNAVAILABLE, "Stop that process, or choose another port with --listen (0 takes a free one).")
        }
        (Errno::ADDRINUSE | Errno::EXIST, false) => (
            UNAVAILABLE,
            "Stop its holder ('ss -ltnp' as root names it), or choose another port with --listen (0 takes a free one).",
        ),
        (Errno::ADDRINUSE | Errno::EXIST, true) if held => {
            (UNAVAILABLE, "Stop that process, or choose another path with --listen.")
        }
        (Errno::ADDRINUSE | Errno::EXIST, true) => {
            (UNAVAILABLE, "Stop its holder, remove the file that is in the way, or choose another path.")
        }
        (Errno::ADDRNOTAVAIL, _) => (UNAVAILABLE, close::SOCKET_ADDRESS_UNAVAILABLE.remedy),
        (Errno::AFNOSUPPORT, _) => (UNAVAILABLE, close::SOCKET_FAMILY_UNSUPPORTED.remedy),
        (Errno::ACCESS | Errno::PERM, false) => {
            (PERMISSION, "Use a port from 1024, or grant CAP_NET_BIND_SERVICE.")
        }
        (Errno::ACCESS | Errno::PERM, true) => {
            (PERMISSION, "Give this user the right to write to the directory, or choose another path.")
        }
        (Errno::NOENT | Errno::NOTDIR, true) => {
            (CANNOT_CREATE, "Make the directory first, or choose another path.")
        }
        (Errno::NAMETOOLONG | Errno::ROFS | Errno::NOSPC | Errno::LOOP, true) => {
            (CANNOT_CREATE, "Choose another path.")
        }
        _ => return None,
    })
}

/// The reactor's steps as verbs.
fn verb(op: &'static str) -> &'static str {
    match op {
        "socket" => "make a socket for",
        "options" => "set the options of",
        "listen" => "listen on",
        other => other,
    }
}

/// The error without Rust's ` (os error 13)`.
fn plain(e: &io::Error) -> String {
    let text = e.to_string();
    match text.split_once(" (os error ") {
        Some((plain, _)) => plain.to_owned(),
        None => text,
    }
}

fn errno(e: &io::Error) -> Option<Errno> {
    e.raw_os_error().map(Errno::from_raw_os_error)
}
