//! Every example, run as a program: on port 0, spoken to by the standard library, ended by its own process id.
#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "a test's deadlines are read from the clock")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// No wait lasts longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running example; ended when it is dropped.
struct Example {
    child: Child,
    at: String,
}

/// The program of an example: plain `cargo test` has built it, `cargo test --test examples` has not.
fn program(name: &str) -> PathBuf {
    let profile = std::env::current_exe().unwrap();
    let profile = profile.parent().and_then(Path::parent).unwrap();
    let program = profile.join("examples").join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name).with_extension("rs");
    let time = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
    if time(&program) < time(&source) {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--locked", "--example", name]);
        cargo.arg("--target-dir").arg(profile.parent().unwrap());
        if cfg!(feature = "async") {
            cargo.args(["--features", "async"]);
        }
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
    }
    program
}

fn start(name: &str) -> Example {
    start_with(name, &[])
}

fn start_with(name: &str, more: &[&str]) -> Example {
    let mut child = Command::new(program(name))
        .arg("127.0.0.1:0")
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let at = line.split(' ').nth(1).and_then(|word| word.strip_prefix("tcp:"));
    let at = at.unwrap_or_else(|| panic!("not a start-up line: {line}")).to_owned();
    Example { child, at }
}

impl Example {
    fn client(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.at).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn reader(&self) -> BufReader<TcpStream> {
        BufReader::new(self.client())
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(from: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

fn name(of: &BufReader<TcpStream>) -> String {
    of.get_ref().local_addr().unwrap().to_string()
}

#[test]
fn echo_gives_back_every_byte_and_its_fin() {
    echo("echo");
}

#[cfg(feature = "async")]
#[test]
fn echo_by_futures_does_the_same() {
    echo("echo_futures");
}

fn echo(name: &str) {
    let example = start(name);
    let mut stream = example.client();
    stream.write_all(b"high tide").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    assert_eq!(all, "high tide");
}

#[cfg(feature = "http")]
#[path = "examples/http.rs"]
mod http;

#[test]
fn chat_tells_who_joined_what_was_said_and_who_left() {
    tells("chat");
}

#[cfg(feature = "async")]
#[test]
fn chat_tells_who_joined_what_was_said_and_who_left_by_futures() {
    tells("chat_futures");
}

fn tells(chat: &str) {
    let example = start(chat);
    let mut ann = example.reader();
    assert_eq!(line(&mut ann), format!("* welcome, {}; 1 here", name(&ann)));
    let mut bob = example.reader();
    let bobs = name(&bob);
    assert_eq!(line(&mut bob), format!("* welcome, {bobs}; 2 here"));
    assert_eq!(line(&mut ann), format!("* {bobs} joined"));
    bob.get_mut().write_all(b"is anybody").unwrap();
    bob.get_mut().write_all(b" there?\r\nhello\n").unwrap();
    assert_eq!(line(&mut ann), format!("{bobs}: is anybody there?"));
    assert_eq!(line(&mut ann), format!("{bobs}: hello"));
    ann.get_mut().write_all(b"yes\n").unwrap();
    assert_eq!(line(&mut bob), format!("{}: yes", name(&ann)));
    drop(bob);
    assert_eq!(line(&mut ann), format!("* {bobs} left (finished)"));
}

#[test]
fn chat_ends_a_member_whose_line_is_too_long_and_says_why() {
    too_long("chat");
}

#[cfg(feature = "async")]
#[test]
fn chat_ends_a_member_whose_line_is_too_long_and_says_why_by_futures() {
    too_long("chat_futures");
}

fn too_long(chat: &str) {
    let example = start(chat);
    let mut member = example.reader();
    line(&mut member);
    member.get_mut().write_all(&[b'x'; 5000]).unwrap();
    assert_eq!(line(&mut member), "* a line has at most 1000 bytes");
    assert_eq!(line(&mut member), "");
}

#[test]
fn chat_never_waits_for_a_slow_reader_who_hears_how_much_was_missed() {
    slow_reader("chat");
}

#[cfg(feature = "async")]
#[test]
fn chat_never_waits_for_a_slow_reader_who_hears_how_much_was_missed_by_futures() {
    slow_reader("chat_futures");
}

fn slow_reader(chat: &str) {
    let example = start(chat);
    let mut slow = example.reader();
    line(&mut slow);
    let mut quick = example.reader();
    line(&mut quick);
    let mut talker = example.reader();
    line(&mut talker);
    let (mut to, speech) = (talker.get_ref().try_clone().unwrap(), [&[b'z'; 999][..], b"\n"].concat());
    let lines = 16_000;
    let talking = std::thread::spawn(move || (0..lines).for_each(|_| to.write_all(&speech).unwrap()));
    let heard = count(&mut quick, lines);
    talking.join().unwrap();
    assert!(heard > 0);
    // 16 MB are more than its buffers hold: the slow one has missed lines, and is told so once it reads.
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "the slow one is never told");
        let text = line(&mut slow);
        if let Some(missed) = text.strip_prefix("* you missed ") {
            let missed: usize = missed.trim_end_matches(" lines").parse().unwrap();
            assert!(missed > 0 && missed < lines, "{missed}");
            return;
        }
        assert!(text.starts_with("* ") || text.ends_with(&"z".repeat(999)), "a line in pieces: {text}");
    }
}

/// Reads until `want` lines were heard or are known to be missed; how many were heard.
fn count(from: &mut BufReader<TcpStream>, want: usize) -> usize {
    let (mut heard, mut missed) = (0, 0);
    while heard + missed < want {
        let text = line(from);
        if let Some(n) = text.strip_prefix("* you missed ") {
            missed += n.trim_end_matches(" lines").parse::<usize>().unwrap();
        } else if !text.starts_with("* ") {
            heard += 1;
        }
    }
    heard
}

#[test]
fn foreign_loop_serves_broadcasts_what_is_typed_and_ends_with_its_input() {
    let mut example = start("foreign_loop");
    let mut stream = example.client();
    stream.write_all(b"echo?").unwrap();
    let mut five = [0; 5];
    stream.read_exact(&mut five).unwrap();
    assert_eq!(&five, b"echo?");
    let mut stdin = example.child.stdin.take().unwrap();
    stdin.write_all(b"typed").unwrap();
    stream.read_exact(&mut five).unwrap();
    assert_eq!(&five, b"typed");
    drop(stdin);
    assert_eq!(stream.read(&mut five).unwrap(), 0, "a drain closes the idle");
    drop(stream);
    assert_eq!(example.child.wait().unwrap().code(), Some(0));
}

#[test]
fn child_tells_what_its_command_said_and_how_it_ended() {
    let run = |script: &str| {
        let child = Command::new(program("child"))
            .args(["sh", "-c", script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stderr, b"");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(run("echo high; echo tide; exit 3"), "high\ntide\nsaid 10 bytes, exit status: 3\n");
    assert_eq!(run("kill -9 $$"), "said 0 bytes, signal: 9 (SIGKILL)\n");
    assert_eq!(run("exec >&-; exec sleep 0.1"), "said 0 bytes, exit status: 0\n");
    let long = run("head -c 300000 /dev/zero | tr '\\0' x; (sleep 0.1; echo late) & exit 0");
    assert!(long.ends_with("late\nsaid 300005 bytes, exit status: 0\n") && long.len() > 300_005);
}

#[test]
fn tasks_beat_ask_with_a_limit_and_end_in_order() {
    let run = Command::new(program("tasks")).stdin(Stdio::null()).output().unwrap();
    assert!(run.status.success(), "{run:?}");
    assert_eq!(String::from_utf8_lossy(&run.stderr), "");
    let told = String::from_utf8(run.stdout).unwrap();
    let (story, drain) = told.trim_end().rsplit_once('\n').unwrap();
    let want = "\
reading 1
reading 2
reading 3
reading 4
reading 5
Dover: high tide at 22:21
Calais: high tide at 17:09
Ostend: task.timed_out
stopping: 5 readings to save
saved: Ok(1045) cm in all
nothing is left to do";
    assert_eq!(story, want);
    assert!(drain.starts_with("drained in ") && drain.ends_with(": 0 finished, 0 aborted"), "{drain}");
}
