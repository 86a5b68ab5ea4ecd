//! An HTTP service in a few lines: `cargo run --example hello -- 127.0.0.1:8080`, then `curl -i 127.0.0.1:8080`.

use tidemill::proto::http1::{App, Cx, Http, Prepared, Reply, Request};
use tidemill::reactor::Reactor;

struct Hello(Prepared);

impl App for Hello {
    fn on_request(&mut self, request: &Request<'_>, reply: &mut Reply<'_, Self>, _: &mut Cx<'_, Self>) {
        match request.head.path {
            b"/" => reply.prepared(&mut self.0),
            _ => reply.status(404),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut reactor = Reactor::new(Default::default())?;
    let hello = Prepared::new(200, &[("Content-Type", b"text/plain")], b"Hello, World!")?;
    let http = reactor.add(Http::new(Hello(hello)));
    let at = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    let listener = reactor.listen(http, &at.parse()?)?;
    println!("listening {} http", reactor.local(listener).ok_or("no listener")?);
    Ok(reactor.run()?)
}
