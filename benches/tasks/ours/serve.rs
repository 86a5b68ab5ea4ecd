//! The echo server by handler.

use tidemill::proto::echo::Echo;
use tidemill::reactor::{Endpoint, Reactor};

use crate::Done;

/// The loopback at a port.
pub(crate) fn at(port: &str) -> Result<Endpoint, Box<dyn std::error::Error>> {
    Ok(format!("127.0.0.1:{port}").parse()?)
}

pub(crate) fn echo(port: &str) -> Done {
    let mut reactor = Reactor::new(Default::default())?;
    let echo = reactor.add(Echo::new());
    reactor.listen(echo, &at(port)?)?;
    Ok(reactor.run()?)
}
