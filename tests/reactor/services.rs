//! Services, listeners and reactors side by side; `with`, `turn`, `run`, `stop`, and a foreign loop.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tidemill::reactor::{Config, Endpoint, Reactor};

use crate::support::{Act, PATIENCE, Rig, client, listen};

/// One exchange of four bytes.
fn ask(at: std::net::SocketAddr, question: &[u8; 4]) -> [u8; 4] {
    let mut stream = client(at);
    stream.write_all(question).unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    answer
}

#[test]
fn several_services_share_one_reactor_each_with_its_own_listeners() {
    let mut rig = Rig::new(Act::new());
    let upper = rig.reactor.add(Act::new().data(|_, ctx| {
        let shout = ctx.rx.to_ascii_uppercase();
        let n = ctx.tx.write(&shout);
        ctx.rx.consume(n);
    }));
    let (_, loud) = listen(&mut rig.reactor, upper);
    let (_, loud_too) = listen(&mut rig.reactor, upper);
    let answers = rig.with_client(move |at| [ask(at, b"tide"), ask(loud, b"tide"), ask(loud_too, b"mill")]);
    assert_eq!(answers, [*b"tide", *b"TIDE", *b"MILL"]);
    rig.until_ended(1);
    rig.until("the other service's end", |rig| rig.reactor.with(upper, |act, _| act.ended.len() == 2));
}

#[test]
fn an_accepted_connection_names_its_listener_and_its_peer() {
    let mut rig = Rig::new(Act::new());
    let other = rig.reactor.listen(rig.key, &Endpoint::tcp(([127, 0, 0, 1], 0))).unwrap();
    let at = crate::support::address(&rig.reactor, other);
    let local = rig.with_client(move |_| client(at).local_addr().unwrap());
    rig.until_ended(1);
    let (listener, peer) = rig.nth(0, |e| (e.report.listener, e.report.peer));
    assert_eq!(listener, Some(other));
    assert_eq!(peer.to_string(), local.to_string());
}

#[test]
fn with_reaches_a_handler_and_its_connections_between_turns() {
    let mut rig = Rig::new(Act::new());
    let (mut stream, id) = rig.open();
    let sent = rig.reactor.with(rig.key, |act, table| {
        act.notes.push("seen".to_owned());
        table.output(id).unwrap().write(b"hello")
    });
    assert_eq!(sent, 5);
    rig.turn();
    let mut hello = [0; 5];
    stream.read_exact(&mut hello).unwrap();
    assert_eq!((&hello, rig.reactor.with(rig.key, |act, _| act.notes.len())), (b"hello", 1));
}

#[test]
#[should_panic(expected = "another reactor")]
fn a_key_of_another_reactor_is_a_programmers_error() {
    let mut one = Reactor::new(Config::default()).unwrap();
    let key = one.add(Act::new());
    let mut two = Reactor::new(Config::default()).unwrap();
    two.with(key, |_, _| ());
}

#[test]
fn unlisten_refuses_new_connects_and_leaves_connections_alone() {
    let mut rig = Rig::new(Act::new());
    let (mut stream, _) = rig.open();
    assert!(rig.reactor.unlisten(rig.listener));
    assert!(!rig.reactor.unlisten(rig.listener), "a stale listener is harmless");
    assert_eq!(rig.reactor.local(rig.listener), None);
    let refused = std::net::TcpStream::connect(rig.at).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    stream.write_all(b"still").unwrap();
    let answer = rig.with_client(move |_| {
        let mut five = [0; 5];
        stream.read_exact(&mut five).map(|()| five)
    });
    assert_eq!(&answer.unwrap(), b"still");
}

#[test]
fn a_turn_without_work_returns_after_its_wait_and_a_wake_ends_it_early() {
    let mut rig = Rig::new(Act::new());
    rig.turn();
    let quiet = rig.reactor.turn(Some(Duration::from_millis(30))).unwrap();
    assert_eq!((quiet.events, quiet.accepted, quiet.closed, quiet.stopped), (0, 0, 0, false));
    let handle = rig.reactor.handle();
    let began = Instant::now();
    let waker = thread::spawn(move || handle.wake());
    let woken = rig.reactor.turn(Some(PATIENCE)).unwrap();
    waker.join().unwrap();
    assert_eq!(woken.events, 1);
    assert!(began.elapsed() < PATIENCE / 2);
}

#[test]
fn a_reactor_that_was_stopped_can_listen_and_run_again() {
    let mut rig = Rig::new(Act::new());
    for round in 1..=3 {
        let (at, handle) = (rig.at, rig.reactor.handle());
        let asked = thread::spawn(move || {
            let answer = ask(at, b"once");
            handle.stop(PATIENCE);
            answer
        });
        rig.reactor.run().unwrap();
        assert_eq!(&asked.join().unwrap(), b"once");
        assert_eq!((rig.ended(), rig.reactor.connections()), (round, 0));
        assert_eq!(rig.reactor.local(rig.listener), None, "a stop closes the listeners");
        (rig.listener, rig.at) = listen(&mut rig.reactor, rig.key);
    }
}

#[test]
fn a_stop_before_run_makes_run_return_at_once() {
    let mut rig = Rig::new(Act::new());
    rig.reactor.handle().stop(PATIENCE);
    rig.reactor.run().unwrap();
    assert!(rig.reactor.with(rig.key, |_, table| table.is_empty() && !table.is_draining()));
}

#[test]
fn several_reactors_run_in_one_process_each_on_its_own_thread() {
    let (ends, begins) = std::sync::mpsc::channel();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let ends = ends.clone();
            thread::spawn(move || {
                let mut rig = Rig::new(Act::new());
                ends.send((rig.at, rig.reactor.handle())).unwrap();
                rig.reactor.run().unwrap();
                rig.ended()
            })
        })
        .collect();
    let reactors: Vec<_> = begins.iter().take(3).collect();
    for (at, _) in &reactors {
        assert_eq!(&ask(*at, b"here"), b"here");
    }
    for (_, handle) in reactors {
        handle.stop(PATIENCE);
    }
    for thread in threads {
        assert_eq!(thread.join().unwrap(), 1);
    }
}

#[test]
fn a_reactor_nests_in_a_foreign_poll_loop() {
    let mut rig =
        Rig::new(Act::new().open(|_, ctx| ctx.set_timer(Duration::from_millis(20))).timer(|_, ctx| {
            ctx.tx.write(b"!");
            ctx.close_clean();
        }));
    let at = rig.at;
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let peer = thread::spawn(move || {
        let mut text = String::new();
        client(at).read_to_string(&mut text).unwrap();
        (&theirs).write_all(b"x").unwrap();
        text
    });
    let (mut foreign, mut polls) = (false, 0);
    let deadline = Instant::now() + PATIENCE;
    while !foreign {
        assert!(Instant::now() < deadline, "the loops starve each other");
        let wait = rig.reactor.next_wait().map(|d| Timespec::try_from(d).unwrap());
        let mut fds = [PollFd::new(&ours, PollFlags::IN), PollFd::new(&rig.reactor, PollFlags::IN)];
        poll(&mut fds, wait.as_ref()).unwrap();
        foreign = fds[0].revents().contains(PollFlags::IN);
        rig.reactor.turn(Some(Duration::ZERO)).unwrap();
        polls += 1;
    }
    ours.read_exact(&mut [0]).unwrap();
    assert_eq!(peer.join().unwrap(), "!");
    assert!(polls < 100, "{polls} polls: the loop spins");
    assert!(rig.reactor.as_fd().try_clone_to_owned().is_ok());
}

#[test]
fn next_wait_is_zero_for_work_none_for_silence_and_a_timers_time_between() {
    let mut rig = Rig::new(Act::new().limits(|l| l.idle_timeout = None));
    rig.turn();
    assert_eq!(rig.reactor.next_wait(), None);
    let (_stream, id) = rig.open();
    rig.turn();
    assert_eq!(rig.reactor.next_wait(), None, "an idle connection without a deadline wakes nobody");
    rig.reactor.with(rig.key, |_, table| table.set_timer(id, Some(Duration::from_secs(5))));
    rig.turn();
    let wait = rig.reactor.next_wait().unwrap();
    assert!(wait > Duration::from_secs(4) && wait <= Duration::from_millis(5002), "{wait:?}");
    let key = rig.key;
    assert!(rig.reactor.handle().post(key, |_, _| ()).is_ok());
    assert_eq!(rig.reactor.next_wait(), Some(Duration::ZERO));
}
