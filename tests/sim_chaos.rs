//! A handler that does anything it may, at random, among peers that do the same: the rules hold after every turn, each
//! connection ends once, and a drain ends them all.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use sim::{Life, MS, S, Side, endpoint};
use tidemill::reactor::testing::{Faults, Rng, SimPeer, World, seeds};
use tidemill::reactor::{
    Accepted, Class, Config, ConnId, Ctx, Endpoint, Handler, Limits, Refuse, Report, Table,
};

static WHIM: Class = Class::new("test.whim", "The handler felt like it.", "None.", false);

/// What the test knows of a connection.
#[derive(Default)]
struct State {
    paused: bool,
    closing: bool,
}

#[derive(Default)]
struct Books {
    states: RefCell<BTreeMap<ConnId, State>>,
    /// Connections that the handler was asked about or asked for.
    begun: Cell<usize>,
    ended: Cell<usize>,
}

struct Chaos {
    rng: Rng,
    books: Rc<Books>,
    file: Arc<File>,
    away: Endpoint,
    /// Connects and posts that it may still make.
    left: usize,
}

struct Conn {
    life: Life,
    outbound: bool,
}

impl Chaos {
    fn change(&self, id: ConnId, f: impl FnOnce(&mut State)) {
        f(self.books.states.borrow_mut().entry(id).or_default());
    }

    /// A callback came: it must have been due.
    fn came(&self, ctx: &Ctx<'_, Self>, what: &str) {
        let states = self.books.states.borrow();
        let Some(state) = states.get(&ctx.id()) else { return };
        assert!(!state.closing, "{what} came for a connection that is closing");
        assert!(!state.paused || !matches!(what, "on_data" | "on_eof"), "{what} came while paused");
    }

    fn act(&mut self, ctx: &mut Ctx<'_, Self>) {
        for _ in 0..self.rng.below(4) {
            let known: Vec<ConnId> = ctx.ids().collect();
            // Those that are closing are not among them, this one neither.
            let Some(other) = known.get(self.rng.below(known.len() as u64) as usize).copied() else { return };
            if self.rng.chance(700) { self.act_on_this(ctx) } else { self.act_on(&mut ctx.table, other) }
        }
    }

    fn act_on_this(&mut self, ctx: &mut Ctx<'_, Self>) {
        let id = ctx.id();
        let closing = self.books.states.borrow().get(&id).is_some_and(|s| s.closing);
        match self.rng.below(40) {
            0..8 => {
                let n = self.rng.size(20_000);
                ctx.tx.write(&vec![b'w'; n]);
            }
            8..16 => {
                let n = self.rng.size(5000);
                ctx.rx.consume(n);
            }
            16..20 => {
                ctx.tx.take_from(&mut ctx.rx);
            }
            20..22 if !closing => {
                ctx.pause();
                self.change(id, |s| s.paused = true);
            }
            22..26 => {
                ctx.resume();
                self.change(id, |s| s.paused = false);
            }
            26 => ctx.finish(),
            27 => self.close(ctx),
            28..30 => ctx.set_timer(Duration::from_micros(self.rng.below(20_000))),
            30 => ctx.cancel_timer(),
            31 => ctx.set_deadline(Duration::from_millis(self.rng.below(300))),
            32 => ctx.clear_deadline(),
            33 => ctx.set_busy(self.rng.chance(500)),
            34..36 => {
                let (from, to) = (self.rng.below(3000), self.rng.below(5500));
                let _ = ctx.send_file(Arc::clone(&self.file), from..to);
            }
            _ => {}
        }
    }

    fn close(&mut self, ctx: &mut Ctx<'_, Self>) {
        self.change(ctx.id(), |s| s.closing = true);
        match self.rng.below(4) {
            0 => ctx.close(),
            1 => ctx.close_clean(),
            2 => ctx.close_as(&WHIM),
            _ => ctx.abort(),
        }
        assert_eq!(ctx.tx.write(b"x"), 0, "a closing connection takes bytes");
    }

    fn act_on(&mut self, table: &mut Table<'_, Self>, id: ConnId) {
        match self.rng.below(20) {
            0..4 => {
                if let Some(mut out) = table.output(id) {
                    let n = self.rng.size(3000);
                    out.write(&vec![b'o'; n]);
                }
            }
            4 if table.pause(id) => self.change(id, |s| s.paused = true),
            5..9 if table.resume(id) => self.change(id, |s| s.paused = false),
            9 => {
                table.finish(id);
            }
            10 if self.rng.chance(300) => {
                self.change(id, |s| s.closing = true);
                if self.rng.chance(500) {
                    table.close(id)
                } else {
                    table.abort(id)
                };
            }
            11 => {
                table.set_timer(id, Some(Duration::from_millis(self.rng.below(50))));
            }
            12 => {
                let _ = table.send_file(id, Arc::clone(&self.file), 0..self.rng.below(4000));
            }
            13..15 if self.left > 0 => {
                self.left -= 1;
                self.books.begun.set(self.books.begun.get() + 1);
                let conn = Conn { life: Life::default(), outbound: true };
                assert!(table.connect(&self.away, conn).is_ok());
            }
            15..17 if self.left > 0 => {
                self.left -= 1;
                table.post(move |chaos, table| chaos.act_on(table, id));
            }
            _ => {}
        }
    }
}

impl Handler for Chaos {
    type Conn = Conn;

    fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        limits.connect_timeout = Some(3 * S);
        limits.idle_timeout = Some(5 * S);
        limits.stall_timeout = Some(4 * S);
        limits.connections_max = Some(12);
        limits
    }

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<Conn, Refuse> {
        if self.rng.chance(50) {
            return Err(if self.rng.chance(500) { Refuse::silent() } else { Refuse::with(&b"no"[..]) });
        }
        self.books.begun.set(self.books.begun.get() + 1);
        Ok(Conn { life: Life::default(), outbound: false })
    }

    fn on_open(&mut self, conn: &mut Conn, ctx: &mut Ctx<'_, Self>) {
        conn.life.open();
        self.came(ctx, "on_open");
        self.act(ctx);
    }

    fn on_data(&mut self, conn: &mut Conn, ctx: &mut Ctx<'_, Self>) {
        conn.life.data(ctx.rx.len());
        self.came(ctx, "on_data");
        self.act(ctx);
        let n = self.rng.size(ctx.rx.len() * 2 + 1);
        ctx.rx.consume(n);
        conn.life.left(ctx.rx.len());
    }

    fn on_room(&mut self, conn: &mut Conn, ctx: &mut Ctx<'_, Self>) {
        conn.life.other();
        self.came(ctx, "on_room");
        self.act(ctx);
    }

    fn on_eof(&mut self, conn: &mut Conn, ctx: &mut Ctx<'_, Self>) {
        conn.life.eof(ctx.rx.len());
        self.came(ctx, "on_eof");
        self.act(ctx);
        if self.rng.chance(700) {
            ctx.finish();
        }
    }

    fn on_timer(&mut self, conn: &mut Conn, ctx: &mut Ctx<'_, Self>) {
        conn.life.other();
        self.came(ctx, "on_timer");
        self.act(ctx);
    }

    fn on_deadline(&mut self, conn: &mut Conn, ctx: &mut Ctx<'_, Self>) {
        conn.life.other();
        self.came(ctx, "on_deadline");
        self.act(ctx);
    }

    fn on_drain(&mut self, conn: &mut Conn, ctx: &mut Ctx<'_, Self>) {
        conn.life.other();
        self.came(ctx, "on_drain");
        self.left = 0;
        self.act(ctx);
    }

    fn on_close(&mut self, conn: Conn, report: &Report, table: &mut Table<'_, Self>) {
        assert_eq!(report.ledger.sum(), report.ledger.total);
        assert_eq!(conn.outbound, report.listener.is_none());
        self.books.states.borrow_mut().remove(&report.id);
        self.books.ended.set(self.books.ended.get() + 1);
        let ids: Vec<ConnId> = table.ids().collect();
        assert!(!ids.contains(&report.id));
        if let Some(id) = ids.first() {
            self.act_on(table, *id);
        }
    }
}

/// A peer does something.
fn play(rng: &mut Rng, peer: &mut SimPeer) {
    match rng.below(12) {
        0..5 => {
            let n = rng.size(20_000);
            peer.write(&vec![b'p'; n]);
        }
        5..10 => {
            peer.read_up_to(rng.size(50_000));
        }
        10 => peer.write_urgent(),
        _ => peer.shutdown_write(),
    }
}

fn chaos(seed: u64, faults: Faults) {
    let mut rng = Rng::new(seed ^ 0xC4A05);
    let world = World::with_faults(seed, faults);
    let mut config = Config::default();
    if rng.chance(500) {
        config.turn_bytes_max = rng.size(10_000);
        config.turn_reads_max = rng.between(1, 3) as u32;
        config.turn_accepts_max = 1;
        config.connections_gate = Some(rng.between(2, 8) as u32);
    }
    let mut side = Side::with_config(&world, config);
    let behind = world.serve(&"127.0.0.1:9".parse().unwrap()).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[7; 5000]).unwrap();
    let books = Rc::<Books>::default();
    let key = side.reactor.add(Chaos {
        rng: Rng::new(seed),
        books: Rc::clone(&books),
        file: Arc::new(file),
        away: behind.endpoint().clone(),
        left: 20,
    });
    let at = endpoint(seed);
    side.reactor.listen(key, &at).unwrap();
    let mut peers: Vec<SimPeer> = Vec::new();
    for _ in 0..150 {
        if peers.len() < 10 && rng.chance(200) {
            peers.extend(world.dial(&at).ok());
        }
        peers.extend(behind.accept());
        if !peers.is_empty() {
            let nth = rng.between(0, peers.len() - 1);
            match rng.below(60) {
                0 => peers.swap_remove(nth).reset(),
                1 => peers.swap_remove(nth).close(),
                _ => play(&mut rng, &mut peers[nth]),
            }
        }
        let pause = if rng.chance(20) { 2 * S } else { MS };
        side.tick(pause);
    }
    // A drain ends them all, within its grace.
    side.reactor.handle().stop(20 * S);
    let began = world.now();
    while !side.reactor.turn(Some(100 * MS)).unwrap().stopped {
        side.check();
        assert!(world.now() - began < 60 * S, "the drain does not end");
    }
    side.check();
    assert_eq!((side.reactor.connections(), world.open_sockets(side.process)), (0, 0));
    assert_eq!(books.ended.get(), books.begun.get(), "each connection ends once");
    side.settle();
}

#[test]
fn anything_a_handler_may_do_keeps_the_rules() {
    seeds("anything_a_handler_may_do_keeps_the_rules", |seed| {
        chaos(seed, Faults::benign().swarm(seed));
    });
}

#[test]
fn anything_a_handler_may_do_keeps_the_rules_under_hostile_faults() {
    seeds("anything_a_handler_may_do_keeps_the_rules_under_hostile_faults", |seed| {
        chaos(seed, Faults::hostile().swarm(seed));
    });
}
