//! From a request path to a file, joining path rules, root, cache and index file.
//!
//! Owns the decision what a path *is*: a file, a directory to be redirected to, or nothing. Never looks at a method
//! or a header field. Called once a request by the HTTP service.
//!
//! | path | answer |
//! |---|---|
//! | a regular file | [`Lookup::Found`] |
//! | a regular file with a trailing slash | [`Lookup::NotFound`] |
//! | a directory without its trailing slash | [`Lookup::Redirect`], whether or not it has an index |
//! | a directory with it | its index file; without one, or if that is no regular file, [`Lookup::NotFound`]: an empty directory and a missing one look alike |

use std::io;
use std::sync::Arc;

use super::cache::{Cache, Limits, Usage};
use super::entry::{Entry, LoadError};
use super::gzip;
use super::options::Options;
use super::path::{self, PathError, RelPath, Resolved};
use super::redirect;
use super::root::{OpenError, Root};

/// How often a file that changes under our eyes is opened anew before it is sent from its descriptor as it is.
const LOADS_MAX: u32 = 3;

/// What a request path leads to.
#[derive(Debug)]
pub enum Lookup {
    /// A regular file: [`plan`](super::plan()) says what to send of it.
    Found(Arc<Entry>),
    /// A directory without its slash: 301 to [`location`](super::location) of this name, with the request's query.
    Redirect(RelPath),
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
    pub(super) root: Root,
    pub(super) cache: Cache,
    pub(super) options: Arc<Options>,
    /// What is compressed on the fly, if anything is.
    pub(super) gzip: Option<gzip::Store>,
    /// Room for the cache's keys.
    pub(super) key: Vec<u8>,
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
        let root = root.with_symlinks(options.symlink_policy());
        let gzip = options.gzip_config().copied().map(gzip::Store::new);
        Self { root, cache: Cache::new(limits), options: Arc::new(options), gzip, key: Vec::new() }
    }

    /// Finds the file for `raw_path`, the path of the request target as it came in, without its query.
    ///
    /// `turn` is the reactor's turn number, within which a kept file is looked at once only; `now_unix` is the
    /// turn's time in seconds since 1970. Both must come from one clock reading per turn and never from the peer.
    pub fn lookup(&mut self, raw_path: &[u8], turn: u64, now_unix: u64) -> Lookup {
        // Of several index files an earlier one may have come up, which a look at the kept one does not show.
        let is_sure = !raw_path.ends_with(b"/") || self.options.index_names().len() < 2;
        if is_sure && let Some(entry) = self.cache.find(raw_path, &self.root, turn) {
            return Lookup::Found(entry);
        }
        match path::resolve_with(raw_path, self.options.hidden_policy()) {
            Ok(resolved) => self.lookup_resolved(raw_path, &resolved, turn, now_unix),
            Err(PathError::BadRequest) => Lookup::BadRequest,
            Err(PathError::NotFound) => Lookup::NotFound,
        }
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
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Entries are kept under the canonical spelling of their path alone, so that the endless spellings of one name
    /// (`/a`, `//a`, `/%61`) cannot push other files out. Another spelling costs a decoding and a second look.
    fn lookup_resolved(&mut self, raw_path: &[u8], resolved: &Resolved, turn: u64, now_unix: u64) -> Lookup {
        let key = redirect::canonical(resolved);
        let is_new = key.as_bytes() != raw_path || self.options.index_names().len() > 1;
        let kept = if is_new { self.cache.find(key.as_bytes(), &self.root, turn) } else { None };
        if !resolved.dir {
            return match kept
                .map_or_else(|| self.open(&key, &resolved.rel, turn, now_unix), |e| Ok(Lookup::Found(e)))
            {
                Err(OpenError::Directory) => Lookup::Redirect(resolved.rel.clone()),
                found => found.unwrap_or_else(verdict),
            };
        }
        let options = Arc::clone(&self.options);
        for name in options.index_names() {
            let Some(rel) = resolved.rel.join(name) else { continue };
            if let Some(entry) = kept.as_ref().filter(|entry| *entry.rel() == rel) {
                return Lookup::Found(Arc::clone(entry));
            }
            match self.open(&key, &rel, turn, now_unix) {
                Ok(found) => return found,
                Err(OpenError::Directory | OpenError::NotFound) => {}
                Err(other) => return verdict(other),
            }
        }
        Lookup::NotFound
    }

    fn open(&mut self, key: &str, rel: &RelPath, turn: u64, now_unix: u64) -> Result<Lookup, OpenError> {
        let entry = Arc::new(self.load(rel, now_unix)?);
        self.cache.keep(key.as_bytes(), &entry, turn);
        Ok(Lookup::Found(entry))
    }

    fn load(&mut self, rel: &RelPath, now_unix: u64) -> Result<Entry, OpenError> {
        for _ in 0..LOADS_MAX {
            let opened = match self.root.open_file(rel) {
                // The cache may be what holds the descriptors.
                Err(OpenError::Busy) if self.cache.release_descriptors() > 0 => self.root.open_file(rel)?,
                other => other?,
            };
            match Entry::load(
                rel.clone(),
                opened,
                self.options.shape(rel.as_bytes()),
                now_unix,
                self.cache.limits().small_max,
            ) {
                Ok(entry) => return Ok(entry),
                Err(LoadError::Truncated | LoadError::Changed) => {}
                Err(LoadError::Io(error)) => {
                    let errno = rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO);
                    return Err(OpenError::from_errno(errno));
                }
            }
        }
        // Somebody writes to it all the time: what was announced is sent from the descriptor, and a cut shows there.
        let shape = self.options.shape(rel.as_bytes());
        Ok(Entry::by_descriptor(rel.clone(), self.root.open_file(rel)?, shape, now_unix))
    }
}

fn verdict(error: OpenError) -> Lookup {
    match error {
        OpenError::Directory | OpenError::NotFound => Lookup::NotFound,
        OpenError::Forbidden => Lookup::Forbidden,
        OpenError::Busy => Lookup::Busy,
        OpenError::Failed(errno) => Lookup::Failed(errno.into()),
    }
}

#[cfg(test)]
mod tests;
