//! Which representation of a file a client is sent: the file itself, one that lies beside it in another coding, or one
//! that is compressed for the purpose.
//!
//! Owns the rule of when a file beside another counts. Never reads a header field and never compresses.

use std::sync::Arc;

use super::encoding::{AcceptEncoding, CODINGS, Coding};
use super::entry::Entry;
use super::gzip::Outcome;
use super::lookup::Files;
use super::meta::Meta;
use super::root::OpenError;

/// What is to be sent of a file.
#[derive(Debug)]
pub(super) enum Representation {
    /// This.
    Ready(Arc<Entry>),
    /// Its compressed form, which has to be made first.
    Gzip,
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
        for coding in accept.preferred(offered.get(..len).unwrap_or_default()) {
            if siblings && let Some(entry) = self.sibling(origin, coding, turn, now_unix) {
                return Representation::Ready(entry);
            }
            if coding == Coding::Gzip && gzips {
                match self.gzip.as_mut().and_then(|gzip| gzip.find(origin)) {
                    Some(Outcome::Smaller(entry)) => return Representation::Ready(entry),
                    Some(Outcome::NotSmaller) => {}
                    None => return Representation::Gzip,
                }
            }
        }
        Representation::Ready(Arc::clone(origin))
    }

    /// The file that lies beside `origin` in `coding`, if it counts. One that cannot be had is as none: the original
    /// can be.
    fn sibling(
        &mut self,
        origin: &Arc<Entry>,
        coding: Coding,
        turn: u64,
        now_unix: u64,
    ) -> Option<Arc<Entry>> {
        if !self.options.codings().contains(&coding) {
            return None;
        }
        // No request path holds a NUL, and every one begins with a slash.
        self.key.clear();
        for part in [origin.rel().as_bytes(), b"\0", coding.extension().as_bytes()] {
            self.key.extend_from_slice(part);
        }
        if let Some(entry) = self.cache.find(&self.key, &self.root, turn) {
            return counts(entry.meta(), origin.meta(), now_unix).then_some(entry);
        }
        let rel = origin.rel().with_suffix(coding.extension())?;
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
        if !counts(&opened.meta, origin.meta(), now_unix) {
            return None;
        }
        let shape = origin.shape().coded(coding);
        let entry = Entry::load(rel, opened, shape, now_unix, self.cache.limits().small_max).ok()?;
        let entry = Arc::new(entry);
        self.cache.keep(&self.key, &entry, turn);
        Some(entry)
    }
}

/// Whether a file beside another is of the same content, as far as times tell: it was not written before the other, and
/// it has settled, so that it is not just being written.
fn counts(sibling: &Meta, origin: &Meta, now_unix: u64) -> bool {
    sibling.mtime >= origin.mtime && sibling.is_settled(now_unix)
}

#[cfg(test)]
mod tests;
