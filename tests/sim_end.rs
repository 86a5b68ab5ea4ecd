//! How connections end: half-close, flush and linger, abort, and the deadlines that end them.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use sim::{Echo, Hooks, MS, S, Side, dial, endpoint, patient, read_all, serve, tcp, unix, until, write_all};
use tidemill::reactor::testing::{Faults, Rng, World, seeds};
use tidemill::reactor::{By, Ctx, Deadline, Limits, PhaseName};

/// Writes as much of `text` as fits, now and whenever there is room; then `end`.
fn sender(text: Vec<u8>, end: fn(&mut Ctx<'_, Hooks>)) -> impl FnMut(&mut Ctx<'_, Hooks>) + Clone {
    let (text, sent) = (Rc::new(text), Rc::new(Cell::new(0)));
    move |ctx| {
        let n = ctx.tx.room().min(text.len() - sent.get());
        let n = ctx.tx.write(&text[sent.get()..sent.get() + n]);
        sent.set(sent.get() + n);
        if sent.get() == text.len() {
            end(ctx);
        }
    }
}

#[test]
fn the_answer_after_the_peers_fin_is_sent_whole() {
    seeds("the_answer_after_the_peers_fin_is_sent_whole", |seed| {
        let faults = Faults::benign().swarm(seed);
        let answer = Rng::new(seed).bytes((faults.buffer_max * 10).min(12_000));
        let world = World::with_faults(seed, faults);
        let send = sender(answer.clone(), |ctx| ctx.finish());
        let mut late = send.clone();
        let hooks = Hooks {
            data: Some(Box::new(|ctx| ctx.rx.consume(usize::MAX))),
            eof: Some(Box::new(|ctx| ctx.set_timer(20 * MS))),
            timer: Some(Box::new(send)),
            room: Some(Box::new(move |ctx| late(ctx))),
            ..Hooks::default()
        };
        let at = endpoint(seed);
        let (mut side, book, _) = serve(&world, &at, hooks);
        let mut peer = dial(&mut side, &book, &at);
        write_all(&mut side, &mut peer, b"question");
        peer.shutdown_write();
        assert_eq!(read_all(&mut side, &mut peer), answer);
        until(&mut side, "closed", |_| book.closed() == 1);
        assert_eq!(book.reasons(), ["finished"]);
    });
}

#[test]
fn no_reset_overtakes_the_last_bytes_of_a_close() {
    seeds("no_reset_overtakes_the_last_bytes_of_a_close", |seed| {
        let faults = Faults::benign().swarm(seed);
        let mut rng = Rng::new(seed);
        let answer = rng.bytes((faults.buffer_max * 10).min(12_000));
        let world = World::with_faults(seed, faults);
        let reply = answer.clone();
        let hooks = Hooks {
            data: Some(Box::new(move |ctx| {
                assert_eq!(ctx.tx.write(&reply), reply.len());
                ctx.close();
            })),
            ..Hooks::default()
        };
        let at = endpoint(seed);
        let (mut side, book, _) = serve(&world, &at, hooks);
        let mut peer = dial(&mut side, &book, &at);
        // The peer goes on sending while it reads, as an upload does that is refused.
        let mut got = Vec::new();
        until(&mut side, "the end of the stream", |_| {
            peer.write(&[7; 100]);
            got.extend(peer.read_up_to(3000));
            peer.is_eof()
        });
        assert_eq!(got.len(), answer.len(), "{:?}", peer.error());
        assert_eq!(got, answer);
        peer.close();
        until(&mut side, "closed", |_| book.closed() == 1);
        assert_eq!(book.reasons(), ["finished"]);
        assert!(book.reports.borrow()[0].ledger.teardown.linger.is_some());
    });
}

#[test]
fn a_clean_close_of_a_whole_exchange_does_not_linger() {
    for at in [tcp(), unix()] {
        let world = World::new(1);
        let hooks = Hooks {
            data: Some(Box::new(|ctx| {
                ctx.rx.consume(usize::MAX);
                ctx.tx.write(b"bye");
                ctx.close_clean();
            })),
            ..Hooks::default()
        };
        let (mut side, book, _) = serve(&world, &at, hooks);
        let mut peer = dial(&mut side, &book, &at);
        write_all(&mut side, &mut peer, b"hello");
        side.settle();
        if at == tcp() {
            assert_eq!(book.closed(), 1);
            assert_eq!(book.reports.borrow()[0].ledger.teardown.linger, None);
        }
        assert_eq!(read_all(&mut side, &mut peer), b"bye");
        assert!(peer.error().is_none());
    }
}

#[test]
fn an_abort_resets_the_peer() {
    let world = World::new(1);
    let hooks = Hooks { data: Some(Box::new(|ctx| ctx.abort())), ..Hooks::default() };
    let (mut side, book, _) = serve(&world, &tcp(), hooks);
    let mut peer = dial(&mut side, &book, &tcp());
    write_all(&mut side, &mut peer, b"hello");
    side.settle();
    peer.read();
    assert_eq!(peer.error().map(|e| e.kind()), Some(io::ErrorKind::ConnectionReset));
    assert_eq!(book.reasons(), ["tcp.aborted"]);
    assert_eq!(book.reports.borrow()[0].reason.by, By::Us);
}

#[test]
fn a_reset_or_vanished_peer_ends_its_connection_only() {
    seeds("a_reset_or_vanished_peer_ends_its_connection_only", |seed| {
        let world = World::with_faults(seed, Faults::benign().swarm(seed));
        let mut side = Side::new(&world);
        let (mut echo, book) = Echo::new();
        echo.limits = patient();
        let key = side.reactor.add(echo);
        let at = endpoint(seed);
        side.reactor.listen(key, &at).unwrap();
        let (mut good, mut bad) = (dial(&mut side, &book, &at), dial(&mut side, &book, &at));
        for n in 0..20 {
            bad.write(&[1; 300]);
            write_all(&mut side, &mut good, &[n]);
        }
        if seed % 4 < 2 {
            bad.reset()
        } else {
            bad.close()
        }
        until(&mut side, "closed", |_| book.closed() == 1);
        let report = book.reports.borrow()[0].clone();
        assert_ne!(report.reason.by, By::Us, "{}", report.reason);
        good.shutdown_write();
        assert_eq!(read_all(&mut side, &mut good), (0..20).collect::<Vec<u8>>());
        until(&mut side, "closed", |_| book.closed() == 2);
        assert_eq!(book.reasons()[1], "finished");
    });
}

#[test]
fn lingering_ends_after_silence_or_its_whole_time() {
    for (chatty, least, most) in [(false, 2 * S, 2 * S + 2 * MS), (true, 10 * S, 10 * S + 2 * MS)] {
        let world = World::new(1);
        let hooks = Hooks { data: Some(Box::new(|ctx| ctx.close())), ..Hooks::default() };
        let (mut side, book, _) = serve(&world, &tcp(), hooks);
        let mut peer = dial(&mut side, &book, &tcp());
        peer.write(b"x");
        side.settle();
        let began = world.now();
        until(&mut side, "closed", |side| {
            if chatty {
                peer.write(b"still here");
                side.pass(500 * MS);
            }
            book.closed() == 1
        });
        let took = world.now() - began;
        // The chatty peer is looked at every 500 ms.
        assert!(took >= least && took <= most + if chatty { 500 * MS } else { MS }, "{took:?}");
        assert_eq!(book.reasons(), ["finished"]);
    }
}

#[test]
fn deadlines_fire_at_their_time_and_neither_before_nor_later() {
    let mut limits = Limits::default();
    limits.idle_timeout = Some(7 * S);
    let world = World::new(1);
    let (mut side, book, _) = serve(&world, &tcp(), Hooks { limits, ..Hooks::default() });
    let mut peer = dial(&mut side, &book, &tcp());
    side.pass(5 * S);
    peer.write(b"x");
    side.settle();
    let last = world.now();
    side.pass(7 * S - 2 * MS);
    assert_eq!(book.closed(), 0);
    until(&mut side, "the idle deadline", |_| {
        peer.read();
        peer.is_eof()
    });
    let took = world.now() - last;
    assert!(took >= 7 * S && took <= 7 * S + 2 * MS, "{took:?}");
    peer.close();
    until(&mut side, "closed", |_| book.closed() == 1);
    let reason = book.reports.borrow()[0].reason;
    assert_eq!((reason.name(), reason.deadline), ("tcp.idle", Some(Deadline::Idle)));
}

#[test]
fn a_peer_that_never_reads_is_found_and_a_slow_one_is_left_alone() {
    let stall = 8 * S;
    for slow in [false, true] {
        let world = World::new(1);
        let mut limits = Limits::default();
        (limits.stall_timeout, limits.idle_timeout) = (Some(stall), None);
        let send = sender(vec![7; 60_000], |ctx| ctx.finish());
        let again = send.clone();
        let hooks =
            Hooks { limits, open: Some(Box::new(send)), room: Some(Box::new(again)), ..Hooks::default() };
        let (mut side, book, _) = serve(&world, &tcp(), hooks);
        let mut peer = world.dial(&tcp()).unwrap();
        peer.set_room(4096);
        side.settle();
        let began = world.now();
        for _ in 0..40 {
            side.pass(S);
            if slow {
                peer.read_up_to(4096);
            }
            if book.closed() > 0 {
                break;
            }
        }
        let took = world.now() - began;
        if slow {
            assert_eq!(book.reasons(), Vec::<&str>::new());
        } else {
            assert_eq!(book.reasons(), ["tcp.stalled"]);
            assert!(took >= stall && took <= stall * 5 / 4 + S, "{took:?}");
            let reason = book.reports.borrow()[0].reason;
            assert!(reason.unsent > 0 && reason.deadline == Some(Deadline::Stall), "{reason}");
        }
    }
}

#[test]
fn timers_fire_once_and_cancelled_ones_never() {
    let fired: Rc<RefCell<Vec<u128>>> = Rc::default();
    let world = World::new(1);
    let (note, clock) = (Rc::clone(&fired), world.clone());
    let hooks = Hooks {
        timer: Some(Box::new(move |_| {
            note.borrow_mut().push((clock.now() - Default::default()).as_millis())
        })),
        ..Hooks::default()
    };
    let (mut side, book, key) = serve(&world, &tcp(), hooks);
    let _peer = dial(&mut side, &book, &tcp());
    let set = |side: &mut Side, after: Option<Duration>| {
        side.reactor.with(key, |_, table| {
            let id = table.ids().next().unwrap();
            assert!(table.set_timer(id, after));
        });
        side.settle();
    };
    set(&mut side, Some(50 * MS));
    side.pass(49 * MS);
    assert_eq!(*fired.borrow(), Vec::<u128>::new());
    side.pass(3 * MS);
    assert_eq!(fired.borrow().len(), 1);
    side.pass(S);
    assert_eq!(fired.borrow().len(), 1, "it fires once");
    set(&mut side, Some(50 * MS));
    side.pass(20 * MS);
    set(&mut side, None);
    side.pass(S);
    assert_eq!(fired.borrow().len(), 1, "it was cancelled");
    set(&mut side, Some(50 * MS));
    set(&mut side, Some(500 * MS));
    side.pass(450 * MS);
    assert_eq!(fired.borrow().len(), 1, "it was moved later");
    set(&mut side, Some(10 * MS));
    side.pass(12 * MS);
    assert_eq!(fired.borrow().len(), 2, "it was moved earlier");
    side.pass(S);
    assert_eq!(fired.borrow().len(), 2);
}

#[test]
fn a_protocol_deadline_closes_and_a_cleared_one_does_not() {
    let world = World::new(1);
    let hooks = Hooks {
        open: Some(Box::new(|ctx| ctx.set_deadline(S))),
        data: Some(Box::new(|ctx| {
            ctx.rx.consume(usize::MAX);
            ctx.clear_deadline();
        })),
        ..Hooks::default()
    };
    let (mut side, book, _) = serve(&world, &tcp(), hooks);
    let (mut slow, mut quick) = (dial(&mut side, &book, &tcp()), dial(&mut side, &book, &tcp()));
    quick.write(b"a request");
    side.pass(S + 3 * MS);
    slow.read();
    quick.read();
    assert!(slow.is_eof() && !quick.is_eof());
}

#[test]
fn a_paused_connection_reads_nothing_and_resumes_without_loss() {
    seeds("a_paused_connection_reads_nothing_and_resumes_without_loss", |seed| {
        let faults = Faults::benign().swarm(seed);
        let text = Rng::new(seed).bytes((faults.buffer_max * 10).min(3000));
        let world = World::with_faults(seed, faults);
        let got: Rc<RefCell<Vec<u8>>> = Rc::default();
        let held: Rc<Cell<bool>> = Rc::default();
        let (to, is_held) = (Rc::clone(&got), Rc::clone(&held));
        let hooks = Hooks {
            data: Some(Box::new(move |ctx| {
                assert!(!is_held.get(), "on_data came while paused");
                // Half of it stays.
                let n = ctx.rx.len().div_ceil(2);
                to.borrow_mut().extend_from_slice(&ctx.rx[..n]);
                ctx.rx.consume(n);
                ctx.pause();
                is_held.set(true);
            })),
            ..Hooks::default()
        };
        let at = endpoint(seed);
        let (mut side, book, key) = serve(&world, &at, hooks);
        let mut peer = dial(&mut side, &book, &at);
        let mut sent = 0;
        until(&mut side, "closed", |side| {
            sent += peer.write(&text[sent..]);
            if sent == text.len() {
                peer.shutdown_write();
            }
            if held.replace(false) {
                side.reactor.with(key, |_, table| {
                    let ids: Vec<_> = table.ids().collect();
                    assert!(ids.iter().all(|id| table.resume(*id)));
                });
            }
            book.closed() == 1
        });
        assert_eq!(*got.borrow(), text);
        assert_eq!(book.reasons(), ["finished"]);
    });
}

#[test]
fn urgent_bytes_leave_nothing_behind() {
    seeds("urgent_bytes_leave_nothing_behind", |seed| {
        let world = World::with_faults(seed, Faults::benign().swarm(seed));
        let mut side = Side::new(&world);
        let (mut echo, book) = Echo::new();
        echo.limits = patient();
        let key = side.reactor.add(echo);
        let at = endpoint(seed);
        side.reactor.listen(key, &at).unwrap();
        let mut peer = dial(&mut side, &book, &at);
        let mut got = Vec::new();
        for n in 0..20 {
            write_all(&mut side, &mut peer, &[n; 3]);
            peer.write_urgent();
            write_all(&mut side, &mut peer, &[n; 2]);
            until(&mut side, "the echo", |_| {
                got.extend(peer.read());
                got.len() == usize::from(n + 1) * 5
            });
        }
        assert_eq!(got, (0..20).flat_map(|n| [n; 5]).collect::<Vec<u8>>());
    });
}

#[test]
fn a_drain_finishes_what_is_under_way_and_resets_the_rest() {
    for held in [false, true] {
        let world = World::new(1);
        let hooks = Hooks {
            drain: Some(Box::new(move |ctx| {
                if !held {
                    ctx.tx.write(b"going away");
                    ctx.close();
                }
            })),
            ..Hooks::default()
        };
        let (mut side, book, _) = serve(&world, &tcp(), hooks);
        let mut peer = dial(&mut side, &book, &tcp());
        let queued = world.dial(&tcp()).unwrap();
        side.reactor.handle().stop(5 * S);
        let mut stopped = false;
        for _ in 0..200 {
            stopped |= side.reactor.turn(Some(100 * MS)).unwrap().stopped;
            side.check();
            if stopped {
                break;
            }
            if peer.read() == b"going away" {
                peer.shutdown_write();
            }
        }
        assert!(stopped);
        assert_eq!(book.accepted.get(), 2, "who was queued is served");
        drop(queued);
        assert_eq!((book.closed(), world.open_listeners(side.process)), (2, 0));
        assert!(world.now() - Default::default() <= 8 * S, "{:?}", world.now());
        if held {
            assert_eq!(book.reasons(), ["tcp.drained"; 2]);
        }
        assert_eq!(world.open_sockets(side.process), 0);
        let refused = world.dial(&tcp()).unwrap();
        assert!(!refused.is_connected());
    }
}

#[test]
fn phases_and_parts_are_as_they_happened() {
    let world = World::new(1);
    let (mut side, book, _) = serve(&world, &tcp(), Hooks::default());
    world.advance(S);
    let mut peer = dial(&mut side, &book, &tcp());
    side.pass(3 * S);
    peer.write(b"x");
    side.pass(2 * S);
    peer.reset();
    side.settle();
    let report = book.reports.borrow()[0].clone();
    let transfer = report.ledger.transfer.unwrap();
    assert_eq!((transfer.bytes_in, transfer.bytes_out, transfer.count), (1, 0, 1));
    // The peer's dial takes a tick.
    assert_eq!(Duration::from_nanos(transfer.sum), 3 * S + MS);
    assert_eq!(Duration::from_nanos(transfer.idle), 2 * S);
    assert_eq!((report.reason.name(), report.reason.phase), ("tcp.reset", PhaseName::Transfer));
}
