//! Whether a call on a file may have to wait, and for what: the facts behind the rule that nothing on the loop waits
//! for a disk.
//!
//! Owns the kinds of file systems and the question whether a file's bytes are in memory. Never opens or reads for
//! anybody else. `docs/slow-disks.md` has the whole plan.

use std::fs::File;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::reactor::sys::Presence;

/// Where the files of a root lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disk {
    /// In memory: no call waits.
    Memory,
    /// On a file system of this machine: what the kernel has in its caches can be had without waiting, and the kernel
    /// can tell.
    Local,
    /// Behind a network, in a process, or of a kind that is not known: any call can wait without end, even one about
    /// a file that was just seen.
    Far,
}

impl Disk {
    /// The kind of the file system that holds `dir`. The call may wait.
    pub(super) fn of(dir: BorrowedFd<'_>) -> Self {
        rustix::fs::fstatfs(dir).map_or(Self::Far, |stat| Self::of_magic(magic(stat.f_type)))
    }

    /// By the numbers of `statfs(2)`. A kind that is missing here is served as well, only over a thread.
    const fn of_magic(magic: u64) -> Self {
        match magic {
            // tmpfs, ramfs
            0x0102_1994 | 0x8584_58f6 => Self::Memory,
            // ext2-4, xfs, btrfs, f2fs, bcachefs, zfs, erofs, squashfs, iso9660, overlayfs, msdos, exfat, ntfs3
            0xef53 | 0x5846_5342 | 0x9123_683e | 0xf2f5_2010 | 0xca45_1a4e | 0x2fc1_2fc1 | 0xe0f5_e1e2
            | 0x7371_7368 | 0x9660 | 0x794c_7630 | 0x4d44 | 0x2011_bab0 | 0x7366_746e => Self::Local,
            _ => Self::Far,
        }
    }
}

/// The type of a file system is a word of 32 bits, which some architectures widen with its sign.
#[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, reason = "its width differs between architectures")]
const fn magic(f_type: rustix::fs::FsWord) -> u64 {
    f_type as u64 & 0xffff_ffff
}

/// The mount on which `fd` lies; `None` where the kernel (before 5.8) does not tell.
pub(super) fn mount_of(fd: BorrowedFd<'_>) -> Option<u64> {
    let stat = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
    let told = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::MNT_ID);
    told.then_some(stat.stx_mnt_id)
}

/// Whether the first `into.len()` bytes of `file` can be read without waiting; they are left in `into`. A file that
/// turns out to be shorter, or cannot be read, is here: reading it will not wait to say so.
pub(super) fn presence(file: &File, into: &mut [u8]) -> Presence {
    let mut done = 0;
    while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let at = done as u64;
        match preadv2(file.as_fd(), &mut [IoSliceMut::new(rest)], at, ReadWriteFlags::NOWAIT) {
            // A read that stops short has met the end, or a page that is not there: the next one tells which.
            Ok(0) => return Presence::Here,
            Ok(n) => done += n,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Presence::Away,
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => return Presence::Unknown,
            Err(_) => return Presence::Here,
        }
    }
    Presence::Here
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_to_be_near_is_far() {
        let table = [
            (0xef53, Disk::Local),
            (0x9123_683e, Disk::Local),
            (0x0102_1994, Disk::Memory),
            (0x6969, Disk::Far),
            (0x6573_5546, Disk::Far),
            (0xff53_4d42, Disk::Far),
            (0x0102_1997, Disk::Far),
            (0, Disk::Far),
        ];
        for (magic, want) in table {
            assert_eq!(Disk::of_magic(magic), want, "{magic:#x}");
        }
        // As an architecture with a signed word of 64 bits would give it.
        assert_eq!(Disk::of_magic(magic(0xffff_ffff_9123_683e_u64 as rustix::fs::FsWord)), Disk::Local);
    }

    #[test]
    fn the_pages_of_a_file_just_written_are_here_and_the_end_of_a_shorter_one_too() {
        use std::io::Write;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"hello").unwrap();
        let mut five = [0; 5];
        let told = presence(&file, &mut five);
        assert_ne!(told, Presence::Away, "a file just written is in memory");
        assert!(told == Presence::Unknown || &five == b"hello");
        assert_ne!(presence(&file, &mut [0; 9]), Presence::Away);
        assert_eq!(presence(&file, &mut []), Presence::Here);
    }

    #[test]
    fn two_descriptors_of_one_mount_tell_the_same_mount_and_proc_another() {
        let open = |path: &str| File::open(path).unwrap();
        let (one, two, other) = (open("/"), open("/"), open("/proc"));
        assert!(mount_of(one.as_fd()).is_some());
        assert_eq!(mount_of(one.as_fd()), mount_of(two.as_fd()));
        assert_ne!(mount_of(one.as_fd()), mount_of(other.as_fd()));
        assert_eq!(Disk::of(other.as_fd()), Disk::Far);
    }
}
