//! Connecting out: established, refused, timed out, over Unix sockets; adopted descriptors.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use tidemill::reactor::ledger::ConnectParts;
use tidemill::reactor::{By, Deadline, Endpoint, Peer, PhaseName};

use crate::support::{Act, Conn, PATIENCE, Rig};

/// Sends a question when it is connected, and keeps the answer.
fn asker() -> Act {
    Act::new()
        .open(|_, ctx| {
            ctx.tx.write(b"ping");
        })
        .data(|conn, ctx| {
            conn.bytes.extend_from_slice(&ctx.rx);
            let n = ctx.rx.len();
            ctx.rx.consume(n);
            if conn.bytes.len() == 4 {
                ctx.finish();
            }
        })
}

#[test]
fn an_established_connect_opens_talks_and_ends() {
    let mut rig = Rig::new(Act::new());
    let out = rig.reactor.add(asker());
    let id = rig.reactor.connect(out, &rig.at.into(), Conn::default()).unwrap();
    assert!(rig.reactor.with(out, |_, table| table.is_live(id) && table.len() == 1));
    rig.until("the answer", |rig| rig.reactor.with(out, |act, _| act.ended.len() == 1));
    rig.reactor.with(out, |act, _| {
        let e = &act.ended[0];
        assert_eq!((e.conn.log[0], e.conn.bytes.as_slice()), ("open", &b"ping"[..]));
        assert_eq!((e.reason(), e.report.reason.by, e.report.listener), ("finished", By::Us, None));
        let ConnectParts::Outbound { handshake, open, .. } = e.report.ledger.connect else {
            panic!("inbound")
        };
        assert!(handshake.is_some() && open.is_some());
        assert_eq!(e.report.ledger.sum(), e.report.ledger.total);
    });
}

#[test]
fn a_refused_connect_ends_with_its_errno_and_without_on_open() {
    let mut rig = Rig::new(asker());
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    rig.reactor.connect(rig.key, &nobody.into(), Conn::default()).unwrap();
    rig.until_ended(1);
    rig.nth(0, |e| {
        let r = e.report.reason;
        assert_eq!((r.name(), r.by, r.phase), ("tcp.refused", By::Peer, PhaseName::Connect));
        assert_eq!(r.errno, Some(rustix::io::Errno::CONNREFUSED.raw_os_error()));
        assert!(e.conn.log.is_empty() && e.report.ledger.transfer.is_none());
        assert!(r.class.unwrap().retryable);
        assert_eq!(e.report.ledger.sum(), e.report.ledger.total);
    });
}

/// A listener whose accept queue is full: the kernel drops further connects, which then hang.
fn deaf_listener() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let at = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&at, Duration::from_millis(200)) {
        held.push(stream);
        assert!(held.len() < 16, "the accept queue does not fill");
    }
    (listener, held)
}

#[test]
fn a_connect_that_nobody_answers_ends_at_its_own_deadline() {
    let (deaf, _held) = deaf_listener();
    let mut rig = Rig::new(asker().limits(|l| l.connect_timeout = Some(Duration::from_millis(50))));
    rig.reactor.connect(rig.key, &deaf.local_addr().unwrap().into(), Conn::default()).unwrap();
    rig.until_ended(1);
    rig.nth(0, |e| {
        let r = e.report.reason;
        assert_eq!((r.name(), r.deadline, r.by), ("tcp.timed_out", Some(Deadline::Connect), By::Reactor));
        assert!(e.conn.log.is_empty());
        // The deadline counts from the wish to connect, the ledger from the call, which a busy machine makes later.
        assert!((20_000_000..5_000_000_000).contains(&e.report.ledger.total), "{}", e.report.ledger);
    });
}

#[test]
fn a_connect_that_is_closed_before_it_stands_ends_once() {
    let (deaf, _held) = deaf_listener();
    for verb in ["close", "finish", "abort"] {
        let mut rig = Rig::new(asker());
        let id = rig.reactor.connect(rig.key, &deaf.local_addr().unwrap().into(), Conn::default()).unwrap();
        rig.turn();
        rig.reactor.with(rig.key, |_, table| match verb {
            "close" => table.close(id),
            "finish" => table.finish(id),
            _ => table.abort(id),
        });
        rig.until_ended(1);
        rig.nth(0, |e| assert_eq!((e.report.reason.by, e.conn.log.len()), (By::Us, 0), "{verb}"));
    }
}

#[test]
fn names_and_descriptors_are_not_connected_to() {
    let mut rig = Rig::new(asker());
    for text in ["localhost:80", "fd:0"] {
        let error = rig.reactor.connect(rig.key, &text.parse().unwrap(), Conn::default()).unwrap_err();
        assert_eq!(error.class.name, "socket.invalid", "{error}");
    }
    assert_eq!((rig.ended(), rig.reactor.connections()), (0, 0));
}

#[test]
fn unix_connects_are_established_and_refused_by_path_and_by_abstract_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.sock");
    let name = format!("unix:@tidemill-test-{}", std::process::id());
    for at in [Endpoint::unix(&path), name.parse().unwrap()] {
        let mut rig = Rig::new(Act::new());
        let out = rig.reactor.add(asker());
        let listener = rig.reactor.listen(rig.key, &at).unwrap();
        assert_eq!(rig.reactor.local(listener), Some(&at));
        rig.reactor.connect(out, &at, Conn::default()).unwrap();
        rig.until("the answer", |rig| rig.reactor.with(out, |act, _| act.ended.len() == 1));
        rig.reactor.with(out, |act, _| {
            assert_eq!((act.ended[0].reason(), act.ended[0].report.peer), ("finished", Peer::Unix));
            assert_eq!(act.ended[0].conn.bytes, b"ping");
        });
        assert!(rig.reactor.unlisten(listener));
        rig.reactor.connect(out, &at, Conn::default()).unwrap();
        rig.until("the refusal", |rig| rig.reactor.with(out, |act, _| act.ended.len() == 2));
        let missing = if at == Endpoint::unix(&path) { "socket.not_found" } else { "tcp.refused" };
        rig.reactor.with(out, |act, _| assert_eq!(act.ended[1].reason(), missing));
    }
    drop(UnixListener::bind(&path).unwrap());
    // A child that another test starts at this moment holds all descriptors until its exec.
    let patience = Instant::now() + PATIENCE;
    while UnixStream::connect(&path).is_ok() {
        assert!(Instant::now() < patience, "the dropped socket still listens");
        std::thread::yield_now();
    }
    let mut rig = Rig::new(asker());
    rig.reactor.connect(rig.key, &Endpoint::unix(&path), Conn::default()).unwrap();
    rig.until_ended(1);
    rig.nth(0, |e| assert_eq!(e.reason(), "tcp.refused"));
}

#[test]
fn an_adopted_socket_pair_is_a_connection_like_any_other() {
    let mut rig = Rig::new(Act::new());
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let kept = ours.try_clone().unwrap();
    rig.reactor.adopt(rig.key, ours.into(), Conn::default()).unwrap();
    theirs.write_all(b"over a pair").unwrap();
    theirs.shutdown(std::net::Shutdown::Write).unwrap();
    rig.until_ended(1);
    let mut echo = [0; 11];
    theirs.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"over a pair");
    rig.nth(0, |e| assert_eq!((e.reason(), e.report.listener), ("finished", None)));
    // The duplicate keeps the socket open; a closed connection must hear of it no more.
    kept.shutdown(std::net::Shutdown::Both).unwrap();
    let quiet = rig.reactor.turn(Some(Duration::from_millis(10))).unwrap();
    assert_eq!(quiet.events, 0);
}

#[test]
fn an_adopted_pipe_is_read_to_its_end() {
    let mut rig = Rig::new(Act::new().data(|conn, ctx| {
        conn.bytes.extend_from_slice(&ctx.rx);
        let n = ctx.rx.len();
        ctx.rx.consume(n);
    }));
    let (read, mut write) = std::io::pipe().unwrap();
    rig.reactor.adopt(rig.key, read.into(), Conn::default()).unwrap();
    write.write_all(b"through a pipe").unwrap();
    rig.until("the bytes", |rig| {
        rig.reactor.with(rig.key, |_, table| {
            let id = table.ids().next().unwrap();
            table.conn(id).unwrap().bytes == b"through a pipe"
        })
    });
    drop(write);
    rig.until_ended(1);
    rig.nth(0, |e| assert_eq!((e.reason(), *e.conn.log.last().unwrap()), ("finished", "eof")));
}

#[test]
fn an_adopted_pipe_is_written_to_and_closed() {
    for verb in ["close_clean", "close", "finish"] {
        let mut rig = Rig::new(Act::new().open(move |_, ctx| {
            ctx.tx.write(&[3; 60_000]);
            match verb {
                "close" => ctx.close(),
                "finish" => ctx.finish(),
                _ => ctx.close_clean(),
            }
        }));
        let (mut read, write) = std::io::pipe().unwrap();
        rig.reactor.adopt(rig.key, write.into(), Conn::default()).unwrap();
        let got = rig.with_client(move |_| {
            let mut all = Vec::new();
            read.read_to_end(&mut all).map(|_| all)
        });
        assert_eq!(got.unwrap(), vec![3; 60_000], "{verb}");
        rig.until_ended(1);
        rig.nth(0, |e| {
            assert_eq!(e.reason(), "finished", "{verb}");
            assert!(e.report.ledger.total < 1_900_000_000, "{verb}: nobody is lingered for");
        });
    }
}

#[test]
fn a_pipe_whose_reader_has_gone_ends_as_a_peer_that_vanished() {
    let mut rig = Rig::new(Act::new());
    let (read, write) = std::io::pipe().unwrap();
    let id = rig.reactor.adopt(rig.key, write.into(), Conn::default()).unwrap();
    rig.turn();
    drop(read);
    rig.reactor.with(rig.key, |_, table| table.output(id).map(|mut tx| tx.write(b"anybody?")));
    rig.until_ended(1);
    rig.nth(0, |e| assert_eq!(e.reason(), "tcp.peer_vanished"));
}

#[test]
fn a_regular_file_is_not_adopted() {
    let mut rig = Rig::new(Act::new());
    let file = tempfile::tempfile().unwrap();
    let error = rig.reactor.adopt(rig.key, file.into(), Conn::default()).unwrap_err();
    assert_eq!((error.op, error.class.name), ("adopt", "socket.invalid"));
    assert_eq!((rig.reactor.connections(), rig.ended()), (0, 0));
}

#[test]
fn a_connect_that_is_ended_before_it_was_issued_costs_nobody_else_anything() {
    for verb in ["close", "finish", "abort", "drain"] {
        let mut rig = Rig::new(asker());
        let file = std::sync::Arc::new(tempfile::tempfile().unwrap());
        file.set_len(16 << 20).unwrap();
        let (stream, other) = rig.open();
        rig.reactor.with(rig.key, |_, table| table.send_file(other, file, 0..16 << 20)).unwrap();
        let to = rig.at.into();
        rig.reactor.with(rig.key, |_, table| {
            let id = table.connect(&to, Conn::default()).unwrap();
            match verb {
                "close" => table.close(id),
                "finish" => table.finish(id),
                "abort" => table.abort(id),
                _ => true,
            }
        });
        if verb == "drain" {
            rig.reactor.stop(PATIENCE);
        }
        rig.until_ended(1);
        rig.nth(0, |e| assert_eq!(e.report.reason.phase, PhaseName::Connect, "{verb}"));
        rig.reactor.with(rig.key, |_, table| table.close(other));
        let got = rig.read_all(stream).unwrap();
        assert_eq!(got.len(), 4 + (16 << 20), "{verb}: the greeting and the file of another connection");
    }
}

#[test]
fn the_end_of_an_adopted_socket_does_not_wait_for_its_duplicates() {
    for verb in ["close", "abort"] {
        let mut rig = Rig::new(Act::new().data(move |_, ctx| match verb {
            "abort" => ctx.abort(),
            _ => ctx.close_clean(),
        }));
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let kept = ours.try_clone().unwrap();
        rig.reactor.adopt(rig.key, ours.into(), Conn::default()).unwrap();
        theirs.write_all(b"end").unwrap();
        rig.until_ended(1);
        theirs.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        assert!(theirs.read_to_end(&mut rest).is_ok_and(|n| n == 0), "{verb}: the peer hears of it");
        drop(kept);
    }
}

#[test]
fn a_datagram_socket_is_not_adopted_as_a_stream() {
    let mut rig = Rig::new(Act::new());
    let (ours, _theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let error = rig.reactor.adopt(rig.key, ours.into(), Conn::default()).unwrap_err();
    assert_eq!((error.op, error.class.name), ("adopt", "socket.invalid"));
}

#[test]
fn a_linger_time_on_the_endpoint_does_not_stop_the_loop() {
    let mut rig = Rig::new(Act::new().data(|_, ctx| {
        ctx.rx.consume(usize::MAX);
        ctx.tx.write(&[7; 60_000]);
        ctx.close_clean();
    }));
    let at: Endpoint = "127.0.0.1:0,linger=5,sndbuf=200000".parse().unwrap();
    let listener = rig.reactor.listen(rig.key, &at).unwrap();
    let to = crate::support::address(&rig.reactor, listener);
    // It asks and never reads, and its window is small: most of the answer waits in our kernel when we close.
    let deaf = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    deaf.set_recv_buffer_size(4096).unwrap();
    deaf.connect(&to.into()).unwrap();
    (&deaf).write_all(b"go").unwrap();
    rig.until_ended(1);
    rig.nth(0, |e| {
        assert_eq!((e.reason(), e.report.ledger.transfer.unwrap().bytes_out), ("finished", 60_000));
        assert!(e.report.ledger.teardown.close < 2_000_000_000, "close(2) waited for the linger time");
    });
}
