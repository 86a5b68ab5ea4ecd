//! One file, ready to be answered with: its state, its header fields written out, and its bytes or its descriptor.
//!
//! Owns the reading of small files into memory, and finds out when one changes meanwhile. Never looks a name up and
//! never keeps itself: that is [`cache`](super::cache)'s.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::AtFlags;

use super::meta::{self, Meta};
use super::mime;
use super::path::RelPath;
use super::root::Opened;
use super::validator::Validators;

/// Where the bytes of a file are.
#[derive(Debug, Clone)]
pub enum Body {
    /// In memory, all of them.
    Bytes(Arc<[u8]>),
    /// Behind a descriptor that others share: `pread` or `sendfile` only. The file may shrink while it is sent.
    File(Arc<File>),
}

/// Why a file was not read into memory.
#[derive(Debug)]
pub enum LoadError {
    /// It ended before the size that its descriptor had announced.
    Truncated,
    /// It was written to, or replaced in place, while it was read: the bytes may be of two states.
    Changed,
    /// Reading failed.
    Io(io::Error),
}

/// A file found beneath the root, in one state.
#[derive(Debug)]
pub struct Entry {
    meta: Meta,
    rel: RelPath,
    content_type: &'static str,
    validators: Validators,
    fields: Box<[u8]>,
    validators_end: usize,
    shared_end: usize,
    body: Body,
    is_at_rest: bool,
}

impl Entry {
    /// An entry for `opened`, its content read into memory if it has at most `small_max` bytes.
    ///
    /// # Errors
    /// [`LoadError`]; the caller opens the name anew, for it may be another file by now.
    pub fn load(rel: RelPath, opened: Opened, now_unix: u64, small_max: u64) -> Result<Self, LoadError> {
        if opened.meta.size > small_max {
            return Ok(Self::by_descriptor(rel, opened, now_unix));
        }
        let bytes = read(&opened)?;
        Ok(Self::new(rel, opened.meta, now_unix, Body::Bytes(bytes.into())))
    }

    /// An entry that is sent from its descriptor, whatever its size.
    pub fn by_descriptor(rel: RelPath, opened: Opened, now_unix: u64) -> Self {
        Self::new(rel, opened.meta, now_unix, Body::File(Arc::new(opened.file)))
    }

    fn new(rel: RelPath, meta: Meta, now_unix: u64, body: Body) -> Self {
        let validators = Validators::new(&meta, now_unix);
        let content_type = mime::content_type(rel.as_bytes());
        let mut fields = format!("ETag: {}\r\n", validators.etag());
        if let Some(date) = validators.last_modified() {
            fields.extend(["Last-Modified: ", &date, "\r\n"]);
        }
        let validators_end = fields.len();
        fields.extend(["Accept-Ranges: bytes\r\nContent-Type: ", content_type, "\r\n"]);
        let shared_end = fields.len();
        fields.extend(["Content-Length: ", &meta.size.to_string(), "\r\n"]);
        Self {
            is_at_rest: meta.is_at_rest(now_unix),
            meta,
            rel,
            content_type,
            validators,
            fields: fields.into_bytes().into(),
            validators_end,
            shared_end,
            body,
        }
    }

    /// The state of the file when it was opened.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Length in bytes, as announced by `Content-Length`.
    pub fn size(&self) -> u64 {
        self.meta.size
    }

    /// The name beneath the root.
    pub fn rel(&self) -> &RelPath {
        &self.rel
    }

    /// The value of `Content-Type`.
    pub fn content_type(&self) -> &'static str {
        self.content_type
    }

    /// The entity tag and date.
    pub fn validators(&self) -> &Validators {
        &self.validators
    }

    /// The bytes or the descriptor.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Whether the file had been left alone long enough to be kept; see [`Meta::is_at_rest`].
    pub fn is_at_rest(&self) -> bool {
        self.is_at_rest
    }

    /// `ETag` and `Last-Modified`, each line with its CR LF: what a 304 repeats.
    pub fn fields_not_modified(&self) -> &[u8] {
        self.fields.get(..self.validators_end).unwrap_or_default()
    }

    /// The lines above, `Accept-Ranges` and `Content-Type`: what a 206 shares with a 200.
    pub fn fields_partial(&self) -> &[u8] {
        self.fields.get(..self.shared_end).unwrap_or_default()
    }

    /// The lines above and `Content-Length`: all of a 200 but `Date` and what concerns the connection.
    pub fn fields_full(&self) -> &[u8] {
        &self.fields
    }

    /// What the entry holds on to in memory, roughly.
    pub fn cost(&self) -> usize {
        let body = match &self.body {
            Body::Bytes(bytes) => bytes.len(),
            Body::File(_) => 0,
        };
        size_of::<Self>()
            + self.fields.len()
            + self.rel.as_bytes().len()
            + self.validators.etag().len()
            + body
    }
}

/// Reads as many bytes as the descriptor announced, and makes sure that its state is still the same afterwards.
fn read(opened: &Opened) -> Result<Vec<u8>, LoadError> {
    let size = usize::try_from(opened.meta.size).map_err(|_| LoadError::Truncated)?;
    let mut bytes = vec![0; size];
    opened.file.read_exact_at(&mut bytes, 0).map_err(|error| {
        let is_cut = error.kind() == io::ErrorKind::UnexpectedEof;
        if is_cut { LoadError::Truncated } else { LoadError::Io(error) }
    })?;
    let after = meta::stat_at(opened.file.as_fd(), c"", AtFlags::EMPTY_PATH);
    match after.map_err(|errno| LoadError::Io(errno.into()))? {
        (meta, _) if meta == opened.meta => Ok(bytes),
        _ => Err(LoadError::Changed),
    }
}

#[cfg(test)]
mod tests {
    use super::super::path;
    use super::super::root::{Resolver, Root};
    use super::*;

    const NOW: u64 = 4_000_000_000;

    fn opened(content: &[u8]) -> (tempfile::TempDir, RelPath, Opened) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.txt"), content).unwrap();
        let rel = path::resolve(b"/a.txt").unwrap().rel;
        let opened = Root::open_with(dir.path(), Resolver::Auto).unwrap().open_file(&rel).unwrap();
        (dir, rel, opened)
    }

    #[test]
    fn a_small_file_is_read_whole_and_a_larger_one_stays_open() {
        let (_dir, rel, file) = opened(b"hello");
        let small = Entry::load(rel, file, NOW, 5).unwrap();
        assert!(matches!(small.body(), Body::Bytes(bytes) if **bytes == *b"hello"));
        assert!(small.is_at_rest() && small.cost() > 5);
        let (_dir, rel, file) = opened(b"hello!");
        let large = Entry::load(rel, file, NOW, 5).unwrap();
        assert!(matches!(large.body(), Body::File(_)));
        assert_eq!(large.size(), 6);
        let (_dir, rel, file) = opened(b"");
        assert!(matches!(Entry::load(rel, file, NOW, 5).unwrap().body(), Body::Bytes(b) if b.is_empty()));
    }

    #[test]
    fn a_file_that_is_cut_or_changed_while_it_is_read_is_told_apart() {
        let (dir, rel, file) = opened(b"hello");
        std::fs::write(dir.path().join("a.txt"), b"he").unwrap();
        assert!(matches!(Entry::load(rel, file, NOW, 64), Err(LoadError::Truncated)));
        let (dir, rel, file) = opened(b"hello");
        std::fs::write(dir.path().join("a.txt"), b"hello, world").unwrap();
        assert!(matches!(Entry::load(rel, file, NOW, 64), Err(LoadError::Changed)));
    }

    #[test]
    fn the_three_sets_of_fields_are_prefixes_of_one_another() {
        let (_dir, rel, file) = opened(b"hello");
        let entry = Entry::load(rel, file, NOW, 64).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (etag, date) = (entry.validators().etag(), entry.validators().last_modified().unwrap());
        let validators = format!("ETag: {etag}\r\nLast-Modified: {date}\r\n");
        let shared =
            format!("{validators}Accept-Ranges: bytes\r\nContent-Type: text/plain; charset=utf-8\r\n");
        assert_eq!(text(entry.fields_not_modified()), validators);
        assert_eq!(text(entry.fields_partial()), shared);
        assert_eq!(text(entry.fields_full()), format!("{shared}Content-Length: 5\r\n"));
    }
}
