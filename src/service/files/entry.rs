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

use super::encoding::Coding;
use super::meta::{self, Meta};
use super::options::Shape;
use super::path::RelPath;
use super::root::Opened;
use super::validator::Validators;

/// What each answer says whose content depends on `Accept-Encoding` (RFC 9110 12.5.5).
pub(super) const VARY: &str = "Vary: Accept-Encoding\r\n";

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
    shape: Shape,
    size: u64,
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
    pub(super) fn load(
        rel: RelPath,
        opened: Opened,
        shape: Shape,
        now_unix: u64,
        small_max: u64,
    ) -> Result<Self, LoadError> {
        if opened.meta.size > small_max {
            return Ok(Self::by_descriptor(rel, opened, shape, now_unix));
        }
        let bytes = read(&opened)?;
        Ok(Self::new(rel, opened.meta, shape, now_unix, Body::Bytes(bytes.into())))
    }

    /// An entry that is sent from its descriptor, whatever its size.
    pub(super) fn by_descriptor(rel: RelPath, opened: Opened, shape: Shape, now_unix: u64) -> Self {
        Self::new(rel, opened.meta, shape, now_unix, Body::File(Arc::new(opened.file)))
    }

    fn new(rel: RelPath, meta: Meta, shape: Shape, now_unix: u64, body: Body) -> Self {
        let (validators, size) = (Validators::new(&meta, now_unix), meta.size);
        Self::render(rel, meta, shape, size, validators, meta.is_at_rest(now_unix), body)
    }

    /// The same file in the same state, compressed to `bytes`. `mark` tells its entity tag from that of `origin`.
    pub(super) fn gzipped(origin: &Self, bytes: Arc<[u8]>, mark: &str) -> Self {
        let (validators, size) = (origin.validators.marked(mark), bytes.len() as u64);
        let (rel, shape) = (origin.rel.clone(), origin.shape.coded(Coding::Gzip));
        Self::render(rel, origin.meta, shape, size, validators, origin.is_at_rest, Body::Bytes(bytes))
    }

    fn render(
        rel: RelPath,
        meta: Meta,
        shape: Shape,
        size: u64,
        validators: Validators,
        is_at_rest: bool,
        body: Body,
    ) -> Self {
        let validators = if shape.varies(size) { validators.of_many() } else { validators };
        let mut fields = format!("ETag: {}\r\n", validators.etag());
        if let Some(date) = validators.last_modified() {
            fields.extend(["Last-Modified: ", &date, "\r\n"]);
        }
        if shape.varies(size) {
            fields.push_str(VARY);
        }
        if let Some(value) = &shape.cache_control {
            fields.extend(["Cache-Control: ", value, "\r\n"]);
        }
        let validators_end = fields.len();
        fields.extend(["Accept-Ranges: bytes\r\nContent-Type: ", &shape.content_type, "\r\n"]);
        if let Some(coding) = shape.coding {
            fields.extend(["Content-Encoding: ", coding.name(), "\r\n"]);
        }
        let shared_end = fields.len();
        fields.extend(["Content-Length: ", &size.to_string(), "\r\n"]);
        let fields = fields.into_bytes().into();
        Self { is_at_rest, meta, rel, shape, size, validators, fields, validators_end, shared_end, body }
    }

    /// The state of the file when it was opened.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Length of this representation in bytes, as announced by `Content-Length`.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The name beneath the root.
    pub fn rel(&self) -> &RelPath {
        &self.rel
    }

    /// The value of `Content-Type`.
    pub fn content_type(&self) -> &str {
        &self.shape.content_type
    }

    /// The coding that its bytes are in, the value of `Content-Encoding`.
    pub fn coding(&self) -> Option<Coding> {
        self.shape.coding
    }

    /// Whether the answer depends on `Accept-Encoding`, so that each one says so in `Vary`.
    pub fn varies(&self) -> bool {
        self.shape.varies(self.size)
    }

    /// What is told of it beside its state.
    pub(super) fn shape(&self) -> &Shape {
        &self.shape
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

    /// `ETag`, `Last-Modified`, `Vary` and `Cache-Control`, each line with its CR LF: what a 304 repeats
    /// (RFC 9110 15.4.5).
    pub fn fields_not_modified(&self) -> &[u8] {
        self.fields.get(..self.validators_end).unwrap_or_default()
    }

    /// The lines above, `Accept-Ranges`, `Content-Type` and `Content-Encoding`: what a 206 shares with a 200.
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
            + self.shape.content_type.len()
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
    use super::super::options::Options;
    use super::super::path;
    use super::super::root::{Resolver, Root};
    use super::*;

    const NOW: u64 = 4_000_000_000;

    fn load(rel: RelPath, file: Opened, small_max: u64) -> Result<Entry, LoadError> {
        let shape = Options::default().shape(rel.as_bytes());
        Entry::load(rel, file, shape, NOW, small_max)
    }

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
        let small = load(rel, file, 5).unwrap();
        assert!(matches!(small.body(), Body::Bytes(bytes) if **bytes == *b"hello"));
        assert!(small.is_at_rest() && small.cost() > 5);
        let (_dir, rel, file) = opened(b"hello!");
        let large = load(rel, file, 5).unwrap();
        assert!(matches!(large.body(), Body::File(_)));
        assert_eq!(large.size(), 6);
        let (_dir, rel, file) = opened(b"");
        assert!(matches!(load(rel, file, 5).unwrap().body(), Body::Bytes(b) if b.is_empty()));
    }

    #[test]
    fn a_file_that_is_cut_or_changed_while_it_is_read_is_told_apart() {
        let (dir, rel, file) = opened(b"hello");
        std::fs::write(dir.path().join("a.txt"), b"he").unwrap();
        assert!(matches!(load(rel, file, 64), Err(LoadError::Truncated)));
        let (dir, rel, file) = opened(b"hello");
        std::fs::write(dir.path().join("a.txt"), b"hello, world").unwrap();
        assert!(matches!(load(rel, file, 64), Err(LoadError::Changed)));
    }

    #[test]
    fn the_three_sets_of_fields_are_prefixes_of_one_another() {
        let (_dir, rel, file) = opened(b"hello");
        let entry = load(rel, file, 64).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (etag, date) = (entry.validators().etag(), entry.validators().last_modified().unwrap());
        let validators = format!("ETag: {etag}\r\nLast-Modified: {date}\r\n");
        let shared =
            format!("{validators}Accept-Ranges: bytes\r\nContent-Type: text/plain; charset=utf-8\r\n");
        assert_eq!(text(entry.fields_not_modified()), validators);
        assert_eq!(text(entry.fields_partial()), shared);
        assert_eq!(text(entry.fields_full()), format!("{shared}Content-Length: 5\r\n"));
    }

    #[test]
    fn what_the_options_say_of_a_file_stands_in_each_set_of_fields() {
        let (_dir, rel, file) = opened(b"hello");
        let options =
            Options::default().precompressed(&Coding::ALL).cache_control("*.txt", "no-cache").unwrap();
        let shape = options.charset(None).unwrap().shape(rel.as_bytes());
        let entry = Entry::load(rel, file, shape, NOW, 64).unwrap();
        let gzipped = Entry::gzipped(&entry, (*b"xyz").into(), "-gz");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let kept = "Vary: Accept-Encoding\r\nCache-Control: no-cache\r\n";
        assert!(text(entry.fields_not_modified()).ends_with(kept) && entry.varies());
        assert!(text(gzipped.fields_not_modified()).ends_with(kept) && gzipped.varies());
        let rest = text(entry.fields_full()).split_off(entry.fields_not_modified().len());
        assert_eq!(rest, "Accept-Ranges: bytes\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n");
        let rest = text(gzipped.fields_full()).split_off(gzipped.fields_not_modified().len());
        let coded = "Accept-Ranges: bytes\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\n";
        assert_eq!(rest, format!("{coded}Content-Length: 3\r\n"));
        let (tag, marked) = (entry.validators().etag(), gzipped.validators().etag());
        assert_eq!(marked, format!("{}-gz\"", tag.strip_suffix('"').unwrap()));
        assert_eq!((gzipped.size(), gzipped.coding()), (3, Some(Coding::Gzip)));
    }
}
