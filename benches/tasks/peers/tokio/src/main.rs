//! tokio, current thread; see ../../README.md for what each sub-command does. Owns the choice of the sub-command and
//! what they share; decides nothing about the runs.
//!
//!   tokio-peer timers|posts [SCALE]
//!   tokio-peer echo|echo-futures|echo-readiness PORT
//!   tokio-peer quiet-job cooperate|offload PORT CONTROL
#![allow(clippy::disallowed_methods, clippy::expect_used, reason = "a measuring program reads the clock")]

#[path = "../../phases.rs"]
mod phases;
mod posts;
mod serve;
mod timers;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let scale = words.get(1).and_then(|w| w.parse().ok()).unwrap_or(1.0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match words.as_slice() {
        ["timers", ..] => runtime.block_on(timers::run(scale)),
        ["posts", ..] => runtime.block_on(posts::run(scale)),
        ["echo-readiness", port] => runtime.block_on(serve::echo(port, serve::by_readiness)),
        ["echo" | "echo-futures", port] => runtime.block_on(serve::echo(port, serve::by_streams)),
        ["quiet-job", manner @ ("cooperate" | "offload"), port, control] => {
            let cooperate = *manner == "cooperate";
            runtime.block_on(async {
                tokio::join!(serve::control(control, cooperate), serve::echo(port, serve::by_streams))
            });
        }
        _ => {
            eprintln!(
                "usage: tokio-peer timers|posts [SCALE] | echo|echo-futures|echo-readiness PORT | quiet-job MANNER PORT CONTROL"
            );
            std::process::exit(2);
        }
    }
}
