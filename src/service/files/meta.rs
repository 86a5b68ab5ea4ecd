//! A file's identity and times: what tells one state of a file from another.
//!
//! Owns the one system call behind it, `statx` (with `fstatat` where an old kernel or a seccomp filter refuses it).
//! Never opens anything.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, StatxFlags};
use rustix::io::Errno;

/// Seconds and nanoseconds since 1970, as the file system keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Seconds since 1970, negative before.
    pub sec: i64,
    /// Nanoseconds within the second.
    pub nsec: u32,
}

/// One state of one file. Two equal values are the same state: any write, truncation, replacement, or change of
/// mode or owner makes them differ, as finely as the file system's clock ticks (see [`Meta::is_settled`]). A write
/// through a shared mapping is stamped when its page first becomes dirty, and again only after write-back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Length in bytes.
    pub size: u64,
    /// When the content was last written; a program may set it.
    pub mtime: Stamp,
    /// When content or attributes last changed; no program can set it.
    pub ctime: Stamp,
    /// The device that holds the file.
    pub dev: u64,
    /// The file's number on it.
    pub ino: u64,
}

impl Meta {
    /// Whether the content was last written more than [`SETTLE_S`] before `now_unix`. A clock that is stamped in
    /// ticks can give two writes one stamp, so that a younger file may change without its stamp changing. A time
    /// ahead of the clock was set by a program, and a write would take it back: it counts as settled.
    pub fn is_settled(&self, now_unix: u64) -> bool {
        !is_recent(self.mtime, now_unix, true)
    }

    /// Whether, besides, no attribute changed in that time: the test for keeping a copy in memory. A change time
    /// ahead of the clock is recent, for the kernel alone sets it.
    pub fn is_at_rest(&self, now_unix: u64) -> bool {
        self.is_settled(now_unix) && !is_recent(self.ctime, now_unix, false)
    }
}

/// How long a file must have been left alone before its times alone tell its content, in seconds. Whole seconds
/// are compared, so that the true bound lies between this and one second more.
pub const SETTLE_S: i64 = 2;

fn is_recent(stamp: Stamp, now_unix: u64, ahead_is_old: bool) -> bool {
    let age = i64::try_from(now_unix).unwrap_or(i64::MAX).saturating_sub(stamp.sec);
    age <= SETTLE_S && !(ahead_is_old && age < -SETTLE_S)
}

/// The state and type of `path` as seen from `dir`; an empty path with [`AtFlags::EMPTY_PATH`] is `dir` itself.
pub(super) fn stat_at(dir: BorrowedFd<'_>, path: &CStr, flags: AtFlags) -> Result<(Meta, FileType), Errno> {
    let mask = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::SIZE | StatxFlags::MTIME | StatxFlags::CTIME;
    match rustix::fs::statx(dir, path, flags | AtFlags::NO_AUTOMOUNT, mask) {
        Ok(stat) => {
            let meta = Meta {
                size: stat.stx_size,
                mtime: Stamp { sec: stat.stx_mtime.tv_sec, nsec: stat.stx_mtime.tv_nsec },
                ctime: Stamp { sec: stat.stx_ctime.tv_sec, nsec: stat.stx_ctime.tv_nsec },
                dev: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor),
                ino: stat.stx_ino,
            };
            Ok((meta, FileType::from_raw_mode(u32::from(stat.stx_mode))))
        }
        Err(Errno::NOSYS | Errno::PERM) => without_statx(dir, path, flags),
        Err(errno) => Err(errno),
    }
}

#[allow(
    clippy::unnecessary_cast,
    reason = "the widths of these fields differ from one architecture to the next"
)]
fn without_statx(dir: BorrowedFd<'_>, path: &CStr, flags: AtFlags) -> Result<(Meta, FileType), Errno> {
    let stat = rustix::fs::statat(dir, path, flags | AtFlags::NO_AUTOMOUNT)?;
    let meta = Meta {
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime: Stamp { sec: stat.st_mtime as i64, nsec: u32::try_from(stat.st_mtime_nsec).unwrap_or(0) },
        ctime: Stamp { sec: stat.st_ctime as i64, nsec: u32::try_from(stat.st_ctime_nsec).unwrap_or(0) },
        dev: stat.st_dev as u64,
        ino: stat.st_ino as u64,
    };
    Ok((meta, FileType::from_raw_mode(stat.st_mode)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn meta(mtime: i64, ctime: i64) -> Meta {
        let at = |sec| Stamp { sec, nsec: 0 };
        Meta { size: 1, mtime: at(mtime), ctime: at(ctime), dev: 1, ino: 1 }
    }

    #[test]
    fn a_file_settles_two_seconds_after_its_last_write() {
        let table = [
            (97, 97, true, true),
            (98, 97, false, false),
            (100, 97, false, false),
            (101, 97, false, false),
            (1000, 97, true, true),
            (97, 98, true, false),
            (97, 1000, true, false),
            (-5, -5, true, true),
        ];
        for (mtime, ctime, settled, at_rest) in table {
            let meta = meta(mtime, ctime);
            assert_eq!((meta.is_settled(100), meta.is_at_rest(100)), (settled, at_rest), "{mtime} {ctime}");
        }
    }

    #[test]
    fn both_system_calls_tell_the_same() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(12).unwrap();
        let new = stat_at(file.as_fd(), c"", AtFlags::EMPTY_PATH).unwrap();
        let old = without_statx(file.as_fd(), c"", AtFlags::EMPTY_PATH).unwrap();
        assert_eq!(new, old);
        assert_eq!((new.0.size, new.1), (12, FileType::RegularFile));
    }
}
