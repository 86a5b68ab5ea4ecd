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
use super::path::{self, PathError, RelPath, Resolved};
use super::redirect;
use super::root::{OpenError, Root};

/// The file that answers for its directory.
const INDEX: &[u8] = b"index.html";

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
    root: Root,
    cache: Cache,
}

impl Files {
    /// Serves `root` with a cache of these bounds.
    pub fn new(root: Root, limits: Limits) -> Self {
        Self { root, cache: Cache::new(limits) }
    }

    /// Finds the file for `raw_path`, the path of the request target as it came in, without its query.
    ///
    /// `turn` is the reactor's turn number, within which a kept file is looked at once only; `now_unix` is the
    /// turn's time in seconds since 1970. Both must come from one clock reading per turn and never from the peer.
    pub fn lookup(&mut self, raw_path: &[u8], turn: u64, now_unix: u64) -> Lookup {
        if let Some(entry) = self.cache.find(raw_path, &self.root, turn) {
            return Lookup::Found(entry);
        }
        match path::resolve(raw_path) {
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
    }

    /// The root.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Entries are kept under the canonical spelling of their path alone, so that the endless spellings of one name
    /// (`/a`, `//a`, `/%61`) cannot push other files out. Another spelling costs a decoding and a second look.
    fn lookup_resolved(&mut self, raw_path: &[u8], resolved: &Resolved, turn: u64, now_unix: u64) -> Lookup {
        let key = redirect::canonical(resolved);
        if key.as_bytes() != raw_path
            && let Some(entry) = self.cache.find(key.as_bytes(), &self.root, turn)
        {
            return Lookup::Found(entry);
        }
        let rel = if resolved.dir { resolved.rel.join(INDEX) } else { Some(resolved.rel.clone()) };
        let Some(rel) = rel else { return Lookup::NotFound };
        match self.load(&rel, now_unix) {
            Ok(entry) => {
                let entry = Arc::new(entry);
                self.cache.keep(key.as_bytes(), &entry, turn);
                Lookup::Found(entry)
            }
            Err(OpenError::Directory) if !resolved.dir => Lookup::Redirect(rel),
            Err(OpenError::Directory | OpenError::NotFound) => Lookup::NotFound,
            Err(OpenError::Forbidden) => Lookup::Forbidden,
            Err(OpenError::Busy) => Lookup::Busy,
            Err(OpenError::Failed(errno)) => Lookup::Failed(errno.into()),
        }
    }

    fn load(&mut self, rel: &RelPath, now_unix: u64) -> Result<Entry, OpenError> {
        for _ in 0..LOADS_MAX {
            let opened = match self.root.open_file(rel) {
                // The cache may be what holds the descriptors.
                Err(OpenError::Busy) if self.cache.release_descriptors() > 0 => self.root.open_file(rel)?,
                other => other?,
            };
            match Entry::load(rel.clone(), opened, now_unix, self.cache.limits().small_max) {
                Ok(entry) => return Ok(entry),
                Err(LoadError::Truncated | LoadError::Changed) => {}
                Err(LoadError::Io(error)) => {
                    let errno = rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO);
                    return Err(OpenError::from_errno(errno));
                }
            }
        }
        // Somebody writes to it all the time: what was announced is sent from the descriptor, and a cut shows there.
        Ok(Entry::by_descriptor(rel.clone(), self.root.open_file(rel)?, now_unix))
    }
}

#[cfg(test)]
mod tests;
