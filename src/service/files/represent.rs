//! Which representation of a file a client is sent: the file itself, one that lies beside it in another coding, or one
//! that is compressed for the purpose.
//!
//! Owns the rule of when a file beside another counts. Never reads a header field and never compresses.

use std::sync::Arc;

use super::cache::Kept;
use super::encoding::{AcceptEncoding, CODINGS, Coding};
use super::entry::Entry;
use super::gzip::Outcome;
use super::lookup::Files;
use super::meta::Meta;
use super::root::{Now, OpenError, Root};

/// What is to be sent of a file.
#[derive(Debug)]
pub(super) enum Representation {
    /// This.
    Ready(Arc<Entry>),
    /// Its compressed form, which has to be made first.
    Gzip,
    /// To know takes a look at a disk, which may wait.
    Beside(Look),
}

/// A look for files beside `origin`, best first. [`Look::run`] is for a thread.
#[derive(Debug)]
pub(super) struct Look {
    root: Arc<Root>,
    origin: Arc<Entry>,
    codings: Vec<Coding>,
    now_unix: u64,
    small_max: u64,
}

/// What a [`Look`] has found.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) origin: Arc<Entry>,
    /// The best file beside it, its coding, and whether it is near.
    found: Option<(Arc<Entry>, Coding, bool)>,
}

enum Sibling {
    Found(Arc<Entry>),
    None,
    MayWait,
}

impl Files {
    /// What of `origin`, the file as it is, a client is sent which says `accept` of codings.
    pub(super) fn represent(
        &mut self,
        origin: &Arc<Entry>,
        accept: &AcceptEncoding,
        turn: u64,
        now_unix: u64,
    ) -> Representation {
        let (siblings, gzips) = (origin.shape().has_siblings, origin.shape().gzips(origin.size()));
        let mut offered = [Coding::Gzip; CODINGS + 1];
        let beside = if siblings { self.options.codings() } else { &[] };
        for (place, &coding) in offered.iter_mut().zip(beside) {
            *place = coding;
        }
        let len = beside.len() + usize::from(gzips);
        let mut order = accept.preferred(offered.get(..len).unwrap_or_default());
        while let Some(coding) = order.next() {
            let is_made = coding == Coding::Gzip && gzips;
            match if siblings { self.sibling(origin, coding, turn, now_unix) } else { Sibling::None } {
                Sibling::Found(entry) => return Representation::Ready(entry),
                Sibling::None => {}
                Sibling::MayWait => {
                    // What can be compressed comes before whatever the client likes less.
                    let mut codings = vec![coding];
                    codings.extend(order);
                    if let Some(at) = codings.iter().position(|&coding| gzips && coding == Coding::Gzip) {
                        codings.truncate(at + 1);
                    }
                    codings.retain(|coding| self.options.codings().contains(coding));
                    let (root, origin) = (Arc::clone(&self.root), Arc::clone(origin));
                    let small_max = self.cache.limits().small_max;
                    return Representation::Beside(Look { root, origin, codings, now_unix, small_max });
                }
            }
            if is_made && let Some(representation) = self.compressed(origin) {
                return representation;
            }
        }
        Representation::Ready(Arc::clone(origin))
    }

    /// What a thread has found, kept for those who come after; and what is to be sent.
    pub(super) fn seen(&mut self, seen: Seen, accept: &AcceptEncoding, turn: u64) -> Representation {
        let Seen { origin, found } = seen;
        if let Some((entry, coding, is_near)) = found {
            self.name_sibling(&origin, coding);
            // It was looked at before this turn, so others that ask in this turn have to look again.
            self.cache.keep(&self.key, &entry, turn.wrapping_sub(1), is_near);
            return Representation::Ready(entry);
        }
        let gzips = origin.shape().gzips(origin.size()) && accept.preferred(&[Coding::Gzip]).next().is_some();
        let made = if gzips { self.compressed(&origin) } else { None };
        made.unwrap_or(Representation::Ready(origin))
    }

    /// The compressed form of `origin`, or that it has to be made; `None` when it is known not to be smaller.
    fn compressed(&mut self, origin: &Entry) -> Option<Representation> {
        match self.gzip.as_mut().and_then(|gzip| gzip.find(origin)) {
            Some(Outcome::Smaller(entry)) => Some(Representation::Ready(entry)),
            Some(Outcome::NotSmaller) => None,
            None => Some(Representation::Gzip),
        }
    }

    /// The cache's key of a file beside another. No request path holds a NUL, and every one begins with a slash.
    fn name_sibling(&mut self, origin: &Entry, coding: Coding) {
        self.key.clear();
        for part in [origin.rel().as_bytes(), b"\0", coding.extension().as_bytes()] {
            self.key.extend_from_slice(part);
        }
    }

    /// The file that lies beside `origin` in `coding`, if it counts. One that cannot be had is as none: the original
    /// can be.
    fn sibling(&mut self, origin: &Arc<Entry>, coding: Coding, turn: u64, now_unix: u64) -> Sibling {
        if !self.options.codings().contains(&coding) {
            return Sibling::None;
        }
        self.name_sibling(origin, coding);
        match self.cache.find(&self.key, &self.root, turn) {
            Some(Kept::Current(entry)) if counts(entry.meta(), origin.meta(), now_unix) => {
                return Sibling::Found(entry);
            }
            Some(Kept::Current(_)) => return Sibling::None,
            Some(Kept::Unchecked(_)) => return Sibling::MayWait,
            None => {}
        }
        let Some(rel) = origin.rel().with_suffix(coding.extension()) else { return Sibling::None };
        let opened = match self.root.open_now(&rel) {
            Now::Known(Ok(opened)) if counts(&opened.meta, origin.meta(), now_unix) => opened,
            Now::Known(_) => return Sibling::None,
            Now::MayWait => return Sibling::MayWait,
        };
        let shape = origin.shape().coded(coding);
        let Some(entry) = self.load_now(&rel, opened, shape, now_unix) else { return Sibling::MayWait };
        self.cache.keep(&self.key, &entry, turn, true);
        Sibling::Found(entry)
    }
}

impl Look {
    /// Opens the best file that counts, waiting as long as the disk does.
    pub(super) fn run(self) -> Seen {
        let found = self.codings.iter().find_map(|&coding| self.open(coding));
        Seen { origin: self.origin, found }
    }

    fn open(&self, coding: Coding) -> Option<(Arc<Entry>, Coding, bool)> {
        let rel = self.origin.rel().with_suffix(coding.extension())?;
        let opened = match self.root.open_file(&rel) {
            Ok(opened) => opened,
            Err(OpenError::Failed(errno)) => {
                log::error!("{} could not be opened: {errno}", rel.as_bytes().escape_ascii());
                return None;
            }
            Err(OpenError::NotFound | OpenError::Forbidden | OpenError::Directory | OpenError::Busy) => {
                return None;
            }
        };
        if !counts(&opened.meta, self.origin.meta(), self.now_unix) {
            return None;
        }
        let (is_near, shape) = (opened.is_near, self.origin.shape().coded(coding));
        let entry = Entry::load(rel, opened, shape, self.now_unix, self.small_max).ok()?;
        Some((Arc::new(entry), coding, is_near))
    }
}

/// Whether a file beside another is of the same content, as far as times tell: it was not written before the other, and
/// it has settled, so that it is not just being written.
fn counts(sibling: &Meta, origin: &Meta, now_unix: u64) -> bool {
    sibling.mtime >= origin.mtime && sibling.is_settled(now_unix)
}

#[cfg(test)]
mod tests;
