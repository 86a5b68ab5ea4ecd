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
use super::gzip;
use super::listing::Page;
use super::listing::shared::Shared;
use super::options::{Options, Shape};
use super::path::{self, PathError, RelPath, Resolved};
use super::redirect;
use super::root::{Now, OpenError, Opened, Root};

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
    pub(super) root: Arc<Root>,
    pub(super) cache: Cache,
    pub(super) options: Arc<Options>,
    /// What is compressed on the fly, if anything is.
    pub(super) gzip: Option<gzip::Store>,
    /// Room for the cache's keys.
    pub(super) key: Vec<u8>,
    /// Room in which a small file is looked for in memory.
    scratch: Vec<u8>,
    /// Directories without an index file are listed.
    lists: bool,
    /// Listings that are being made and sent.
    pub(super) listings: Shared,
}

impl Files {
    /// Serves `root` with a cache of these bounds.
    pub fn new(root: Root, limits: Limits) -> Self {
        Self::with_options(root, limits, Options::default())
    }

    /// Serves `root` as `options` say, with a cache of these bounds.
    ///
    /// ```no_run
    /// use tidemill::service::files::{Files, Gzip, Limits, Options, Root};
    ///
    /// let root = Root::open("site".as_ref())?;
    /// let options = Options::default().gzip(Some(Gzip::default()));
    /// let files = Files::with_options(root, Limits::default(), options);
    /// # let _ = files;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn with_options(root: Root, limits: Limits, options: Options) -> Self {
        let root = Arc::new(root.with_symlinks(options.symlink_policy()));
        let gzip = options.gzip_config().copied().map(gzip::Store::new);
        let (cache, options) = (Cache::new(limits), Arc::new(options));
        Self {
            root,
            cache,
            options,
            gzip,
            key: Vec::new(),
            scratch: Vec::new(),
            lists: false,
            listings: Shared::default(),
        }
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
    ///
    /// ```
    /// # use tidemill::service::files::{Files, Limits, Lookup, Root};
    /// let mut files = Files::new(Root::open("src".as_ref()).unwrap(), Limits::default());
    /// let mut found = files.lookup(b"/lib.rs", 1, 1_800_000_000);
    /// if let Lookup::Cold(cold) = found {
    ///     let warmed = std::thread::spawn(|| cold.run()).join().unwrap();
    ///     found = files.warmed(warmed, 2);
    /// }
    /// assert!(matches!(found, Lookup::Found(entry) if entry.size() > 0));
    /// ```
    pub fn lookup(&mut self, raw_path: &[u8], turn: u64, now_unix: u64) -> Lookup {
        // Of several index files an earlier one may have come up, which a look at the kept one does not show.
        let names = self.options.index_names().len();
        if names < 2 || !raw_path.ends_with(b"/") {
            match self.cache.find(raw_path, &self.root, turn) {
                Some(Kept::Current(entry)) => return Lookup::Found(entry),
                // Entries are kept under canonical keys, so this path is one.
                Some(Kept::Unchecked(entry)) => {
                    return Lookup::Cold(Cold::check(
                        &self.root,
                        &self.cache,
                        raw_path,
                        entry,
                        names,
                        now_unix,
                    ));
                }
                None => {}
            }
        }
        match path::resolve_with(raw_path, self.options.hidden_policy()) {
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
                match (verdict(error, &cold.rel, cold.is_dir), cold.rel.parent()) {
                    (Lookup::NotFound, Some(directory)) if cold.is_dir => {
                        self.index_file(&cold.key, &directory, cold.next, None, turn, cold.now_unix)
                    }
                    (other, _) => other,
                }
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
        if let Some(gzip) = &mut self.gzip {
            gzip.clear();
        }
    }

    /// The root.
    pub fn root(&self) -> &Arc<Root> {
        &self.root
    }

    /// Entries are kept under the canonical spelling of their path alone, so that the endless spellings of one name
    /// (`/a`, `//a`, `/%61`) cannot push other files out. Another spelling costs a decoding and a second look.
    fn lookup_resolved(&mut self, raw_path: &[u8], resolved: &Resolved, turn: u64, now_unix: u64) -> Lookup {
        let key = redirect::canonical(resolved);
        let key = key.as_bytes();
        let is_new = key != raw_path || self.options.index_names().len() > 1;
        let kept = if is_new { self.cache.find(key, &self.root, turn) } else { None };
        match kept {
            kept if resolved.dir => self.index_file(key, &resolved.rel, 0, kept.as_ref(), turn, now_unix),
            Some(Kept::Current(entry)) => Lookup::Found(entry),
            Some(Kept::Unchecked(entry)) => {
                Lookup::Cold(Cold::check(&self.root, &self.cache, key, entry, 0, now_unix))
            }
            None => self.open(key, &resolved.rel, None, turn, now_unix),
        }
    }

    /// The first index file of `directory` that is there, of those from position `from` on; `kept` is what the cache has.
    fn index_file(
        &mut self,
        key: &[u8],
        directory: &RelPath,
        from: usize,
        kept: Option<&Kept>,
        turn: u64,
        now_unix: u64,
    ) -> Lookup {
        let options = Arc::clone(&self.options);
        for (at, name) in options.index_names().iter().enumerate().skip(from) {
            let Some(rel) = directory.join(name) else { continue };
            let next = at.saturating_add(1);
            match kept {
                Some(Kept::Current(entry)) if *entry.rel() == rel => return Lookup::Found(Arc::clone(entry)),
                Some(Kept::Unchecked(entry)) if *entry.rel() == rel => {
                    let entry = Arc::clone(entry);
                    return Lookup::Cold(Cold::check(&self.root, &self.cache, key, entry, next, now_unix));
                }
                _ => {}
            }
            let found = self.open(key, &rel, Some(next), turn, now_unix);
            if !matches!(found, Lookup::NotFound) {
                return found;
            }
        }
        if self.lists { Lookup::Directory(directory.clone()) } else { Lookup::NotFound }
    }

    /// What `rel` is, kept under `key` if it is a file. `next` is there for an index file: the position of the one after.
    fn open(&mut self, key: &[u8], rel: &RelPath, next: Option<usize>, turn: u64, now_unix: u64) -> Lookup {
        let (small_max, is_dir) = (self.cache.limits().small_max, next.is_some());
        let shape = self.options.shape(rel.as_bytes());
        match self.root.open_now(rel) {
            Now::Known(Ok(opened)) => {
                if let Some(entry) = self.load_now(rel, opened, shape.clone(), now_unix) {
                    self.cache.keep(key, &entry, turn, true);
                    return Lookup::Found(entry);
                }
            }
            Now::Known(Err(error)) => return verdict(error, rel, is_dir),
            Now::MayWait => {}
        }
        let (root, key, rel) = (Arc::clone(&self.root), key.into(), rel.clone());
        let next = next.unwrap_or(0);
        Lookup::Cold(Cold {
            root,
            key,
            rel,
            shape,
            is_dir,
            next,
            now_unix,
            small_max,
            known: None,
            again: false,
        })
    }

    /// An entry for what was opened without waiting, if it can be made without waiting, and at the first attempt.
    pub(super) fn load_now(
        &mut self,
        rel: &RelPath,
        opened: Opened,
        shape: Shape,
        now_unix: u64,
    ) -> Option<Arc<Entry>> {
        let small_max = self.cache.limits().small_max;
        if opened.meta.size <= small_max {
            let size = usize::try_from(opened.meta.size).ok()?;
            self.scratch.resize(size.max(self.scratch.len()), 0);
            let scratch = self.scratch.get_mut(..size)?;
            if !self.root.is_present(&opened, scratch) {
                return None;
            }
        }
        Entry::load(rel.clone(), opened, shape, now_unix, small_max).ok().map(Arc::new)
    }
}

fn verdict(error: OpenError, rel: &RelPath, is_dir: bool) -> Lookup {
    match error {
        OpenError::Directory if !is_dir => Lookup::Redirect(rel.clone()),
        OpenError::Directory | OpenError::NotFound => Lookup::NotFound,
        OpenError::Forbidden => Lookup::Forbidden,
        OpenError::Busy => Lookup::Busy,
        OpenError::Failed(errno) => Lookup::Failed(errno.into()),
    }
}

#[cfg(test)]
mod tests;
