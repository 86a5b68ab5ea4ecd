//! The root directory, held as a descriptor, and the one way to open a file beneath it.
//!
//! Owns the rule that nothing outside is ever opened and nothing but a regular file is ever handed out. It never
//! reads a file and knows nothing of HTTP. `openat2` (Linux 5.6) enforces the rule in the kernel; where it is
//! missing, [`stepwise`](super::stepwise) does the same by hand. Because the directory is held, renaming it or
//! pointing a link at another one does not move the root: that takes a new [`Root`].
//!
//! | beneath the root | answer |
//! |---|---|
//! | regular file, readable | [`Opened`] |
//! | directory, readable or not | [`OpenError::Directory`] |
//! | FIFO, socket, device; missing; name too long; a loop of links; a magic link | [`OpenError::NotFound`] |
//! | relative symlink that stays inside | followed |
//! | absolute symlink, or one that leaves | [`OpenError::Forbidden`] |
//! | no permission | [`OpenError::Forbidden`] |
//! | no descriptor or memory left | [`OpenError::Busy`] |

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::disk::{self, Disk};
use super::meta::{self, Meta};
use super::path::RelPath;
use super::stepwise;
use crate::reactor::sys::Presence;

/// Flags for a file to be read. `NONBLOCK` keeps a FIFO from blocking the open, `NOCTTY` a terminal from becoming ours.
pub(super) const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOCTTY);

/// Flags for a descriptor that only names its file.
pub(super) const NAME_ONLY: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// The same on the root's own mount alone: another can lie anywhere.
const HERE: ResolveFlags = BENEATH.union(ResolveFlags::NO_XDEV);

/// The same with what the kernel has in its caches alone (Linux 5.12).
const CACHED: ResolveFlags = HERE.union(ResolveFlags::CACHED);

/// How often `openat2` is asked again after `EAGAIN` (a rename or mount elsewhere raced with a `..`).
const TRIES_MAX: u32 = 16;

/// How names are resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolver {
    /// `openat2` if a probe at the start finds it, else step by step.
    Auto,
    /// `openat2`, or fail at the start.
    Openat2,
    /// One `openat` per segment, links read by ourselves.
    Stepwise,
}

/// A regular file beneath the root, opened for reading.
#[derive(Debug)]
pub struct Opened {
    /// The descriptor. Read it with `pread` or `sendfile`, for it may be shared.
    pub file: File,
    /// The state of this very descriptor when it was opened.
    pub meta: Meta,
    /// It lies on the root's own mount, and that is no far one: looking at its name again will not wait for long.
    pub(super) is_near: bool,
}

/// What [`Root::open_now`] finds without waiting.
#[derive(Debug)]
pub(super) enum Now {
    /// The verdict, which is as good as that of [`Root::open_file`].
    Known(Result<Opened, OpenError>),
    /// To know takes a call that may wait.
    MayWait,
}

/// Why a name could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    /// There is nothing to serve under this name: 404.
    NotFound,
    /// It is there, but not ours to serve: no permission, or a link that leaves the root: 403.
    Forbidden,
    /// It is a directory.
    Directory,
    /// Descriptors or memory ran out, or the name would not hold still: 503.
    Busy,
    /// The file system failed: 500.
    Failed(Errno),
}

impl OpenError {
    pub(super) fn from_errno(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::LOOP => Self::NotFound,
            // A socket, or a device without a driver; a handle that the file server has forgotten; a name that the
            // file system cannot hold.
            Errno::NXIO | Errno::NODEV | Errno::STALE | Errno::INVAL | Errno::ILSEQ => Self::NotFound,
            Errno::XDEV | Errno::ACCESS | Errno::PERM => Self::Forbidden,
            Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN => Self::Busy,
            other => Self::Failed(other),
        }
    }
}

/// A directory from which files are served.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
    openat2: bool,
    /// `RESOLVE_CACHED` is known.
    cached: bool,
    disk: Disk,
    mount: Option<u64>,
}

impl Root {
    /// Holds `dir`; symlinks in `dir` itself are followed, for the operator named it.
    ///
    /// # Errors
    /// As `open(2)` gives them: `dir` is missing, not a directory, or out of reach.
    pub fn open(dir: &Path) -> io::Result<Self> {
        Self::open_with(dir, Resolver::Auto)
    }

    /// As [`Root::open`], with the way of resolving chosen.
    ///
    /// # Errors
    /// Also when [`Resolver::Openat2`] is asked for and the kernel, or a seccomp filter, refuses it.
    pub fn open_with(dir: &Path, resolver: Resolver) -> io::Result<Self> {
        let dir = rustix::fs::open(dir, NAME_ONLY | OFlags::DIRECTORY, Mode::empty())?;
        let probe = || rustix::fs::openat2(&dir, c".", NAME_ONLY, Mode::empty(), BENEATH);
        let openat2 = match resolver {
            Resolver::Stepwise => false,
            Resolver::Openat2 => probe().map(|_| true)?,
            Resolver::Auto => !probe().is_err_and(is_missing),
        };
        // An older kernel says EINVAL to a flag that it does not know.
        let cached = openat2 && rustix::fs::openat2(&dir, c".", NAME_ONLY, Mode::empty(), CACHED).is_ok();
        let (disk, mount) = (Disk::of(dir.as_fd()), disk::mount_of(dir.as_fd()));
        Ok(Self { dir, openat2, cached, disk, mount })
    }

    /// The way names are resolved here; never [`Resolver::Auto`].
    pub fn resolver(&self) -> Resolver {
        if self.openat2 { Resolver::Openat2 } else { Resolver::Stepwise }
    }

    /// Opens the regular file `rel`.
    ///
    /// # Errors
    /// [`OpenError`], by the table at the head of this module.
    pub fn open_file(&self, rel: &RelPath) -> Result<Opened, OpenError> {
        let fd = if self.openat2 { self.by_openat2(rel)? } else { stepwise::open(self.dir.as_fd(), rel)? };
        let (meta, kind) =
            meta::stat_at(fd.as_fd(), c"", AtFlags::EMPTY_PATH).map_err(OpenError::from_errno)?;
        regular(kind)?;
        let is_near = self.is_near(fd.as_fd());
        Ok(Opened { file: File::from(fd), meta, is_near })
    }

    /// As [`Root::open_file`], but never waits for a disk: what the kernel has not in its caches, and all of a far
    /// file system, is [`Now::MayWait`]. So is whatever is refused, since to say why takes another look.
    pub(super) fn open_now(&self, rel: &RelPath) -> Now {
        let how = match self.disk {
            Disk::Memory if self.openat2 => HERE,
            Disk::Local if self.cached => CACHED,
            Disk::Memory | Disk::Local | Disk::Far => return Now::MayWait,
        };
        let fd = match rustix::fs::openat2(&self.dir, rel.as_c_str(), READ, Mode::empty(), how) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => {
                return Now::Known(Err(OpenError::NotFound));
            }
            Err(_) => return Now::MayWait,
        };
        // The attributes of an open file are in memory.
        let opened =
            meta::stat_at(fd.as_fd(), c"", AtFlags::EMPTY_PATH).map_err(OpenError::from_errno).and_then(
                |(meta, kind)| regular(kind).map(|()| Opened { file: File::from(fd), meta, is_near: true }),
            );
        Now::Known(opened)
    }

    /// Whether what has been opened now can be read without waiting; `scratch` is room for its content.
    pub(super) fn is_present(&self, opened: &Opened, scratch: &mut [u8]) -> bool {
        match disk::presence(&opened.file, scratch) {
            Presence::Here => true,
            Presence::Away => false,
            Presence::Unknown => self.disk == Disk::Memory,
        }
    }

    /// Whether a name that leads to `fd` can be looked at again without waiting for long.
    fn is_near(&self, fd: BorrowedFd<'_>) -> bool {
        self.disk != Disk::Far && self.mount.is_some() && disk::mount_of(fd) == self.mount
    }

    /// Opens directory `rel` for reading its names. It may wait for the disk.
    ///
    /// # Errors
    /// [`OpenError`], by the table at the head of this module; [`OpenError::NotFound`] also for what is no directory.
    pub fn open_directory(&self, rel: &RelPath) -> Result<OwnedFd, OpenError> {
        if !self.openat2 {
            return stepwise::open_directory(self.dir.as_fd(), rel, READ);
        }
        let flags = READ.union(OFlags::DIRECTORY);
        self.try_openat2(rel, flags)?
            .map_or_else(|| stepwise::open_directory(self.dir.as_fd(), rel, READ), Ok)
    }

    /// What `rel` is, links that stay beneath the root followed, without the right to read it. It may wait for the disk.
    ///
    /// # Errors
    /// As for [`Root::open_file`].
    pub fn look(&self, rel: &RelPath) -> Result<(Meta, FileType), OpenError> {
        let named = if self.openat2 { self.try_openat2(rel, NAME_ONLY)? } else { None };
        let named = match named {
            Some(named) => named,
            None => match stepwise::open(self.dir.as_fd(), rel) {
                Err(OpenError::Directory) => stepwise::open_directory(self.dir.as_fd(), rel, NAME_ONLY)?,
                other => other?,
            },
        };
        meta::stat_at(named.as_fd(), c"", AtFlags::EMPTY_PATH).map_err(OpenError::from_errno)
    }

    /// `None` when a filter took `openat2` away, or names do not hold still.
    fn try_openat2(&self, rel: &RelPath, flags: OFlags) -> Result<Option<OwnedFd>, OpenError> {
        for _ in 0..TRIES_MAX {
            match rustix::fs::openat2(&self.dir, rel.as_c_str(), flags, Mode::empty(), BENEATH) {
                Ok(fd) => return Ok(Some(fd)),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::NOSYS) => break,
                Err(errno) => return Err(OpenError::from_errno(errno)),
            }
        }
        Ok(None)
    }

    /// The state of whatever `rel` names now, in one system call. **Only for comparing** with the [`Meta`] of a file
    /// that [`Root::open_file`] opened: links are followed without regard to the root, so an unequal answer means
    /// nothing, and an equal one that the name still leads to the same unchanged file.
    ///
    /// # Errors
    /// As `statx(2)` gives them.
    pub fn stat(&self, rel: &RelPath) -> io::Result<Meta> {
        Ok(meta::stat_at(self.dir.as_fd(), rel.as_c_str(), AtFlags::empty()).map(|(meta, _)| meta)?)
    }

    fn by_openat2(&self, rel: &RelPath) -> Result<OwnedFd, OpenError> {
        for _ in 0..TRIES_MAX {
            match rustix::fs::openat2(&self.dir, rel.as_c_str(), READ, Mode::empty(), BENEATH) {
                Ok(fd) => return Ok(fd),
                Err(Errno::AGAIN | Errno::INTR) => {}
                // A seccomp filter that came after the probe.
                Err(Errno::NOSYS) => break,
                Err(Errno::ACCESS) => return Err(self.denied(rel)),
                Err(errno) => return Err(OpenError::from_errno(errno)),
            }
        }
        stepwise::open(self.dir.as_fd(), rel)
    }

    /// What an unreadable name is: a directory that may be entered but not read is one all the same.
    fn denied(&self, rel: &RelPath) -> OpenError {
        let named = rustix::fs::openat2(&self.dir, rel.as_c_str(), NAME_ONLY, Mode::empty(), BENEATH);
        let kind =
            named.and_then(|fd| meta::stat_at(fd.as_fd(), c"", AtFlags::EMPTY_PATH)).map(|(_, kind)| kind);
        kind.map_err(|_| OpenError::Forbidden).and_then(regular).err().unwrap_or(OpenError::Forbidden)
    }
}

fn regular(kind: FileType) -> Result<(), OpenError> {
    if kind == FileType::RegularFile {
        Ok(())
    } else if kind == FileType::Directory {
        Err(OpenError::Directory)
    } else {
        Err(OpenError::NotFound)
    }
}

/// Whether the probe says that the system call is not to be had: an old kernel, or a seccomp filter (which answers
/// `EPERM`, as no `openat2` on a directory that is already open does). Other errors, such as `EACCES` or `EMFILE`,
/// say nothing about it.
fn is_missing(errno: Errno) -> bool {
    matches!(errno, Errno::NOSYS | Errno::PERM)
}

#[cfg(test)]
mod tests;
