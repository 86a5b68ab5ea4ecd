//! Futures on the real kernel, over loopback, with peers of the standard library and with `futures-lite` on top.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use futures_lite::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, StreamExt};
use tidemill::reactor::future::{self, Acceptor, Stream};
use tidemill::reactor::{Address, Config, Endpoint, Reactor, TaskError};

/// No wait of a peer lasts longer.
const PATIENCE: Duration = Duration::from_secs(20);

fn reactor() -> Reactor {
    Reactor::new(Config::default()).unwrap()
}

fn loopback() -> Endpoint {
    Endpoint::tcp(([127, 0, 0, 1], 0))
}

fn address(acceptor: &Acceptor) -> SocketAddr {
    let Address::Tcp(at) = acceptor.local().address else { panic!("no TCP listener") };
    at
}

fn client(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn megabytes_come_back_from_an_echo_by_copy_and_by_hand() {
    async fn by_hand(mut stream: Stream) {
        let mut buf = vec![0; 10_000];
        while let Ok(n @ 1..) = stream.read(&mut buf).await {
            stream.write_all(&buf[..n]).await.unwrap();
        }
    }
    async fn by_copy(stream: Stream) {
        let (mut read, mut write) = stream.split();
        assert_eq!(future::copy(&mut read, &mut write).await.unwrap(), 8 << 20);
    }
    for copies in [false, true] {
        let mut reactor = reactor();
        let mut acceptor = reactor.acceptor(&loopback()).unwrap();
        let at = address(&acceptor);
        let peer = thread::spawn(move || {
            let mut stream = client(at);
            let text: Vec<u8> =
                (0..8 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            let (mut to, sent) = (stream.try_clone().unwrap(), text.clone());
            let writing = thread::spawn(move || {
                to.write_all(&sent).unwrap();
                to.shutdown(Shutdown::Write).unwrap();
            });
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            writing.join().unwrap();
            assert!(got == text, "other bytes came back");
        });
        let served = reactor.block_on(async {
            let (stream, _) = acceptor.accept().await.unwrap();
            let task = if copies { future::spawn(by_copy(stream)) } else { future::spawn(by_hand(stream)) };
            future::timeout(PATIENCE, task).await
        });
        assert_eq!(served.unwrap(), Ok(Ok(())));
        let mut last = 0;
        while reactor.connections() > 0 {
            reactor.turn(Some(Duration::from_millis(20))).unwrap();
            last += 1;
            assert!(last < 1000, "the connection never ends");
        }
        peer.join().unwrap();
    }
}

#[test]
fn a_stream_serves_the_traits_of_futures_io() {
    let mut reactor = reactor();
    let mut acceptor = reactor.acceptor(&loopback()).unwrap();
    let at = address(&acceptor);
    let peer = thread::spawn(move || {
        let mut stream = client(at);
        for part in ["first li", "ne\nsecond line\nlast", ""] {
            stream.write_all(part.as_bytes()).unwrap();
        }
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let lines: Vec<String> = reactor
        .block_on(async {
            let (stream, _) = acceptor.accept().await.unwrap();
            let (read, mut write) = stream.split();
            let lines: Vec<String> = read.lines().map(Result::unwrap).collect().await;
            AsyncWriteExt::write_all(&mut write, lines.join("|").as_bytes()).await.unwrap();
            AsyncWriteExt::close(&mut write).await.unwrap();
            lines
        })
        .unwrap();
    assert_eq!(lines, ["first line", "second line", "last"]);
    while reactor.connections() > 0 {
        reactor.turn(Some(PATIENCE)).unwrap();
    }
    assert_eq!(peer.join().unwrap(), "first line|second line|last");
}

#[test]
fn a_client_by_futures_speaks_with_a_server_of_the_standard_library() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = Endpoint::tcp(server.local_addr().unwrap());
    let peer = thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let mut question = Vec::new();
        stream.read_to_end(&mut question).unwrap();
        stream.write_all(b"answer to ").unwrap();
        stream.write_all(&question).unwrap();
    });
    let answer = reactor().block_on(future::timeout(PATIENCE, async {
        let mut stream = future::connect(&at).await?;
        stream.write_all(b"question").await?;
        stream.finish().await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    }));
    assert_eq!(answer.unwrap().unwrap().unwrap(), "answer to question");
    peer.join().unwrap();
}

#[test]
fn work_on_threads_is_awaited_and_its_panic_is_an_error() {
    let got = reactor().block_on(async {
        let home = thread::current().id();
        let there = future::offload(|| thread::current().id()).await.unwrap();
        assert_ne!(home, there);
        let many = (0..20u64).map(|n| future::offload(move || n * n));
        let sum: u64 = future::join_all(many).await.into_iter().map(Result::unwrap).sum();
        let broken = future::offload(|| -> u8 { panic!("a panic that is meant") }).await;
        (sum, broken)
    });
    assert_eq!(got.unwrap(), (2470, Err(TaskError::Panicked)));
}

#[test]
fn a_thousand_connections_come_and_go() {
    let mut reactor = reactor();
    let mut acceptor = reactor.acceptor(&loopback()).unwrap();
    let at = acceptor.local().clone();
    reactor
        .spawn(async move {
            while let Ok((stream, _)) = acceptor.accept().await {
                future::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    future::copy(&mut read, &mut write).await
                })
                .detach();
            }
        })
        .detach();
    let good = reactor.block_on(async move {
        let one = |n: u32| {
            let at = at.clone();
            async move {
                let mut stream = future::connect(&at).await.unwrap();
                stream.write_all(&n.to_be_bytes()).await.unwrap();
                let mut back = [0; 4];
                stream.read_exact(&mut back).await.unwrap();
                assert_eq!(u32::from_be_bytes(back), n);
                stream.close().await.unwrap().reason.name()
            }
        };
        let mut good = 0;
        for round in 0..10 {
            let tasks: Vec<_> = (0..100).map(|n| future::spawn(one(round * 100 + n))).collect();
            for task in tasks {
                good += u32::from(task.await == Ok("finished"));
            }
        }
        good
    });
    assert_eq!(good.unwrap(), 1000);
}
