//! A reactor inside a poll loop that is not its own: `cargo run --example foreign_loop -- 127.0.0.1:8005`, then
//! `nc 127.0.0.1 8005`. What is typed here goes to every connection; the end of input drains the reactor.
//!
//! The foreign loop waits on the reactor's descriptor beside its own, at most as long as `next_wait` says, and then
//! gives the reactor a turn that does not wait.

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tidemill::proto::echo::Echo;
use tidemill::reactor::{ConnId, Key, Reactor};

/// How long connections may take to finish when the program ends.
const GRACE: Duration = Duration::from_secs(5);

/// Waits until either has something to do; true when it is the input.
fn wait(reactor: &mut Reactor, input: Option<&io::Stdin>) -> io::Result<bool> {
    let most = reactor.next_wait().and_then(|d| Timespec::try_from(d).ok());
    let mut fds = vec![PollFd::new(&*reactor, PollFlags::IN)];
    fds.extend(input.map(|input| PollFd::new(input, PollFlags::IN)));
    match poll(&mut fds, most.as_ref()) {
        Err(rustix::io::Errno::INTR) => Ok(false),
        other => other.map(|_| fds.get(1).is_some_and(|fd| !fd.revents().is_empty())).map_err(Into::into),
    }
}

/// Sends `text` to every connection that has room for it.
fn broadcast(reactor: &mut Reactor, echo: Key<Echo>, text: &[u8]) {
    reactor.with(echo, |_, table| {
        let all: Vec<ConnId> = table.ids().collect();
        for id in all {
            if !table.output(id).is_some_and(|mut tx| tx.write_whole(text)) {
                eprintln!("{id} has no room");
            }
        }
    });
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut reactor = Reactor::new(Default::default())?;
    let echo = reactor.add(Echo::new());
    let at = std::env::args().nth(1).unwrap_or("127.0.0.1:8005".into());
    let listener = reactor.listen(echo, &at.parse()?)?;
    println!("listening {} echo", reactor.local(listener).ok_or("no listener")?);
    let (stdin, mut typed) = (io::stdin(), [0; 4096]);
    let mut input = Some(&stdin);
    loop {
        if wait(&mut reactor, input)? {
            let n = rustix::io::read(&stdin, &mut typed)?;
            if n == 0 {
                input = None;
                reactor.stop(GRACE);
            }
            broadcast(&mut reactor, echo, typed.get(..n).unwrap_or_default());
        }
        if reactor.turn(Some(Duration::ZERO))?.stopped {
            return Ok(());
        }
    }
}
