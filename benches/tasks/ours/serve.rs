//! The echo servers: by handler, and by futures in two ways.

use tidemill::proto::echo::Echo;
#[cfg(feature = "async")]
use tidemill::reactor::future::{self, Stream};
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

/// A loop of reads and writes, as the peers have it.
#[cfg(feature = "async")]
pub(crate) fn echo_futures(port: &str) -> Done {
    futures(port, |mut stream| async move {
        let mut buf = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = stream.read(&mut buf).await {
            if stream.write_all(&buf[..n]).await.is_err() {
                return;
            }
        }
    })
}

/// `copy`, which moves blocks instead of bytes.
#[cfg(feature = "async")]
pub(crate) fn echo_copy(port: &str) -> Done {
    futures(port, |stream| async move {
        let (mut read, mut write) = stream.split();
        let _ = future::copy(&mut read, &mut write).await;
    })
}

#[cfg(feature = "async")]
fn futures<F: Future<Output = ()> + 'static>(port: &str, echo: impl Fn(Stream) -> F + 'static) -> Done {
    let mut reactor = Reactor::new(Default::default())?;
    let mut acceptor = reactor.acceptor(&at(port)?)?;
    let server = async move {
        while let Ok((stream, _)) = acceptor.accept().await {
            future::spawn(echo(stream)).detach();
        }
    };
    reactor.spawn(server).detach();
    Ok(reactor.run()?)
}
