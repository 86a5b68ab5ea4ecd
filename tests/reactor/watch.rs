//! Watched descriptors on the real kernel: pipes, eventfds, timerfds, pidfds, sockets.

use std::fs::File;
use std::io::{ErrorKind, Read, Write, pipe};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use tidemill::reactor::{Ready, Source, Table, WatchId};

use crate::support::{Act, Conn, PATIENCE, Rig, logged};

const R: Ready = Ready::READABLE;
const W: Ready = Ready::WRITABLE;
const READ_END: Ready = R.or(Ready::READ_CLOSED);

/// What the callbacks of a watch heard and read.
#[derive(Default)]
struct Heard {
    ready: Vec<Ready>,
    bytes: Vec<u8>,
    ended: bool,
}

type Shared = Arc<Mutex<Heard>>;

fn rig() -> Rig {
    Rig::new(Act::new())
}

/// Notes what it hears and does nothing about it.
fn listen(heard: &Shared) -> impl FnMut(&mut Act, &mut Source<'_>, &mut Table<'_, Act>) + 'static {
    let heard = Arc::clone(heard);
    move |_, source, _| heard.lock().unwrap().ready.push(source.ready())
}

/// Reads at most `n` bytes a call, and closes at the end if it is told to.
fn read_by(
    n: usize,
    close: bool,
    heard: &Shared,
) -> impl FnMut(&mut Act, &mut Source<'_>, &mut Table<'_, Act>) + 'static {
    let heard = Arc::clone(heard);
    move |_, source, _| {
        let mut heard = heard.lock().unwrap();
        heard.ready.push(source.ready());
        let mut block = vec![0; n];
        match source.read(&mut block).unwrap() {
            0 => {
                heard.ended = true;
                if close {
                    source.close();
                }
            }
            n => heard.bytes.extend_from_slice(&block[..n]),
        }
    }
}

fn take(heard: &Shared) -> Vec<Ready> {
    std::mem::take(&mut heard.lock().unwrap().ready)
}

/// Asserts that the loop sleeps: no work waits, and the poll has nothing to say, once it has told of what was done.
fn assert_idle(rig: &mut Rig) {
    let mut woken = 0;
    while rig.reactor.turn(Some(Duration::from_millis(30))).unwrap().events > 0 {
        woken += 1;
        assert!(woken < 20, "the loop is woken for nothing");
    }
    assert_eq!(rig.reactor.next_wait(), None, "the loop is busy with nothing");
}

fn bytes(heard: &Shared) -> usize {
    heard.lock().unwrap().bytes.len()
}

#[test]
fn a_blocking_pipe_is_read_piece_by_piece_and_its_end_is_told_once() {
    let (mut rig, heard) = (rig(), Shared::default());
    let (reader, mut writer) = pipe().unwrap();
    rig.reactor.watch(rig.key, reader, R, read_by(4, false, &heard)).unwrap();
    assert_idle(&mut rig);
    assert_eq!(take(&heard), []);
    writer.write_all(b"0123456789").unwrap();
    rig.until("all is read", |_| bytes(&heard) == 10);
    assert_eq!(take(&heard), [R; 3]);
    assert_idle(&mut rig);
    writer.write_all(b"abcde").unwrap();
    drop(writer);
    rig.until("the end is read", |_| heard.lock().unwrap().ended);
    let gone = READ_END.or(Ready::WRITE_CLOSED);
    assert_eq!(take(&heard), [gone; 3], "two calls for the bytes and one for the end");
    assert_eq!(heard.lock().unwrap().bytes, b"0123456789abcde");
    assert_idle(&mut rig);
    assert_eq!((take(&heard), rig.reactor.watches()), (vec![], 1), "it sleeps with the end unclosed");
}

#[test]
fn a_pipe_is_written_as_its_reader_takes_the_bytes_and_hears_when_nobody_reads() {
    const ALL: usize = 1 << 20;
    let (mut rig, heard) = (rig(), Shared::default());
    let (mut reader, writer) = pipe().unwrap();
    let state = Arc::clone(&heard);
    let id: WatchId = rig
        .reactor
        .watch(rig.key, writer, W, move |_, source, _| {
            let mut state = state.lock().unwrap();
            state.ready.push(source.ready());
            let sent = state.bytes.len();
            if sent == ALL {
                return source.set_interest(Ready::NONE);
            }
            // A pipe that is writable takes at least so much without waiting.
            let end = ALL.min(sent + 4096);
            let block: Vec<u8> = (sent..end).map(|n| (n % 251) as u8).collect();
            let n = source.write(&block).unwrap();
            state.bytes.extend_from_slice(&block[..n]);
        })
        .unwrap();
    let thread = thread::spawn(move || {
        let mut all = vec![0; ALL];
        reader.read_exact(&mut all).unwrap();
        (reader, all)
    });
    rig.until("all is written", |_| bytes(&heard) == ALL);
    let (reader, all) = thread.join().unwrap();
    assert!(all == heard.lock().unwrap().bytes, "other bytes came out");
    assert_idle(&mut rig);
    assert!(take(&heard).iter().all(|ready| *ready == W));
    drop(reader);
    rig.reactor.with(rig.key, |_, table| table.set_interest(id, W));
    rig.until("the end is told", |_| !heard.lock().unwrap().ready.is_empty());
    assert_eq!(take(&heard), [W.or(Ready::ERROR)]);
}

#[test]
fn nobody_reading_is_told_once_to_a_writer_that_ignores_it() {
    let (mut rig, heard) = (rig(), Shared::default());
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    rig.reactor.watch(rig.key, writer, W, listen(&heard)).unwrap();
    rig.until("it is told", |_| !heard.lock().unwrap().ready.is_empty());
    assert_idle(&mut rig);
    assert_eq!(take(&heard), [W.or(Ready::ERROR)]);
}

#[test]
fn a_named_pipe_tells_the_end_of_each_of_its_writers() {
    let (mut rig, heard) = (rig(), Shared::default());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let reader =
        rustix::fs::open(&path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).unwrap();
    rig.reactor.watch(rig.key, reader, R, read_by(100, false, &heard)).unwrap();
    for n in 1..4 {
        let mut writer = File::options().write(true).open(&path).unwrap();
        writer.write_all(b"one").unwrap();
        rig.until("it is read", |_| bytes(&heard) == 3 * n);
        drop(writer);
        rig.until("the end is told", |_| std::mem::take(&mut heard.lock().unwrap().ended));
        assert_idle(&mut rig);
    }
}

#[test]
fn an_eventfd_wakes_a_loop_that_sleeps() {
    let (mut rig, heard) = (rig(), Shared::default());
    let fd = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    let other = fd.try_clone().unwrap();
    rig.reactor.watch(rig.key, fd, R, read_by(8, false, &heard)).unwrap();
    assert_idle(&mut rig);
    let thread = thread::spawn(move || {
        rustix::io::write(&other, &5u64.to_ne_bytes()).unwrap();
        rustix::io::write(&other, &2u64.to_ne_bytes()).unwrap();
    });
    let sum = |heard: &Shared| -> u64 {
        let heard = heard.lock().unwrap();
        heard.bytes.chunks(8).map(|n| u64::from_ne_bytes(n.try_into().unwrap())).sum()
    };
    while sum(&heard) < 7 {
        rig.reactor.turn(Some(PATIENCE)).unwrap();
    }
    thread.join().unwrap();
    assert_idle(&mut rig);
    assert!(take(&heard).iter().all(|ready| *ready == R));
}

#[test]
fn an_eventfd_that_is_read_does_not_wake_the_loop_by_its_room() {
    let (mut rig, heard) = (rig(), Shared::default());
    let fd = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    let other = fd.try_clone().unwrap();
    rig.reactor.watch(rig.key, fd, R, read_by(8, false, &heard)).unwrap();
    assert_idle(&mut rig);
    for n in 1..4 {
        rustix::io::write(&other, &1u64.to_ne_bytes()).unwrap();
        assert_eq!(rig.reactor.turn(Some(PATIENCE)).unwrap().events, 1);
        assert_eq!((bytes(&heard), rig.reactor.next_wait()), (8 * n, None));
        let turn = rig.reactor.turn(Some(Duration::from_millis(10))).unwrap();
        assert_eq!(turn.events, 0, "the loop is woken for nothing");
    }
}

#[test]
fn a_timerfd_ticks_and_each_tick_is_counted() {
    let (mut rig, heard) = (rig(), Shared::default());
    let fd = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC).unwrap();
    let every = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
    let time = Itimerspec { it_interval: every, it_value: every };
    rustix::time::timerfd_settime(&fd, TimerfdTimerFlags::empty(), &time).unwrap();
    let id = rig.reactor.watch(rig.key, fd, R, read_by(8, false, &heard)).unwrap();
    rig.until("it has ticked five times", |_| bytes(&heard) >= 40);
    let fd = rig.reactor.unwatch(id).unwrap();
    let stop = Timespec { tv_sec: 0, tv_nsec: 0 };
    let never = Itimerspec { it_interval: stop, it_value: stop };
    rustix::time::timerfd_settime(&fd, TimerfdTimerFlags::empty(), &never).unwrap();
    let ticks = heard.lock().unwrap().bytes.chunks(8).map(|n| n[0]).collect::<Vec<_>>();
    assert!(ticks.iter().all(|n| *n >= 1), "a call without a tick: {ticks:?}");
    assert_idle(&mut rig);
}

#[test]
fn a_childs_output_and_its_end_come_to_watches() {
    let (mut rig, heard) = (rig(), Shared::default());
    let mut child = Command::new("sh")
        .args(["-c", "echo said; read line; exit 7"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take().unwrap();
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
    let stdout = child.stdout.take().unwrap();
    rig.reactor.watch(rig.key, stdout, R, read_by(100, true, &heard)).unwrap();
    rig.reactor
        .watch(rig.key, pidfd, R, move |act, source, _| {
            let status = child.try_wait().unwrap().unwrap();
            act.notes.push(format!("{:?}", status.code()));
            source.close();
        })
        .unwrap();
    rig.until("it has spoken", |_| bytes(&heard) == 5);
    assert_eq!(heard.lock().unwrap().bytes, b"said\n");
    assert_eq!(rig.reactor.watches(), 2, "it waits for its input");
    drop(stdin);
    rig.until("it has ended", |rig| rig.reactor.watches() == 0);
    assert_eq!(rig.reactor.with(rig.key, |act, _| act.notes.clone()), ["Some(7)"]);
}

#[test]
fn what_a_socket_holds_at_its_end_is_read_by_whatever_pieces() {
    let (mut rig, heard) = (rig(), Shared::default());
    let (mine, mut other) = UnixStream::pair().unwrap();
    rig.reactor.watch(rig.key, mine, R, read_by(1000, false, &heard)).unwrap();
    let text: Vec<u8> = (0..10_500u32).map(|n| n as u8).collect();
    other.write_all(&text).unwrap();
    other.shutdown(std::net::Shutdown::Write).unwrap();
    rig.until("the end is read", |_| heard.lock().unwrap().ended);
    assert_eq!(heard.lock().unwrap().bytes, text);
    assert_idle(&mut rig);
    assert_eq!(take(&heard), [READ_END; 12], "eleven calls for the bytes and one for the end");
    drop(other);
    rig.until("the hang-up is told", |_| bytes(&heard) > 0 && !heard.lock().unwrap().ready.is_empty());
    assert_eq!(take(&heard), [READ_END.or(Ready::WRITE_CLOSED)], "it is another end than the half-close");
    assert_idle(&mut rig);
}

#[test]
fn no_interest_hears_nothing_and_a_new_one_hears_what_is_there() {
    let (mut rig, heard) = (rig(), Shared::default());
    let (reader, mut writer) = pipe().unwrap();
    let id = rig.reactor.watch(rig.key, reader, Ready::NONE, read_by(100, false, &heard)).unwrap();
    writer.write_all(b"early").unwrap();
    rig.turn();
    assert_idle(&mut rig);
    assert_eq!(take(&heard), []);
    rig.reactor.with(rig.key, |_, table| assert!(table.set_interest(id, R)));
    rig.until("it is read", |_| bytes(&heard) == 5);
    assert_eq!(take(&heard), [R]);
}

#[test]
fn what_cannot_be_polled_is_refused_with_a_reason() {
    let (mut rig, heard) = (rig(), Shared::default());
    let dir = tempfile::tempdir().unwrap();
    for place in [File::create(dir.path().join("file")).unwrap(), File::open(dir.path()).unwrap()] {
        let e = rig.reactor.watch(rig.key, place, R, listen(&heard)).unwrap_err();
        assert_eq!(
            (e.op, e.class.name, e.source.kind()),
            ("watch", "socket.invalid", ErrorKind::InvalidInput)
        );
        assert!(e.to_string().contains("cannot be polled"), "{e}");
    }
    assert_eq!(rig.reactor.watches(), 0);
}

#[test]
fn a_descriptor_comes_back_as_it_was_and_no_longer_wakes_the_loop() {
    let (mut rig, heard) = (rig(), Shared::default());
    let (reader, mut writer) = pipe().unwrap();
    let number = reader.as_raw_fd();
    let before = rustix::fs::fcntl_getfl(&reader).unwrap();
    let id = rig.reactor.watch(rig.key, reader, R, listen(&heard)).unwrap();
    rig.turn();
    let back: OwnedFd = rig.reactor.unwatch(id).unwrap();
    assert!(rig.reactor.unwatch(id).is_none());
    assert_eq!((back.as_raw_fd(), rustix::fs::fcntl_getfl(&back).unwrap()), (number, before));
    writer.write_all(b"x").unwrap();
    assert_idle(&mut rig);
    assert_eq!(take(&heard), []);
    rig.reactor.adopt(rig.key, back, Conn::default()).unwrap();
    drop(writer);
    rig.until_ended(1);
}

#[test]
fn closing_a_watch_whose_descriptor_has_a_duplicate_ends_its_events() {
    let (mut rig, heard) = (rig(), Shared::default());
    let (reader, mut writer) = pipe().unwrap();
    let twin = reader.try_clone().unwrap();
    let id = rig.reactor.watch(rig.key, reader, R, listen(&heard)).unwrap();
    rig.reactor.with(rig.key, |_, table| assert!(table.unwatch(id)));
    rig.until("it is closed", |rig| rig.reactor.watches() == 0);
    writer.write_all(b"x").unwrap();
    assert_idle(&mut rig);
    // The same descriptor can be watched anew, by its twin.
    rig.reactor.watch(rig.key, twin, R, read_by(1, true, &heard)).unwrap();
    rig.until("it is read", |_| bytes(&heard) == 1);
}

#[test]
fn a_callback_makes_calls_of_its_own_on_the_descriptor() {
    let mut rig = rig();
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(b"four").unwrap();
    rig.reactor
        .watch(rig.key, reader, R, |act, source, table| {
            act.notes.push(rustix::io::ioctl_fionread(source.fd().as_fd()).unwrap().to_string());
            assert!(table.unwatch(source.id()));
        })
        .unwrap();
    rig.until("it is closed", |rig| rig.reactor.watches() == 0);
    assert_eq!(rig.reactor.with(rig.key, |act, _| act.notes.clone()), ["4"]);
}

#[test]
fn a_panic_in_a_watch_is_logged_and_costs_that_watch_only() {
    let (mut rig, heard) = (rig(), Shared::default());
    let (bad, mut to_bad) = pipe().unwrap();
    let (good, mut to_good) = pipe().unwrap();
    let id = rig.reactor.watch(rig.key, bad, R, |_, _, _| panic!("a panic that is meant")).unwrap();
    rig.reactor.watch(rig.key, good, R, read_by(100, true, &heard)).unwrap();
    to_bad.write_all(b"x").unwrap();
    rig.until("the bad one has ended", |rig| rig.reactor.watches() == 1);
    assert_eq!(logged(&format!("task.panicked: the callback of watch {id} ")).len(), 1);
    assert_eq!(to_bad.write(b"y").unwrap_err().kind(), ErrorKind::BrokenPipe, "its descriptor is closed");
    to_good.write_all(b"x").unwrap();
    rig.until("the good one reads", |_| bytes(&heard) == 1);
}

#[test]
fn a_reactor_that_is_dropped_closes_what_it_watches() {
    let (mut rig, heard) = (rig(), Shared::default());
    let (reader, mut writer) = pipe().unwrap();
    rig.reactor.watch(rig.key, reader, R, listen(&heard)).unwrap();
    rig.turn();
    drop(rig);
    assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
}
