//! Handlers that reach across connections: a relay, a chat, adopted descriptors, limits; and clocks that wrap.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::rc::Rc;
use std::time::Duration;

use sim::{
    Book, Echo, Hooks, Life, MS, S, Side, dial, endpoint, patient, read_all, serve, tcp, until, write_all,
};
use tidemill::reactor::testing::{Faults, Probe, Rng, World, seeds};
use tidemill::reactor::{Accepted, ConnId, Ctx, Endpoint, Handler, Limits, Refuse, Report, Table};

/// Passes bytes on between each client and a connection of its own to `to`, in both directions.
struct Relay {
    to: Endpoint,
    book: Rc<Book>,
}

#[derive(Default)]
struct Half {
    other: Option<ConnId>,
    outbound: bool,
}

impl Handler for Relay {
    type Conn = Half;

    fn limits(&self) -> Limits {
        patient()
    }

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<Half, Refuse> {
        Ok(Half::default())
    }

    fn on_open(&mut self, half: &mut Half, ctx: &mut Ctx<'_, Self>) {
        if half.outbound {
            let other = half.other.unwrap();
            ctx.table.resume(other);
            return;
        }
        ctx.pause();
        let this = Half { other: Some(ctx.id()), outbound: true };
        let to = self.to.clone();
        half.other = ctx.table.connect(&to, this).ok();
    }

    fn on_data(&mut self, half: &mut Half, ctx: &mut Ctx<'_, Self>) {
        let Some(mut out) = half.other.and_then(|other| ctx.table.output(other)) else { return ctx.abort() };
        let n = out.write(&ctx.rx);
        ctx.rx.consume(n);
        if !ctx.rx.is_empty() {
            ctx.pause();
        }
    }

    fn on_room(&mut self, half: &mut Half, ctx: &mut Ctx<'_, Self>) {
        if let Some(other) = half.other {
            ctx.table.resume(other);
        }
    }

    fn on_eof(&mut self, half: &mut Half, ctx: &mut Ctx<'_, Self>) {
        assert!(ctx.rx.is_empty(), "the end of file came before the bytes were passed on");
        if let Some(other) = half.other {
            ctx.table.finish(other);
        }
    }

    fn on_close(&mut self, half: Half, report: &Report, table: &mut Table<'_, Self>) {
        self.book.reports.borrow_mut().push(report.clone());
        if let Some(other) = half.other.filter(|_| report.reason.class.is_some()) {
            table.abort(other);
        }
    }
}

#[test]
fn a_relay_is_exact_in_both_directions() {
    seeds("a_relay_is_exact_in_both_directions", |seed| {
        let faults = Faults::benign().swarm(seed);
        let mut rng = Rng::new(seed);
        let n = (faults.buffer_max * 5).min(2000);
        let (up, down) = (rng.bytes(n), rng.bytes(n));
        let world = World::with_faults(seed, faults);
        let mut side = Side::new(&world);
        let behind = world.serve(&"127.0.0.1:9".parse().unwrap()).unwrap();
        let book = Rc::<Book>::default();
        let key = side.reactor.add(Relay { to: behind.endpoint().clone(), book: Rc::clone(&book) });
        let at = endpoint(seed);
        side.reactor.listen(key, &at).unwrap();
        let mut client = world.dial(&at).unwrap();
        let mut server = None;
        until(&mut side, "the relay connects", |_| {
            server = behind.accept();
            server.is_some()
        });
        let mut server = server.unwrap();
        let (mut sent, mut told, mut asked, mut answered) = (0, 0, Vec::new(), Vec::new());
        until(&mut side, "both ends", |_| {
            sent += client.write(&up[sent..]);
            told += server.write(&down[told..]);
            if sent == n {
                client.shutdown_write();
            }
            if told == n {
                server.shutdown_write();
            }
            asked.extend(server.read_up_to(rng.between(0, 2000)));
            answered.extend(client.read_up_to(rng.between(0, 2000)));
            client.is_eof() && server.is_eof()
        });
        assert!(asked == up && answered == down, "{} and {} of {n}", asked.len(), answered.len());
        until(&mut side, "closed", |_| book.closed() == 2);
        assert_eq!(book.reasons(), ["finished"; 2]);
    });
}

/// Passes every byte on to all others.
struct Chat;

impl Handler for Chat {
    type Conn = Life;

    fn limits(&self) -> Limits {
        patient()
    }

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<Life, Refuse> {
        Ok(Life::default())
    }

    fn on_open(&mut self, life: &mut Life, _: &mut Ctx<'_, Self>) {
        life.open();
    }

    fn on_data(&mut self, life: &mut Life, ctx: &mut Ctx<'_, Self>) {
        life.data(ctx.rx.len());
        let ids: Vec<ConnId> = ctx.ids().filter(|id| *id != ctx.id()).collect();
        for id in ids {
            let mut out = ctx.table.output(id).unwrap();
            assert!(out.write_whole(&ctx.rx), "the texts of this test fit");
        }
        ctx.rx.consume(usize::MAX);
    }

    fn on_close(&mut self, _: Life, report: &Report, table: &mut Table<'_, Self>) {
        assert!(!table.ids().any(|id| id == report.id), "who is gone is not in the table");
    }
}

#[test]
fn everyone_in_a_chat_hears_everyone_else_in_order() {
    const PEERS: usize = 4;
    const BYTES: usize = 12;
    seeds("everyone_in_a_chat_hears_everyone_else_in_order", |seed| {
        let world = World::with_faults(seed, Faults::benign().swarm(seed));
        let mut rng = Rng::new(seed);
        let mut side = Side::new(&world);
        let key = side.reactor.add(Chat);
        let at = endpoint(seed);
        side.reactor.listen(key, &at).unwrap();
        let mut peers: Vec<_> = (0..PEERS).map(|_| (world.dial(&at).unwrap(), 0, Vec::new())).collect();
        until(&mut side, "all are there", |side| side.reactor.connections() == PEERS);
        side.pass(10 * MS);
        until(&mut side, "all is said", |_| {
            for (nth, (peer, said, heard)) in peers.iter_mut().enumerate() {
                let end = (*said + rng.between(0, 9)).min(BYTES);
                let words: Vec<u8> = (*said..end).map(|at| (at * PEERS + nth) as u8).collect();
                *said += peer.write(&words);
                heard.extend(peer.read());
            }
            peers.iter().all(|(.., heard)| heard.len() == (PEERS - 1) * BYTES)
        });
        for (listener, (.., heard)) in peers.iter().enumerate() {
            for speaker in (0..PEERS).filter(|n| *n != listener) {
                let of: Vec<u8> = heard.iter().copied().filter(|b| *b as usize % PEERS == speaker).collect();
                assert_eq!(of, (0..BYTES).map(|at| (at * PEERS + speaker) as u8).collect::<Vec<_>>());
            }
        }
    });
}

#[test]
fn an_adopted_descriptor_is_a_connection_like_any_other() {
    seeds("an_adopted_descriptor_is_a_connection_like_any_other", |seed| {
        let world = World::with_faults(seed, Faults::benign().swarm(seed));
        let mut side = Side::new(&world);
        let (mut echo, book) = Echo::new();
        echo.limits = patient();
        let key = side.reactor.add(echo);
        let (fd, mut peer) = world.descriptor().unwrap();
        side.reactor.adopt(key, fd, Life::default()).unwrap();
        write_all(&mut side, &mut peer, b"inherited");
        peer.shutdown_write();
        assert_eq!(read_all(&mut side, &mut peer), b"inherited");
        until(&mut side, "closed", |_| book.closed() == 1);
        assert_eq!(world.open_sockets(side.process), 0);
    });
}

#[test]
fn a_descriptor_that_cannot_be_adopted_leaves_nothing_behind() {
    for n in [1, 2] {
        let world = World::new(1);
        let mut side = Side::new(&world);
        let (echo, book) = Echo::new();
        let key = side.reactor.add(echo);
        let (fd, _peer) = world.descriptor().unwrap();
        world.fail_call(n);
        assert!(side.reactor.adopt(key, fd, Life::default()).is_err());
        side.reactor.check();
        assert_eq!((side.reactor.connections(), world.open_sockets(side.process), book.closed()), (0, 0, 0));
    }
}

/// Echo with a bound on connections.
struct Crowded;

impl Handler for Crowded {
    type Conn = ();

    fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        (limits.connections_max, limits.per_client_max) = (Some(3), Some(2));
        limits
    }

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
        Ok(())
    }

    fn on_limit(&mut self, _: Accepted<'_>) -> Refuse {
        Refuse::with(&b"full"[..])
    }

    fn on_data(&mut self, (): &mut (), ctx: &mut Ctx<'_, Self>) {
        ctx.tx.take_from(&mut ctx.rx);
    }
}

#[test]
fn who_comes_over_a_limit_is_told_and_makes_no_room_for_longer_than_it_stays() {
    let mut probe = Probe::new(Crowded);
    let (first, _) = (probe.accept(), probe.accept());
    for _ in 0..5 {
        probe.accept();
        probe.recv(b"let me in");
        assert_eq!(probe.sent(), b"full");
        probe.eof();
        assert!(probe.finished());
        assert_eq!(probe.closed().unwrap().reason.name(), "tcp.limit");
    }
    probe.select(first);
    probe.hang_up();
    probe.accept();
    probe.recv(b"now");
    assert_eq!(probe.sent(), b"now");
    assert_eq!(probe.reactor().stats().limited, 5);
}

#[test]
fn a_unit_larger_than_the_buffer_ends_its_connection() {
    let mut probe = Probe::new(Hooks::default());
    probe.accept();
    probe.recv(&[7; 70_000]);
    assert_eq!(probe.closed().unwrap().reason.name(), "limit.rx_full");
}

#[test]
fn deadlines_survive_the_wrap_of_the_millisecond_clock() {
    let wrap = Duration::from_millis(1 << 32);
    let half = Duration::from_millis(1 << 31);
    for start in [wrap - 5 * S, wrap - MS, half - 3 * S, wrap * 3 - 4 * S] {
        let world = World::new(1);
        world.advance(start);
        let mut limits = Limits::default();
        (limits.idle_timeout, limits.stall_timeout) = (Some(7 * S), Some(8 * S));
        let hooks = Hooks {
            limits,
            timer: Some(Box::new(|ctx| {
                ctx.tx.write(b"tick");
            })),
            ..Hooks::default()
        };
        let (mut side, book, key) = serve(&world, &tcp(), hooks);
        let mut peer = dial(&mut side, &book, &tcp());
        side.reactor.with(key, |_, table| {
            let id = table.ids().next().unwrap();
            table.set_timer(id, Some(6 * S));
        });
        side.pass(6 * S - 2 * MS);
        assert_eq!(peer.read(), b"");
        side.pass(5 * MS);
        assert_eq!(peer.read(), b"tick", "{start:?}");
        let ticked = world.now();
        until(&mut side, "idle", |_| {
            peer.read();
            peer.is_eof()
        });
        let took = world.now() - ticked;
        assert!(took <= 7 * S + 2 * MS && took >= 7 * S - 10 * MS, "{start:?}: {took:?}");
        peer.close();
        until(&mut side, "closed", |_| book.closed() == 1);
        // And again after weeks in which nothing was filed.
        side.pass(Duration::from_secs(30 * 24 * 3600));
        let mut peer = dial(&mut side, &book, &tcp());
        let began = world.now();
        until(&mut side, "idle again", |_| {
            peer.read();
            peer.is_eof()
        });
        assert!(world.now() - began <= 7 * S + 2 * MS);
    }
}
