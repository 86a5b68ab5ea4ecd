//! A handler whose callbacks a test gives as closures, and a reactor that is turned until an observable holds.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tidemill::reactor::{
    Accepted, Address, Config, ConnId, Ctx, Endpoint, Handler, Key, Limits, ListenerId, Reactor, Refuse,
    Report, Table,
};

/// No wait of a test lasts longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The longest sleep of one turn while a test looks for its observable.
const LOOK: Duration = Duration::from_millis(5);

/// The state of a connection under test.
#[derive(Debug, Default)]
pub(crate) struct Conn {
    /// The callbacks that came, in order.
    pub(crate) log: Vec<&'static str>,
    pub(crate) n: u64,
    pub(crate) bytes: Vec<u8>,
}

/// A connection that ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) report: Report,
    pub(crate) conn: Conn,
}

impl Ended {
    pub(crate) fn reason(&self) -> &'static str {
        self.report.reason.name()
    }
}

type Hook = Box<dyn FnMut(&mut Conn, &mut Ctx<'_, Act>)>;
type OnAccept = Box<dyn FnMut(Accepted<'_>) -> Result<Conn, Refuse>>;
type OnLimit = Box<dyn FnMut(Accepted<'_>) -> Refuse>;
type OnClose = Box<dyn FnMut(&Conn, &Report, &mut Table<'_, Act>)>;

/// A handler made of closures; without any it is an echo.
pub(crate) struct Act {
    limits: Limits,
    accept: OnAccept,
    limit: OnLimit,
    open: Hook,
    data: Hook,
    room: Hook,
    eof: Hook,
    timer: Hook,
    deadline: Hook,
    drain: Hook,
    close: OnClose,
    /// Connections that ended, in order.
    pub(crate) ended: Vec<Ended>,
    pub(crate) notes: Vec<String>,
}

impl Act {
    pub(crate) fn new() -> Self {
        Self {
            limits: Limits::default(),
            accept: Box::new(|_| Ok(Conn::default())),
            limit: Box::new(|_| Refuse::silent()),
            open: Box::new(|_, _| {}),
            data: Box::new(|_, ctx| {
                ctx.tx.take_from(&mut ctx.rx);
            }),
            room: Box::new(|_, _| {}),
            eof: Box::new(|_, ctx| ctx.finish()),
            timer: Box::new(|_, _| {}),
            deadline: Box::new(|_, ctx| ctx.close()),
            drain: Box::new(|_, ctx| ctx.close_clean()),
            close: Box::new(|_, _, _| {}),
            ended: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn limits(mut self, set: impl FnOnce(&mut Limits)) -> Self {
        set(&mut self.limits);
        self
    }

    pub(crate) fn accept(mut self, f: impl FnMut(Accepted<'_>) -> Result<Conn, Refuse> + 'static) -> Self {
        self.accept = Box::new(f);
        self
    }

    pub(crate) fn limit(mut self, f: impl FnMut(Accepted<'_>) -> Refuse + 'static) -> Self {
        self.limit = Box::new(f);
        self
    }

    pub(crate) fn close(mut self, f: impl FnMut(&Conn, &Report, &mut Table<'_, Self>) + 'static) -> Self {
        self.close = Box::new(f);
        self
    }
}

/// One method for each callback that is a [`Hook`].
macro_rules! hooks {
    ($($name:ident)*) => {
        impl Act {
            $(pub(crate) fn $name(mut self, f: impl FnMut(&mut Conn, &mut Ctx<'_, Self>) + 'static) -> Self {
                self.$name = Box::new(f);
                self
            })*
        }
    };
}
hooks!(open data room eof timer deadline drain);

impl Handler for Act {
    type Conn = Conn;

    fn limits(&self) -> Limits {
        self.limits.clone()
    }

    fn on_accept(&mut self, from: Accepted<'_>) -> Result<Conn, Refuse> {
        (self.accept)(from)
    }

    fn on_limit(&mut self, from: Accepted<'_>) -> Refuse {
        (self.limit)(from)
    }

    fn on_open(&mut self, conn: &mut Conn, ctx: &mut Ctx<'_, Self>) {
        conn.log.push("open");
        (self.open)(conn, ctx);
    }

    fn on_data(&mut self, conn: &mut Conn, ctx: &mut Ctx<'_, Self>) {
        conn.log.push("data");
        (self.data)(conn, ctx);
    }

    fn on_room(&mut self, conn: &mut Conn, ctx: &mut Ctx<'_, Self>) {
        conn.log.push("room");
        (self.room)(conn, ctx);
    }

    fn on_eof(&mut self, conn: &mut Conn, ctx: &mut Ctx<'_, Self>) {
        conn.log.push("eof");
        (self.eof)(conn, ctx);
    }

    fn on_timer(&mut self, conn: &mut Conn, ctx: &mut Ctx<'_, Self>) {
        conn.log.push("timer");
        (self.timer)(conn, ctx);
    }

    fn on_deadline(&mut self, conn: &mut Conn, ctx: &mut Ctx<'_, Self>) {
        conn.log.push("deadline");
        (self.deadline)(conn, ctx);
    }

    fn on_drain(&mut self, conn: &mut Conn, ctx: &mut Ctx<'_, Self>) {
        conn.log.push("drain");
        (self.drain)(conn, ctx);
    }

    fn on_close(&mut self, conn: Conn, report: &Report, table: &mut Table<'_, Self>) {
        self.ended.push(Ended { report: report.clone(), conn });
        if let Some(Ended { conn, report }) = self.ended.last() {
            (self.close)(conn, report, table);
        }
    }
}

/// A reactor with one service and a listener of it on loopback.
pub(crate) struct Rig {
    pub(crate) reactor: Reactor,
    pub(crate) key: Key<Act>,
    pub(crate) listener: ListenerId,
    pub(crate) at: SocketAddr,
}

impl Rig {
    pub(crate) fn new(act: Act) -> Self {
        Self::with_config(act, Config::default())
    }

    pub(crate) fn with_config(act: Act, config: Config) -> Self {
        watch_log();
        let mut reactor = Reactor::new(config).unwrap();
        let key = reactor.add(act);
        let (listener, at) = listen(&mut reactor, key);
        Self { reactor, key, listener, at }
    }

    /// A client whose reads and writes end at the test's patience. The kernel completes the connection by itself.
    pub(crate) fn client(&self) -> TcpStream {
        client(self.at)
    }

    /// A client, and its connection once the reactor has accepted it.
    pub(crate) fn open(&mut self) -> (TcpStream, ConnId) {
        let before = self.ids();
        let client = self.client();
        let mut found = None;
        self.until("the connection is accepted", |rig| {
            found = rig.ids().into_iter().find(|id| !before.contains(id));
            found.is_some()
        });
        (client, found.unwrap())
    }

    pub(crate) fn ids(&mut self) -> Vec<ConnId> {
        self.reactor.with(self.key, |_, table| table.ids().collect())
    }

    pub(crate) fn ended(&mut self) -> usize {
        self.reactor.with(self.key, |act, _| act.ended.len())
    }

    /// The `n`-th connection that ended.
    pub(crate) fn nth<T>(&mut self, n: usize, f: impl FnOnce(&Ended) -> T) -> T {
        self.reactor.with(self.key, |act, _| f(&act.ended[n]))
    }

    pub(crate) fn turn(&mut self) {
        self.reactor.turn(Some(LOOK)).unwrap();
        #[cfg(feature = "testing")]
        self.reactor.check();
    }

    /// Turns until `done`, at most as long as the test's patience.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < deadline, "never came: {what}; {:?}", self.reactor);
            self.turn();
        }
    }

    /// Turns until `count` connections have ended.
    pub(crate) fn until_ended(&mut self, count: usize) {
        self.until("the connections end", |rig| rig.ended() >= count);
        assert_eq!(self.ended(), count, "on_close came too often");
    }

    /// Runs a client on a thread of its own, and turns until it is done.
    pub(crate) fn with_client<T: Send + 'static>(
        &mut self,
        client: impl FnOnce(SocketAddr) -> T + Send + 'static,
    ) -> T {
        let at = self.at;
        let thread = thread::spawn(move || client(at));
        self.until("the client is done", |_| thread.is_finished());
        thread.join().unwrap()
    }

    /// Reads what the reactor sends to this client, up to its FIN.
    pub(crate) fn read_all(&mut self, mut from: TcpStream) -> io::Result<Vec<u8>> {
        self.with_client(move |_| {
            let mut all = Vec::new();
            from.read_to_end(&mut all).map(|_| all)
        })
    }
}

/// One more listener of a service on loopback.
pub(crate) fn listen<H: Handler>(reactor: &mut Reactor, key: Key<H>) -> (ListenerId, SocketAddr) {
    let listener = reactor.listen(key, &Endpoint::tcp(([127, 0, 0, 1], 0))).unwrap();
    (listener, address(reactor, listener))
}

pub(crate) fn address(reactor: &Reactor, listener: ListenerId) -> SocketAddr {
    let Address::Tcp(at) = reactor.local(listener).unwrap().address else { panic!("no TCP listener") };
    at
}

/// A client whose reads and writes end at the test's patience.
pub(crate) fn client(at: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(at).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.set_write_timeout(Some(PATIENCE)).unwrap();
    client
}

/// Sees the log lines of all tests in this process.
struct Log(Mutex<Vec<String>>);

impl log::Log for Log {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Debug
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) && record.target().starts_with("tidemill") {
            let line = format!("{} {}", record.level(), record.args());
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    fn flush(&self) {}
}

static LOG: Log = Log(Mutex::new(Vec::new()));

/// Installs the log, once for all tests.
pub(crate) fn watch_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&LOG).unwrap();
        log::set_max_level(log::LevelFilter::Debug);
    });
}

/// The log lines so far that hold `text`.
pub(crate) fn logged(text: &str) -> Vec<String> {
    let lines = LOG.0.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().filter(|line| line.contains(text)).cloned().collect()
}

/// Runs an ignored test of this binary in a process of its own.
pub(crate) fn child(name: &str) {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"])
        .output()
        .unwrap();
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success() && text.contains("1 passed"), "{name}: {text}");
}
