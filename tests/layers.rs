//! Who may know whom, and what a file may hold: read from the source, so that no review has to remember it.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

struct Source {
    /// Relative to the root, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// Lines with their numbers, without comments and without what is only compiled for tests.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        let lines = self.text[..tests].lines().enumerate();
        lines.map(|(n, line)| (n + 1, line.trim_start())).filter(|(_, line)| !line.starts_with("//"))
    }

    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs") || self.path.contains("/checks.rs")
    }

    fn is_simulator(&self) -> bool {
        self.path.starts_with("src/reactor/testing")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn collect(folder: &Path, into: &mut Vec<Source>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            into.push(Source { path, text });
        }
    }
}

/// All Rust files of these folders.
fn sources(folders: &[&str]) -> Vec<Source> {
    let mut all = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut all);
    }
    assert!(!all.is_empty());
    all
}

/// Fails with every line of `files` that holds one of `words`.
fn none_holds(files: &[Source], keep: impl Fn(&Source) -> bool, words: &[&str]) {
    let mut found = Vec::new();
    for file in files.iter().filter(|f| keep(f)) {
        for (n, line) in file.code() {
            for word in words.iter().filter(|word| holds(line, word)) {
                found.push(format!("{}:{n}: `{word}` in: {line}", file.path));
            }
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// Whether `word` stands in `line` and is not a part of a longer name.
fn holds(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let open = !word.ends_with(part) || !after.is_some_and(part);
        !before.is_some_and(part) && open
    })
}

#[test]
fn main_cli_daemon_http_service_proto_reactor_and_never_back() {
    let layers = ["cli", "daemon", "http", "service", "proto", "reactor"];
    let all = sources(&["src"]);
    for (at, layer) in layers.iter().enumerate() {
        let above: Vec<String> = layers[..at]
            .iter()
            .flat_map(|up| [format!("crate::{up}"), format!("tidemill::{up}"), format!("super::super::{up}")])
            .collect();
        let above: Vec<&str> = above.iter().map(String::as_str).collect();
        none_holds(&all, |f| f.path.starts_with(&format!("src/{layer}")) && !f.is_test(), &above);
    }
}

#[test]
fn the_reactor_names_its_five_crates_and_no_other() {
    let foreign = [
        "clap",
        "simple_logger",
        "signal_hook",
        "httparse",
        "httpdate",
        "memchr",
        "percent_encoding",
        "flate2",
        "argon2",
        "base64",
        "bcrypt",
        "blake2",
        "getrandom",
        "libc",
        "tempfile",
        "proptest",
        "rustls",
        "tokio",
        "futures::",
        "futures_core",
        "futures_util",
        "futures_lite",
    ];
    none_holds(&sources(&["src/reactor"]), |f| !f.is_test(), &foreign);
    // The one exception, of the feature `async`: two traits, in the one file that implements them.
    none_holds(&sources(&["src"]), |f| f.path != "src/reactor/future/io.rs", &["futures_io"]);
}

#[test]
fn signals_stand_above_the_reactor_and_beside_the_services() {
    let below = ["src/reactor", "src/proto", "src/service"];
    none_holds(&sources(&below), |f| !f.is_test(), &["crate::signals"]);
    let above = ["crate::proto", "crate::service", "std::thread", "thread::spawn"];
    none_holds(&sources(&["src"]), |f| f.path == "src/signals.rs", &above);
}

#[test]
fn the_wire_formats_name_no_socket_and_no_poll() {
    let foreign = [
        "mio",
        "socket2",
        "rustix",
        "TcpListener",
        "TcpStream",
        "UdpSocket",
        "UnixStream",
        "clap",
        "signal_hook",
    ];
    none_holds(&sources(&["src/proto"]), |f| !f.is_test(), &foreign);
}

#[test]
fn one_thread_no_lock_no_shared_cell_no_global_in_the_reactor() {
    let shared = [
        "Rc",
        "RefCell",
        "Cell",
        "Mutex",
        "RwLock",
        "Condvar",
        "OnceLock",
        "LazyLock",
        "thread_local",
        "static mut",
        "std::thread",
        "thread::spawn",
        "mpsc",
    ];
    // Where other threads enter, the threads of the pool, the one that watches the loop, and the cell in which futures
    // find their reactor.
    let own = [
        "src/reactor/handle.rs",
        "src/reactor/sys/pool.rs",
        "src/reactor/watchdog.rs",
        "src/reactor/future/local.rs",
    ];
    let exempt = |f: &Source| f.is_simulator() || f.is_test() || own.contains(&f.path.as_str());
    none_holds(&sources(&["src/reactor"]), |f| !exempt(f), &shared);
}

#[test]
fn only_the_kernel_layer_reads_a_clock_or_names_a_socket() {
    let clocks = ["Instant::now", "SystemTime::now", "Instant", "SystemTime", "thread::sleep"];
    let sockets = ["mio::net", "mio::Poll", "mio::", "socket2", "TcpListener", "TcpStream", "UnixStream"];
    let below = |f: &Source| f.path.starts_with("src/reactor/sys") || f.is_simulator() || f.is_test();
    none_holds(&sources(&["src/reactor", "src/proto"]), |f| !below(f), &clocks);
    none_holds(&sources(&["src/reactor"]), |f| !below(f), &sockets);
}

#[test]
fn unsafe_stands_in_one_file_with_a_reason_for_each_block() {
    let home = "src/reactor/sys/fd.rs";
    let all = sources(&["src"]);
    none_holds(&all, |f| f.path != home && !f.is_test(), &["unsafe {", "unsafe fn", "unsafe impl"]);
    let home = all.iter().find(|f| f.path == home).unwrap();
    let count = |what| home.text.matches(what).count();
    assert_eq!(count("unsafe {"), count("// SAFETY:"), "each block says why");
}

#[test]
fn files_are_short_and_say_what_they_own() {
    let all = sources(&["src", "tests", "benches", "examples"]);
    let long: Vec<_> =
        all.iter().map(|f| (f.text.lines().count(), &f.path)).filter(|(lines, _)| *lines > 500).collect();
    assert!(long.is_empty(), "over 500 lines: {long:?}");
    let silent = |f: &&Source| {
        // Tests in a file of their own and generated targets speak for the file that they belong to.
        !f.is_test() && !f.text.starts_with("//!") && !f.path.starts_with("tests/")
    };
    let silent: Vec<_> = all.iter().filter(silent).map(|f| &f.path).collect();
    assert!(silent.is_empty(), "no //! header: {silent:?}");
}

#[test]
fn the_smallest_examples_stay_small() {
    for example in ["echo", "hello"] {
        let text = fs::read_to_string(root().join(format!("examples/{example}.rs"))).unwrap();
        let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("//")).count();
        assert!(lines < 25, "{example}: {lines} lines of code");
    }
}
