//! [`Sink`]: the open end of an access log. Knows how each kind of file is opened and written without waiting for ever.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;

use super::Target;

/// A file that takes nothing is waited for so long at a time.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// How far a write came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wrote {
    All,
    /// So many bytes, and for a while no more would go.
    Blocked(usize),
    /// So many bytes, and then this.
    Failed(usize, Errno),
}

/// An open file, and whether its last line is whole.
pub(super) struct Sink {
    fd: OwnedFd,
    /// Its last byte is no line break.
    open_line: bool,
    /// Of that line nothing more will come: what is written next begins on its own.
    cut: bool,
}

impl Sink {
    /// Opens the target for appending; a new file is readable for its owner's group.
    pub(super) fn open(target: &Target) -> io::Result<Self> {
        let fd = match target {
            Target::Stdout => io::stdout().as_fd().try_clone_to_owned()?,
            Target::File(path) => open_file(path)?,
        };
        Ok(Self { fd, open_line: false, cut: false })
    }

    /// Whether a part of a line was written, whose rest is still to come.
    pub(super) const fn is_in_line(&self) -> bool {
        self.open_line && !self.cut
    }

    /// Goes on with `other`. If that is the same file, a cut line in it stays cut.
    pub(super) fn replace(&mut self, other: Self) {
        let id = |fd: &OwnedFd| fstat(fd).ok().map(|stat| (stat.st_dev, stat.st_ino));
        let same = id(&self.fd) == id(&other.fd);
        let cut = self.open_line && same;
        *self = Self { open_line: cut, cut, ..other };
    }

    /// Writes whole lines, or the rest of what it has begun. After a failure the next line begins on its own.
    pub(super) fn write(&mut self, lines: &[u8]) -> Wrote {
        if self.cut {
            match self.push(b"\n") {
                Wrote::All => self.cut = false,
                not_yet => return not_yet,
            }
        }
        let wrote = self.push(lines);
        if matches!(wrote, Wrote::Failed(..)) {
            self.cut = self.open_line;
        }
        wrote
    }

    fn push(&mut self, bytes: &[u8]) -> Wrote {
        let mut at = 0;
        let mut waited = false;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            if rest.is_empty() {
                return Wrote::All;
            }
            match rustix::io::write(&self.fd, rest) {
                Ok(0) => return Wrote::Failed(at, Errno::IO),
                Ok(n) => {
                    at = at.saturating_add(n);
                    waited = false;
                    self.open_line = bytes.get(at.wrapping_sub(1)) != Some(&b'\n');
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if waited => return Wrote::Blocked(at),
                Err(Errno::AGAIN) => {
                    // That it fails, or is interrupted, shows in the next write.
                    let _ = poll(&mut [PollFd::new(&self.fd, PollFlags::OUT)], Some(&PATIENCE));
                    waited = true;
                }
                Err(errno) => return Wrote::Failed(at, errno),
            }
        }
    }
}

/// Opens a file, a FIFO or a device. Never waits for the other end of a FIFO, nor makes a terminal ours.
fn open_file(path: &Path) -> io::Result<OwnedFd> {
    let common = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let writing = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | common;
    // A FIFO that is open for reading too has a reader at all times, so that neither its start nor its end loses what
    // the pipe can hold.
    let both = || open(path, OFlags::RDWR | common, Mode::empty());
    match open(path, writing, Mode::from_raw_mode(0o640)) {
        Err(Errno::NXIO) => Ok(both()?),
        Err(e) => Err(e.into()),
        Ok(fd) if FileType::from_raw_mode(fstat(&fd)?.st_mode) == FileType::Fifo => Ok(both().unwrap_or(fd)),
        Ok(fd) => Ok(fd),
    }
}
