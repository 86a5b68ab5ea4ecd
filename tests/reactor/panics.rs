//! A callback that panics costs its own connection or task, whichever callback it is.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use tidemill::reactor::By;

use crate::support::{Act, Conn, Rig, client};

/// Panics in the first connection only.
fn once(armed: &mut bool) {
    if std::mem::take(armed) {
        panic!("on purpose, by a test");
    }
}

/// What makes a callback come.
fn provoke(at: std::net::SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = client(at);
    stream.write_all(b"tide")?;
    // A reset that is there already fails this call too; the read says which it was.
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut all = Vec::new();
    stream.read_to_end(&mut all).map(|_| all)
}

/// The first connection's callback panics; the second is served. `on_close` comes once for each.
fn costs_one_connection(name: &str, act: Act) {
    let mut rig = Rig::new(act);
    let (mut bystander, _) = match name {
        "open" => (None, None),
        _ => {
            let stream = rig.client();
            (Some(stream), Some(()))
        }
    };
    let first = rig.with_client(provoke);
    assert!(
        first.as_ref().is_err_and(|e| e.kind() == ErrorKind::ConnectionReset),
        "{name}: a reset, not {first:?}"
    );
    rig.until_ended(1);
    rig.nth(0, |e| {
        let r = e.report.reason;
        assert_eq!((r.name(), r.by), ("task.panicked", By::Us), "{name}");
        assert_eq!(e.report.ledger.sum(), e.report.ledger.total);
        assert_eq!(*e.conn.log.last().unwrap(), name);
    });
    if let Some(stream) = &mut bystander {
        stream.write_all(b"calm").unwrap();
    }
    let second = rig.with_client(provoke).unwrap();
    assert_eq!(second, b"tide", "{name}");
    rig.until_ended(2);
}

#[test]
fn a_panic_in_on_open_costs_its_connection_only() {
    let mut armed = true;
    costs_one_connection("open", Act::new().open(move |_, _| once(&mut armed)));
}

/// Echoes, and gives the callback that is to panic its cause.
fn armed(mut f: impl FnMut(&mut tidemill::reactor::Ctx<'_, Act>) + 'static) -> Act {
    Act::new().data(move |_, ctx| {
        ctx.tx.take_from(&mut ctx.rx);
        f(ctx);
    })
}

#[test]
fn a_panic_in_on_data_costs_its_connection_only() {
    let mut first = true;
    costs_one_connection("data", armed(move |_| once(&mut first)));
}

#[test]
fn a_panic_in_on_eof_costs_its_connection_only() {
    let mut first = true;
    let act = Act::new().data(|conn, ctx| {
        conn.bytes.extend_from_slice(&ctx.rx);
        let n = ctx.rx.len();
        ctx.rx.consume(n);
    });
    costs_one_connection(
        "eof",
        act.eof(move |conn, ctx| {
            once(&mut first);
            ctx.tx.write(&conn.bytes);
            ctx.finish();
        }),
    );
}

#[test]
fn a_panic_in_on_room_costs_its_connection_only() {
    let mut first = true;
    // Only a read of the peer's lets on_room come before the peer has its answer: it answers there.
    let act = Act::new()
        .data(|_, ctx| {
            let file = std::sync::Arc::new(std::fs::File::open("/dev/null").unwrap());
            ctx.pause();
            ctx.send_file(file, 0..0).unwrap();
        })
        .room(move |_, ctx| {
            once(&mut first);
            ctx.tx.take_from(&mut ctx.rx);
            ctx.resume();
        });
    costs_one_connection("room", act);
}

#[test]
fn a_panic_in_on_timer_costs_its_connection_only() {
    let mut first = true;
    let act = Act::new()
        .data(|_, ctx| {
            ctx.pause();
            ctx.set_timer(Duration::from_millis(5));
        })
        .timer(move |_, ctx| {
            once(&mut first);
            ctx.tx.take_from(&mut ctx.rx);
            ctx.resume();
        });
    costs_one_connection("timer", act);
}

#[test]
fn a_panic_in_on_deadline_costs_its_connection_only() {
    let mut first = true;
    let act = Act::new()
        .data(|_, ctx| {
            ctx.pause();
            ctx.set_deadline(Duration::from_millis(5));
        })
        .deadline(move |_, ctx| {
            once(&mut first);
            ctx.tx.take_from(&mut ctx.rx);
            ctx.resume();
        });
    costs_one_connection("deadline", act);
}

#[test]
fn a_panic_in_on_drain_costs_its_connection_only() {
    let mut first = true;
    let mut rig = Rig::new(Act::new().drain(move |_, ctx| {
        once(&mut first);
        ctx.tx.write(b"bye");
        ctx.close_clean();
    }));
    let (one, _) = rig.open();
    let (two, _) = rig.open();
    rig.reactor.stop(crate::support::PATIENCE);
    rig.until_ended(2);
    let ends = [rig.nth(0, |e| e.reason()), rig.nth(1, |e| e.reason())];
    assert!(ends.contains(&"task.panicked") && ends.contains(&"finished"), "{ends:?}");
    let said = [rig.read_all(one), rig.read_all(two)];
    assert!(said.iter().any(|s| s.as_ref().is_ok_and(|s| s == b"bye")), "{said:?}");
    assert!(said.iter().any(Result::is_err), "{said:?}");
}

#[test]
fn a_panic_in_on_accept_costs_its_connection_only() {
    let mut first = true;
    let mut rig = Rig::new(Act::new().accept(move |_| {
        once(&mut first);
        Ok(Conn::default())
    }));
    let (refused, name) = rig.with_client(|at| {
        let mut stream = client(at);
        let name = stream.local_addr().unwrap();
        (stream.read(&mut [0; 1]).map_err(|e| e.kind()), name)
    });
    assert_eq!(refused, Err(ErrorKind::ConnectionReset));
    assert_eq!(rig.with_client(provoke).unwrap(), b"tide");
    rig.until_ended(1);
    rig.nth(0, |e| assert_eq!(e.reason(), "finished"));
    let lines = crate::support::logged(&format!(" peer={name} task.panicked by=Us "));
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[test]
fn a_panic_in_on_limit_refuses_silently() {
    let act = Act::new().limits(|l| l.connections_max = Some(0)).limit(|_| panic!("on purpose, by a test"));
    let mut rig = Rig::new(act);
    let read = rig.with_client(|at| client(at).read(&mut [0; 1]).map_err(|e| e.kind()));
    assert!(matches!(read, Ok(0) | Err(ErrorKind::ConnectionReset)), "{read:?}");
    assert_eq!((rig.reactor.stats().limited, rig.ended()), (1, 0));
}

#[test]
fn a_panic_in_on_close_costs_nothing_else() {
    let mut first = true;
    let mut rig = Rig::new(Act::new().close(move |_, _, _| once(&mut first)));
    for n in 1..=2 {
        assert_eq!(rig.with_client(provoke).unwrap(), b"tide");
        rig.until_ended(n);
    }
    assert_eq!(rig.reactor.connections(), 0);
}

#[test]
fn a_panic_in_a_post_costs_that_post_only() {
    let mut rig = Rig::new(Act::new());
    let (handle, key) = (rig.reactor.handle(), rig.key);
    handle.post(key, |_, _| panic!("on purpose, by a test")).unwrap();
    rig.reactor.with(key, |_, table| {
        table.post(|_, _| panic!("on purpose, by a test"));
        table.post(|act, _| act.notes.push("went on".to_owned()));
    });
    rig.until("the post behind", |rig| rig.reactor.with(key, |act, _| !act.notes.is_empty()));
    assert_eq!(rig.with_client(provoke).unwrap(), b"tide");
}

#[test]
fn a_panic_behind_a_close_is_still_the_reason() {
    let mut first = true;
    let mut rig = Rig::new(armed(move |ctx| {
        ctx.close();
        once(&mut first);
    }));
    let _ = rig.with_client(provoke);
    rig.until_ended(1);
    rig.nth(0, |e| assert_eq!(e.reason(), "task.panicked"));
}

#[test]
fn a_panic_whose_payload_panics_when_it_is_dropped_is_contained_too() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose, by a test: the payload");
        }
    }
    let mut rig = Rig::new(Act::new().data(|_, _| std::panic::panic_any(Bomb)));
    let (mut stream, _) = rig.open();
    stream.write_all(b"x").unwrap();
    rig.until_ended(1);
    rig.nth(0, |e| assert_eq!(e.reason(), "task.panicked"));
}
