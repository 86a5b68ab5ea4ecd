//! 10^5 connections of every kind: each ledger sums to its total, each `on_close` comes once, both ends agree.
//!
//! One reactor plays both sides, over many loopback addresses, so that no port is waited for.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, TcpListener};

use tidemill::reactor::{
    Accepted, Address, By, Config, ConnId, Ctx, Endpoint, Handler, Key, Reactor, Refuse, Report, Table,
};

/// Connections at one time.
const WIDTH: u32 = 64;

/// How many connections begin, both sides and refused ones counted.
const TOTAL: u64 = 100_000;

/// What a connection is to show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Plan {
    /// Some bytes there and back, then FIN from the client.
    Echo,
    /// The server closes behind its answer.
    ServerCloses,
    /// The client resets once it has its answer.
    ClientAborts,
    /// The server resets at the first byte.
    ServerAborts,
    /// Nobody listens.
    Refused,
    /// A connection without a byte.
    Silent,
}

const PLANS: [Plan; 12] = [
    Plan::Echo,
    Plan::ServerCloses,
    Plan::Echo,
    Plan::ClientAborts,
    Plan::Echo,
    Plan::Silent,
    Plan::ServerCloses,
    Plan::ServerAborts,
    Plan::Echo,
    Plan::Refused,
    Plan::Echo,
    Plan::ServerCloses,
];

/// What the first byte tells the server to do.
fn word(plan: Plan) -> u8 {
    match plan {
        Plan::ServerCloses => b'c',
        Plan::ServerAborts => b'a',
        Plan::Echo | Plan::ClientAborts | Plan::Refused | Plan::Silent => b'e',
    }
}

/// Asserts what holds for every report, and counts it.
#[derive(Default)]
struct Books {
    seen: HashSet<ConnId>,
    reasons: HashMap<&'static str, u64>,
}

impl Books {
    fn enter(&mut self, report: &Report) {
        assert_eq!(report.ledger.sum(), report.ledger.total, "{report:?}");
        assert!(self.seen.insert(report.id), "on_close twice: {report:?}");
        *self.reasons.entry(report.reason.name()).or_default() += 1;
    }
}

#[derive(Default)]
struct Server {
    accepted: u64,
    books: Books,
    /// Bytes in and out of the connections that ended in order.
    bytes: (u64, u64),
}

impl Handler for Server {
    type Conn = ();

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
        self.accepted += 1;
        Ok(())
    }

    fn on_data(&mut self, (): &mut (), ctx: &mut Ctx<'_, Self>) {
        let first = ctx.rx[0];
        ctx.tx.take_from(&mut ctx.rx);
        match first {
            b'c' => ctx.close_clean(),
            b'a' => ctx.abort(),
            _ => {}
        }
    }

    fn on_close(&mut self, (): (), report: &Report, _: &mut Table<'_, Self>) {
        self.books.enter(report);
        if let (Some(d), "finished") = (report.ledger.transfer, report.reason.name()) {
            self.bytes = (self.bytes.0 + d.bytes_in, self.bytes.1 + d.bytes_out);
        }
    }
}

struct Client {
    to: Vec<Endpoint>,
    nobody: Endpoint,
    began: u64,
    books: Books,
    /// Bytes out and in of the connections that ended in order.
    bytes: (u64, u64),
}

struct Asked {
    plan: Plan,
    size: usize,
    got: usize,
}

impl Client {
    fn begin(&mut self, table: &mut Table<'_, Self>) {
        let n = self.began as usize;
        self.began += 1;
        let plan = PLANS[n % PLANS.len()];
        let to = if plan == Plan::Refused { &self.nobody } else { &self.to[n % self.to.len()] };
        let conn = Asked { plan, size: 1 + n * 7 % 900, got: 0 };
        assert!(table.connect(to, conn).is_ok());
    }
}

impl Handler for Client {
    type Conn = Asked;

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<Asked, Refuse> {
        Err(Refuse::silent())
    }

    fn on_open(&mut self, asked: &mut Asked, ctx: &mut Ctx<'_, Self>) {
        if asked.plan == Plan::Silent {
            ctx.finish();
            return;
        }
        ctx.tx.write(&[word(asked.plan)]);
        ctx.tx.write(&vec![b'.'; asked.size - 1]);
        if asked.plan == Plan::Echo {
            ctx.finish();
        }
    }

    fn on_data(&mut self, asked: &mut Asked, ctx: &mut Ctx<'_, Self>) {
        asked.got += ctx.rx.len();
        ctx.rx.consume(usize::MAX);
        if asked.plan == Plan::ClientAborts && asked.got == asked.size {
            ctx.abort();
        }
    }

    fn on_close(&mut self, asked: Asked, report: &Report, table: &mut Table<'_, Self>) {
        self.books.enter(report);
        let (reason, plan) = (report.reason, asked.plan);
        match plan {
            Plan::Refused => assert_eq!((reason.name(), report.ledger.transfer), ("tcp.refused", None)),
            Plan::ClientAborts => assert_eq!((reason.name(), reason.by), ("tcp.aborted", By::Us)),
            Plan::ServerAborts => assert_eq!((reason.name(), reason.by), ("tcp.reset", By::Peer)),
            Plan::Echo | Plan::ServerCloses => {
                assert_eq!((reason.name(), asked.got), ("finished", asked.size), "{plan:?}");
            }
            Plan::Silent => assert_eq!(reason.name(), "finished"),
        }
        if let (Some(d), "finished") = (report.ledger.transfer, reason.name()) {
            self.bytes = (self.bytes.0 + d.bytes_out, self.bytes.1 + d.bytes_in);
        }
        if self.began < TOTAL / 2 + TOTAL / 24 {
            self.begin(table);
        }
    }
}

/// A listener on each of some loopback addresses, and a port where nobody listens.
fn places(reactor: &mut Reactor, key: Key<Server>) -> (Vec<Endpoint>, Endpoint) {
    let to = (1..=16).map(|n| {
        let at = Endpoint::tcp((Ipv4Addr::new(127, 0, 7, n), 0));
        let listener = reactor.listen(key, &at).unwrap();
        let Address::Tcp(at) = reactor.local(listener).unwrap().address else { panic!("no TCP") };
        Endpoint::tcp(at)
    });
    let nobody = TcpListener::bind("127.0.7.99:0").unwrap().local_addr().unwrap();
    (to.collect(), Endpoint::tcp(nobody))
}

#[test]
fn over_a_hundred_thousand_connections_every_ledger_sums_and_every_close_comes_once() {
    let mut reactor = Reactor::new(Config::default()).unwrap();
    let server = reactor.add(Server::default());
    let (to, nobody) = places(&mut reactor, server);
    let client = Client { to, nobody, began: 0, books: Books::default(), bytes: (0, 0) };
    let client = reactor.add(client);
    reactor.with(client, |client, table| (0..WIDTH).for_each(|_| client.begin(table)));
    while reactor.connections() > 0 {
        reactor.turn(Some(std::time::Duration::from_secs(5))).unwrap();
    }
    let (began, books, bytes) = reactor.with(client, |c, _| (c.began, std::mem::take(&mut c.books), c.bytes));
    let (accepted, theirs, their_bytes) =
        reactor.with(server, |s, _| (s.accepted, std::mem::take(&mut s.books), s.bytes));
    assert!(began + accepted >= TOTAL, "{began} + {accepted}");
    assert_eq!((books.seen.len() as u64, theirs.seen.len() as u64), (began, accepted));
    assert_eq!(reactor.stats().closed, began + accepted);
    let refused = books.reasons["tcp.refused"];
    assert_eq!(accepted + refused, began, "each connect that was not refused was accepted");
    for reason in ["finished", "tcp.aborted", "tcp.reset"] {
        assert!(books.reasons[reason] > 100, "{reason}: {:?}", books.reasons);
    }
    assert_eq!(bytes, their_bytes, "the two sides of what ended in order");
}

#[test]
fn server_and_client_of_a_connection_agree_on_bytes_and_order() {
    use crate::support::{Act, Conn, Rig};
    let mut rig = Rig::new(Act::new());
    let ask = rig.reactor.add(
        Act::new()
            .open(|conn, ctx| {
                ctx.tx.write(&vec![1; conn.n as usize]);
                ctx.finish();
            })
            .data(|_, ctx| ctx.rx.consume(usize::MAX)),
    );
    const COUNT: usize = 200;
    for n in 0..COUNT {
        let conn = Conn { n: n as u64 * 97, ..Conn::default() };
        rig.reactor.connect(ask, &rig.at.into(), conn).unwrap();
    }
    rig.until_ended(COUNT);
    rig.until("the clients end", |rig| rig.reactor.with(ask, |act, _| act.ended.len() == COUNT));
    let mut sizes: Vec<_> = rig.reactor.with(rig.key, |act, _| {
        act.ended
            .iter()
            .map(|e| e.report.ledger.transfer.unwrap())
            .map(|d| (d.bytes_in, d.bytes_out))
            .collect()
    });
    let mut asked: Vec<_> = rig.reactor.with(ask, |act, _| {
        act.ended
            .iter()
            .map(|e| e.report.ledger.transfer.unwrap())
            .map(|d| (d.bytes_out, d.bytes_in))
            .collect()
    });
    sizes.sort_unstable();
    asked.sort_unstable();
    assert_eq!(sizes, asked);
    assert_eq!(asked, (0..COUNT as u64).map(|n| (n * 97, n * 97)).collect::<Vec<_>>());
}
