//! The echo by futures. `cargo run --example echo_futures --features async -- 127.0.0.1:8007`, then `nc 127.0.0.1 8007`.

use std::io;

use tidemill::reactor::Reactor;
use tidemill::reactor::future::{self, Stream};

/// With `copy` for whoever only moves bytes; a loop of `read` and `write_all` would do the same with a copy more.
async fn echo(stream: Stream) -> io::Result<u64> {
    let (mut read, mut write) = stream.split();
    future::copy(&mut read, &mut write).await
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut reactor = Reactor::new(Default::default())?;
    let at = std::env::args().nth(1).unwrap_or("127.0.0.1:8007".into());
    let mut acceptor = reactor.acceptor(&at.parse()?)?;
    println!("listening {} echo", acceptor.local());
    let server = async move {
        while let Ok((stream, _)) = acceptor.accept().await {
            future::spawn(echo(stream)).detach();
        }
    };
    reactor.spawn(server).detach();
    Ok(reactor.run()?)
}
