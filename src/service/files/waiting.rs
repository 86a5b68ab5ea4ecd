//! Lookups and listings behind a [`Reply`]: what may wait for a disk goes to a thread, and the request comes again with
//! what came of it.
//!
//! Owns the going and coming. Never decides what is answered.

use std::io;

use super::listing::{Listing, Page};
use super::root::OpenError;
use super::{Files, Lookup, Warmed};
use crate::proto::http1::{Reply, Request};
use crate::reactor::TaskError;

impl Files {
    /// What `path` leads to, as [`Files::lookup`] says, without waiting; `None` when a thread is at it: then the request
    /// is put to the application again, which has to ask again for the same path. It is never [`Lookup::Cold`] nor
    /// [`Lookup::Directory`], whose listing is read on the way.
    pub fn find<S: 'static>(
        &mut self,
        path: &[u8],
        request: &Request<'_>,
        reply: &mut Reply<'_, S>,
    ) -> Option<Lookup> {
        let found = match reply.take_done::<Result<Page, OpenError>>() {
            Some(Ok(Ok(page))) => {
                self.listings.sends(&page);
                Lookup::Listed(page)
            }
            Some(Ok(Err(OpenError::Failed(errno)))) => Lookup::Failed(errno.into()),
            Some(Ok(Err(OpenError::Forbidden))) => Lookup::Forbidden,
            Some(Ok(Err(OpenError::Busy))) => Lookup::Busy,
            Some(Ok(Err(OpenError::NotFound | OpenError::Directory))) => Lookup::NotFound,
            Some(Err(error)) => refused(error),
            None => match reply.take_done::<Warmed>() {
                Some(Ok(warmed)) => self.warmed(warmed, request.turn),
                Some(Err(error)) => refused(error),
                None => self.lookup(path, request.turn, request.unix_time),
            },
        };
        if let Lookup::Cold(cold) = found {
            reply.offload(move || cold.run());
            return None;
        }
        if let Lookup::Directory(rel) = found {
            let head = request.head;
            let accept: Vec<&[u8]> = head.field_all("accept").collect();
            let accept = (!accept.is_empty()).then(|| accept.join(&b','));
            let listing = Listing::new(self.root(), rel, head.query, accept.as_deref());
            let Some(work) = self.listings.begin(listing) else {
                return Some(Lookup::Busy);
            };
            reply.offload(work);
            return None;
        }
        Some(found)
    }
}

/// What is answered when no thread could look.
pub(super) fn refused(error: TaskError) -> Lookup {
    if error == TaskError::Full {
        return Lookup::Busy;
    }
    Lookup::Failed(io::Error::other(error.to_string()))
}
