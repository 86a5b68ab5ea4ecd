//! The same servers by handler and by futures, as programs over loopback: what their processes cost.
//!
//! `cargo bench --bench chat --features async`. A broadcast is one line to all members of a chat; an echo is a message
//! there and back. The times are CPU of the server's process, kernel included, so the ratio is what a user pays.
#![allow(clippy::unwrap_used, reason = "a bench")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// Takes the better of so many runs: the machine may be busy, never too fast.
const RUNS: usize = 5;

struct Server {
    child: Child,
    at: String,
}

impl Server {
    fn start(name: &str) -> Self {
        let deps = std::env::current_exe().unwrap();
        let profile = deps.parent().unwrap().parent().unwrap();
        let mut child = Command::new(profile.join("examples").join(name))
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let at = line.split(' ').nth(1).unwrap().trim_start_matches("tcp:").to_owned();
        Self { child, at }
    }

    fn client(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.at).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Nanoseconds on a CPU until now.
    fn cpu(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/schedstat", self.child.id())).unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU of one delivered line, with so many members.
fn broadcast(server: &Server, members: usize) -> u64 {
    const LINES: usize = 400;
    let mut all: Vec<_> = (0..members).map(|_| BufReader::new(server.client())).collect();
    let mut line = String::new();
    // Everybody is there once the last one was announced to all.
    for (n, member) in all.iter_mut().enumerate() {
        for _ in n..members {
            member.read_line(&mut line).unwrap();
        }
    }
    let before = server.cpu();
    for _ in 0..LINES {
        all[0].get_mut().write_all(b"the tide comes in, the tide goes out, and nobody is asked\r\n").unwrap();
        for member in &mut all[1..] {
            line.clear();
            member.read_line(&mut line).unwrap();
        }
    }
    (server.cpu() - before) / (LINES * (members - 1)) as u64
}

/// CPU of one message of `size` bytes there and back, on so many connections at a time.
fn echo(server: &Server, size: usize, connections: usize) -> u64 {
    let rounds = if size > 1000 { 3000 } else { 400 };
    let mut all: Vec<_> = (0..connections).map(|_| server.client()).collect();
    let (message, mut answer) = (vec![7; size], vec![0; size]);
    let mut round = || {
        all.iter_mut().for_each(|c| c.write_all(&message).unwrap());
        all.iter_mut().for_each(|c| c.read_exact(&mut answer).unwrap());
    };
    (0..20).for_each(|_| round());
    let before = server.cpu();
    (0..rounds).for_each(|_| round());
    (server.cpu() - before) / (rounds * connections) as u64
}

fn compare(what: &str, handler: &str, futures: &str, measure: impl Fn(&Server) -> u64) {
    let best = |name: &str| (0..RUNS).map(|_| measure(&Server::start(name))).min().unwrap();
    let (by_handler, by_futures) = (best(handler), best(futures));
    let ratio = by_futures as f64 / by_handler as f64;
    println!("{what:32} handler {by_handler:6} ns   futures {by_futures:6} ns   ratio {ratio:.2}");
}

fn main() {
    let examples = ["echo", "echo_futures", "chat", "chat_futures"];
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--release", "--features", "async"]);
    build.args(examples.iter().flat_map(|name| ["--example", name]));
    assert!(build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
    compare("chat, a line to 64 members", "chat", "chat_futures", |s| broadcast(s, 65));
    compare("echo, 64 B on 64 connections", "echo", "echo_futures", |s| echo(s, 64, 64));
    compare("echo, 64 KiB on 1 connection", "echo", "echo_futures", |s| echo(s, 64 << 10, 1));
}
