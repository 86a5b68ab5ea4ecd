//! Posts of the reactor's own thread and of others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use tidemill::reactor::{Config, Reactor};

use crate::support::{Act, Rig};

#[test]
fn posts_of_four_threads_all_arrive_and_keep_the_order_of_each_thread() {
    const EACH: u32 = 2_000;
    let mut rig = Rig::new(Act::new());
    let (handle, key) = (rig.reactor.handle(), rig.key);
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let handle = handle.clone();
            thread::spawn(move || {
                for n in 0..EACH {
                    assert!(handle.post(key, move |act, _| act.notes.push(format!("{thread} {n}"))).is_ok());
                }
            })
        })
        .collect();
    let all = 4 * EACH as usize;
    rig.until("all posts have run", |rig| rig.reactor.with(key, |act, _| act.notes.len() == all));
    threads.into_iter().for_each(|t| t.join().unwrap());
    let notes = rig.reactor.with(key, |act, _| std::mem::take(&mut act.notes));
    for thread in 0..4 {
        let mine: Vec<u32> = notes
            .iter()
            .filter_map(|note| note.strip_prefix(&format!("{thread} ")))
            .map(|n| n.parse().unwrap())
            .collect();
        assert_eq!(mine, (0..EACH).collect::<Vec<_>>(), "thread {thread}");
    }
}

#[test]
fn a_post_wakes_a_reactor_that_sleeps() {
    let mut rig = Rig::new(Act::new());
    rig.turn();
    let (handle, key) = (rig.reactor.handle(), rig.key);
    let other = thread::spawn(move || {
        handle.post(key, |act, _| act.notes.push("woken".to_owned())).unwrap();
        handle.stop(crate::support::PATIENCE);
    });
    rig.reactor.run().unwrap();
    other.join().unwrap();
    assert_eq!(rig.reactor.with(key, |act, _| act.notes.clone()), ["woken"]);
}

#[test]
fn a_post_made_in_a_callback_runs_in_the_next_turn_and_in_order() {
    let mut rig = Rig::new(Act::new().open(|_, ctx| {
        let turn = ctx.turn();
        for n in 0..3 {
            ctx.post(move |act, table| act.notes.push(format!("{n} +{}", table.turn() - turn)));
        }
    }));
    let _stream = rig.client();
    rig.until("the posts have run", |rig| rig.reactor.with(rig.key, |act, _| act.notes.len() == 3));
    assert_eq!(rig.reactor.with(rig.key, |act, _| act.notes.clone()), ["0 +1", "1 +1", "2 +1"]);
}

#[test]
fn a_post_that_posts_itself_again_lets_the_loop_go_on() {
    fn again(act: &mut Act, table: &mut tidemill::reactor::Table<'_, Act>) {
        act.notes.push(table.turn().to_string());
        table.post(again);
    }
    let mut rig = Rig::new(Act::new());
    rig.reactor.with(rig.key, |_, table| table.post(again));
    let answer = rig.with_client(|at| {
        use std::io::{Read, Write};
        let mut stream = crate::support::client(at);
        stream.write_all(b"alive").unwrap();
        let mut five = [0; 5];
        stream.read_exact(&mut five).unwrap();
        five
    });
    assert_eq!(&answer, b"alive");
    let turns = rig.reactor.with(rig.key, |act, _| act.notes.clone());
    assert!(turns.windows(2).all(|w| w[0] != w[1]), "twice in one turn");
}

#[test]
fn one_service_posts_to_another() {
    let mut rig = Rig::new(Act::new());
    let other = rig.reactor.add(Act::new());
    rig.reactor.with(rig.key, |_, table| {
        table.post_to(other, |act, table| act.notes.push(format!("{} here", table.len())))
    });
    rig.until("the post has run", |rig| rig.reactor.with(other, |act, _| !act.notes.is_empty()));
    assert_eq!(rig.reactor.with(other, |act, _| act.notes.clone()), ["0 here"]);
}

#[test]
fn a_handle_outlives_its_reactor_and_waiting_posts_are_dropped() {
    struct Counted(Arc<AtomicU32>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let drops = Arc::new(AtomicU32::new(0));
    let mut reactor = Reactor::new(Config::default()).unwrap();
    let (key, handle) = (reactor.add(Act::new()), reactor.handle());
    let waiting = Counted(Arc::clone(&drops));
    assert!(handle.post(key, move |_, _| drop(waiting)).is_ok());
    drop(reactor);
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    let late = Counted(Arc::clone(&drops));
    assert!(handle.post(key, move |_, _| drop(late)).is_err(), "nobody will run it");
    assert_eq!(drops.load(Ordering::Relaxed), 2);
    handle.wake();
    handle.stop(std::time::Duration::ZERO);
}
