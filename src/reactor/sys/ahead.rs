//! Whether a file's bytes are in memory, and reading them in: what `sendfile` must not be left to do on the loop.

use std::fs::File;
use std::io::IoSliceMut;
use std::ops::Range;
use std::os::fd::AsFd;

use rustix::io::{Errno, ReadWriteFlags, preadv2};

/// How far apart the bytes lie that are asked for. Read-ahead and reclaim move runs of pages, so that one page in
/// sixteen speaks for its neighbours; a gap between two costs one wait, and asking for each page would cost a fifth of
/// the sending.
const STEP: usize = 64 * 1024;

/// How much is read at a time: what stays in a processor's cache.
const PIECE: usize = 64 * 1024;

/// tmpfs and ramfs.
const IN_MEMORY: [u32; 2] = [0x0102_1994, 0x8584_58f6];

/// Where the bytes of a file are, as far as the kernel tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    /// In memory: to send them does not wait.
    Here,
    /// Some are not.
    Away,
    /// This file system does not tell.
    Unknown,
}

/// Asks for single bytes of the `len` from `offset`, without waiting. For a file that is cut meanwhile, or cannot be
/// read, the answer is `Here`: to be told so does not wait.
pub(super) fn presence(file: &File, offset: u64, len: usize) -> Presence {
    let Some(last) = len.checked_sub(1) else { return Presence::Here };
    for at in (0..last).step_by(STEP).chain([last]) {
        let mut byte = [0];
        let at = offset.saturating_add(at as u64);
        match preadv2(file.as_fd(), &mut [IoSliceMut::new(&mut byte)], at, ReadWriteFlags::NOWAIT) {
            Err(Errno::AGAIN) => return Presence::Away,
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => return Presence::Unknown,
            Ok(_) | Err(_) => {}
        }
    }
    Presence::Here
}

/// Reads `range` of `file` into memory, waiting for the disk, and says up to where it is there now: `u64::MAX` for a
/// file that is never anywhere else. To be run on a thread.
pub(crate) fn read_ahead(file: &File, range: Range<u64>) -> Result<u64, i32> {
    let kind = rustix::fs::fstatfs(file).map(|stat| stat.f_type as u32);
    if kind.is_ok_and(|kind| IN_MEMORY.contains(&kind)) {
        return Ok(u64::MAX);
    }
    let mut piece = vec![0; PIECE];
    let mut at = range.start;
    while at < range.end {
        let most = usize::try_from(range.end - at).unwrap_or(PIECE).min(PIECE);
        let into = piece.get_mut(..most).unwrap_or_default();
        match rustix::io::pread(file, into, at) {
            // It was cut: sending finds that out at once.
            Ok(0) => return Ok(range.end),
            Ok(n) => at = at.saturating_add(n as u64),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.raw_os_error()),
        }
    }
    Ok(range.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(bytes: usize) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; bytes]).unwrap();
        file
    }

    #[test]
    fn what_was_dropped_from_memory_is_away_and_here_once_it_was_read() {
        let file = file(300_000);
        if presence(&file, 0, 300_000) == Presence::Unknown {
            eprintln!("skipped: this file system does not tell");
            return;
        }
        assert_eq!(presence(&file, 0, 300_000), Presence::Here);
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        assert_eq!(presence(&file, 0, 300_000), Presence::Away);
        assert_eq!(read_ahead(&file, 0..300_000), Ok(300_000));
        assert_eq!(presence(&file, 0, 300_000), Presence::Here);
    }

    #[test]
    fn a_file_that_ends_early_is_here_and_one_in_memory_for_good() {
        let short = file(10);
        assert_ne!(presence(&short, 5, 100), Presence::Away);
        assert_eq!(presence(&short, 0, 0), Presence::Here);
        assert_eq!(read_ahead(&short, 5..100).map(|to| to.min(100)), Ok(100));
        if let Ok(mut shm) = tempfile::tempfile_in("/dev/shm") {
            shm.write_all(b"x").unwrap();
            assert_eq!(read_ahead(&shm, 0..1), Ok(u64::MAX));
        }
        let directory = File::open("/").unwrap();
        assert_eq!(read_ahead(&directory, 0..1), Err(Errno::ISDIR.raw_os_error()));
    }
}
