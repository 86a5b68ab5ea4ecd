//! From a request path to a file, joining path rules, root, cache and index file.
//!
//! Owns the decision what a path *is*: a file, a directory to be redirected to, or nothing. Never looks at a method
//! or a header field, and never waits for a disk: [`cold`](super::cold) does, on a thread. Called once a request by the
//! HTTP service, and again when a thread has done what was cold.
//!
//! | path | answer |
//! |---|---|
//! | a regular file | [`Lookup::Found`] |
//! | a regular file with a trailing slash | [`Lookup::NotFound`] |
//! | a directory without its trailing slash | [`Lookup::Redirect`], whether or not it has an index |
//! | a directory with it | its index file; without one, or if that is no regular file, [`Lookup::NotFound`]: an empty directory and a missing one look alike. Where listings are on, [`Lookup::Directory`] |

use std::io;
use std::sync::Arc;

use super::cache::{Cache, Kept, Limits, Usage};
use super::cold::{Cold, Found, Warmed};
use super::entry::Entry;
use super::listing::Page;
use super::path::{self, PathError, RelPath, Resolved};
use super::redirect;
use super::root::{Now, OpenError, Opened, Root};

/// The file that answers for its directory.
const INDEX: &[u8] = b"index.html";

/// What a request path leads to.
#[derive(Debug)]
pub enum Lookup {
    /// A regular file: [`plan`](super::plan()) says what to send of it.
    Found(Arc<Entry>),
    /// A directory without its slash: 301 to [`location`](super::location) of this name, with the request's query.
    Redirect(RelPath),
    /// A directory without an index file, where listings are wanted: [`Listing`](super::listing::Listing) reads it. Whether it is
    /// one is not yet known.
    Directory(RelPath),
    /// To know takes a call that may wait for a disk: [`Cold::run`] makes it, on a thread.
    Cold(Cold),
    /// A directory's listing, read and written; only from [`Files::find`].
    Listed(Page),
    /// 404.
    NotFound,
    /// 403.
    Forbidden,
    /// 400.
    BadRequest,
    /// 503: descriptors or memory have run out.
    Busy,
    /// 500: the file system failed; a line for the log, none of the peer's business.
    Failed(io::Error),
}

/// The files beneath one root, with their cache. One for each reactor: nothing in it is shared.
#[derive(Debug)]
pub struct Files {
    root: Arc<Root>,
    cache: Cache,
    /// Room in which a small file is looked for in memory.
    scratch: Vec<u8>,
    /// Directories without an index file are listed.
    lists: bool,
}

impl Files {
    /// Serves `root` with a cache of these bounds.
    pub fn new(root: Root, limits: Limits) -> Self {
        Self { root: Arc::new(root), cache: Cache::new(limits), scratch: Vec::new(), lists: false }
    }

    /// Whether a directory without an index file is [`Lookup::Directory`]; else, and at first, it is not found.
    #[must_use]
    pub fn list(mut self, lists: bool) -> Self {
        self.lists = lists;
        self
    }

    /// Finds the file for `raw_path`, the path of the request target as it came in, without its query. Never waits for
    /// a disk: what could is [`Lookup::Cold`], to be run on a thread and given to [`Files::warmed`].
    ///
    /// `turn` is the reactor's turn number, within which a kept file is looked at once only; `now_unix` is the
    /// turn's time in seconds since 1970. Both must come from one clock reading per turn and never from the peer.
    pub fn lookup(&mut self, raw_path: &[u8], turn: u64, now_unix: u64) -> Lookup {
        match self.cache.find(raw_path, &self.root, turn) {
            Some(Kept::Current(entry)) => return Lookup::Found(entry),
            // Entries are kept under canonical keys, so this path is one.
            Some(Kept::Unchecked(entry)) => {
                return Lookup::Cold(Cold::check(&self.root, &self.cache, raw_path, entry, now_unix));
            }
            None => {}
        }
        match path::resolve(raw_path) {
            Ok(resolved) => self.lookup_resolved(raw_path, &resolved, turn, now_unix),
            Err(PathError::BadRequest) => Lookup::BadRequest,
            Err(PathError::NotFound) => Lookup::NotFound,
        }
    }

    /// What came of a [`Lookup::Cold`], kept for those who come after. It is `Cold` again only when descriptors had run
    /// out and the cache could spare some, at most once.
    pub fn warmed(&mut self, warmed: Warmed, turn: u64) -> Lookup {
        let Warmed { cold, found } = warmed;
        match found {
            Found::Same(entry) => {
                self.cache.confirm(&cold.key);
                Lookup::Found(entry)
            }
            Found::Loaded(Ok((entry, is_near))) => {
                // It was looked at before this turn, so others that ask in this turn have to look again.
                self.cache.keep(&cold.key, &entry, turn.wrapping_sub(1), is_near);
                Lookup::Found(entry)
            }
            Found::Loaded(Err(OpenError::Busy)) if !cold.again && self.cache.release_descriptors() > 0 => {
                Lookup::Cold(Cold { again: true, ..cold })
            }
            Found::Loaded(Err(error)) => {
                self.cache.forget(&cold.key);
                self.verdict(error, cold.rel, cold.is_dir)
            }
        }
    }

    /// As [`Files::lookup`], but waits for the disk where it has to: for programs without a loop, and tests.
    pub fn lookup_waiting(&mut self, raw_path: &[u8], turn: u64, now_unix: u64) -> Lookup {
        let mut found = self.lookup(raw_path, turn, now_unix);
        while let Lookup::Cold(cold) = found {
            found = self.warmed(cold.run(), turn);
        }
        found
    }

    /// What the cache holds.
    pub fn usage(&self) -> Usage {
        self.cache.usage()
    }

    /// Forgets every kept file, as after a reload; files being sent are not touched.
    pub fn clear(&mut self) {
        self.cache.clear();
    }

    /// The root.
    pub fn root(&self) -> &Arc<Root> {
        &self.root
    }

    /// Entries are kept under the canonical spelling of their path alone, so that the endless spellings of one name
    /// (`/a`, `//a`, `/%61`) cannot push other files out. Another spelling costs a decoding and a second look.
    fn lookup_resolved(&mut self, raw_path: &[u8], resolved: &Resolved, turn: u64, now_unix: u64) -> Lookup {
        let key = redirect::canonical(resolved);
        if key.as_bytes() != raw_path {
            match self.cache.find(key.as_bytes(), &self.root, turn) {
                Some(Kept::Current(entry)) => return Lookup::Found(entry),
                Some(Kept::Unchecked(entry)) => {
                    let key = key.as_bytes();
                    return Lookup::Cold(Cold::check(&self.root, &self.cache, key, entry, now_unix));
                }
                None => {}
            }
        }
        let rel = if resolved.dir { resolved.rel.join(INDEX) } else { Some(resolved.rel.clone()) };
        let Some(rel) = rel else { return Lookup::NotFound };
        let small_max = self.cache.limits().small_max;
        match self.root.open_now(&rel) {
            Now::Known(Ok(opened)) => {
                if let Some(entry) = self.load_now(&rel, opened, now_unix, small_max) {
                    self.cache.keep(key.as_bytes(), &entry, turn, true);
                    return Lookup::Found(entry);
                }
            }
            Now::Known(Err(error)) => return self.verdict(error, rel, resolved.dir),
            Now::MayWait => {}
        }
        let (root, key) = (Arc::clone(&self.root), key.into_bytes().into());
        let is_dir = resolved.dir;
        Lookup::Cold(Cold { root, key, rel, is_dir, now_unix, small_max, known: None, again: false })
    }

    /// An entry for what was opened without waiting, if it can be made without waiting, and at the first attempt.
    fn load_now(
        &mut self,
        rel: &RelPath,
        opened: Opened,
        now_unix: u64,
        small_max: u64,
    ) -> Option<Arc<Entry>> {
        if opened.meta.size <= small_max {
            let size = usize::try_from(opened.meta.size).ok()?;
            self.scratch.resize(size.max(self.scratch.len()), 0);
            let scratch = self.scratch.get_mut(..size)?;
            if !self.root.is_present(&opened, scratch) {
                return None;
            }
        }
        Entry::load(rel.clone(), opened, now_unix, small_max).ok().map(Arc::new)
    }

    fn verdict(&self, error: OpenError, rel: RelPath, is_dir: bool) -> Lookup {
        match error {
            OpenError::Directory if !is_dir => Lookup::Redirect(rel),
            OpenError::Directory | OpenError::NotFound => match rel.parent() {
                Some(directory) if is_dir && self.lists => Lookup::Directory(directory),
                _ => Lookup::NotFound,
            },
            OpenError::Forbidden => Lookup::Forbidden,
            OpenError::Busy => Lookup::Busy,
            OpenError::Failed(errno) => Lookup::Failed(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests;
