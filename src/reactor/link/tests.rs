use super::phase::transition;
use super::*;
use crate::reactor::ledger::Stamps;
use crate::reactor::limits::Limits;

const T0: Time = Time::from_nanos(1_000_000_000);

fn timeouts() -> Timeouts {
    (&Limits::default()).into()
}

fn open_link() -> Link {
    let mut stamps = Stamps::begin(T0);
    stamps.open(T0);
    let mut link = Link::new(0, 2, Peer::Unknown, stamps, true);
    link.clear(OPEN_DUE);
    link
}

fn moved(n: usize) -> Outcome {
    Outcome::Moved { n, asked: n }
}

fn phases() -> Vec<Phase> {
    let mut all = vec![Phase::Connect(Connect::Dial), Phase::Connect(Connect::Pending)];
    for rx in [Rx::Open, Rx::Eof] {
        for tx in [Tx::Open, Tx::Finishing, Tx::Shut] {
            all.push(Phase::Transfer { rx, tx });
        }
    }
    all.extend([Teardown::Flush, Teardown::Linger, Teardown::Done].map(Phase::Teardown));
    all
}

#[test]
fn every_pair_of_phase_and_input_goes_where_the_table_says() {
    use Input::*;
    let inputs = [Issued, Established, Eof, Finish, FinSent, Close, Flushed, End];
    // One row a phase, one word an input, in the order of `inputs`; `.` keeps the phase.
    let table = [
        ("dial", "pending oo . done . done . done"),
        ("pending", ". oo . done . done . done"),
        ("oo", ". . eo of os flush . done"),
        ("of", ". . ef . os flush . done"),
        ("os", ". . es . . linger . done"),
        ("eo", ". . . ef done flush . done"),
        ("ef", ". . . . done flush . done"),
        ("es", ". . . . done linger . done"),
        ("flush", ". . . . linger . done done"),
        ("linger", ". . done . . . . done"),
        ("done", ". . . . . . . ."),
    ];
    let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
    let phases = phases();
    let named = |name: &str| phases[names.iter().position(|n| *n == name).unwrap()];
    assert_eq!(phases.len(), table.len());
    for (name, row) in table {
        let words: Vec<&str> = row.split(' ').collect();
        assert_eq!(words.len(), inputs.len());
        for (input, word) in inputs.iter().zip(words) {
            let want = if word == "." { named(name) } else { named(word) };
            assert_eq!(transition(named(name), *input), want, "{name} + {input:?}");
        }
    }
}

#[test]
fn every_phase_that_is_not_done_can_end() {
    for phase in phases() {
        assert_eq!(transition(phase, Input::End), Phase::Teardown(Teardown::Done), "{phase:?}");
    }
}

#[test]
fn nothing_is_done_without_readiness() {
    let link = open_link();
    let v = View { rx: 0, tx: 10, span: None };
    assert_eq!(link.next(v), None);
}

#[test]
fn readiness_lasts_until_a_call_would_block() {
    let (mut link, t) = (open_link(), timeouts());
    link.mark(Ready::READABLE);
    for _ in 0..3 {
        assert_eq!(link.next(View::default()), Some(Step::Op(Op::Read)));
        link.complete(Op::Read, &moved(8), View::default(), T0, &t);
        link.clear(DATA_DUE);
    }
    link.complete(Op::Read, &Outcome::WouldBlock, View::default(), T0, &t);
    assert_eq!(link.next(View::default()), None);
}

#[test]
fn a_short_read_is_trusted_only_on_tcp_without_fin_or_urgent_data() {
    let short = Outcome::Moved { n: 3, asked: 8 };
    for (seen, trusted) in [
        (Ready::READABLE, true),
        (Ready::READABLE.or(Ready::READ_CLOSED), false),
        (Ready::READABLE.or(Ready::PRIORITY), false),
        (Ready::READABLE.or(Ready::ERROR), false),
    ] {
        let (mut link, t) = (open_link(), timeouts());
        link.set(SHORT_DRAINS);
        link.mark(seen);
        link.complete(Op::Read, &short, View::default(), T0, &t);
        link.clear(DATA_DUE);
        assert_eq!(link.next(View::default()).is_none(), trusted, "{seen:?}");
    }
    let (mut unix, t) = (open_link(), timeouts());
    unix.mark(Ready::READABLE);
    unix.complete(Op::Read, &short, View::default(), T0, &t);
    unix.clear(DATA_DUE);
    assert_eq!(unix.next(View::default()), Some(Step::Op(Op::Read)));
}

#[test]
fn bytes_come_before_the_end_of_file() {
    let (mut link, t) = (open_link(), timeouts());
    link.mark(Ready::READABLE.or(Ready::READ_CLOSED));
    link.complete(Op::Read, &moved(4), View::default(), T0, &t);
    let v = View { rx: 4, ..View::default() };
    assert_eq!(link.next(v), Some(Step::Call(Call::Data)));
    link.clear(DATA_DUE);
    link.complete(Op::Read, &moved(0), v, T0, &t);
    assert_eq!(link.next(v), Some(Step::Call(Call::Eof)));
}

#[test]
fn a_handler_that_pauses_or_starves_is_told_neither_of_bytes_nor_of_the_end() {
    for held in [PAUSED, STARVED] {
        let (mut link, t) = (open_link(), timeouts());
        link.mark(Ready::READABLE.or(Ready::READ_CLOSED));
        link.complete(Op::Read, &moved(4), View::default(), T0, &t);
        link.complete(Op::Read, &moved(0), View::default(), T0, &t);
        link.set(held);
        let v = View { rx: 4, ..View::default() };
        assert_eq!(link.next(v), None);
        link.clear(held);
        assert_eq!(link.next(v), Some(Step::Call(Call::Data)));
    }
}

#[test]
fn progress_of_a_starved_writer_brings_room_then_the_bytes_left() {
    let (mut link, t) = (open_link(), timeouts());
    link.mark(Ready::WRITABLE);
    link.set(STARVED);
    let v = View { rx: 5, tx: 100, span: None };
    let op = Op::Write { max: 100, more: false };
    assert_eq!(link.next(v), Some(Step::Op(op)));
    link.complete(op, &moved(100), v, T0, &t);
    let v = View { rx: 5, tx: 0, span: None };
    assert_eq!(link.next(v), Some(Step::Call(Call::Room)));
    link.clear(ROOM_DUE);
    assert_eq!(link.next(v), Some(Step::Call(Call::Data)));
}

#[test]
fn a_file_goes_behind_the_bytes_before_it_and_before_those_behind() {
    let (mut link, t) = (open_link(), timeouts());
    link.side = 0;
    link.mark(Ready::WRITABLE);
    let v = View { rx: 0, tx: 30, span: Some((20, 7)) };
    assert_eq!(link.next(v), Some(Step::Op(Op::Write { max: 20, more: true })));
    link.complete(Op::Write { max: 20, more: true }, &moved(20), v, T0, &t);
    let v = View { rx: 0, tx: 10, span: Some((0, 7)) };
    assert_eq!(link.next(v), Some(Step::Op(Op::SendFile { left: 7 })));
    let cut = link.complete(Op::SendFile { left: 7 }, &moved(0), v, T0, &t);
    assert!(matches!(cut, Effect::Fail { class, .. } if class.name == "http.file_truncated"));
}

#[test]
fn finish_waits_for_the_buffer_then_sends_fin_then_waits_for_the_peers() {
    let (mut link, t) = (open_link(), timeouts());
    link.mark(Ready::WRITABLE);
    link.input(Input::Finish);
    let v = View { tx: 3, ..View::default() };
    assert!(matches!(link.next(v), Some(Step::Op(Op::Write { .. }))));
    assert_eq!(link.next(View::default()), Some(Step::Op(Op::ShutdownWrite)));
    link.complete(Op::ShutdownWrite, &moved(0), View::default(), T0, &t);
    assert_eq!(link.next(View::default()), None);
    link.mark(Ready::READABLE);
    assert_eq!(link.complete(Op::Read, &moved(0), View::default(), T0, &t), Effect::None);
    assert_eq!(
        link.next(View::default()),
        Some(Step::Call(Call::Eof)),
        "the handler hears of it all the same"
    );
    link.clear(EOF_DUE);
    assert_eq!(link.next(View::default()), Some(Step::Op(Op::Over)));
    assert_eq!(link.complete(Op::Over, &moved(0), View::default(), T0, &t), Effect::Over);
    assert!(link.is_done());
}

#[test]
fn a_close_lingers_unless_it_is_clean_or_the_peer_has_finished() {
    let close = |prepare: fn(&mut Link)| {
        let mut link = open_link();
        prepare(&mut link);
        link.input(Input::Close);
        link.next(View::default())
    };
    assert_eq!(close(|_| {}), Some(Step::Op(Op::ShutdownWrite)));
    assert_eq!(close(|l| l.set(CLEAN)), Some(Step::Op(Op::Over)));
    assert_eq!(close(|l| l.set(EOF_SEEN)), Some(Step::Op(Op::Over)));
    let unread = close(|l| {
        l.set(CLEAN);
        l.mark(Ready::READABLE);
    });
    assert_eq!(unread, Some(Step::Op(Op::ShutdownWrite)), "something unread would turn the close into RST");
}

#[test]
fn the_earliest_deadline_wins_and_idle_time_starts_with_the_last_byte() {
    let (mut link, t) = (open_link(), timeouts());
    assert_eq!(link.deadline(&t, 1000), Some(1000 + 600_000));
    link.set_user(Some(5000));
    link.set_proto(Some(4000));
    assert_eq!(link.deadline(&t, 1000), Some(4000));
    link.set_proto(None);
    assert_eq!(link.deadline(&t, 1000), Some(5000));
    link.set_user(None);
    let later = T0 + std::time::Duration::from_millis(700);
    link.complete(Op::Read, &moved(1), View::default(), later, &t);
    assert_eq!(link.deadline(&t, 1700), Some(1700 + 600_000));
    link.set(PAUSED);
    assert_eq!(link.deadline(&t, 1700), None);
}

#[test]
fn a_blocked_writer_is_asked_four_times_a_deadline_and_closed_when_nothing_was_acknowledged() {
    let (mut link, t) = (open_link(), timeouts());
    let op = Op::Write { max: 9, more: false };
    let v = View { tx: 9, ..View::default() };
    link.mark(Ready::WRITABLE);
    link.complete(op, &Outcome::WouldBlock, v, T0, &t);
    let mut at = 1000;
    let mut probes = 0;
    loop {
        let next = link.deadline(&t, at).unwrap();
        assert!(next > at && next - at <= 7500, "{at} {next}");
        at = next;
        assert_eq!(link.expire(&t, at), None);
        assert_eq!(link.next(v), Some(Step::Op(Op::Probe)));
        probes += 1;
        let now = Time::from_nanos(u64::from(at) * 1_000_000);
        if let Effect::Fail { class, .. } = link.complete(Op::Probe, &moved(100), v, now, &t) {
            assert_eq!(class.name, "tcp.stalled");
            break;
        }
    }
    assert_eq!((at, probes), (38_500, 5), "a full time after the first probe, at which counting starts");
}

#[test]
fn an_answer_whose_tail_is_still_on_its_way_is_not_idle() {
    let (mut link, t) = (open_link(), timeouts());
    let op = Op::Write { max: 9, more: false };
    link.complete(op, &moved(9), View { tx: 9, ..View::default() }, T0, &t);
    let at = |ms: u32| Time::from_nanos(u64::from(ms) * 1_000_000);
    let idle = link.deadline(&t, 1000).unwrap();
    assert_eq!((idle, link.expire(&t, idle)), (601_000, None));
    link.clear(ROOM_DUE);
    assert_eq!(link.next(View::default()), Some(Step::Op(Op::Probe)));
    assert_eq!(link.complete(Op::Probe, &moved(5), View::default(), at(idle), &t), Effect::None);
    let check = link.deadline(&t, idle).unwrap();
    assert_eq!(check, idle + 7500, "from here on acknowledgements count");
    link.expire(&t, check);
    link.complete(Op::Probe, &moved(0), View::default(), at(check), &t);
    let idle = link.deadline(&t, check).unwrap();
    assert_eq!(idle, check + 600_000, "it has arrived: now the peer's time begins");
    link.expire(&t, idle);
    assert_eq!(link.complete(Op::Probe, &moved(0), View::default(), at(idle), &t), Effect::Idle);
}

#[test]
fn a_slow_reader_that_acknowledges_lives() {
    let (mut link, t) = (open_link(), timeouts());
    link.stamps.bytes_out = 1_000_000;
    let op = Op::Write { max: 9, more: false };
    let v = View { tx: 9, ..View::default() };
    link.mark(Ready::WRITABLE);
    link.complete(op, &Outcome::WouldBlock, v, T0, &t);
    let mut at = 1000;
    for left in (1..100).rev() {
        at = link.deadline(&t, at).unwrap();
        link.expire(&t, at);
        let now = Time::from_nanos(u64::from(at) * 1_000_000);
        assert_eq!(link.complete(Op::Probe, &moved(left), v, now, &t), Effect::None);
    }
}

#[test]
fn an_idle_connection_carries_little() {
    assert!(size_of::<Link>() <= 176, "{}", size_of::<Link>());
}

#[test]
fn no_two_flags_share_a_bit() {
    let all = [
        QUEUED,
        OUTBOUND,
        SHORT_DRAINS,
        PAUSED,
        STARVED,
        OPEN_DUE,
        DATA_DUE,
        ROOM_DUE,
        EOF_DUE,
        TIMER_DUE,
        DEADLINE_DUE,
        DRAIN_DUE,
        PROBE_DUE,
        BLOCKED,
        BASELINE,
        EOF_SEEN,
        CLEAN,
        HAS_USER,
        HAS_PROTO,
        FILED,
        RESET,
        REAPING,
        BUSY,
        FIN_FIRST,
        REFUSED,
        IDLE_PROBE,
        REFILE,
        AWAY,
    ];
    assert_eq!(all.iter().fold(0, |sum: u64, bit| sum + u64::from(*bit)), (1 << all.len()) - 1);
}

#[test]
fn a_peer_that_acknowledges_only_before_the_first_probe_has_a_full_time_from_there() {
    let (mut link, t) = (open_link(), timeouts());
    link.stamps.bytes_out = 1000;
    let v = View { tx: 9, ..View::default() };
    link.mark(Ready::WRITABLE);
    link.complete(Op::Write { max: 9, more: false }, &Outcome::WouldBlock, v, T0, &t);
    let first = link.deadline(&t, 1000).unwrap();
    let mut at = first;
    loop {
        link.expire(&t, at);
        let now = Time::from_nanos(u64::from(at) * 1_000_000);
        if link.complete(Op::Probe, &moved(10), v, now, &t) != Effect::None {
            break;
        }
        at = link.deadline(&t, at).unwrap();
    }
    assert_eq!(at - first, 30_000);
}

#[test]
fn without_a_stall_deadline_the_idle_one_ends_a_peer_that_acknowledges_nothing() {
    let limits = Limits { stall_timeout: None, ..Limits::default() };
    let (mut link, t) = (open_link(), Timeouts::from(&limits));
    let v = View { tx: 9, ..View::default() };
    link.stamps.bytes_out = 1000;
    link.mark(Ready::WRITABLE);
    link.complete(Op::Write { max: 9, more: false }, &Outcome::WouldBlock, v, T0, &t);
    let mut ended = None;
    for _ in 0..3 {
        let at = link.deadline(&t, 1000).unwrap();
        link.expire(&t, at);
        let now = Time::from_nanos(u64::from(at) * 1_000_000);
        if link.complete(Op::Probe, &moved(10), v, now, &t) == Effect::Idle {
            ended = Some(at);
            break;
        }
    }
    assert_eq!(ended, Some(1000 + 2 * 600_000));
}
