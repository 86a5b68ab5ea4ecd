//! Opening beneath the root without `openat2`: one segment at a time, no link ever followed by the kernel.
//!
//! Owns a walk: a stack of held directory descriptors, each opened from the one below it with `O_NOFOLLOW`, and the
//! segments still to go. A `..` out of a link pops the stack, so that it leads to where the walk came from even when
//! somebody renames directories meanwhile; below the bottom lies nothing, which is why no race escapes. Called by
//! [`root`](super::root) alone.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::meta;
use super::path::RelPath;
use super::root::{NAME_ONLY, OpenError, READ};

/// As many links as the kernel follows in one name.
const LINKS_MAX: u32 = 40;

/// How deep a walk goes: each directory on the way holds a descriptor until the walk ends. What lies deeper is not
/// found.
const DEPTH_MAX: usize = 128;

/// How often the last segment is looked at again when it changed between two looks.
const TRIES_MAX: u32 = 16;

/// Opens `rel` beneath `root` for reading. The caller checks the type of what comes back, for the name may have
/// changed hands at the last moment; that it lies beneath the root is certain.
pub(super) fn open(root: BorrowedFd<'_>, rel: &RelPath) -> Result<OwnedFd, OpenError> {
    let mut walk = Walk { root, held: Vec::new(), pending: Vec::new(), links: 0, tries: 0 };
    walk.push_segments(rel.as_bytes())?;
    while let Some(segment) = walk.pending.pop() {
        if let Some(file) = walk.step(segment)? {
            return Ok(file);
        }
    }
    Err(OpenError::Directory)
}

/// Opens directory `rel` beneath `root` with `flags`.
pub(super) fn open_directory(
    root: BorrowedFd<'_>,
    rel: &RelPath,
    flags: OFlags,
) -> Result<OwnedFd, OpenError> {
    let mut walk = Walk { root, held: Vec::new(), pending: Vec::new(), links: 0, tries: 0 };
    walk.push_segments(rel.as_bytes())?;
    while let Some(segment) = walk.pending.pop() {
        if walk.step(segment)?.is_some() {
            return Err(OpenError::NotFound);
        }
    }
    walk.open_at(c".", flags.union(OFlags::DIRECTORY)).map_err(OpenError::from_errno)
}

struct Walk<'r> {
    root: BorrowedFd<'r>,
    held: Vec<OwnedFd>,
    /// Segments to go, the next one last.
    pending: Vec<CString>,
    links: u32,
    tries: u32,
}

impl Walk<'_> {
    fn step(&mut self, segment: CString) -> Result<Option<OwnedFd>, OpenError> {
        match segment.as_bytes() {
            b"" | b"." => return Ok(None),
            b".." => return self.held.pop().map(|_| None).ok_or(OpenError::Forbidden),
            _ => {}
        }
        let named = self.open_at(&segment, NAME_ONLY).map_err(OpenError::from_errno)?;
        let (_, kind) =
            meta::stat_at(named.as_fd(), c"", AtFlags::EMPTY_PATH).map_err(OpenError::from_errno)?;
        if kind == FileType::Symlink {
            self.follow(&named)?;
        } else if kind == FileType::Directory {
            if self.held.len() >= DEPTH_MAX {
                return Err(OpenError::NotFound);
            }
            self.held.push(named);
        } else if kind == FileType::RegularFile && self.pending.is_empty() {
            return self.open_last(segment);
        } else {
            return Err(OpenError::NotFound);
        }
        Ok(None)
    }

    /// Opens what was a regular file a moment ago. Had it become a link, `O_NOFOLLOW` says so: look again.
    fn open_last(&mut self, segment: CString) -> Result<Option<OwnedFd>, OpenError> {
        match self.open_at(&segment, READ) {
            Ok(file) => Ok(Some(file)),
            Err(Errno::LOOP) if self.tries < TRIES_MAX => {
                self.tries += 1;
                self.pending.push(segment);
                Ok(None)
            }
            Err(Errno::LOOP) => Err(OpenError::Busy),
            Err(errno) => Err(OpenError::from_errno(errno)),
        }
    }

    /// Puts the segments of a link's target before those still to go. The link is read through the descriptor that
    /// was found to be one, so it cannot change in between.
    fn follow(&mut self, link: &OwnedFd) -> Result<(), OpenError> {
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(OpenError::NotFound);
        }
        let target = rustix::fs::readlinkat(link, c"", Vec::new()).map_err(OpenError::from_errno)?;
        match target.as_bytes().first() {
            None => Err(OpenError::NotFound),
            Some(b'/') => Err(OpenError::Forbidden),
            Some(_) => self.push_segments(target.as_bytes()),
        }
    }

    fn push_segments(&mut self, path: &[u8]) -> Result<(), OpenError> {
        for segment in path.rsplit(|&b| b == b'/') {
            self.pending.push(CString::new(segment).map_err(|_| OpenError::NotFound)?);
        }
        Ok(())
    }

    fn open_at(&self, segment: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        let dir = self.held.last().map_or(self.root, AsFd::as_fd);
        retry_on_intr(|| rustix::fs::openat(dir, segment, flags | OFlags::NOFOLLOW, Mode::empty()))
    }
}
