//! What the simulated tests share: handlers that check what they are told, and a drive of reactors with the rules
//! asserted after every turn.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tidemill::reactor::testing::{ProcessId, SimPeer, SimSys, World};
use tidemill::reactor::{
    Accepted, Config, Ctx, Endpoint, Handler, Key, Limits, Reactor, Refuse, Report, Table,
};

/// What happened to the connections of a handler.
#[derive(Default)]
pub struct Book {
    pub accepted: Cell<usize>,
    pub opened: Cell<usize>,
    pub reports: RefCell<Vec<Report>>,
    pub good: Cell<usize>,
}

impl Book {
    pub fn closed(&self) -> usize {
        self.reports.borrow().len()
    }

    /// The names of the reasons, in the order of the ends.
    pub fn reasons(&self) -> Vec<&'static str> {
        self.reports.borrow().iter().map(|r| r.reason.name()).collect()
    }

    fn close(&self, report: &Report) {
        let ledger = &report.ledger;
        assert_eq!(ledger.sum(), ledger.total, "the parts of {ledger:?} do not sum to its total");
        self.reports.borrow_mut().push(report.clone());
    }
}

/// The order in which a connection's callbacks came.
#[derive(Default)]
pub struct Life {
    opened: bool,
    eof: bool,
    unread: usize,
}

impl Life {
    pub fn open(&mut self) {
        assert!(!self.opened, "on_open came twice");
        self.opened = true;
    }

    pub fn data(&mut self, rx: usize) {
        assert!(self.opened, "on_data came before on_open");
        assert!(rx > 0, "on_data came without bytes");
        assert!(!self.eof || rx <= self.unread, "bytes came behind the end of file");
        self.unread = rx;
    }

    pub fn eof(&mut self, rx: usize) {
        assert!(self.opened, "on_eof came before on_open");
        assert!(!self.eof, "on_eof came twice");
        self.eof = true;
        self.unread = rx;
    }

    /// The handler has left that many bytes.
    pub fn left(&mut self, rx: usize) {
        self.unread = rx;
    }

    pub fn other(&mut self) {
        assert!(self.opened, "a callback came before on_open");
    }
}

/// Sends back what it gets.
pub struct Echo {
    pub book: Rc<Book>,
    pub limits: Limits,
}

impl Echo {
    pub fn new() -> (Self, Rc<Book>) {
        let book = Rc::new(Book::default());
        (Self { book: Rc::clone(&book), limits: Limits::default() }, book)
    }
}

impl Handler for Echo {
    type Conn = Life;

    fn limits(&self) -> Limits {
        self.limits.clone()
    }

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<Life, Refuse> {
        self.book.accepted.set(self.book.accepted.get() + 1);
        Ok(Life::default())
    }

    fn on_open(&mut self, life: &mut Life, _: &mut Ctx<'_, Self>) {
        life.open();
        self.book.opened.set(self.book.opened.get() + 1);
    }

    fn on_data(&mut self, life: &mut Life, ctx: &mut Ctx<'_, Self>) {
        life.data(ctx.rx.len());
        ctx.tx.take_from(&mut ctx.rx);
    }

    fn on_room(&mut self, life: &mut Life, _: &mut Ctx<'_, Self>) {
        life.other();
    }

    fn on_eof(&mut self, life: &mut Life, ctx: &mut Ctx<'_, Self>) {
        life.eof(ctx.rx.len());
        assert!(ctx.rx.is_empty(), "the end of file came before its bytes were echoed");
        ctx.finish();
    }

    fn on_close(&mut self, _: Life, report: &Report, _: &mut Table<'_, Self>) {
        self.book.close(report);
    }
}

/// Sends a text and expects it back.
pub struct Client {
    pub book: Rc<Book>,
    pub limits: Limits,
}

/// A connection of [`Client`].
pub struct Talk {
    life: Life,
    text: Rc<Vec<u8>>,
    sent: usize,
    got: usize,
    eof: bool,
    /// Finishes only when all has come back, so that no FIN tells the other side to look again.
    waits: bool,
}

impl Talk {
    pub fn new(text: &Rc<Vec<u8>>) -> Self {
        Self { life: Life::default(), text: Rc::clone(text), sent: 0, got: 0, eof: false, waits: false }
    }

    /// One that finishes only when all has come back.
    pub fn waiting(text: &Rc<Vec<u8>>) -> Self {
        Self { waits: true, ..Self::new(text) }
    }

    fn pump(&mut self, ctx: &mut Ctx<'_, Client>) {
        // Not more than fits: who asks for more room than there is hears nothing until there is some.
        let end = self.text.len().min(self.sent + ctx.tx.room());
        self.sent += ctx.tx.write(&self.text[self.sent..end]);
        if self.sent == self.text.len() && (self.got == self.sent || !self.waits) {
            ctx.finish();
        }
    }
}

impl Client {
    pub fn new() -> (Self, Rc<Book>) {
        let book = Rc::new(Book::default());
        (Self { book: Rc::clone(&book), limits: Limits::default() }, book)
    }
}

impl Handler for Client {
    type Conn = Talk;

    fn limits(&self) -> Limits {
        self.limits.clone()
    }

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<Talk, Refuse> {
        Err(Refuse::silent())
    }

    fn on_open(&mut self, talk: &mut Talk, ctx: &mut Ctx<'_, Self>) {
        talk.life.open();
        self.book.opened.set(self.book.opened.get() + 1);
        talk.pump(ctx);
    }

    fn on_data(&mut self, talk: &mut Talk, ctx: &mut Ctx<'_, Self>) {
        talk.life.data(ctx.rx.len());
        let n = ctx.rx.len();
        assert_eq!(talk.text.get(talk.got..talk.got + n), Some(&ctx.rx[..]), "other bytes came back");
        talk.got += n;
        ctx.rx.consume(n);
        if talk.waits && talk.got == talk.text.len() {
            ctx.finish();
        }
    }

    fn on_room(&mut self, talk: &mut Talk, ctx: &mut Ctx<'_, Self>) {
        talk.life.other();
        if talk.sent < talk.text.len() {
            talk.pump(ctx);
        }
    }

    fn on_eof(&mut self, talk: &mut Talk, ctx: &mut Ctx<'_, Self>) {
        talk.life.eof(ctx.rx.len());
        talk.eof = true;
        ctx.finish();
    }

    fn on_close(&mut self, talk: Talk, report: &Report, _: &mut Table<'_, Self>) {
        self.book.close(report);
        // A connection that is shed ends in good order too, before its first byte.
        if report.reason.class.is_none() && (talk.got > 0 || talk.text.is_empty()) {
            assert!(talk.eof, "the end of file was not told");
            assert_eq!(talk.got, talk.text.len(), "the end of file came before the last bytes");
            self.book.good.set(self.book.good.get() + 1);
        }
    }
}

type Hook = Box<dyn FnMut(&mut Ctx<'_, Hooks>)>;
type CloseHook = Box<dyn FnMut(&Report, &mut Table<'_, Hooks>)>;

/// A handler whose callbacks are closures of the test; those that are missing do what the defaults do.
pub struct Hooks {
    pub book: Rc<Book>,
    pub limits: Limits,
    pub open: Option<Hook>,
    pub data: Option<Hook>,
    pub room: Option<Hook>,
    pub eof: Option<Hook>,
    pub timer: Option<Hook>,
    pub deadline: Option<Hook>,
    pub drain: Option<Hook>,
    pub close: Option<CloseHook>,
}

impl Default for Hooks {
    fn default() -> Self {
        let book = Rc::default();
        let limits = patient();
        let (open, data, room, eof, timer, deadline, drain) = Default::default();
        Self { book, limits, open, data, room, eof, timer, deadline, drain, close: None }
    }
}

impl Handler for Hooks {
    type Conn = Life;

    fn limits(&self) -> Limits {
        self.limits.clone()
    }

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<Life, Refuse> {
        self.book.accepted.set(self.book.accepted.get() + 1);
        Ok(Life::default())
    }

    fn on_open(&mut self, life: &mut Life, ctx: &mut Ctx<'_, Self>) {
        life.open();
        self.book.opened.set(self.book.opened.get() + 1);
        self.open.iter_mut().for_each(|f| f(ctx));
    }

    fn on_data(&mut self, life: &mut Life, ctx: &mut Ctx<'_, Self>) {
        life.data(ctx.rx.len());
        self.data.iter_mut().for_each(|f| f(ctx));
    }

    fn on_room(&mut self, life: &mut Life, ctx: &mut Ctx<'_, Self>) {
        life.other();
        self.room.iter_mut().for_each(|f| f(ctx));
    }

    fn on_eof(&mut self, life: &mut Life, ctx: &mut Ctx<'_, Self>) {
        life.eof(ctx.rx.len());
        match &mut self.eof {
            Some(f) => f(ctx),
            None => ctx.finish(),
        }
    }

    fn on_timer(&mut self, life: &mut Life, ctx: &mut Ctx<'_, Self>) {
        life.other();
        self.timer.iter_mut().for_each(|f| f(ctx));
    }

    fn on_deadline(&mut self, life: &mut Life, ctx: &mut Ctx<'_, Self>) {
        life.other();
        match &mut self.deadline {
            Some(f) => f(ctx),
            None => ctx.close(),
        }
    }

    fn on_drain(&mut self, life: &mut Life, ctx: &mut Ctx<'_, Self>) {
        life.other();
        match &mut self.drain {
            Some(f) => f(ctx),
            None => ctx.close_clean(),
        }
    }

    fn on_close(&mut self, _: Life, report: &Report, table: &mut Table<'_, Self>) {
        self.book.close(report);
        self.close.iter_mut().for_each(|f| f(report, table));
    }
}

thread_local! {
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

/// Counts the panics of this thread: the reactor contains those of handlers, and with them their assertions.
fn count_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            print(info);
        }));
    });
    PANICS.set(0);
}

/// A reactor in a world, with its process.
pub struct Side {
    pub reactor: Reactor<SimSys>,
    pub process: ProcessId,
    pub world: World,
}

impl Side {
    pub fn new(world: &World) -> Self {
        Self::with_config(world, Config::default())
    }

    pub fn with_config(world: &World, config: Config) -> Self {
        count_panics();
        let sys = world.sys();
        let process = sys.id();
        Self { reactor: Reactor::with_sys(sys, config), process, world: world.clone() }
    }

    /// One turn that waits as long as it takes, and the rules after it.
    pub fn turn(&mut self) {
        self.reactor.turn(None).unwrap();
        self.check();
    }

    pub fn check(&mut self) {
        assert_eq!(PANICS.get(), 0, "a handler's assertion failed");
        self.reactor.check();
        self.reactor.check_watches();
        assert_eq!(self.world.open_watches(self.process), self.reactor.watches(), "a watch leaked");
        let held = self.reactor.sockets_held();
        assert_eq!(self.world.open_sockets(self.process), held, "a socket leaked");
        assert_eq!(self.world.dropped_sockets(self.process), 0, "a socket was dropped, not closed");
        assert!(held <= self.reactor.connections(), "more sockets than connections");
    }

    /// Does all that can be done at this moment, then lets time pass to the next one, but no more than `most`.
    pub fn tick(&mut self, most: Duration) {
        self.settle();
        let now = self.world.now();
        let network = self.world.next_event_time().map(|at| at - now);
        let wait = [self.reactor.next_wait(), network, Some(most)].into_iter().flatten().min();
        self.world.advance(wait.unwrap_or(most));
        self.settle();
    }

    /// Lets `d` pass, with everything on the way at its time.
    pub fn pass(&mut self, d: Duration) {
        let end = self.world.now() + d;
        while self.world.now() < end {
            self.tick(end - self.world.now());
        }
    }

    /// Turns until nothing is left to do at this moment.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            self.reactor.turn(Some(Duration::ZERO)).unwrap();
            self.check();
            if !self.world.has_events() && self.reactor.next_wait() != Some(Duration::ZERO) {
                return;
            }
        }
        panic!("the reactor never rests");
    }
}

pub fn tcp() -> Endpoint {
    Endpoint::tcp(([127, 0, 0, 1], 7))
}

pub fn unix() -> Endpoint {
    "unix:@echo".parse().unwrap()
}

/// Deadlines so far away that no benign fault reaches them.
pub fn patient() -> Limits {
    let mut limits = Limits::default();
    limits.connect_timeout = None;
    limits.idle_timeout = None;
    limits.stall_timeout = None;
    limits
}

pub const MS: Duration = Duration::from_millis(1);
pub const S: Duration = Duration::from_secs(1);

/// A world with `hooks` listening in it.
pub fn serve(world: &World, at: &Endpoint, hooks: Hooks) -> (Side, Rc<Book>, Key<Hooks>) {
    let mut side = Side::new(world);
    let book = Rc::clone(&hooks.book);
    let key = side.reactor.add(hooks);
    side.reactor.listen(key, at).unwrap();
    (side, book, key)
}

pub fn endpoint(seed: u64) -> Endpoint {
    [tcp(), unix()][seed as usize % 2].clone()
}

/// A peer whose connection stands and was accepted.
pub fn dial(side: &mut Side, book: &Book, at: &Endpoint) -> SimPeer {
    let before = book.opened.get();
    let peer = side.world.dial(at).unwrap();
    while book.opened.get() == before {
        side.tick(MS);
    }
    peer
}

pub fn until(side: &mut Side, what: &str, mut done: impl FnMut(&mut Side) -> bool) {
    for _ in 0..100_000 {
        if done(side) {
            return;
        }
        side.tick(MS);
    }
    panic!("never: {what}");
}

pub fn write_all(side: &mut Side, peer: &mut SimPeer, text: &[u8]) {
    let mut sent = 0;
    until(side, "everything is written", |_| {
        sent += peer.write(&text[sent..]);
        sent == text.len()
    });
}

/// Reads to the end of the stream.
pub fn read_all(side: &mut Side, peer: &mut SimPeer) -> Vec<u8> {
    let mut got = Vec::new();
    until(side, "the end of the stream", |_| {
        got.extend(peer.read());
        peer.is_eof() || peer.is_finished()
    });
    got.extend(peer.read());
    got
}
