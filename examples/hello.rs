//! An HTTP service in a few lines: `cargo run --features http --example hello -- 127.0.0.1:8080`, then
//! `curl -i 127.0.0.1:8080/hello/tide`.

use tidemill::http::Server;
use tidemill::reactor::Reactor;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let http = Server::new(0u64)
        .fixed("/", "Hello, World!")
        .get("/hello/:name", |greeted, request, _| {
            *greeted += 1;
            let name = request.param("name").unwrap_or("nobody".into());
            format!("Hello, {name}! You are the {greeted}. to be greeted.\n")
        })
        .build()?;
    let mut reactor = Reactor::new(Default::default())?;
    let http = reactor.add(http);
    let at = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    let listener = reactor.listen(http, &at.parse()?)?;
    println!("listening {} http", reactor.local(listener).ok_or("no listener")?);
    Ok(reactor.run()?)
}
