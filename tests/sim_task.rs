//! Posts, handlers that panic, files on their way, and handlers driven by a probe.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;

use sim::{Echo, Hooks, MS, S, Side, dial, endpoint, patient, read_all, serve, tcp, until, write_all};
use tidemill::reactor::testing::{Faults, Probe, Rng, World, seeds};
use tidemill::reactor::{Accepted, By, Ctx, Handler, Refuse, Report, Table};

#[test]
fn posts_run_in_their_order_and_one_turn_later() {
    let world = World::new(1);
    let (mut side, _, key) = serve(&world, &tcp(), Hooks::default());
    let ran: Rc<RefCell<Vec<u32>>> = Rc::default();
    let handle = side.reactor.handle();
    side.reactor.with(key, |_, table| {
        for n in 0..3 {
            let (ran, again) = (Rc::clone(&ran), Rc::clone(&ran));
            table.post(move |_, table| {
                ran.borrow_mut().push(n);
                table.post(move |_, _| again.borrow_mut().push(10 + n));
            });
        }
    });
    side.reactor.turn(Some(Default::default())).unwrap();
    assert_eq!(*ran.borrow(), [0, 1, 2], "what a post posts waits for the next turn");
    side.reactor.turn(None).unwrap();
    assert_eq!(*ran.borrow(), [0, 1, 2, 10, 11, 12]);
    let count = Arc::new(std::sync::Mutex::new(Vec::new()));
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (handle, count) = (handle.clone(), Arc::clone(&count));
            std::thread::spawn(move || {
                for n in 0..50 {
                    let count = Arc::clone(&count);
                    assert!(handle.post(key, move |_, _| count.lock().unwrap().push((thread, n))).is_ok());
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    side.settle();
    let ran = count.lock().unwrap().clone();
    assert_eq!(ran.len(), 200);
    for thread in 0..4 {
        let order: Vec<_> = ran.iter().filter(|(t, _)| *t == thread).map(|(_, n)| *n).collect();
        assert_eq!(order, (0..50).collect::<Vec<_>>());
    }
    drop(side);
    assert!(handle.post(key, |_, _| {}).is_err());
}

#[test]
fn a_post_for_ever_does_not_stop_the_loop() {
    fn forever(_: &mut Hooks, table: &mut Table<'_, Hooks>) {
        table.post(forever);
    }
    let world = World::new(1);
    let (mut side, _, key) = serve(&world, &tcp(), Hooks::default());
    side.reactor.with(key, |_, table| table.post(forever));
    let (mut echo, book) = Echo::new();
    echo.limits = patient();
    let key = side.reactor.add(echo);
    let at = "127.0.0.1:9".parse().unwrap();
    side.reactor.listen(key, &at).unwrap();
    let mut peer = world.dial(&at).unwrap();
    peer.write(b"still alive");
    for _ in 0..10 {
        side.turn();
    }
    assert_eq!(peer.read(), b"still alive");
    assert_eq!(book.opened.get(), 1);
}

/// A handler that panics in the callback whose name its peer sends, or at the door.
struct Fragile {
    at_the_door: Rc<Cell<bool>>,
    closed: Rc<RefCell<Vec<Report>>>,
}

impl Handler for Fragile {
    type Conn = Vec<u8>;

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<Vec<u8>, Refuse> {
        assert!(!self.at_the_door.get(), "a panic that is meant");
        Ok(Vec::new())
    }

    fn on_data(&mut self, word: &mut Vec<u8>, ctx: &mut Ctx<'_, Self>) {
        word.extend_from_slice(&ctx.rx);
        ctx.rx.consume(usize::MAX);
        assert_ne!(word, b"data", "a panic that is meant");
        ctx.tx.write(word);
        ctx.set_timer(MS);
        ctx.set_deadline(2 * MS);
        ctx.post(|_, _| {});
    }

    fn on_room(&mut self, word: &mut Vec<u8>, _: &mut Ctx<'_, Self>) {
        assert_ne!(word, b"room", "a panic that is meant");
    }

    fn on_timer(&mut self, word: &mut Vec<u8>, _: &mut Ctx<'_, Self>) {
        assert_ne!(word, b"timer", "a panic that is meant");
    }

    fn on_deadline(&mut self, word: &mut Vec<u8>, _: &mut Ctx<'_, Self>) {
        assert_ne!(word, b"deadline", "a panic that is meant");
    }

    fn on_eof(&mut self, word: &mut Vec<u8>, ctx: &mut Ctx<'_, Self>) {
        assert_ne!(word, b"eof", "a panic that is meant");
        ctx.finish();
    }

    fn on_close(&mut self, word: Vec<u8>, report: &Report, _: &mut Table<'_, Self>) {
        self.closed.borrow_mut().push(report.clone());
        assert_ne!(word, b"close", "a panic that is meant");
    }
}

#[test]
fn a_panic_costs_its_own_connection_only() {
    let silent = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.to_string().contains("a panic that is meant") {
            silent(info);
        }
    }));
    for word in ["data", "room", "timer", "deadline", "eof", "close"] {
        let (door, closed) = (Rc::<Cell<bool>>::default(), Rc::<RefCell<Vec<Report>>>::default());
        let mut probe = Probe::new(Fragile { at_the_door: Rc::clone(&door), closed: Rc::clone(&closed) });
        let good = probe.accept();
        probe.recv(b"good");
        let bad = probe.accept();
        probe.recv(word.as_bytes());
        probe.advance(10 * MS);
        if probe.closed().is_none() {
            probe.eof();
        }
        assert_eq!(closed.borrow().len(), 1, "{word}");
        let report = probe.closed().unwrap();
        assert_eq!(
            report.reason.name(),
            if word == "close" { "finished" } else { "task.panicked" },
            "{word}"
        );
        assert_eq!(report.reason.by, if word == "close" { By::Peer } else { By::Us }, "{word}");
        door.set(true);
        probe.accept();
        assert_eq!(probe.id(), None);
        assert_eq!(probe.closed().unwrap().reason.name(), "task.panicked");
        door.set(false);
        probe.select(good);
        probe.recv(b" as new");
        assert_eq!(probe.sent(), b"goodgood as new");
        assert_eq!(probe.reactor().connections(), 1);
        assert_ne!(good, bad);
    }
}

/// A file of `n` random bytes.
fn file(seed: u64, n: usize) -> (Arc<File>, Vec<u8>) {
    let bytes = Rng::new(seed).bytes(n);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    (Arc::new(file), bytes)
}

#[test]
fn a_file_goes_out_between_its_head_and_what_follows() {
    seeds("a_file_goes_out_between_its_head_and_what_follows", |seed| {
        let faults = Faults::benign().swarm(seed);
        let mut rng = Rng::new(seed);
        let size = rng.between(0, (faults.buffer_max * 10).min(20_000));
        let (from, to) = (rng.between(0, size), size);
        let (file, bytes) = file(seed, size);
        let world = World::with_faults(seed, faults);
        let sent: Rc<Cell<bool>> = Rc::default();
        let first = Rc::clone(&sent);
        let hooks = Hooks {
            data: Some(Box::new(move |ctx| {
                ctx.rx.consume(usize::MAX);
                if !first.replace(true) {
                    assert!(ctx.tx.write_whole(b"head:"));
                    ctx.send_file(Arc::clone(&file), from as u64..to as u64).unwrap();
                    assert!(from == to || ctx.tx.room() == 0, "tx is closed while a file is on its way");
                    let mut second = || ctx.send_file(Arc::clone(&file), 0..1);
                    assert!(from == to || second().is_err(), "one at a time");
                }
            })),
            room: Some(Box::new(|ctx| {
                if ctx.tx.write_whole(b":tail") {
                    ctx.finish();
                }
            })),
            ..Hooks::default()
        };
        let at = endpoint(seed);
        let (mut side, book, _) = serve(&world, &at, hooks);
        let mut peer = dial(&mut side, &book, &at);
        write_all(&mut side, &mut peer, b"x");
        let got = read_all(&mut side, &mut peer);
        assert_eq!(got, [&b"head:"[..], &bytes[from..to], b":tail"].concat());
        peer.close();
        until(&mut side, "closed", |_| book.closed() == 1);
        assert_eq!(book.reasons(), ["finished"]);
    });
}

#[test]
fn a_file_that_was_cut_ends_its_connection_without_filler() {
    let (file, bytes) = file(1, 5000);
    let mut probe = Probe::new(Hooks {
        open: Some(Box::new(move |ctx| ctx.send_file(Arc::clone(&file), 1000..9000).unwrap())),
        ..Hooks::default()
    });
    probe.set_room(700);
    probe.accept();
    let got = probe.sent();
    assert_eq!(got, bytes[1000..]);
    let reason = probe.closed().unwrap().reason;
    assert_eq!((reason.name(), reason.unsent), ("http.file_truncated", 4000));
}

#[test]
fn a_probe_shows_the_handler_the_same_whole_and_byte_by_byte() {
    for (bytewise, room) in [(false, None), (true, None), (false, Some(1)), (true, Some(1))] {
        let (echo, _) = Echo::new();
        let mut probe = Probe::new(echo);
        if let Some(room) = room {
            probe.set_room(room);
        }
        let (first, second) = (probe.accept(), probe.accept());
        let text = Rng::new(1).bytes(300);
        for nth in [first, second] {
            probe.select(nth);
            let taken = if bytewise { probe.recv_bytewise(&text) } else { probe.recv(&text) };
            assert_eq!(taken, text.len());
            assert_eq!(probe.sent(), text);
            assert!(probe.closed().is_none() && !probe.finished());
        }
        probe.eof();
        assert_eq!(probe.sent(), b"");
        assert!(probe.finished());
        assert_eq!(probe.closed().unwrap().reason.name(), "finished");
        probe.select(first);
        assert!(probe.closed().is_none());
        probe.advance(599 * S);
        assert!(probe.closed().is_none());
        probe.advance(2 * S);
        probe.sent();
        probe.hang_up();
        assert_eq!(probe.closed().unwrap().reason.name(), "tcp.idle");
    }
}

#[test]
fn a_probe_answers_a_handler_that_connects_out() {
    let (client, book) = sim::Client::new();
    let mut probe = Probe::new(client);
    let text = Rc::new(b"question".to_vec());
    probe.connect(sim::Talk::new(&text));
    assert_eq!(probe.sent(), b"question");
    assert!(probe.finished());
    probe.recv_bytewise(b"question");
    probe.eof();
    assert_eq!((book.good.get(), probe.closed().unwrap().reason.name()), (1, "finished"));
}

#[test]
fn a_reactor_that_is_dropped_leaves_nothing_open() {
    let world = World::new(1);
    let (mut side, book, _) = serve(&world, &tcp(), Hooks::default());
    let mut peer = dial(&mut side, &book, &tcp());
    let (process, world) = (side.process, side.world.clone());
    let Side { reactor, .. } = side;
    drop(reactor);
    assert_eq!((world.open_sockets(process), world.open_listeners(process)), (0, 0));
    assert_eq!(world.dropped_sockets(process), 0);
    peer.read();
    assert!(peer.is_eof());
}
