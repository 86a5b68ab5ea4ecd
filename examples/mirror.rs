//! Answers each request with what the server made of it: method, target and body. For finding out what a client
//! or a proxy really sends, and for the tests to see where the server thinks that a request ends.
//! `cargo run --example mirror -- 127.0.0.1:8080`, then `curl -d hello 127.0.0.1:8080/path`.

use tidemill::proto::http1::head::Head;
use tidemill::proto::http1::{App, BodyPlan, Cx, Http, Reply, Request};
use tidemill::reactor::Reactor;

/// The largest body that is mirrored; the answer to a larger one is 413.
const BODY_MAX: usize = 1 << 20;

struct Mirror;

impl App for Mirror {
    fn body_plan(&mut self, _head: &Head<'_>) -> BodyPlan {
        BodyPlan::Collect(BODY_MAX)
    }

    fn on_request(&mut self, request: &Request<'_>, reply: &mut Reply<'_, Self>, _: &mut Cx<'_, Self>) {
        let head = request.head;
        let text = [head.method.as_str().as_bytes(), b" ", head.target, b"\n", request.body].concat();
        reply.send(200, &[("Content-Type", b"application/octet-stream")], &text);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut reactor = Reactor::new(Default::default())?;
    let http = reactor.add(Http::new(Mirror));
    let at = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    let listener = reactor.listen(http, &at.parse()?)?;
    println!("listening {} http", reactor.local(listener).ok_or("no listener")?);
    Ok(reactor.run()?)
}
