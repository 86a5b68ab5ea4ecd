//! How connections end: half-close, close, lingering, abort; what `on_close` sees, and the log line.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use tidemill::reactor::{By, Deadline, PhaseName, Refuse};

use crate::support::{Act, Rig, client, logged};

#[test]
fn after_the_peers_fin_every_byte_is_echoed_and_then_our_fin_comes() {
    const SIZE: usize = 8 << 20;
    let mut rig = Rig::new(Act::new());
    let echoed = rig.with_client(|at| {
        let mut stream = client(at);
        let mut writer = stream.try_clone().unwrap();
        let sent: Vec<u8> = (0..SIZE).map(|n| ((n * 31) >> 3) as u8).collect();
        let expected = sent.clone();
        let writing = std::thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        writing.join().unwrap();
        got == expected
    });
    assert!(echoed);
    rig.until_ended(1);
    rig.nth(0, |e| {
        assert_eq!((e.reason(), e.report.reason.by), ("finished", By::Peer));
        let d = e.report.ledger.transfer.unwrap();
        assert_eq!((d.bytes_in, d.bytes_out), (SIZE as u64, SIZE as u64));
        assert_eq!(e.conn.log.iter().filter(|c| **c == "eof").count(), 1);
        assert_eq!((e.conn.log[0], *e.conn.log.last().unwrap()), ("open", "eof"));
    });
}

#[test]
fn after_our_fin_the_peer_may_go_on_sending() {
    let mut rig = Rig::new(
        Act::new()
            .open(|_, ctx| {
                ctx.tx.write(b"your turn");
                ctx.finish();
            })
            .data(|conn, ctx| {
                assert_eq!(ctx.tx.room(), 0, "the write side is closed");
                conn.bytes.extend_from_slice(&ctx.rx);
                let n = ctx.rx.len();
                ctx.rx.consume(n);
            }),
    );
    rig.with_client(|at| {
        let mut stream = client(at);
        let mut greeting = String::new();
        stream.read_to_string(&mut greeting).unwrap();
        assert_eq!(greeting, "your turn");
        for _ in 0..3 {
            stream.write_all(&[7; 50_000]).unwrap();
        }
    });
    rig.until_ended(1);
    rig.nth(0, |e| {
        assert_eq!((e.reason(), e.report.reason.by), ("finished", By::Us));
        assert_eq!(e.conn.bytes, vec![7; 150_000]);
    });
}

#[test]
fn a_handler_that_writes_after_its_fin_still_sees_the_end_of_file() {
    let mut rig = Rig::new(Act::new().open(|_, ctx| ctx.finish()));
    rig.with_client(|at| {
        let mut stream = client(at);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        stream.write_all(b"into the void").unwrap();
    });
    rig.until_ended(1);
    rig.nth(0, |e| assert_eq!((e.reason(), *e.conn.log.last().unwrap()), ("finished", "eof")));
}

#[test]
fn close_sends_all_that_was_written_first() {
    let mut rig = Rig::new(Act::new().open(|conn, ctx| {
        conn.n = ctx.tx.write(&[5; 64 * 1024]) as u64;
        ctx.close();
    }));
    let stream = rig.client();
    let got = rig.read_all(stream).unwrap();
    assert_eq!(got, vec![5; 64 * 1024]);
    rig.until_ended(1);
    rig.nth(0, |e| {
        assert_eq!((e.reason(), e.report.reason.unsent, e.conn.n), ("finished", 0, 64 * 1024));
        assert_eq!(e.report.reason.phase, PhaseName::Transfer);
        assert!(e.report.ledger.teardown.linger.is_some(), "our FIN came first: it lingers");
    });
}

/// Answers the first byte and closes, whatever else comes.
fn hasty() -> Act {
    Act::new().data(|_, ctx| {
        ctx.tx.write(b"enough, thank you");
        ctx.close();
    })
}

#[test]
fn a_peer_that_still_sends_reads_the_answer_and_no_reset() {
    let mut rig = Rig::new(hasty());
    let answer = rig.with_client(|at| {
        let mut stream = client(at);
        for _ in 0..200 {
            stream.write_all(&[1; 10_000]).unwrap();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    });
    assert_eq!(answer.unwrap(), "enough, thank you");
    rig.until_ended(1);
    rig.nth(0, |e| assert_eq!((e.reason(), e.report.reason.by), ("finished", By::Us)));
}

#[test]
fn lingering_ends_after_silence_and_after_its_whole_time() {
    for (silence, whole) in [(40, 10_000), (10_000, 40)] {
        let mut rig = Rig::new(hasty().limits(|l| {
            l.linger_silence = std::time::Duration::from_millis(silence);
            l.linger_timeout = std::time::Duration::from_millis(whole);
        }));
        let mut stream = rig.client();
        stream.write_all(b"x").unwrap();
        rig.until_ended(1);
        rig.nth(0, |e| {
            let linger = e.report.ledger.teardown.linger.unwrap();
            assert!((39_000_000..5_000_000_000).contains(&linger), "{linger} ns of lingering");
            assert_eq!(e.reason(), "finished");
        });
    }
}

#[test]
fn a_close_behind_our_own_fin_lingers_within_bounds() {
    let mut rig = Rig::new(
        Act::new()
            .limits(|l| l.linger_silence = std::time::Duration::from_millis(30))
            .open(|_, ctx| ctx.finish())
            .data(|_, ctx| ctx.close()),
    );
    let mut stream = rig.client();
    assert_eq!(rig.read_all(stream.try_clone().unwrap()).unwrap(), b"");
    stream.write_all(b"x").unwrap();
    rig.until_ended(1);
    rig.nth(0, |e| assert!(e.report.ledger.teardown.linger.is_some()));
}

#[test]
fn a_clean_close_does_not_linger() {
    let mut rig = Rig::new(Act::new().data(|_, ctx| {
        ctx.tx.take_from(&mut ctx.rx);
        ctx.close_clean();
    }));
    let mut stream = rig.client();
    stream.write_all(b"whole").unwrap();
    rig.until_ended(1);
    assert_eq!(rig.read_all(stream).unwrap(), b"whole");
    rig.nth(0, |e| assert_eq!(e.report.ledger.teardown.linger, None));
}

#[test]
fn an_abort_is_seen_by_the_peer_as_a_reset() {
    let mut rig = Rig::new(Act::new().data(|_, ctx| ctx.abort()));
    let mut stream = rig.client();
    stream.write_all(b"x").unwrap();
    rig.until_ended(1);
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    rig.nth(0, |e| assert_eq!((e.reason(), e.report.reason.by), ("tcp.aborted", By::Us)));
}

/// Closes with RST.
fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
}

#[test]
fn a_peers_reset_ends_the_connection_even_while_it_is_paused() {
    for paused in [false, true] {
        let mut rig = Rig::new(Act::new().open(move |_, ctx| {
            if paused {
                ctx.pause();
            }
        }));
        let (stream, _) = rig.open();
        rig.turn();
        reset(stream);
        rig.until_ended(1);
        rig.nth(0, |e| {
            assert_eq!((e.reason(), e.report.reason.by), ("tcp.reset", By::Peer), "paused: {paused}");
            assert_eq!(e.report.reason.errno, Some(rustix::io::Errno::CONNRESET.raw_os_error()));
        });
    }
}

#[test]
fn a_failure_behind_a_close_replaces_a_harmless_reason() {
    let mut rig = Rig::new(
        Act::new()
            .limits(|l| l.stall_timeout = Some(std::time::Duration::from_millis(60)))
            .data(|conn, ctx| {
                let n = ctx.rx.len();
                ctx.rx.consume(n);
                conn.n += ctx.tx.write(&[1; 64 * 1024]) as u64;
            })
            .room(|conn, ctx| {
                conn.n += ctx.tx.write(&[1; 64 * 1024]) as u64;
                if conn.n > 32 << 20 {
                    ctx.close();
                }
            })
            .timer(|_, ctx| ctx.close())
            .open(|_, ctx| ctx.set_timer(std::time::Duration::from_millis(30))),
    );
    let mut stream = rig.client();
    stream.write_all(b"x").unwrap();
    rig.until_ended(1);
    rig.nth(0, |e| {
        let r = e.report.reason;
        assert_eq!(
            (r.name(), r.deadline, r.phase),
            ("tcp.stalled", Some(Deadline::Stall), PhaseName::Teardown)
        );
        assert!(r.unsent > 0);
    });
}

#[test]
fn on_close_comes_with_a_view_of_the_peers_who_can_be_told() {
    let mut rig = Rig::new(Act::new().close(|_, report, table| {
        assert!(table.output(report.id).is_none() && table.conn(report.id).is_none(), "it is no more");
        let peers: Vec<_> = table.ids().collect();
        for peer in peers {
            table.output(peer).unwrap().write(format!("{} left\n", report.peer).as_bytes());
        }
    }));
    let (leaver, _) = rig.open();
    let (mut stays, _) = rig.open();
    let name = leaver.local_addr().unwrap();
    drop(leaver);
    rig.until_ended(1);
    let told = rig.with_client(move |_| {
        let mut text = vec![0; format!("{name} left\n").len()];
        stays.read_exact(&mut text).unwrap();
        (String::from_utf8(text).unwrap(), name)
    });
    assert_eq!(told.0, format!("{} left\n", told.1));
}

#[test]
fn verbs_on_a_connection_that_is_gone_say_so_and_do_nothing() {
    let mut rig = Rig::new(Act::new());
    let (stream, id) = rig.open();
    drop(stream);
    rig.until_ended(1);
    let (_next, other) = rig.open();
    rig.reactor.with(rig.key, |_, table| {
        assert!(!table.is_live(id) && table.is_live(other) && id != other);
        let did = [table.pause(id), table.resume(id), table.finish(id), table.close(id), table.abort(id)];
        assert_eq!(did, [false; 5]);
        assert!(!table.set_timer(id, None) && !table.set_deadline(id, None) && !table.set_busy(id, true));
        assert!(table.output(id).is_none() && table.peer(id).is_none() && table.conn(id).is_none());
    });
    rig.turn();
    assert_eq!(rig.ended(), 1);
}

#[test]
fn every_close_makes_one_debug_line_with_reason_and_ledger() {
    // No other test moves so many bytes: their peers may have had the same port.
    const SIZE: usize = 4243;
    let mut rig = Rig::new(Act::new());
    let peers: Vec<_> = (1..=3)
        .map(|n| {
            let (mut stream, _) = rig.open();
            let name = stream.local_addr().unwrap();
            stream.write_all(&[7; SIZE]).unwrap();
            let echo = rig.with_client(move |_| stream.read_exact(&mut [0; SIZE]).map(|()| stream));
            drop(echo.unwrap());
            rig.until_ended(n);
            name
        })
        .collect();
    for peer in peers {
        let lines: Vec<_> =
            logged(&format!(" peer={peer} ")).into_iter().filter(|l| l.contains("in=4243")).collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        for part in ["DEBUG close ", " finished by=Peer phase=Transfer ", " total=", " out=4243 ", " close="]
        {
            assert!(lines[0].contains(part), "no '{part}' in {}", lines[0]);
        }
    }
}

#[test]
fn a_refusal_with_words_is_read_by_the_peer_and_has_no_on_close() {
    let mut rig = Rig::new(Act::new().accept(|_| Err(Refuse::with(&b"not today\n"[..]))));
    let mut stream = rig.client();
    stream.write_all(&[0; 1000]).unwrap();
    assert_eq!(rig.read_all(stream).unwrap(), b"not today\n");
    rig.until("the refused connection goes", |rig| rig.reactor.connections() == 0);
    assert_eq!(rig.ended(), 0);
}
