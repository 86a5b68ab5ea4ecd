//! Tidemill, as benches/tasks measures it; ../README.md says what each sub-command does. Owns the choice of the
//! sub-command, and measures nothing itself.
//!
//!   tasks_ours timers|posts [SCALE]
//!   tasks_ours echo|echo-futures|echo-copy PORT
//!   tasks_ours quiet-job cooperate|offload PORT CONTROL
#![allow(clippy::disallowed_methods, clippy::expect_used, reason = "a measuring program reads the clock")]

mod job;
#[path = "../peers/phases.rs"]
mod phases;
mod posts;
mod serve;
mod timers;

use tidemill::reactor::Config;

type Done = Result<(), Box<dyn std::error::Error>>;

fn main() -> Done {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let scale = words.get(1).and_then(|w| w.parse().ok()).unwrap_or(1.0);
    match words.as_slice() {
        ["timers", ..] => timers::run(scale),
        ["posts", ..] => posts::run(scale),
        ["echo", port] => serve::echo(port),
        #[cfg(feature = "async")]
        ["echo-futures", port] => serve::echo_futures(port),
        #[cfg(feature = "async")]
        ["echo-copy", port] => serve::echo_copy(port),
        ["quiet-job", "cooperate", port, at] => job::quiet(port, at, Config::default(), job::cooperate),
        ["quiet-job", "offload", port, at] => job::quiet(port, at, Config::default(), job::offload),
        // `cargo bench` and `cargo test --benches` start every bench: this one has nothing to do by itself.
        [] | ["--bench"] => Ok(()),
        _ => Err(
            "usage: tasks_ours timers|posts [SCALE] | echo[-futures|-copy] PORT | quiet-job MANNER PORT CONTROL"
                .into(),
        ),
    }
}
