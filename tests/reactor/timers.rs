//! User timers, protocol deadlines, idle and stall: that they come, in time and once. Bounds are generous.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use tidemill::reactor::{By, Deadline};

use crate::support::{Act, Rig};

const MS: Duration = Duration::from_millis(1);

/// Upper bound for anything that is due within tens of milliseconds, on a busy machine.
const SOON: u64 = 5_000_000_000;

#[test]
fn a_user_timer_fires_once_and_not_early() {
    let mut rig = Rig::new(Act::new().open(|_, ctx| ctx.set_timer(30 * MS)).timer(|conn, ctx| {
        conn.n = ctx.now().as_nanos();
        ctx.tx.write(b"now");
    }));
    let (mut stream, _) = rig.open();
    let began = Instant::now();
    let told = rig.with_client(move |_| stream.read_exact(&mut [0; 3]).map(|()| stream)).unwrap();
    assert!(began.elapsed() < Duration::from_nanos(SOON));
    drop(told);
    rig.until_ended(1);
    rig.nth(0, |e| {
        let after = e.conn.n - e.report.ledger.began.as_nanos() - e.report.ledger.connect.total();
        assert!((30_000_000..SOON).contains(&after), "after {after} ns");
        assert_eq!(e.conn.log.iter().filter(|c| **c == "timer").count(), 1);
    });
}

#[test]
fn a_timer_can_be_set_later_earlier_and_forgotten() {
    let mut rig = Rig::new(Act::new());
    let ids: Vec<_> = (0..4).map(|_| rig.open()).collect();
    rig.reactor.with(rig.key, |_, table| {
        table.set_timer(ids[0].1, Some(20 * MS));
        table.set_timer(ids[1].1, Some(20 * MS));
        table.set_timer(ids[1].1, None);
        table.set_timer(ids[2].1, Some(20 * MS));
        table.set_timer(ids[2].1, Some(60_000 * MS));
        table.set_timer(ids[3].1, Some(60_000 * MS));
    });
    rig.turn();
    rig.reactor.with(rig.key, |_, table| table.set_timer(ids[3].1, Some(20 * MS)));
    let fired = |rig: &mut Rig| {
        rig.reactor.with(rig.key, |_, table| {
            ids.iter().map(|(_, id)| table.conn(*id).unwrap().log.contains(&"timer")).collect::<Vec<_>>()
        })
    };
    rig.until("both timers", |rig| fired(rig) == [true, false, false, true]);
    let until = Instant::now() + 50 * MS;
    while Instant::now() < until {
        rig.turn();
    }
    assert_eq!(fired(&mut rig), [true, false, false, true]);
}

#[test]
fn timer_and_deadline_live_beside_each_other_and_survive_our_fin() {
    let mut rig = Rig::new(
        Act::new()
            .limits(|l| {
                l.linger_silence = Duration::from_secs(60);
                l.linger_timeout = Duration::from_secs(60);
            })
            .open(|_, ctx| {
                ctx.set_timer(20 * MS);
                ctx.set_deadline(40 * MS);
                ctx.finish();
            })
            .deadline(|_, ctx| ctx.abort()),
    );
    let (_stream, _) = rig.open();
    rig.until_ended(1);
    rig.nth(0, |e| {
        assert_eq!(e.conn.log, ["open", "timer", "deadline"]);
        let total = e.report.ledger.total;
        assert!((40_000_000..SOON).contains(&total), "after {total} ns");
    });
}

#[test]
fn a_protocol_deadline_is_total_and_closes_unless_it_is_cleared() {
    let mut rig = Rig::new(
        Act::new()
            .open(|_, ctx| ctx.set_deadline(50 * MS))
            .data(|conn, ctx| {
                conn.n += ctx.rx.len() as u64;
                if ctx.rx.contains(&b'\n') {
                    ctx.clear_deadline();
                }
                let n = ctx.rx.len();
                ctx.rx.consume(n);
            })
            .deadline(|_, ctx| {
                ctx.tx.write(b"too slow");
                ctx.close();
            }),
    );
    let (mut whole, whole_id) = rig.open();
    whole.write_all(b"whole\n").unwrap();
    let (mut trickle, _) = rig.open();
    // Bytes that trickle in do not extend it.
    let mut answer = Vec::new();
    rig.until("the deadline", |rig| {
        let _ = trickle.write_all(b".");
        rig.reactor.with(rig.key, |_, table| table.ids().count()) == 1
    });
    trickle.shutdown(std::net::Shutdown::Write).unwrap();
    trickle.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"too slow");
    rig.until_ended(1);
    rig.reactor.with(rig.key, |_, table| assert!(table.is_live(whole_id)));
}

#[test]
fn an_idle_connection_ends_at_its_deadline_and_bytes_put_it_off() {
    let mut rig = Rig::new(Act::new().limits(|l| l.idle_timeout = Some(80 * MS)));
    let (mut busy, busy_id) = rig.open();
    busy.set_nonblocking(true).unwrap();
    let (silent, _) = rig.open();
    rig.until("the silent one ends", |rig| {
        let _ = (busy.write(b"x"), busy.read(&mut [0; 64]));
        rig.ended() == 1
    });
    rig.nth(0, |e| {
        let r = e.report.reason;
        assert_eq!((r.name(), r.deadline, r.by), ("tcp.idle", Some(Deadline::Idle), By::Reactor));
        let total = e.report.ledger.total;
        assert!((80_000_000..SOON).contains(&total), "after {total} ns");
    });
    assert_eq!(rig.read_all(silent).unwrap(), b"", "a FIN, not a reset");
    rig.until("the busy one, once it is silent", |rig| {
        rig.reactor.with(rig.key, |_, table| !table.is_live(busy_id))
    });
}

#[test]
fn idle_does_not_count_while_paused_or_busy() {
    let mut rig = Rig::new(Act::new().limits(|l| l.idle_timeout = Some(30 * MS)).open(|_, ctx| {
        let odd = ctx.table.len() % 2 == 1;
        if odd {
            ctx.pause()
        } else {
            ctx.set_busy(true)
        }
        ctx.set_timer(120 * MS);
    }));
    let (_paused, _) = rig.open();
    let (_busy, _) = rig.open();
    rig.until("both timers", |rig| {
        rig.reactor.with(rig.key, |_, table| {
            let ids: Vec<_> = table.ids().collect();
            ids.iter().filter(|id| table.conn(**id).unwrap().log.contains(&"timer")).count() == 2
        })
    });
    assert_eq!(rig.ended(), 0);
    let ids = rig.ids();
    rig.reactor.with(rig.key, |_, table| {
        for id in ids {
            table.resume(id);
            table.set_busy(id, false);
        }
    });
    rig.until_ended(2);
    rig.nth(1, |e| assert_eq!(e.reason(), "tcp.idle"));
}

/// Writes for ever.
fn gusher() -> Act {
    Act::new()
        .limits(|l| l.stall_timeout = Some(100 * MS))
        .open(|_, ctx| {
            ctx.tx.write(&[1; 64 * 1024]);
        })
        .room(|_, ctx| {
            ctx.tx.write(&[1; 64 * 1024]);
        })
}

#[test]
fn a_peer_that_acknowledges_nothing_is_found_by_the_stall_deadline() {
    let mut rig = Rig::new(gusher());
    let stream = rig.client();
    rig.until_ended(1);
    rig.nth(0, |e| {
        let r = e.report.reason;
        assert_eq!((r.name(), r.deadline, r.by), ("tcp.stalled", Some(Deadline::Stall), By::Reactor));
        assert!(r.unsent > 0 && e.report.ledger.total >= 100_000_000);
        assert!(e.report.ledger.total < SOON, "{}", e.report.ledger);
    });
    drop(stream);
}

#[test]
fn a_peer_that_reads_slowly_but_steadily_is_no_stall() {
    let mut rig = Rig::new(gusher());
    let (stream, id) = rig.open();
    stream.set_nonblocking(true).unwrap();
    let until = Instant::now() + 400 * MS;
    let mut chunk = vec![0; 256 * 1024];
    while Instant::now() < until {
        let _ = (&stream).read(&mut chunk);
        for _ in 0..4 {
            rig.turn();
        }
    }
    rig.reactor.with(rig.key, |_, table| assert!(table.is_live(id)));
    rig.until_ended(1);
    rig.nth(0, |e| assert_eq!(e.reason(), "tcp.stalled"));
}

#[test]
fn after_a_pause_longer_than_the_idle_deadline_the_peers_time_begins_anew() {
    let mut rig = Rig::new(
        Act::new()
            .limits(|l| l.idle_timeout = Some(150 * MS))
            .open(|_, ctx| {
                ctx.pause();
                ctx.set_timer(400 * MS);
            })
            .timer(|conn, ctx| {
                conn.n = ctx.now().as_nanos();
                ctx.resume();
            }),
    );
    let (_stream, _) = rig.open();
    rig.until_ended(1);
    rig.nth(0, |e| {
        let end = e.report.ledger.began.as_nanos() + e.report.ledger.total;
        assert_eq!(e.reason(), "tcp.idle");
        assert!(end - e.conn.n >= 150_000_000, "{} ns after the resume", end - e.conn.n);
    });
}
