//! HTTP and a protocol of one's own on one reactor: a line that is sent over TCP is listed over HTTP, and what is posted
//! over HTTP goes to everybody on TCP. No lock, no thread, no channel between them.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use sim::{Side, tcp};
use tidemill::http::{Http, HttpConfig, Server};
use tidemill::reactor::testing::{Rng, World};
use tidemill::reactor::{Accepted, ConnId, Ctx, Endpoint, Handler, Key, Limits, Refuse, Report, Table};

/// What HTTP serves.
#[derive(Default)]
struct Board {
    lines: Vec<String>,
    wall: Option<Key<Wall>>,
}

/// The embedder's own protocol: tells HTTP what it hears.
struct Wall {
    members: Vec<ConnId>,
    board: Key<Http<Board>>,
}

impl Handler for Wall {
    type Conn = ();

    fn limits(&self) -> Limits {
        sim::patient()
    }

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
        Ok(())
    }

    fn on_open(&mut self, (): &mut (), ctx: &mut Ctx<'_, Self>) {
        self.members.push(ctx.id());
    }

    fn on_data(&mut self, (): &mut (), ctx: &mut Ctx<'_, Self>) {
        while let Some(end) = ctx.rx.iter().position(|b| *b == b'\n') {
            let line = String::from_utf8_lossy(&ctx.rx[..end]).into_owned();
            ctx.rx.consume(end + 1);
            ctx.table.post_to(self.board, move |http, _| http.state().lines.push(line));
        }
    }

    fn on_close(&mut self, (): (), report: &Report, _: &mut Table<'_, Self>) {
        self.members.retain(|member| *member != report.id);
    }
}

/// The one process's polls move the clock as far as they must: nobody here is to lose patience.
fn unhurried() -> HttpConfig {
    let mut config = HttpConfig::default();
    config.connection = sim::patient();
    config
}

#[test]
fn http_and_an_own_protocol_share_a_reactor_and_post_to_each_other() {
    for seed in 0..50 {
        let world = World::new(seed);
        let mut rng = Rng::new(seed);
        let mut server = Side::new(&world);
        let (web, own) = (tcp(), Endpoint::tcp(([127, 0, 0, 1], 9999)));
        let http = Server::new(Board::default())
            .config(unhurried())
            .get("/lines", |board, _, _| board.lines.join(","))
            .post("/lines", |board, request, cx| {
                let text = request.body().to_vec();
                cx.table().post_to(board.wall?, move |wall: &mut Wall, table| {
                    for id in &wall.members {
                        table.output(*id).map(|mut tx| tx.write(&text));
                    }
                });
                Some(202)
            })
            .build()
            .unwrap();
        let board = server.reactor.add(http);
        let key = server.reactor.add(Wall { members: Vec::new(), board });
        server.reactor.with(board, |http, _| http.state().wall = Some(key));
        server.reactor.listen(board, &web).unwrap();
        server.reactor.listen(key, &own).unwrap();

        let (mut client, mut member) = (world.dial(&web).unwrap(), world.dial(&own).unwrap());
        let mut turn = |until: &mut dyn FnMut() -> bool| {
            for _ in 0..10_000 {
                server.turn();
                if until() {
                    return;
                }
                world.step();
            }
            panic!("it does not come to an end, seed {seed}");
        };
        let said = b"high\ntide\n";
        let cut = rng.between(0, said.len());
        let mut sent = 0;
        turn(&mut || {
            sent += member.write(&said[sent..if sent < cut { cut } else { said.len() }]);
            sent == said.len()
        });
        let mut got = Vec::new();
        let ask = b"GET /lines HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut asked = 0;
        // Asked until the lines are there: the post takes a turn.
        turn(&mut || {
            asked += client.write(&ask[asked..]);
            got.extend(client.read());
            let whole = [&b"\r\n\r\n"[..], b"\r\n\r\nhigh", b"\r\n\r\nhigh,tide"];
            let length =
                got.windows(18).find_map(|w| w.strip_prefix(b"Content-Length: ").map(|n| n[0] - b'0'));
            let body = whole.iter().find(|end| length == Some(end.len() as u8 - 4) && got.ends_with(end));
            let done = body.is_some_and(|body| body.ends_with(b"tide"));
            if body.is_some() && !done {
                (asked, got) = (0, Vec::new());
            }
            done
        });
        let post = b"POST /lines HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nebb";
        let mut posted = 0;
        let mut heard = Vec::new();
        got.clear();
        turn(&mut || {
            posted += client.write(&post[posted..]);
            got.extend(client.read());
            heard.extend(member.read());
            got.starts_with(b"HTTP/1.1 202 ") && heard == b"ebb"
        });
    }
}
