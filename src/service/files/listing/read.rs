//! Reading a directory beneath the root, within bounds of count and time. It waits for the disk.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FileType, RawDir};
use rustix::io::Errno;

use super::super::meta::{self, Stamp};
use super::super::path::{self, RelPath};
use super::super::redirect;
use super::super::root::{OpenError, Root};

/// How often the clock is looked at, in names.
const CLOCK_EVERY: usize = 128;

/// How many bytes of names are read at a time.
const BLOCK: usize = 32 * 1024;

/// How far a listing goes. What is beyond is left out, and the page says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Entries that are listed. Default 100,000.
    pub entries_max: usize,
    /// Time to read them. A call on a dead disk outlasts it all the same. Default 5 s.
    pub time_max: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { entries_max: 100_000, time_max: Duration::from_secs(5) }
    }
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory, or a link to one beneath the root.
    Directory,
    /// A regular file, or a link to one beneath the root.
    File,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The name's bytes.
    pub name: Box<[u8]>,
    /// What it is.
    pub kind: Kind,
    /// Length in bytes; of no meaning for a directory.
    pub size: u64,
    /// When it was last written.
    pub mtime: Stamp,
}

/// What a directory holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The entries, in no order.
    pub items: Vec<Item>,
    /// A bound was met: there are more.
    pub truncated: bool,
}

/// Reads directory `rel`.
#[allow(clippy::disallowed_methods, reason = "a thread of the pool has no turn to ask for the time")]
pub(super) fn read(root: &Root, rel: &RelPath, bounds: &Bounds) -> Result<Contents, OpenError> {
    let directory = root.open_directory(rel)?;
    let end = Instant::now() + bounds.time_max;
    let mut block = vec![MaybeUninit::<u8>::uninit(); BLOCK];
    let mut names = RawDir::new(&directory, &mut block);
    let mut contents = Contents { items: Vec::new(), truncated: false };
    let mut seen = 0_usize;
    while let Some(entry) = names.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(OpenError::from_errno(errno)),
        };
        seen = seen.saturating_add(1);
        if seen.is_multiple_of(CLOCK_EVERY) && Instant::now() >= end {
            contents.truncated = true;
            break;
        }
        let Some(item) = look(root, rel, directory.as_fd(), entry.file_name()) else { continue };
        if contents.items.len() >= bounds.entries_max {
            contents.truncated = true;
            break;
        }
        contents.items.push(item);
    }
    Ok(contents)
}

/// The entry under `name`, if a peer may see it.
fn look(root: &Root, rel: &RelPath, directory: std::os::fd::BorrowedFd<'_>, name: &CStr) -> Option<Item> {
    let bytes = name.to_bytes();
    if !can_be_asked_for(bytes) {
        return None;
    }
    let (mut meta, mut kind) = meta::stat_at(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    if kind == FileType::Symlink {
        (meta, kind) = root.look(&rel.join(bytes)?).ok()?;
    }
    let kind = if kind == FileType::Directory {
        Kind::Directory
    } else if kind == FileType::RegularFile {
        Kind::File
    } else {
        return None;
    };
    Some(Item { name: bytes.into(), kind, size: meta.size, mtime: meta.mtime })
}

/// Whether a request path can name it; nothing hidden can be named, nor `.` and `..`. The top of the root is where a
/// hidden name would be let through, and listings leave that one out as well.
fn can_be_asked_for(name: &[u8]) -> bool {
    !name.starts_with(b".")
        && path::resolve(format!("/{}", redirect::segment(name)).as_bytes())
            .is_ok_and(|resolved| resolved.rel.as_bytes() == name)
}
