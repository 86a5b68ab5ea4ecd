//! Futures on the simulated kernel: streams under faults, cancelling at every await, wakers from anywhere, fairness.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use sim::{MS, S, Side, endpoint, patient, read_all, tcp, until, write_all};
use tidemill::reactor::future::{self, Acceptor, Stream};
use tidemill::reactor::testing::{Faults, Rng, World, seeds};

async fn echo(mut stream: Stream, size: usize) -> io::Result<()> {
    let mut buf = vec![0; size];
    loop {
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..n]).await?;
    }
}

async fn serve_echo(mut acceptor: Acceptor, size: usize) {
    while let Ok((stream, _)) = acceptor.accept().await {
        future::spawn(echo(stream, size)).detach();
    }
}

/// What is kept once everything is over, but for so many futures and acceptors.
fn kept(side: &Side, futures: usize, acceptors: usize) {
    assert_eq!(side.reactor.futures_kept(), [futures, 0, 0, 0, acceptors]);
}

#[test]
fn an_echo_by_futures_gives_back_every_byte() {
    seeds("an_echo_by_futures_gives_back_every_byte", |seed| {
        let faults = Faults::benign().swarm(seed);
        let mut rng = Rng::new(seed);
        let text = rng.bytes((faults.buffer_max * 10).min(9000));
        let size = rng.size(5000).max(1);
        let world = World::with_faults(seed, faults);
        let mut side = Side::new(&world);
        let at = endpoint(seed);
        let acceptor = side.reactor.acceptor_with(&at, patient()).unwrap();
        side.reactor.spawn(serve_echo(acceptor, size)).detach();
        let mut peer = world.dial(&at).unwrap();
        let (mut sent, mut got) = (0, Vec::new());
        until(&mut side, "the end of the stream", |_| {
            sent += peer.write(&text[sent..]);
            if sent == text.len() {
                peer.shutdown_write();
                sent += 1;
            }
            sent = sent.min(text.len());
            got.extend(peer.read());
            peer.is_eof()
        });
        assert_eq!(got, text);
        peer.close();
        until(&mut side, "closed", |side| side.reactor.connections() == 0);
        kept(&side, 1, 1);
    });
}

#[test]
fn two_reactors_talk_by_futures() {
    seeds("two_reactors_talk_by_futures", |seed| {
        let faults = Faults::benign().swarm(seed);
        let mut rng = Rng::new(seed);
        let text = Rc::new(rng.bytes((faults.buffer_max * 10).min(9000)));
        let world = World::with_faults(seed, faults);
        let (mut server, mut client) = (Side::new(&world), Side::new(&world));
        let at = endpoint(seed);
        let mut acceptor = server.reactor.acceptor_with(&at, patient()).unwrap();
        server
            .reactor
            .spawn(async move {
                while let Ok((stream, _)) = acceptor.accept().await {
                    let (mut read, mut write) = stream.split();
                    future::spawn(async move { future::copy(&mut read, &mut write).await }).detach();
                }
            })
            .detach();
        let good = Rc::new(Cell::new(false));
        let (note, to) = (Rc::clone(&good), at.clone());
        client
            .reactor
            .spawn(async move {
                let stream = future::connect_with(&to, patient()).await.unwrap();
                let (mut read, mut write) = stream.split();
                let sent = Rc::clone(&text);
                let writing = async move {
                    write.write_all(&sent).await.unwrap();
                    write.finish().await.unwrap();
                };
                let reading = async move {
                    let mut got = Vec::new();
                    loop {
                        let bytes = read.fill_buf().await.unwrap();
                        if bytes.is_empty() {
                            return got;
                        }
                        let n = bytes.len().div_ceil(2);
                        got.extend_from_slice(&bytes[..n]);
                        read.consume(n);
                    }
                };
                let ((), got) = future::join(writing, reading).await;
                assert_eq!(got, *text);
                note.set(true);
            })
            .detach();
        world.drive(|| {
            server.turn();
            client.turn();
            good.get() && client.reactor.connections() == 0 && server.reactor.connections() == 0
        });
        kept(&client, 0, 0);
        kept(&server, 1, 1);
    });
}
