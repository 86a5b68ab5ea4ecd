//! Listings of directories, as HTML for people and JSON for programs. Off unless [`Files::list`](super::Files::list)
//! turns them on.
//!
//! Owns the answer: which format, its header fields, its validator. Reading, ordering and writing lie in the files
//! beneath. Everything here may take long and is for a thread; [`Listing`] holds all that it needs.
//!
//! What is listed is what can be asked for: nothing hidden, no name that a path cannot hold, no link that leads out of
//! the root, files and directories only.

mod civil;
mod html;
mod json;
mod order;
mod read;
pub(super) mod shared;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::path::RelPath;
use super::root::{OpenError, Root};
use super::validator::Validators;

pub use order::{Format, View};
pub use read::{Bounds, Contents, Item, Kind};

/// A directory to be listed: [`Listing::run`] does it, on a thread.
///
/// ```
/// # use std::sync::Arc;
/// # use tidemill::service::files::{Root, listing::Listing, path};
/// let root = Arc::new(Root::open("src".as_ref()).unwrap());
/// let top = path::resolve(b"/").unwrap().rel;
/// let page = Listing::new(&root, top, Some(b"format=json"), None).run().unwrap();
/// assert!(page.body.starts_with(b"{\"path\":\"/\",\"truncated\":false"));
/// ```
#[derive(Debug)]
pub struct Listing {
    root: Arc<Root>,
    rel: RelPath,
    view: View,
    bounds: Bounds,
}

/// A listing as it is sent with status 200, for whom its [validators](Page::validators) let it be.
#[derive(Debug, Clone)]
pub struct Page {
    /// Field lines, each with its CR LF: all of a 200 but `Date` and what concerns the connection.
    pub lines: Box<[u8]>,
    /// How many bytes of `lines` a 304 repeats.
    validators_end: usize,
    /// The body.
    pub body: Arc<[u8]>,
    validators: Validators,
}

impl Listing {
    /// A listing of `rel` beneath `root`, as the request's query and its `Accept` field want it.
    pub fn new(root: &Arc<Root>, rel: RelPath, query: Option<&[u8]>, accept: Option<&[u8]>) -> Self {
        let view = View::new(query, accept);
        Self { root: Arc::clone(root), rel, view, bounds: Bounds::default() }
    }

    /// The same with other bounds.
    #[must_use]
    pub fn bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// Reads the directory and writes the page.
    ///
    /// # Errors
    /// [`OpenError::NotFound`] when there is no such directory, and the others as for a file.
    pub fn run(self) -> Result<Page, OpenError> {
        let mut contents = read::read(&self.root, &self.rel, &self.bounds)?;
        self.view.sort(&mut contents.items);
        let (kind, body) = match self.view.format {
            Format::Html => ("text/html; charset=utf-8", html::page(&self.rel, &contents, &self.view)),
            Format::Json => ("application/json", json::page(&self.rel, &contents)),
        };
        Ok(Page::new(kind, body.into_bytes().into()))
    }
}

impl Page {
    fn new(kind: &str, body: Arc<[u8]>) -> Self {
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let tag = hasher.finish();
        let validators = Validators::weak(tag);
        let mut lines = format!("ETag: {}\r\nCache-Control: no-cache\r\nVary: Accept\r\n", validators.etag());
        let validators_end = lines.len();
        let (style, length) = (html::STYLE_HASH, body.len());
        lines.push_str(&format!(
            "Content-Type: {kind}\r\n\
             X-Content-Type-Options: nosniff\r\n\
             Content-Security-Policy: default-src 'none'; style-src '{style}'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'\r\n\
             Referrer-Policy: same-origin\r\n\
             Content-Length: {length}\r\n"
        ));
        Self { lines: lines.into_bytes().into(), validators_end, body, validators }
    }

    /// `ETag`, `Cache-Control` and `Vary`: what a 304 repeats.
    pub fn lines_not_modified(&self) -> &[u8] {
        self.lines.get(..self.validators_end).unwrap_or_default()
    }

    /// Its weak tag: conditions are judged by it.
    pub const fn validators(&self) -> &Validators {
        &self.validators
    }
}

#[cfg(test)]
mod tests;
