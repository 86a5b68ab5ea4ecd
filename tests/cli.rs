//! The program from outside: its help, its start-up failures, its signals, and output that cannot be written.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tidemill");
const DEADLINE: Duration = Duration::from_secs(10);

/// Waits on an observable until a deadline: the only place that sleeps or reads a clock.
#[allow(clippy::disallowed_methods, reason = "tests look again after a short while, until a deadline")]
fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A command with nothing of the caller's environment in the way.
fn tidemill(args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars() {
        if name.starts_with("TIDEMILL_") || name == "RUST_LOG" || name == "NOTIFY_SOCKET" {
            command.env_remove(name);
        }
    }
    command
}

/// A run that ends by itself.
fn run(args: &[&str]) -> Output {
    tidemill(args).output().unwrap()
}

/// The one line of a start that failed.
fn failure(args: &[&str], code: i32) -> String {
    let done = run(args);
    let text = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(code), "{text}");
    assert!(done.stdout.is_empty());
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("tidemill: "), "{text}");
    text
}

/// A running program, killed when the test is over.
struct Server {
    child: Child,
    /// Held open: a pipe that nobody reads is another test.
    stdout: Option<BufReader<ChildStdout>>,
    log: tempfile::NamedTempFile,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(args: &[&str]) -> Self {
        Self::spawn(tidemill(args).stdout(Stdio::piped()))
    }

    /// With standard error in a file, whatever was chosen before.
    fn spawn(command: &mut Command) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        Self::spawn_as_is(command.stderr(log.reopen().unwrap()), log)
    }

    fn spawn_as_is(command: &mut Command, log: tempfile::NamedTempFile) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().map(BufReader::new);
        Self { child, stdout, log }
    }

    /// The next ready line: its endpoint and kind.
    fn ready(&mut self) -> (String, String) {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        let words: Vec<&str> = line.trim_end().split(' ').collect();
        assert!(matches!(words[..], ["listening", _, _]), "{line:?}\n{}", self.log());
        (words[1].to_owned(), words[2].to_owned())
    }

    /// As [`Server::ready`], as an address to connect to.
    fn ready_at(&mut self) -> String {
        self.ready().0.strip_prefix("tcp:").unwrap().to_owned()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn await_log(&self, text: &str) {
        wait_until(&format!("'{text}' in the log"), || self.log().contains(text).then_some(()));
    }

    fn wait(&mut self) -> ExitStatus {
        wait_until("the program to end", || self.child.try_wait().unwrap())
    }
}

fn echoes(at: &str) -> bool {
    let Ok(mut peer) = TcpStream::connect(at) else { return false };
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    peer.write_all(b"tide").unwrap();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    let mut got = Vec::new();
    peer.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"tide");
    true
}

/// A port that was free a moment ago, for servers whose standard output cannot say theirs.
fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn version_and_help_go_to_standard_output() {
    let version = run(&["-V"]);
    assert_eq!(
        String::from_utf8(version.stdout).unwrap(),
        format!("tidemill {}\n", env!("CARGO_PKG_VERSION"))
    );
    for args in [&["-h"][..], &["--help"], &["help"], &["serve", "--help"]] {
        let help = run(args);
        assert!(help.status.success() && help.stderr.is_empty(), "{args:?}");
        assert!(String::from_utf8(help.stdout).unwrap().contains("Examples:"), "{args:?}");
    }
}

#[test]
fn help_on_a_full_disk_is_no_failure() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = tidemill(&["--help"]).stdout(full).status().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn usage_errors_exit_2() {
    for args in [
        &["nosuchverb"][..],
        &["echo", "--nosuchflag"],
        &["echo", "--listen", "127.0.0.1:http"],
        &["echo", "--listen", ""],
        &["echo", "--idle-timeout", "0"],
        &["echo", "--connections-max", "0"],
        &["respond", "--status", "199"],
        &["respond", "--header", "Content-Length: 3"],
        &["respond", "--delay", "soon"],
        &["-v", "-q"],
    ] {
        let done = run(args);
        assert_eq!(done.status.code(), Some(2), "{args:?}");
        assert!(done.stdout.is_empty() && !done.stderr.is_empty(), "{args:?}");
    }
    let done = tidemill(&["echo"]).env("TIDEMILL_DRAIN_TIMEOUT", "soon").output().unwrap();
    assert_eq!(done.status.code(), Some(2));
    let done = tidemill(&["echo"]).env("TIDEMILL_LOG", "loud").output().unwrap();
    assert_eq!(done.status.code(), Some(2));
}

#[test]
fn a_taken_port_names_its_holder() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = held.local_addr().unwrap().to_string();
    let text = failure(&["echo", "--listen", "127.0.0.1:0", "--listen", &at], 69);
    let me = format!("pid {}", std::process::id());
    assert!(text.contains(&format!("cannot bind tcp:{at}: Address already in use by ")), "{text}");
    assert!(text.contains(&me) && text.contains("(socket.address_in_use)"), "{text}");
}

#[test]
fn a_taken_unix_socket_names_its_holder_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("held.sock");
    let _held = UnixListener::bind(&path).unwrap();
    let text = failure(&["echo", "--listen", &format!("unix:{}", path.display())], 69);
    assert!(text.contains(&format!("pid {}", std::process::id())), "{text}");
    assert!(path.exists());
}

#[test]
fn the_directory_to_serve_must_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("file"), "x").unwrap();
    assert!(failure(&["serve", &path("missing"), "--listen", "0"], 66).contains("missing"));
    assert!(failure(&["serve", &path("file"), "--listen", "0"], 66).contains("Not a directory"));
    assert!(
        failure(&["echo", "--listen", &format!("unix:{}", path("missing/s"))], 73).contains("Make the dir")
    );
}

#[test]
fn every_listener_has_its_ready_line_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}/e.sock", dir.path().display());
    let mut server = Server::start(&["echo", "--listen", "0", "--listen", &unix, "--listen", "[::1]:0"]);
    let lines: Vec<_> = (0..3).map(|_| server.ready()).collect();
    assert!(lines[0].0.starts_with("tcp:127.0.0.1:") && !lines[0].0.ends_with(":0"), "{lines:?}");
    assert_eq!(lines[1].0, unix);
    assert!(lines[2].0.starts_with("tcp:[::1]:"), "{lines:?}");
    assert!(lines.iter().all(|(_, kind)| kind == "echo"));

    let mut server = Server::start(&["serve", dir.path().to_str().unwrap(), "--listen", "0"]);
    assert_eq!(server.ready().1, "files");
    let mut server = Server::start(&["respond", "--listen", "0"]);
    assert_eq!(server.ready().1, "http");
    // A variable holds several, with semicolons between them.
    let mut server = Server::spawn(
        tidemill(&["echo"]).env("TIDEMILL_LISTEN", "127.0.0.1:0;[::1]:0").stdout(Stdio::piped()),
    );
    assert!(server.ready().0.starts_with("tcp:127") && server.ready().0.starts_with("tcp:[::1]"));
}

#[test]
fn a_fixed_answer_is_what_the_flags_say() {
    let args =
        ["respond", "--listen", "0", "--status", "418", "--header", "content-type: a/b", "--body", "-x"];
    let mut server = Server::start(&args);
    let mut peer = TcpStream::connect(server.ready_at()).unwrap();
    peer.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut got = String::new();
    peer.read_to_string(&mut got).unwrap();
    assert!(got.starts_with("HTTP/1.1 418 ") && got.ends_with("\r\n\r\n-x"), "{got}");
    assert!(got.contains("content-type: a/b\r\n") && !got.contains("text/plain"), "{got}");
}

#[test]
fn term_and_int_drain_and_exit_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(&["echo", "--listen", "0"]);
        let at = server.ready_at();
        let mut silent = TcpStream::connect(&at).unwrap();
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0), "{}", server.log());
        assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0);
        assert!(TcpStream::connect(&at).is_err());
        assert!(server.log().contains("draining for at most 30s"), "{}", server.log());
    }
}

/// A server that drains for as long as its peer does not read.
fn stuck(more: &[&str]) -> (Server, TcpStream) {
    let dir = tempfile::tempdir().unwrap();
    File::create(dir.path().join("large")).unwrap().set_len(1 << 30).unwrap();
    let args = [&["serve", dir.path().to_str().unwrap(), "--listen", "0"], more].concat();
    let mut server = Server::start(&args);
    let mut peer = TcpStream::connect(server.ready_at()).unwrap();
    peer.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    peer.read_exact(&mut [0; 4]).unwrap();
    (server, peer)
}

#[test]
fn a_second_signal_aborts_and_exits_1() {
    let (mut server, _peer) = stuck(&[]);
    server.signal(Signal::TERM);
    server.await_log("TERM: draining");
    assert!(server.child.try_wait().unwrap().is_none());
    server.signal(Signal::INT);
    assert_eq!(server.wait().code(), Some(1), "{}", server.log());
    assert!(server.log().contains("INT again: aborting"), "{}", server.log());
}

#[test]
fn a_second_signal_ends_it_though_the_loop_has_not_seen_the_first() {
    let (mut server, _peer) = stuck(&[]);
    // A process that is stopped sees both when it goes on, before its loop runs: as if the loop were stuck.
    for signal in [Signal::STOP, Signal::TERM, Signal::INT, Signal::CONT] {
        server.signal(signal);
    }
    assert_eq!(server.wait().code(), Some(1), "{}", server.log());
    assert!(!server.log().contains("draining"), "{}", server.log());
}

#[test]
fn the_drain_deadline_ends_what_is_stuck_with_0() {
    let (mut server, _peer) = stuck(&["--drain-timeout", "50ms"]);
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}

#[test]
fn hup_usr1_and_usr2_are_noted_and_end_nothing() {
    let mut server = Server::start(&["echo", "--listen", "0"]);
    let at = server.ready_at();
    for (signal, name) in [(Signal::HUP, "HUP"), (Signal::USR1, "USR1"), (Signal::USR2, "USR2")] {
        server.signal(signal);
        server.await_log(&format!("{name}: "));
    }
    assert!(server.log().contains("not built in this version"), "{}", server.log());
    assert!(echoes(&at));
}

#[test]
fn sigpipe_is_ignored_and_the_five_are_caught() {
    let mut server = Server::start(&["echo", "--listen", "0"]);
    server.ready();
    let status = fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let mask = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name)).unwrap();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    let bit = |s: Signal| 1 << (s.as_raw() - 1);
    assert_ne!(mask("SigIgn:") & bit(Signal::PIPE), 0);
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::USR1, Signal::USR2] {
        assert_ne!(mask("SigCgt:") & bit(signal), 0, "{signal:?}");
    }
}

#[test]
fn the_service_manager_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let heard = || {
        let mut buf = [0; 64];
        let n = socket.recv(&mut buf).unwrap();
        String::from_utf8_lossy(&buf[..n]).into_owned()
    };
    let mut server = Server::spawn(
        tidemill(&["echo", "--listen", "0"]).env("NOTIFY_SOCKET", &path).stdout(Stdio::piped()),
    );
    assert_eq!(heard(), "READY=1");
    server.signal(Signal::TERM);
    assert_eq!(heard(), "STOPPING=1");
    assert_eq!(server.wait().code(), Some(0));
}

/// Serves and stops although a stream is broken, and nothing strays into a connection.
fn survives(mut server: Server, at: &str) {
    wait_until("an echo", || echoes(at).then_some(()));
    for _ in 0..50 {
        assert!(echoes(at));
    }
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn it_serves_though_standard_streams_are_closed() {
    for closing in ["<&-", "1>&-", "2>&-", "<&- 1>&- 2>&-"] {
        let at = free_port();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec \"$@\" {closing}"), "sh", PROGRAM, "echo", "-vv", "--listen", &at]);
        let log = tempfile::NamedTempFile::new().unwrap();
        let server =
            Server::spawn_as_is(shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()), log);
        wait_until("an echo", || echoes(&at).then_some(()));
        for fd in 0..3 {
            let target = fs::read_link(format!("/proc/{}/fd/{fd}", server.child.id())).unwrap();
            assert_eq!(target, Path::new("/dev/null"), "{closing}: {fd}");
        }
        survives(server, &at);
    }
}

#[test]
fn it_serves_though_its_output_goes_to_a_full_disk_or_a_closed_pipe() {
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let closed = || Stdio::from(std::io::pipe().unwrap().1);
    for which in 0..4 {
        let at = free_port();
        let mut command = tidemill(&["echo", "-vv", "--listen", &at]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        match which {
            0 => command.stdout(full()),
            1 => command.stderr(full()),
            2 => command.stdout(closed()),
            _ => command.stderr(closed()),
        };
        survives(Server::spawn_as_is(&mut command, tempfile::NamedTempFile::new().unwrap()), &at);
    }
}

#[test]
fn a_log_that_nobody_reads_stalls_nothing_and_stays_blocking() {
    let (reading, writing) = std::io::pipe().unwrap();
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = tidemill(&["echo", "-vv", "--listen", "0"]);
    let mut server =
        Server::spawn_as_is(command.stdout(Stdio::piped()).stderr(writing.try_clone().unwrap()), log);
    let at = server.ready_at();
    for _ in 0..1500 {
        assert!(echoes(&at));
    }
    let flags = rustix::fs::fcntl_getfl(&writing).unwrap();
    assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    drop(reading);
}

#[test]
fn quiet_means_silent_and_loud_has_no_colour() {
    let mut server = Server::start(&["echo", "-q", "--listen", "0"]);
    assert!(echoes(&server.ready_at()));
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    assert_eq!(server.log(), "");

    let mut server = Server::start(&["echo", "-vv", "--listen", "0"]);
    assert!(echoes(&server.ready_at()));
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    let log = server.log();
    assert!(log.contains(" DEBUG ") && !log.contains('\x1b'), "{log}");
    assert!(!log.lines().any(|line| line.starts_with("listening")), "{log}");
}
