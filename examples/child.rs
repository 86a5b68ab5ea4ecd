//! Runs a command and tells what it says and how it ends: `cargo run --example child -- sh -c 'echo hello; exit 3'`.
//!
//! Its output is a pipe and its end a pidfd, each with a callback on one handler. No thread waits for the child, no
//! SIGCHLD is caught, and connections of other services could be served beside it.

use std::io::{ErrorKind, Write};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tidemill::reactor::{Accepted, Ctx, Handler, Reactor, Ready, Refuse, Source, Table};

/// The child and what is known of it. It has no connections.
struct Job {
    child: Child,
    bytes: usize,
    /// How it ended, or why that is unknown.
    end: Option<String>,
}

impl Handler for Job {
    type Conn = ();

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
        Err(Refuse::silent())
    }

    fn on_data(&mut self, _: &mut (), _: &mut Ctx<'_, Self>) {}
}

impl Job {
    /// Its output has bytes, or has ended. What is not read now is told again.
    fn said(&mut self, source: &mut Source<'_>, _: &mut Table<'_, Self>) {
        let mut block = [0; 4096];
        match source.read(&mut block) {
            Ok(0) => source.close(),
            Ok(n) => {
                self.bytes += n;
                // Our own output may be closed: then nobody wants to know.
                let _ = std::io::stdout().write_all(&block[..n]);
            }
            Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(e) => {
                eprintln!("child: cannot read its output: {e}");
                source.close();
            }
        }
    }

    /// A pidfd is readable from the end of its process on, for ever: so this closes it.
    fn ended(&mut self, source: &mut Source<'_>, _: &mut Table<'_, Self>) {
        self.end = Some(match self.child.try_wait() {
            Ok(Some(status)) => status.to_string(),
            Ok(None) => return,
            Err(e) => e.to_string(),
        });
        source.close();
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args_os().skip(1);
    let program = words.next().ok_or("usage: child COMMAND [ARGUMENT]...")?;
    let mut child = Command::new(program).args(words).stdout(Stdio::piped()).spawn()?;
    let end = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    let output = child.stdout.take().ok_or("no pipe")?;

    let mut reactor = Reactor::new(Default::default())?;
    let job = reactor.add(Job { child, bytes: 0, end: None });
    reactor.watch(job, output, Ready::READABLE, Job::said)?;
    reactor.watch(job, end, Ready::READABLE, Job::ended)?;
    // The end can come before the last words, and what the child has started may go on speaking.
    while reactor.watches() > 0 {
        reactor.turn(None)?;
    }
    reactor.with(job, |job, _| {
        println!("said {} bytes, {}", job.bytes, job.end.as_deref().unwrap_or("and did not end"));
    });
    Ok(())
}
