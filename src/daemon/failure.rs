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
        let (class, remedy) = match errno(e) {
            Some(Errno::MFILE | Errno::NFILE) => {
                (close::SOCKET_FD_EXHAUSTED.name, close::SOCKET_FD_EXHAUSTED.remedy)
            }
            _ => ("os.failed", "Look at the limits of this process and at the system's log."),
        };
        Self { code: OS, text: format!("cannot {what}: {} ({class}). {remedy}", plain(e)) }
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

    /// The access log cannot be opened.
    pub(super) fn access_log(target: &dyn fmt::Display, e: &io::Error) -> Self {
        let (code, class, remedy) = match errno(e) {
            Some(Errno::ACCESS | Errno::PERM) => (
                PERMISSION,
                "file.permission",
                "Give this user the right to write there, or choose another file.",
            ),
            Some(Errno::NOENT | Errno::NOTDIR) => {
                (CANNOT_CREATE, "file.not_found", "Make the directory first, or choose another file.")
            }
            Some(
                Errno::ISDIR | Errno::NXIO | Errno::NAMETOOLONG | Errno::LOOP | Errno::ROFS | Errno::NOSPC,
            ) => (CANNOT_CREATE, "file.failed", "Choose another file."),
            _ => (OS, "file.failed", "Check the file system."),
        };
        Self { code, text: format!("cannot open the access log {target}: {} ({class}). {remedy}", plain(e)) }
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
        let step = if place.starts_with("fd:") { "use" } else { verb(e.op) };
        let what = if place.is_empty() { step.to_owned() } else { format!("{step} {place}") };
        let text = format!("cannot {what}: {}{by} ({}). {remedy}", plain(&e.source), e.class.name);
        Self { code, text }
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
pub(super) fn plain(e: &io::Error) -> String {
    let text = e.to_string();
    // How std introduces what the resolver says.
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    match text.split_once(" (os error ") {
        Some((plain, _)) => plain.to_owned(),
        None => text.to_owned(),
    }
}

fn errno(e: &io::Error) -> Option<Errno> {
    e.raw_os_error().map(Errno::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill::reactor::{Endpoint, Handler, Reactor};

    struct Nobody;
    impl Handler for Nobody {
        type Conn = ();
        fn on_accept(&mut self, _: tidemill::reactor::Accepted<'_>) -> Result<(), tidemill::reactor::Refuse> {
            Ok(())
        }
        fn on_data(&mut self, _: &mut (), _: &mut tidemill::reactor::Ctx<'_, Self>) {}
    }

    fn failure(at: &str, holder: Option<&str>) -> Failure {
        let mut reactor = Reactor::new(Default::default()).unwrap();
        let key = reactor.add(Nobody);
        let e = reactor.listen(key, &at.parse::<Endpoint>().unwrap()).unwrap_err();
        Failure::reactor(&e, holder.map(str::to_owned))
    }

    #[test]
    fn a_taken_port_names_its_holder_and_the_way_out() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = format!("tcp:{}", held.local_addr().unwrap());
        let f = failure(&at, Some("nginx, pid 7"));
        assert_eq!(f.code, UNAVAILABLE);
        assert_eq!(
            f.to_string(),
            format!(
                "cannot bind {at}: Address already in use by nginx, pid 7 (socket.address_in_use). \
                 Stop that process, or choose another port with --listen (0 takes a free one)."
            )
        );
        assert!(failure(&at, None).to_string().contains("ss -ltnp"));
    }

    #[test]
    fn addresses_that_cannot_be_had_have_their_codes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let beneath = |name: &str| format!("unix:{}/{name}", dir.path().display());
        for (at, code, says) in [
            ("tcp:192.0.2.1:0".to_owned(), UNAVAILABLE, "(socket.address_unavailable). Use an address"),
            (beneath("missing/s"), CANNOT_CREATE, "Make the directory first"),
            (beneath("file/s"), CANNOT_CREATE, "Not a directory"),
            (beneath("file"), UNAVAILABLE, "remove the file that is in the way"),
            (
                "tcp:no-such-host.invalid:1".to_owned(),
                UNAVAILABLE,
                "cannot resolve tcp:no-such-host.invalid:1:",
            ),
            ("fd:999".to_owned(), OS, "cannot use fd:999: Bad file descriptor"),
        ] {
            let f = failure(&at, None);
            assert_eq!(f.code, code, "{f}");
            assert!(f.to_string().contains(says), "{f}");
        }
    }

    #[test]
    fn errors_of_the_directory_to_serve_have_their_codes() {
        let of = |errno: Errno| Failure::root(Path::new("site"), &errno.into());
        assert_eq!(of(Errno::NOENT).code, NO_INPUT);
        assert_eq!(of(Errno::NOTDIR).code, NO_INPUT);
        assert_eq!(of(Errno::ACCESS).code, PERMISSION);
        assert_eq!(of(Errno::MFILE).code, OS);
        assert_eq!(
            of(Errno::NOENT).to_string(),
            "cannot serve 'site': No such file or directory (file.not_found). Check the spelling, or make it first."
        );
    }

    #[test]
    fn error_numbers_are_judged_by_the_kind_of_address() {
        let code = |errno, unix| judge(Some(errno), unix, false).map(|(code, _)| code);
        assert_eq!(code(Errno::ACCESS, false), Some(PERMISSION));
        assert_eq!(code(Errno::ACCESS, true), Some(PERMISSION));
        assert_eq!(code(Errno::NAMETOOLONG, true), Some(CANNOT_CREATE));
        assert_eq!(code(Errno::AFNOSUPPORT, false), Some(UNAVAILABLE));
        assert_eq!(code(Errno::MFILE, false), None);
        assert_eq!(judge(None, false, false), None);
    }
}
