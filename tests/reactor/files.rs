//! Files on their way: behind a head, before what follows, cut short, refused.

use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;

use tidemill::reactor::{By, PhaseName};

use crate::support::{Act, Conn, Rig, client};

const SIZE: u64 = 5 << 20;

/// A file of `SIZE` bytes that say where they stand.
fn file() -> (tempfile::NamedTempFile, Arc<File>) {
    let mut named = tempfile::NamedTempFile::new().unwrap();
    named.write_all(&content()).unwrap();
    let open = Arc::new(File::open(named.path()).unwrap());
    (named, open)
}

fn content() -> Vec<u8> {
    (0..SIZE).map(|n| (n ^ n >> 8 ^ n >> 16) as u8).collect()
}

/// A head, the file from byte 3 on, and a tail that `on_room` writes.
fn sender(file: Arc<File>) -> Act {
    Act::new()
        .open(move |_, ctx| {
            ctx.tx.write(b"head ");
            ctx.send_file(Arc::clone(&file), 3..SIZE).unwrap();
            assert_eq!((ctx.tx.room(), ctx.tx.write(b"too early"), ctx.tx.len()), (0, 0, 5));
            let twice = ctx.send_file(Arc::clone(&file), 0..1);
            assert!(twice.is_err(), "one file at a time");
        })
        .room(|_, ctx| {
            assert!(ctx.tx.is_empty(), "on_room while a file is sent");
            ctx.tx.write(b" tail");
            ctx.close_clean();
        })
}

#[test]
fn a_large_file_follows_its_head_and_what_is_written_on_room_follows_it() {
    let (_keep, file) = file();
    let mut rig = Rig::new(sender(file));
    let stream = rig.client();
    let got = rig.read_all(stream).unwrap();
    let expected = [&b"head "[..], &content()[3..], b" tail"].concat();
    assert_eq!(got.len(), expected.len());
    assert!(got == expected, "other bytes");
    rig.until_ended(1);
    rig.nth(0, |e| {
        assert_eq!((e.reason(), e.conn.log.as_slice()), ("finished", &["open", "room"][..]));
        assert_eq!(e.report.ledger.transfer.unwrap().bytes_out, SIZE - 3 + 10);
    });
}

#[test]
fn head_and_file_of_a_small_answer_come_in_one_segment() {
    let mut named = tempfile::NamedTempFile::new().unwrap();
    named.write_all(b"body").unwrap();
    let file = Arc::new(File::open(named.path()).unwrap());
    let mut rig = Rig::new(Act::new().open(move |_, ctx| {
        ctx.tx.write(b"head ");
        ctx.send_file(Arc::clone(&file), 0..4).unwrap();
    }));
    let (mut stream, _) = rig.open();
    rig.until("all is sent", |rig| {
        rig.reactor.with(rig.key, |_, table| {
            let id = table.ids().next().unwrap();
            table.conn(id).unwrap().log.contains(&"room")
        })
    });
    let mut buf = [0; 64];
    let n = stream.read(&mut buf).unwrap();
    assert_eq!(&buf[..n], b"head body");
}

#[test]
fn requests_behind_a_file_wait_and_are_answered_after_it() {
    let (_keep, file) = file();
    let mut rig = Rig::new(Act::new().data(move |conn, ctx| {
        let asked = ctx.rx.first().copied();
        if ctx.tx.room() == 0 && asked.is_some() {
            // A file is on its way: a write that does not fit brings on_data again.
            assert!(!ctx.tx.reserve(1));
            return;
        }
        ctx.rx.consume(1);
        match asked {
            Some(b'f') => ctx.send_file(Arc::clone(&file), 0..SIZE).unwrap(),
            Some(other) => assert!(ctx.tx.write_whole(&[other])),
            None => {}
        }
        conn.n += 1;
        if !ctx.rx.is_empty() {
            ctx.pause();
            ctx.resume();
        }
    }));
    let got = rig.with_client(|at| {
        let mut stream = client(at);
        stream.write_all(b"afbfc").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all
    });
    let c = content();
    assert!(got == [b"a", &c[..], b"b", &c[..], b"c"].concat(), "{} bytes", got.len());
    rig.until_ended(1);
    rig.nth(0, |e| assert_eq!((e.conn.n, *e.conn.log.last().unwrap()), (5, "eof")));
}

#[test]
fn a_file_that_is_cut_short_ends_the_connection_and_is_never_filled_up() {
    let (keep, file) = file();
    let mut rig = Rig::new(sender(file));
    let stream = rig.client();
    rig.until("the file is under way", |rig| rig.reactor.connections() == 1);
    rig.turn();
    keep.as_file().set_len(SIZE / 4 * 3).unwrap();
    let got = rig.with_client(move |_| {
        let (mut stream, mut all) = (stream, Vec::new());
        let _ = stream.read_to_end(&mut all);
        all
    });
    assert!(got.starts_with(b"head ") && got.len() as u64 <= SIZE / 4 * 3 + 2, "{} bytes", got.len());
    assert!(got[5..] == content()[3..got.len() - 2], "filler");
    rig.until_ended(1);
    rig.nth(0, |e| {
        let r = e.report.reason;
        assert_eq!((r.name(), r.phase), ("http.file_truncated", PhaseName::Transfer));
        assert!(r.unsent >= SIZE / 4 - 10, "{r}");
    });
}

#[test]
fn a_range_of_nothing_is_sent_at_once_and_on_room_follows() {
    let (_keep, file) = file();
    let mut rig = Rig::new(
        Act::new()
            .open(move |_, ctx| ctx.send_file(Arc::clone(&file), 7..7).unwrap())
            .room(|_, ctx| ctx.close_clean()),
    );
    let stream = rig.client();
    assert_eq!(rig.read_all(stream).unwrap(), b"");
    rig.until_ended(1);
    rig.nth(0, |e| assert_eq!(e.conn.log, ["open", "room"]));
}

#[test]
fn a_file_goes_to_another_connection_by_the_table() {
    let (_keep, file) = file();
    let mut rig = Rig::new(Act::new());
    let (stream, id) = rig.open();
    rig.reactor.with(rig.key, |_, table| {
        table.output(id).unwrap().write(b"for you: ");
        table.send_file(id, Arc::clone(&file), 0..100).unwrap();
        assert_eq!(table.output(id).unwrap().room(), 0);
        assert!(table.send_file(id, Arc::clone(&file), 0..1).is_err());
        table.close(id);
    });
    let got = rig.read_all(stream).unwrap();
    assert!(got == [b"for you: ", &content()[..100]].concat(), "{got:?}");
    rig.until_ended(1);
    let gone = rig.reactor.with(rig.key, |_, table| table.send_file(id, file, 0..1));
    assert!(gone.is_err());
}

#[test]
fn a_close_behind_a_file_sends_it_whole_and_finish_refuses_the_next() {
    let (_keep, file) = file();
    let again = Arc::clone(&file);
    let mut rig = Rig::new(Act::new().open(move |_, ctx| {
        ctx.send_file(Arc::clone(&file), 0..SIZE).unwrap();
        ctx.finish();
        assert!(ctx.send_file(Arc::clone(&again), 0..1).is_err());
    }));
    let stream = rig.client();
    assert_eq!(rig.read_all(stream).unwrap().len() as u64, SIZE);
    rig.until_ended(1);
    rig.nth(0, |e| assert_eq!((e.reason(), e.report.reason.by), ("finished", By::Us)));
}

#[test]
fn a_peer_that_leaves_a_file_half_way_costs_only_its_connection() {
    let (_keep, file) = file();
    let counted = Arc::clone(&file);
    let mut rig = Rig::new(sender(file));
    let (stream, _) = rig.open();
    let (_idle, _) = rig.open();
    rig.turn();
    drop(stream);
    rig.until_ended(1);
    rig.nth(0, |e| assert!(["tcp.reset", "tcp.peer_vanished"].contains(&e.reason()), "{}", e.reason()));
    assert_eq!(rig.reactor.connections(), 1);
    drop(rig);
    assert_eq!(Arc::strong_count(&counted), 1, "the file is let go");
}

#[test]
fn a_file_is_not_sent_before_the_connection_stands() {
    let (_keep, file) = file();
    let mut rig = Rig::new(Act::new());
    let id = rig.reactor.connect(rig.key, &rig.at.into(), Conn::default()).unwrap();
    let sent = rig.reactor.with(rig.key, |_, table| table.send_file(id, file, 0..1));
    assert!(sent.is_err());
}
