//! Futures on the simulated kernel: streams under faults, cancelling at every await, wakers from anywhere, fairness.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use sim::{MS, S, Side, endpoint, patient, tcp, until};
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

#[test]
fn a_message_is_answered_in_the_turn_that_brings_it_with_one_read_and_one_write() {
    use tidemill::reactor::testing::Call;
    let world = World::new(1);
    let mut side = Side::new(&world);
    let acceptor = side.reactor.acceptor_with(&tcp(), patient()).unwrap();
    side.reactor.spawn(serve_echo(acceptor, 4096)).detach();
    let mut peer = world.dial(&tcp()).unwrap();
    side.settle();
    for _ in 0..10 {
        let calls = || [Call::Read, Call::Write, Call::Poll].map(|call| world.calls_of(call));
        let before = calls();
        peer.write(b"hello");
        side.turn();
        assert_eq!(peer.read(), b"hello");
        let after = calls();
        assert_eq!([0, 1, 2].map(|n| after[n] - before[n]), [1, 1, 1]);
        assert_ne!(side.reactor.next_wait(), Some(Duration::ZERO), "nothing is left to do");
    }
    assert_eq!(world.wasted_calls(), 0);
}

#[test]
fn what_nobody_reads_closes_the_window_and_what_nobody_takes_makes_the_writer_wait() {
    let world = World::new(1);
    let mut side = Side::new(&world);
    let mut acceptor = side.reactor.acceptor_with(&tcp(), patient()).unwrap();
    let (go, wrote) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
    let (wait, count) = (Rc::clone(&go), Rc::clone(&wrote));
    side.reactor
        .spawn(async move {
            let (mut stream, _) = acceptor.accept().await.unwrap();
            for _ in 0..100 {
                stream.write_all(&[7; 10_000]).await.unwrap();
                count.set(count.get() + 1);
            }
            stream.flush().await.unwrap();
            while !wait.get() {
                future::sleep(MS).await;
            }
            let mut all = 0;
            let mut buf = [0; 1000];
            loop {
                match stream.read(&mut buf).await.unwrap() {
                    0 => break,
                    n => all += n,
                }
            }
            assert_eq!(all, 500_000);
        })
        .detach();
    let mut peer = world.dial(&tcp()).unwrap();
    side.pass(S);
    let stuck = wrote.get();
    assert!(stuck > 3 && stuck < 20, "{stuck}");
    let mut got = 0;
    until(&mut side, "all was written", |_| {
        got += peer.read().len();
        got == 1_000_000
    });
    let (text, mut sent) = (vec![1; 500_000], 0);
    for _ in 0..100 {
        sent += peer.write(&text[sent..]);
        side.tick(MS);
    }
    assert!(sent < 300_000, "{sent} bytes were taken that nobody reads");
    go.set(true);
    until(&mut side, "all was read", |side| {
        sent += peer.write(&text[sent..]);
        if sent == text.len() {
            peer.shutdown_write();
        }
        peer.read();
        side.reactor.connections() == 0 || peer.is_eof()
    });
    peer.close();
    until(&mut side, "closed", |side| side.reactor.connections() == 0);
    kept(&side, 0, 0);
}

#[test]
fn each_half_ends_by_itself() {
    seeds("each_half_ends_by_itself", |seed| {
        let faults = Faults::benign().swarm(seed);
        let text = Rng::new(seed).bytes((faults.buffer_max * 5).min(4000));
        let world = World::with_faults(seed, faults);
        let mut side = Side::new(&world);
        let at = endpoint(seed);
        let mut acceptor = side.reactor.acceptor_with(&at, patient()).unwrap();
        let (answer, reports) = (text.clone(), Rc::<RefCell<Vec<_>>>::default());
        let to = Rc::clone(&reports);
        side.reactor
            .spawn(async move {
                let (mut stream, _) = acceptor.accept().await.unwrap();
                let mut got = Vec::new();
                let mut buf = [0; 700];
                // Our end comes first, or the peer's.
                if seed % 4 < 2 {
                    stream.write_all(&answer).await.unwrap();
                    stream.finish().await.unwrap();
                    assert_eq!(stream.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
                }
                loop {
                    match stream.read(&mut buf).await.unwrap() {
                        0 => break,
                        n => got.extend_from_slice(&buf[..n]),
                    }
                }
                assert_eq!(got, answer);
                assert_eq!(stream.read(&mut buf).await.unwrap(), 0, "the end stays the end");
                if seed % 4 >= 2 {
                    stream.write_all(&answer).await.unwrap();
                }
                let report = stream.close().await.unwrap();
                to.borrow_mut().push(report.reason.name());
            })
            .detach();
        let mut peer = world.dial(&at).unwrap();
        let (mut sent, mut got) = (0, Vec::new());
        until(&mut side, "the end of the stream", |_| {
            got.extend(peer.read());
            if sent < text.len() && (seed % 4 >= 2 || peer.is_eof()) {
                sent += peer.write(&text[sent..]);
                if sent == text.len() {
                    peer.shutdown_write();
                }
            }
            peer.is_eof() && sent == text.len()
        });
        assert_eq!(got, text);
        until(&mut side, "closed", |side| side.reactor.connections() == 0 && !reports.borrow().is_empty());
        assert_eq!(*reports.borrow(), ["finished"]);
        kept(&side, 0, 0);
    });
}

#[test]
fn a_stream_that_is_dropped_sends_what_was_written() {
    seeds("a_stream_that_is_dropped_sends_what_was_written", |seed| {
        let faults = Faults::benign().swarm(seed);
        let text = Rng::new(seed).bytes((faults.buffer_max * 5).min(12_000));
        let world = World::with_faults(seed, faults);
        let mut side = Side::new(&world);
        let at = endpoint(seed);
        let mut acceptor = side.reactor.acceptor_with(&at, patient()).unwrap();
        let answer = text.clone();
        // Where a stream is kept that is dropped outside of any poll.
        let shelf: Rc<RefCell<Option<Stream>>> = Rc::default();
        let to = Rc::clone(&shelf);
        side.reactor
            .spawn(async move {
                let (mut stream, _) = acceptor.accept().await.unwrap();
                let mut one = [0];
                stream.read_exact(&mut one).await.unwrap();
                stream.write_all(&answer).await.unwrap();
                if seed % 2 == 0 {
                    *to.borrow_mut() = Some(stream);
                }
            })
            .detach();
        let mut peer = world.dial(&at).unwrap();
        // The peer goes on sending, as an upload does that is refused: no reset overtakes the answer.
        let mut got = Vec::new();
        until(&mut side, "the end of the stream", |_| {
            peer.write(&[7; 100]);
            got.extend(peer.read_up_to(3000));
            drop(shelf.borrow_mut().take());
            peer.is_eof()
        });
        assert_eq!(got, text, "{:?}", peer.error());
        peer.close();
        until(&mut side, "closed", |side| side.reactor.connections() == 0);
        kept(&side, 0, 0);
    });
}

#[test]
fn streams_and_tasks_that_outlive_their_reactor_are_harmless() {
    let world = World::new(1);
    let mut side = Side::new(&world);
    let mut acceptor = side.reactor.acceptor(&tcp()).unwrap();
    let shelf: Rc<RefCell<Vec<Box<dyn std::any::Any>>>> = Rc::default();
    let to = Rc::clone(&shelf);
    let task = side.reactor.spawn(async move {
        let (stream, _) = acceptor.accept().await.unwrap();
        to.borrow_mut().push(Box::new(future::sleep(S)));
        to.borrow_mut().push(Box::new(stream.split()));
        to.borrow_mut().push(Box::new(acceptor));
    });
    let _peer = world.dial(&tcp()).unwrap();
    until(&mut side, "it was accepted", |_| shelf.borrow().len() == 3);
    let process = side.process;
    drop(side);
    assert_eq!((world.open_sockets(process), world.open_listeners(process)), (0, 0));
    drop(task);
    shelf.borrow_mut().clear();
}

/// A client and a server that do a little of everything; whichever await a drop meets, nothing may be left behind.
async fn busy(at: tidemill::reactor::Endpoint, book: Rc<Cell<u32>>) -> io::Result<()> {
    let mut acceptor = future::listen(&at).await.map_err(io::Error::other)?;
    let served = Rc::clone(&book);
    let server = future::spawn(async move {
        while let Ok((stream, _)) = acceptor.accept().await {
            let served = Rc::clone(&served);
            future::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = future::timeout(20 * MS, future::copy(&mut read, &mut write)).await;
                let _ = write.finish().await;
                served.set(served.get() + 1);
            })
            .detach();
        }
    });
    let client = |n: u8| {
        let at = at.clone();
        async move {
            let mut stream = future::connect(&at).await?;
            let mut echoed = [0; 500];
            for _ in 0..4 {
                stream.write_all(&[n; 500]).await?;
                stream.read_exact(&mut echoed).await?;
                assert_eq!(echoed, [n; 500]);
                future::sleep(MS).await;
            }
            stream.flush().await?;
            let report = stream.close().await?;
            Ok::<_, io::Error>(report.reason.name())
        }
    };
    let clients: Vec<_> = (0..4).map(|n| future::spawn(client(n))).collect();
    let first = future::race(client(9), future::sleep(5 * MS));
    future::join(first, future::join_all(clients)).await;
    drop(server);
    Ok(())
}

#[test]
fn a_task_that_is_dropped_at_any_await_leaves_nothing_behind() {
    for hostile in [false, true] {
        seeds("a_task_that_is_dropped_at_any_await_leaves_nothing_behind", |seed| {
            let faults = if hostile { Faults::hostile() } else { Faults::benign() };
            let world = World::with_faults(seed, faults.swarm(seed));
            let mut side = Side::new(&world);
            let book = Rc::new(Cell::new(0));
            let task = side.reactor.spawn(busy(endpoint(seed), Rc::clone(&book)));
            for _ in 0..Rng::new(seed).between(0, 300) {
                side.turn();
                if side.reactor.next_wait().is_none() && !world.has_events() {
                    break;
                }
            }
            drop(task);
            // What was detached ends by its own timeouts, and connections by theirs.
            until(&mut side, "all is over", |side| {
                side.reactor.connections() == 0 && side.reactor.futures_kept() == [0; 5]
            });
            assert_eq!(world.open_listeners(side.process), 0);
        });
    }
}

#[test]
fn whichever_call_fails_nothing_is_left_behind() {
    seeds("whichever_call_fails_nothing_is_left_behind", |seed| {
        let world = World::new(seed);
        let mut side = Side::new(&world);
        world.fail_call(seed + 1);
        let done = Rc::new(Cell::new(false));
        let to = Rc::clone(&done);
        side.reactor
            .spawn(async move {
                let _ = future::timeout(60 * S, busy(endpoint(seed), Rc::default())).await;
                to.set(true);
            })
            .detach();
        until(&mut side, "all is over", |side| {
            done.get() && side.reactor.connections() == 0 && side.reactor.futures_kept() == [0; 5]
        });
        assert_eq!(world.open_listeners(side.process), 0);
    });
}
