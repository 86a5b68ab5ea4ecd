//! Posts from four threads by [`Handle::post_wait`](tidemill::reactor::Handle::post_wait): the queue is bounded, so
//! threads wait for room.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use tidemill::reactor::{Accepted, Ctx, Handler, Key, Reactor, Refuse};

use crate::Done;
use crate::phases::{MILLION, Phases, THREADS};

/// Counts posts; has no connections.
#[derive(Default)]
struct Counts {
    of: [usize; THREADS],
    total: usize,
}

impl Handler for Counts {
    type Conn = ();

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
        Err(Refuse::silent())
    }

    fn on_data(&mut self, _: &mut (), _: &mut Ctx<'_, Self>) {}
}

pub(crate) fn run(scale: f64) -> Done {
    let each = (MILLION * scale) as usize / THREADS;
    let mut reactor = Reactor::new(Default::default())?;
    let key = reactor.add(Counts::default());
    let mut phases = Phases::new(["post"], scale);
    while phases.more() {
        let began = post_all(&mut reactor, key, each)?;
        phases.add(0, each * THREADS, began);
    }
    phases.print();
    Ok(())
}

/// Posts from all threads and turns until all are counted; when it began.
fn post_all(
    reactor: &mut Reactor,
    key: Key<Counts>,
    each: usize,
) -> Result<Instant, Box<dyn std::error::Error>> {
    reactor.with(key, |counts, _| *counts = Counts::default());
    let go = Arc::new(Barrier::new(THREADS + 1));
    for at in 0..THREADS {
        let (handle, go) = (reactor.handle(), Arc::clone(&go));
        thread::spawn(move || {
            go.wait();
            for _ in 0..each {
                let posted = handle.post_wait(key, move |counts: &mut Counts, _| {
                    counts.of[at] += 1;
                    counts.total += 1;
                });
                assert!(posted.is_ok(), "the reactor is there");
            }
        });
    }
    go.wait();
    let began = Instant::now();
    while reactor.with(key, |counts, _| counts.total) < each * THREADS {
        reactor.turn(None)?;
    }
    assert_eq!(reactor.with(key, |counts, _| counts.of), [each; THREADS], "each post is counted");
    Ok(began)
}
