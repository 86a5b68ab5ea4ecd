//! Posts from four threads, in the two ways that tokio offers: boxed closures through an unbounded channel to a task
//! that calls them on its state, and a task for each post by `Handle::spawn`.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::yield_now;

use crate::phases::{MILLION, Phases, THREADS};

#[derive(Default)]
struct Counts {
    of: [usize; THREADS],
    total: usize,
}

type Post = Box<dyn FnOnce(&mut Counts) + Send>;

pub async fn run(scale: f64) {
    let each = (MILLION * scale) as usize / THREADS;
    let mut phases = Phases::new(["post"], scale);
    while phases.more() {
        let began = by_channel(each).await;
        phases.add(0, each * THREADS, began);
    }
    phases.print();
    let mut phases = Phases::new(["post:spawn"], scale);
    while phases.more() {
        let began = by_spawn(each).await;
        phases.add(0, each * THREADS, began);
    }
    phases.print();
}

async fn by_channel(each: usize) -> Instant {
    let (tx, mut rx) = unbounded_channel::<Post>();
    let post = move |thread: usize| {
        let call = move |counts: &mut Counts| {
            counts.of[thread] += 1;
            counts.total += 1;
        };
        assert!(tx.send(Box::new(call)).is_ok(), "the receiver is there");
    };
    let began = start(each, post);
    let mut counts = Counts::default();
    while counts.total < each * THREADS {
        let post = rx.recv().await.expect("posts are missing");
        post(&mut counts);
    }
    assert_eq!(counts.of, [each; THREADS], "each post is counted");
    began
}

static SPAWNED: [AtomicUsize; THREADS] = [const { AtomicUsize::new(0) }; THREADS];

async fn by_spawn(each: usize) -> Instant {
    for count in &SPAWNED {
        count.store(0, Relaxed);
    }
    let handle = Handle::current();
    let began = start(each, move |thread| {
        handle.spawn(async move { SPAWNED[thread].fetch_add(1, Relaxed) });
    });
    while SPAWNED.iter().map(|count| count.load(Relaxed)).sum::<usize>() < each * THREADS {
        yield_now().await;
    }
    assert!(SPAWNED.iter().all(|count| count.load(Relaxed) == each), "each post is counted");
    began
}

/// Starts the threads, all at once; they end by themselves.
fn start(each: usize, post: impl Fn(usize) + Clone + Send + 'static) -> Instant {
    let go = Arc::new(Barrier::new(THREADS + 1));
    for at in 0..THREADS {
        let (post, go) = (post.clone(), Arc::clone(&go));
        thread::spawn(move || {
            go.wait();
            for _ in 0..each {
                post(at);
            }
        });
    }
    go.wait();
    Instant::now()
}
