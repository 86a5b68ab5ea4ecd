//! What a lookup leaves to a thread, because it may wait for a disk: opening, looking at a name, reading a small file.
//!
//! Owns the blocking half of [`lookup`](super::lookup). Nothing here is ever called on the loop; a [`Cold`] holds all that
//! it needs, so that it can be sent to a thread.

use std::sync::Arc;

use super::cache::Cache;
use super::entry::{Entry, LoadError};
use super::path::RelPath;
use super::root::{OpenError, Root};

/// How often a file that changes under our eyes is opened anew before it is sent from its descriptor as it is.
const LOADS_MAX: u32 = 3;

/// A lookup that may wait. Run it where waiting does no harm, and give what comes of it to
/// [`Files::warmed`](super::Files::warmed).
#[derive(Debug)]
pub struct Cold {
    pub(super) root: Arc<Root>,
    /// The canonical path, under which the cache keeps what is found.
    pub(super) key: Box<[u8]>,
    pub(super) rel: RelPath,
    /// The path asked for a directory.
    pub(super) is_dir: bool,
    pub(super) now_unix: u64,
    pub(super) small_max: u64,
    /// What the cache has, to be looked at.
    pub(super) known: Option<Arc<Entry>>,
    /// It was tried before, when descriptors had run out.
    pub(super) again: bool,
}

/// What came of a [`Cold`].
#[derive(Debug)]
pub struct Warmed {
    pub(super) cold: Cold,
    pub(super) found: Found,
}

#[derive(Debug)]
pub(super) enum Found {
    /// What the cache had is still what its name leads to.
    Same(Arc<Entry>),
    /// It was opened anew; and whether it is near.
    Loaded(Result<(Arc<Entry>, bool), OpenError>),
}

impl Cold {
    /// A look at what the cache has under `key`, which is canonical.
    pub(super) fn check(
        root: &Arc<Root>,
        cache: &Cache,
        key: &[u8],
        entry: Arc<Entry>,
        now_unix: u64,
    ) -> Self {
        Self {
            root: Arc::clone(root),
            key: key.into(),
            rel: entry.rel().clone(),
            is_dir: key.ends_with(b"/"),
            now_unix,
            small_max: cache.limits().small_max,
            known: Some(entry),
            again: false,
        }
    }

    /// Opens the name and reads a small file, waiting as long as the disk does. Never panics.
    pub fn run(mut self) -> Warmed {
        let same = |entry: &Arc<Entry>| self.root.stat(&self.rel).is_ok_and(|meta| meta == *entry.meta());
        let found = match self.known.take_if(|entry| same(entry)) {
            Some(entry) => Found::Same(entry),
            None => Found::Loaded(self.load()),
        };
        Warmed { cold: self, found }
    }

    fn load(&self) -> Result<(Arc<Entry>, bool), OpenError> {
        for _ in 0..LOADS_MAX {
            let opened = self.root.open_file(&self.rel)?;
            let is_near = opened.is_near;
            match Entry::load(self.rel.clone(), opened, self.now_unix, self.small_max) {
                Ok(entry) => return Ok((Arc::new(entry), is_near)),
                Err(LoadError::Truncated | LoadError::Changed) => {}
                Err(LoadError::Io(error)) => {
                    let errno = rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO);
                    return Err(OpenError::from_errno(errno));
                }
            }
        }
        // Somebody writes to it all the time: what was announced is sent from the descriptor, and a cut shows there.
        let opened = self.root.open_file(&self.rel)?;
        let is_near = opened.is_near;
        Ok((Arc::new(Entry::by_descriptor(self.rel.clone(), opened, self.now_unix)), is_near))
    }
}
