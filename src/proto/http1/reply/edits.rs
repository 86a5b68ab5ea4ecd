//! What stands between an answer and its application, for services that pass requests on to others: fields that are
//! taken out of whatever head is written, and errors that come back to be answered otherwise.

use super::Reply;
use crate::proto::http1::encode::HeadWriter;

/// An error, or a redirect to a directory, that was to be sent while errors are caught.
#[derive(Debug, Clone)]
pub(crate) struct Caught {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

/// Made by the first who asks for it, so that answers without it cost nothing.
#[derive(Debug, Default)]
pub(in crate::proto::http1) struct Edits {
    drop: Vec<String>,
    catching: bool,
    caught: Option<Caught>,
}

impl<S: 'static> Reply<'_, S> {
    /// Leaves the lines of these names out of whatever head is written; lines of [`Reply::add_lines`] stay.
    pub(crate) fn drop_lines(&mut self, names: &[String]) {
        self.given.edits.get_or_insert_default().drop.extend_from_slice(names);
    }

    /// From now on [`Reply::send`] keeps an error (400 to 599) or a 301 back, for [`Reply::caught`].
    pub(crate) fn catch_errors(&mut self) {
        self.given.edits.get_or_insert_default().catching = true;
    }

    /// What was kept back, which leaves the request without an answer; it is kept back no longer.
    pub(crate) fn caught(&mut self) -> Option<Caught> {
        let edits = self.given.edits.as_mut()?;
        edits.catching = false;
        edits.caught.take()
    }

    /// Keeps an answer back if that was asked for.
    pub(super) fn keeps_back(&mut self, status: u16, fields: &[(&str, &[u8])], body: &[u8]) -> bool {
        let Some(edits) = self.given.edits.as_mut() else { return false };
        if !edits.catching || !matches!(status, 301 | 400..=599) {
            return false;
        }
        if edits.caught.is_none() {
            let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
            edits.caught = Some(Caught { status, fields, body: body.to_vec() });
        }
        true
    }
}

impl Edits {
    pub(super) fn apply(&self, head: &mut HeadWriter<'_>) {
        if !self.drop.is_empty() {
            head.remove(&self.drop);
        }
    }
}
