//! The same script on [`SimSys`](super::super::SimSys) and on [`MioSys`] over loopback: what a program can observe has
//! to be the same, call by call and event by event.

use super::super::World;
use super::rig::{Rig, kind};
use crate::reactor::endpoint::Endpoint;
use crate::reactor::id::Token;
use crate::reactor::sys::{MioSys, Sys};

/// A script that runs on any kernel.
trait Script {
    fn run<S: Sys>(rig: &mut Rig<S>);
}

fn compare<T: Script>(families: &[&'static str]) {
    for family in families {
        let mut real = Rig::new(MioSys::new().unwrap(), family);
        T::run(&mut real);
        let world = World::new(1);
        let mut sim = Rig::new(world.sys(), family);
        T::run(&mut sim);
        assert_eq!(sim.log, real.log, "over {family}: the simulated kernel (left) differs from the real one");
    }
}

macro_rules! script {
    ($(#[$doc:meta])* $name:ident on $families:expr, |$rig:ident| $body:block) => {
        $(#[$doc])*
        #[test]
        fn $name() {
            struct This;
            impl Script for This {
                fn run<S: Sys>($rig: &mut Rig<S>) $body
            }
            compare::<This>(&$families);
        }
    };
}

const BOTH: [&str; 2] = ["tcp", "unix"];

script!(bytes_arrive_and_make_an_edge_each_time on BOTH, |rig| {
    let p = rig.pair();
    rig.write("write", &p.client, b"one");
    rig.events("after a write");
    rig.events("nothing new");
    rig.write("write", &p.client, b"two");
    rig.events("after a second write, the first unread");
    rig.read("read", &p.server, 100);
    rig.read("read again", &p.server, 100);
    rig.events("after the reads");
});

script!(bytes_that_are_merely_still_there_make_no_edge on BOTH, |rig| {
    let p = rig.pair();
    rig.write("write", &p.client, b"abcdef");
    rig.events("after the write");
    rig.read("read a part", &p.server, 2);
    rig.events("four bytes wait");
    rig.read("read the rest", &p.server, 100);
    rig.events("all is read");
});

script!(registering_reports_what_is_there on BOTH, |rig| {
    let p = rig.pair();
    let (client, _) = rig.sys.connect(&p.at).unwrap();
    let token = rig.token("c2", false);
    rig.sys.register(&client, token).unwrap();
    rig.events("a second client");
    rig.write("write before the accept", &client, b"early");
    let (server, _) = rig.sys.accept(&p.listener).unwrap();
    let token = rig.token("s2", false);
    rig.sys.register(&server, token).unwrap();
    rig.events("registered with bytes waiting");
    rig.read("read", &server, 100);
    let none = rig.sys.accept(&p.listener).map(|_| ()).map_err(kind);
    rig.note("accept again", none);
});

script!(the_end_of_the_stream_comes_behind_its_bytes on BOTH, |rig| {
    let p = rig.pair();
    rig.write("write", &p.client, b"last words");
    let fin = rig.sys.shutdown_write(&p.client).map_err(kind);
    rig.note("shutdown", fin);
    rig.events("bytes and FIN");
    rig.read("read a part", &p.server, 4);
    rig.read("read the rest", &p.server, 100);
    rig.read("read the end", &p.server, 100);
    rig.read("read the end again", &p.server, 100);
    rig.events("nothing new");
});

script!(half_closed_the_other_direction_still_works on BOTH, |rig| {
    let p = rig.pair();
    let fin = rig.sys.shutdown_write(&p.client).map_err(kind);
    rig.note("shutdown", fin);
    rig.events("after the FIN");
    rig.read("the server reads the end", &p.server, 10);
    rig.write("the client may not write", &p.client, b"x");
    rig.write("the server writes", &p.server, b"answer");
    rig.events("after the answer");
    rig.read("the client reads it", &p.client, 100);
    let fin = rig.sys.shutdown_write(&p.server).map_err(kind);
    rig.note("shutdown of the other side", fin);
    rig.events("both are shut");
    rig.read("the client reads the end", &p.client, 100);
});

script!(an_idle_peer_that_closes_leaves_the_end_of_the_stream on BOTH, |rig| {
    let p = rig.pair();
    rig.sys.close(p.client, false);
    rig.events("after the close");
    rig.read("read", &p.server, 10);
});

script!(bytes_before_a_close_are_read_before_its_end on BOTH, |rig| {
    let p = rig.pair();
    rig.write("write", &p.client, b"goodbye");
    rig.sys.close(p.client, false);
    rig.events("after the close");
    rig.read("read", &p.server, 100);
    rig.read("the end", &p.server, 100);
});

script!(a_write_to_a_closed_tcp_peer_is_taken_and_the_next_fails on ["tcp"], |rig| {
    let p = rig.pair();
    rig.sys.close(p.client, false);
    rig.events("after the close");
    rig.write("the first write", &p.server, b"is anybody there");
    rig.events("after the RST");
    rig.write("the second write", &p.server, b"hello");
    rig.write("the third write", &p.server, b"hello");
    rig.read("read", &p.server, 10);
});

script!(a_write_to_a_closed_unix_peer_fails_at_once on ["unix"], |rig| {
    let p = rig.pair();
    rig.sys.close(p.client, false);
    rig.events("after the close");
    rig.write("write", &p.server, b"hello");
    rig.read("read", &p.server, 10);
});

script!(closing_with_unread_bytes_resets_the_peer on BOTH, |rig| {
    let p = rig.pair();
    rig.write("the client's bytes", &p.client, b"are never read");
    rig.write("the server's answer", &p.server, b"parting gift");
    rig.events("both wrote");
    rig.sys.close(p.server, false);
    rig.events("after the close");
    rig.read("what came before the reset", &p.client, 100);
    rig.read("the reset", &p.client, 100);
    rig.read("after the reset", &p.client, 100);
    rig.write("a write", &p.client, b"x");
});

script!(an_abort_resets_a_tcp_peer_and_only_closes_a_unix_one on BOTH, |rig| {
    let p = rig.pair();
    rig.write("bytes before", &p.client, b"before");
    rig.sys.close(p.client, true);
    rig.events("after the abort");
    rig.read("bytes", &p.server, 100);
    rig.read("the end", &p.server, 100);
    rig.read("the end again", &p.server, 100);
    rig.write("a write", &p.server, b"x");
});

script!(a_reset_behind_a_fin_is_the_writers_to_hear on ["tcp"], |rig| {
    let p = rig.pair();
    rig.write("unread", &p.server, b"unread");
    let fin = rig.sys.shutdown_write(&p.client).map_err(kind);
    rig.note("shutdown", fin);
    rig.events("half closed");
    rig.sys.close(p.client, false);
    rig.events("closed with unread bytes");
    rig.read("read", &p.server, 100);
    rig.write("write", &p.server, b"x");
    rig.write("write again", &p.server, b"x");
});

script!(take_error_clears_what_a_reset_left on BOTH, |rig| {
    let p = rig.pair();
    rig.write("unread", &p.server, b"unread");
    rig.events("unread");
    rig.sys.close(p.client, true);
    rig.events("reset");
    let e = rig.sys.take_error(&p.server).map(kind);
    rig.note("error", e);
    let e = rig.sys.take_error(&p.server).map(kind);
    rig.note("no error", e);
    rig.read("read", &p.server, 100);
});

script!(a_refused_tcp_connect_says_so_in_so_error on ["tcp"], |rig| {
    let (listener, at) = rig.listen();
    rig.sys.close_listener(listener);
    let (client, stands) = rig.sys.connect(&at).unwrap();
    rig.note("stands", stands);
    let token = rig.token("c", false);
    rig.sys.register(&client, token).unwrap();
    rig.events("after the connect");
    let connected = rig.sys.connected(&client).map_err(kind);
    rig.note("connected", connected);
    let connected = rig.sys.connected(&client).map_err(kind);
    rig.note("connected again", connected);
    rig.read("read", &client, 10);
    rig.write("write", &client, b"x");
    let fin = rig.sys.shutdown_write(&client).map_err(kind);
    rig.note("shutdown", fin);
});

script!(a_refused_unix_connect_fails_at_once on ["unix"], |rig| {
    let (listener, at) = rig.listen();
    rig.sys.close_listener(listener);
    let refused = rig.sys.connect(&at).map(|_| ()).map_err(kind);
    rig.note("abstract", refused);
    let missing = rig.sys.connect(&Endpoint::unix("/nonexistent/socket")).map(|_| ()).map_err(kind);
    rig.note("path", missing);
});

script!(a_connect_stands_before_it_is_accepted on BOTH, |rig| {
    let (listener, at) = rig.listen();
    let (client, stands) = rig.sys.connect(&at).unwrap();
    rig.note("stands", stands);
    let token = rig.token("c", false);
    rig.sys.register(&client, token).unwrap();
    rig.events("connected");
    let connected = rig.sys.connected(&client).map_err(kind);
    rig.note("connected", connected);
    rig.write("write", &client, b"early");
    rig.sys.close(client, false);
    rig.events("closed before the accept");
    let (server, _) = rig.sys.accept(&listener).unwrap();
    rig.read("read", &server, 100);
    rig.read("the end", &server, 100);
});

script!(a_second_connection_makes_an_edge_though_the_first_still_waits on BOTH, |rig| {
    let (listener, at) = rig.listen();
    let (_first, _) = rig.sys.connect(&at).unwrap();
    rig.events("first");
    rig.events("nothing new");
    let (_second, _) = rig.sys.connect(&at).unwrap();
    rig.events("second");
    let one = rig.sys.accept(&listener).is_ok();
    rig.note("accept one", one);
    rig.events("one still waits");
    let two = rig.sys.accept(&listener).is_ok();
    rig.note("accept two", two);
    let none = rig.sys.accept(&listener).map(|_| ()).map_err(kind);
    rig.note("accept three", none);
});

script!(closing_a_listener_resets_who_waits_in_its_queue on BOTH, |rig| {
    let (listener, at) = rig.listen();
    let (client, _) = rig.sys.connect(&at).unwrap();
    let token = rig.token("c", false);
    rig.sys.register(&client, token).unwrap();
    rig.events("connected");
    rig.sys.close_listener(listener);
    rig.events("listener closed");
    rig.read("read", &client, 10);
    rig.read("read again", &client, 10);
});

script!(room_is_announced_once_after_a_full_buffer on BOTH, |rig| {
    let p = rig.pair_with(|at| at.options.recv_buffer = Some(4096));
    let full = rig.fill(&p.client) > 0;
    rig.note("filled", full);
    rig.events("full");
    let mut one = [0];
    let read = rig.sys.read(&p.server, &mut one).map_err(kind);
    rig.note("one byte is read", read);
    rig.events("one byte is no room");
    rig.drain_until_quiet(&p.server, "c");
    rig.write("write", &p.client, b"x");
});

script!(the_acknowledged_are_counted_out on ["tcp"], |rig| {
    let p = rig.pair_with(|at| at.options.recv_buffer = Some(4096));
    rig.write("write", &p.client, b"few");
    rig.events("written");
    let unacknowledged = rig.sys.unacknowledged(&p.client);
    rig.note("arrived", unacknowledged);
    rig.fill(&p.client);
    let waiting = rig.sys.unacknowledged(&p.client).map(|n| n > 0);
    rig.note("full", waiting);
});

script!(a_file_is_sent_up_to_its_end on BOTH, |rig| {
    use std::io::Write;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"0123456789").unwrap();
    let p = rig.pair();
    for (offset, max) in [(0, 4), (4, 100), (10, 100), (99, 100)] {
        let sent = rig.sys.send_file(&p.client, &file, offset, max).map_err(kind);
        rig.note("send", sent);
    }
    rig.read("read", &p.server, 100);
    rig.sys.close(p.server, false);
    rig.events("closed");
    let _ = rig.sys.write(&p.client, b"x", false);
    rig.events("written into the void");
    let sent = rig.sys.send_file(&p.client, &file, 0, 4).map_err(kind);
    rig.note("send to nobody", sent);
});

script!(a_read_of_nothing_and_a_write_of_nothing_say_zero on BOTH, |rig| {
    let p = rig.pair();
    rig.write("write", &p.client, b"");
    rig.events("an empty write makes no edge");
    rig.write("write", &p.client, b"abc");
    rig.read("read", &p.server, 0);
});

script!(wakers_wake on BOTH, |rig| {
    let waker = rig.sys.waker();
    rig.names.insert(Token::Wake.pack(), "wake");
    rig.events("asleep");
    waker.wake();
    waker.wake();
    rig.events("woken");
    rig.events("asleep again");
});

script!(a_port_that_is_taken_is_refused on BOTH, |rig| {
    let (_listener, at) = rig.listen();
    let token = rig.token("l2", true);
    let second = rig.sys.listen(&at, token).map(|_| ()).map_err(|e| (e.step, kind(e.source)));
    rig.note("second", second);
});

/// Urgent data needs a call that [`Sys`] does not have, so the real side is driven by hand.
#[test]
fn urgent_data_stops_a_read_and_shows_as_priority() {
    use std::os::fd::AsFd;
    let mut real = Rig::new(MioSys::new().unwrap(), "tcp");
    let p = real.pair();
    real.write("write", &p.client, b"before");
    rustix::net::send(p.client.as_fd(), b"!", rustix::net::SendFlags::OOB).unwrap();
    real.write("write", &p.client, b"after");
    finish_urgent(&mut real, &p.server);

    let world = World::new(1);
    let mut sim = Rig::new(world.sys(), "tcp");
    let p = sim.pair();
    sim.write("write", &p.client, b"before");
    world.mark_for_test(&p.client);
    sim.write("write", &p.client, b"after");
    finish_urgent(&mut sim, &p.server);
    assert_eq!(sim.log, real.log);
}

fn finish_urgent<S: Sys>(rig: &mut Rig<S>, server: &S::Socket) {
    rig.events("urgent");
    rig.read("up to the mark", server, 100);
    rig.events("no edge for what lies behind it");
    rig.read("behind the mark", server, 100);
    rig.read("nothing", server, 100);
}
