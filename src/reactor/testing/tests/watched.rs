//! Watched descriptors on [`SimSys`](super::super::SimSys) and on [`MioSys`]: what the same script makes of them has to be
//! the same, event by event and answer by answer. The other end is a scripted peer here and a Unix socket there.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use super::super::{SimPeer, World};
use super::rig::{Rig, kind};
use crate::reactor::id::{Token, WatchId};
use crate::reactor::sys::{MioSys, Ready, Sys};

const R: Ready = Ready::READABLE;
const W: Ready = Ready::WRITABLE;

/// The end that the script holds itself.
trait Other {
    fn send(&mut self, bytes: &[u8]);
    /// Reads all that is there.
    fn drain(&mut self);
    fn finish(&mut self);
    fn leave(self);
}

impl Other for SimPeer {
    fn send(&mut self, bytes: &[u8]) {
        assert_eq!(self.write(bytes), bytes.len());
    }

    fn drain(&mut self) {
        self.read();
    }

    fn finish(&mut self) {
        self.shutdown_write();
    }

    fn leave(self) {
        self.close();
    }
}

impl Other for UnixStream {
    fn send(&mut self, bytes: &[u8]) {
        self.write_all(bytes).unwrap();
    }

    fn drain(&mut self) {
        let mut block = [0; 4096];
        while self.read(&mut block).is_ok_and(|n| n > 0) {}
    }

    fn finish(&mut self) {
        self.shutdown(Shutdown::Write).unwrap();
    }

    fn leave(self) {}
}

/// A script on any kernel and with its kind of other end.
trait Script {
    fn run<S: Sys>(rig: &mut Watching<S>, other: impl Other);
}

/// A kernel with one watched descriptor.
struct Watching<S: Sys> {
    rig: Rig<S>,
    watched: Option<S::Watched>,
    serial: u32,
}

impl<S: Sys> Watching<S> {
    fn new(sys: S, fd: std::os::fd::OwnedFd) -> Self {
        let mut new = Self { rig: Rig::new(sys, "unix"), watched: None, serial: 1 };
        new.watch(fd);
        new
    }

    fn watch(&mut self, fd: std::os::fd::OwnedFd) {
        let token = Token::Watch(WatchId { slot: 0, serial: self.serial });
        self.serial += 2;
        self.rig.names.insert(token.pack(), "w");
        self.watched = Some(self.rig.sys.watch(fd, token, R).unwrap());
        self.rig.events("registered");
    }

    fn widen(&mut self, interest: Ready) {
        let token = Token::Watch(WatchId { slot: 0, serial: self.serial - 2 });
        self.rig.sys.widen(self.watched.as_ref().unwrap(), token, interest).unwrap();
        self.rig.events("widened");
    }

    /// Notes what polls tell, and what the kernel answers for each interest.
    fn look(&mut self, when: &str) {
        self.rig.events(when);
        for interest in [R, W, R.or(W), Ready::PRIORITY] {
            let watched = self.watched.as_ref().unwrap();
            let ready = self.rig.sys.watched_ready(watched, interest).map_err(kind);
            self.rig.note("ready", (interest, ready));
        }
    }

    fn read(&mut self, n: usize) {
        let mut block = vec![0; n];
        let result = self.rig.sys.watched_read(self.watched.as_ref().unwrap(), &mut block);
        let text = result.map(|n| String::from_utf8_lossy(&block[..n]).into_owned());
        self.rig.note("read", text.map_err(kind));
    }

    fn write(&mut self, bytes: &[u8]) {
        let result = self.rig.sys.watched_write(self.watched.as_ref().unwrap(), bytes);
        self.rig.note("write", result.map_err(kind));
    }

    /// Writes until there is no room.
    fn fill(&mut self) {
        while self.rig.sys.watched_write(self.watched.as_ref().unwrap(), &[7; 1024]).is_ok() {}
    }
}

fn compare<T: Script>() {
    let (mine, other) = UnixStream::pair().unwrap();
    mine.set_nonblocking(true).unwrap();
    other.set_nonblocking(true).unwrap();
    let mut real = Watching::new(MioSys::new().unwrap(), mine.into());
    T::run(&mut real, other);
    let world = World::new(1);
    let (fd, other) = world.descriptor().unwrap();
    let mut sim = Watching::new(world.sys(), fd);
    T::run(&mut sim, other);
    assert_eq!(sim.rig.log, real.rig.log, "the simulated kernel (left) differs from the real one");
}

macro_rules! script {
    ($name:ident, |$rig:ident, $other:ident| $body:block) => {
        #[test]
        fn $name() {
            struct This;
            impl Script for This {
                fn run<S: Sys>($rig: &mut Watching<S>, mut $other: impl Other) $body
            }
            compare::<This>();
        }
    };
}

script!(a_watched_descriptor_is_ready_as_long_as_bytes_are_left, |w, other| {
    w.look("quiet");
    other.send(b"abcdef");
    w.look("bytes");
    w.read(2);
    w.look("some are left");
    w.read(100);
    w.look("none are left");
    w.read(100);
    w.write(b"answer");
    other.drain();
    w.look("answered");
});

script!(what_nobody_wants_makes_no_event_and_is_told_once_it_is_wanted, |w, other| {
    w.write(b"x");
    other.drain();
    w.look("room came and nobody wants it");
    w.widen(R.or(W));
    w.write(b"x");
    other.drain();
    w.look("room came and is wanted");
    other.send(b"bytes");
    w.look("bytes");
    w.widen(R.or(W));
});

script!(bytes_before_a_half_close_are_told_apart_from_it, |w, other| {
    other.send(b"last words");
    other.finish();
    w.look("bytes and FIN");
    w.read(4);
    w.look("some are left");
    w.read(100);
    w.look("only the end is left");
    w.read(100);
    w.write(b"answer");
    w.look("after the answer");
    other.drain();
    other.leave();
    w.look("hung up");
});

script!(a_hang_up_leaves_the_bytes_and_no_way_out, |w, other| {
    other.send(b"goodbye");
    other.leave();
    w.look("hung up with bytes");
    w.read(100);
    w.look("hung up");
    w.read(100);
    w.write(b"x");
    w.look("after all that");
});

script!(a_reset_is_an_error_until_it_is_fetched, |w, other| {
    w.write(b"unread");
    other.send(b"parting gift");
    w.look("both wrote");
    other.leave();
    w.look("reset");
    w.read(100);
    w.look("the gift is read");
    w.read(100);
    w.look("fetched");
    w.read(100);
});

script!(a_full_descriptor_is_not_writable_until_the_other_end_reads, |w, other| {
    w.fill();
    w.look("full");
    w.widen(R.or(W));
    other.drain();
    w.look("drained");
    w.write(b"x");
});

script!(a_released_descriptor_makes_no_events_and_is_told_of_when_it_is_watched_again, |w, other| {
    let watched = w.watched.take().unwrap();
    let fd = w.rig.sys.release(watched);
    other.send(b"meanwhile");
    w.rig.events("released");
    w.watch(fd);
    w.look("again");
    w.read(100);
    let watched = w.watched.take().unwrap();
    w.rig.sys.close_watched(watched);
    other.drain();
    w.rig.events("closed");
});

/// A file stands for whatever the simulated world does not know.
#[test]
fn what_cannot_be_polled_is_refused() {
    fn refused(sys: &mut impl Sys, fd: std::fs::File) -> std::io::ErrorKind {
        let token = Token::Watch(WatchId { slot: 0, serial: 1 });
        sys.watch(fd.into(), token, R).map(|_| ()).unwrap_err().kind()
    }
    let real = refused(&mut MioSys::new().unwrap(), tempfile::tempfile().unwrap());
    let sim = refused(&mut World::new(1).sys(), tempfile::tempfile().unwrap());
    assert_eq!((real, sim), (std::io::ErrorKind::InvalidInput, std::io::ErrorKind::InvalidInput));
}
