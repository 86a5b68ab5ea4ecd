//! Error pages of the operator's own: files beneath a root, kept in memory, read again when they change.
//!
//! Owns their bound and their state. Never decides about a status, and never fails: a page that can no longer be read
//! is sent as it was.

use std::fmt;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::service::files::{Meta, OpenError, RelPath, Root, content_type, path};

/// The largest error page, in bytes.
pub const ERROR_PAGE_MAX: u64 = 256 * 1024;

/// Why a file is no error page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PageError {
    /// The status is not in `400..=599`.
    Status,
    /// Another page has this status.
    Twice,
    /// The route has no files.
    NoFiles,
    /// The name is not a path beneath the root, or is hidden.
    Name,
    /// It is not there, no regular file, or not to be read.
    Missing,
    /// It has more than 256 KiB.
    Large,
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status => "an error page is for a status from 400 to 599",
            Self::Twice => "another page has this status",
            Self::NoFiles => "this route sends no files, so that there is no root to find the page in",
            Self::Name => "write the page as a path beneath the root, such as /404.html; names with a dot first are hidden",
            Self::Missing => "it is missing beneath the root, no regular file, or not readable",
            Self::Large => "it is larger than 256 KiB",
        })
    }
}

impl std::error::Error for PageError {}

/// One page.
#[derive(Debug)]
struct Page {
    status: u16,
    rel: RelPath,
    meta: Meta,
    content_type: &'static str,
    body: Arc<[u8]>,
    turn: u64,
}

/// The pages of one route.
#[derive(Debug, Default)]
pub(super) struct Pages(Vec<Page>);

impl Pages {
    /// Reads `names` beneath `root`.
    ///
    /// # Errors
    /// The status and the name of the first that is none, and why.
    pub(super) fn load(names: &[(u16, String)], root: &Root) -> Result<Self, (u16, String, PageError)> {
        let mut pages = Self::default();
        for (status, name) in names {
            let bad = |why| (*status, name.clone(), why);
            if !(400..=599).contains(status) {
                return Err(bad(PageError::Status));
            }
            if pages.0.iter().any(|page| page.status == *status) {
                return Err(bad(PageError::Twice));
            }
            let rooted = if name.starts_with('/') { name.clone() } else { format!("/{name}") };
            let resolved = path::resolve(rooted.as_bytes()).ok().filter(|resolved| !resolved.dir);
            let rel = resolved.ok_or(bad(PageError::Name))?.rel;
            let (meta, body) = read(root, &rel).map_err(bad)?;
            let content_type = content_type(rel.as_bytes());
            pages.0.push(Page { status: *status, rel, meta, content_type, body, turn: 0 });
        }
        Ok(pages)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The media type and body of the page for `status`. In each turn that asks, the file is looked at once.
    pub(super) fn page(&mut self, status: u16, root: &Root, turn: u64) -> Option<(&'static str, Arc<[u8]>)> {
        let page = self.0.iter_mut().find(|page| page.status == status)?;
        if page.turn != turn {
            page.turn = turn;
            if root.stat(&page.rel).is_ok_and(|meta| meta != page.meta)
                && let Ok((meta, body)) = read(root, &page.rel)
            {
                (page.meta, page.body) = (meta, body);
            }
        }
        Some((page.content_type, Arc::clone(&page.body)))
    }
}

fn read(root: &Root, rel: &RelPath) -> Result<(Meta, Arc<[u8]>), PageError> {
    let opened = root.open_file(rel).map_err(|e: OpenError| {
        log::debug!("an error page could not be opened: {e:?}");
        PageError::Missing
    })?;
    if opened.meta.size > ERROR_PAGE_MAX {
        return Err(PageError::Large);
    }
    let size = usize::try_from(opened.meta.size).map_err(|_| PageError::Large)?;
    let mut body = vec![0; size];
    opened.file.read_exact_at(&mut body, 0).map_err(|_| PageError::Missing)?;
    Ok((opened.meta, body.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn load(root: &Root, status: u16, name: &str) -> Result<Pages, PageError> {
        Pages::load(&[(status, name.to_owned())], root).map_err(|(_, _, why)| why)
    }

    #[test]
    fn a_page_is_read_at_the_start_and_again_when_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("404.html"), "gone").unwrap();
        let root = Root::open(dir.path()).unwrap();
        let mut pages = load(&root, 404, "/404.html").unwrap();
        let body = |pages: &mut Pages, turn| pages.page(404, &root, turn).map(|(_, body)| body.to_vec());
        assert_eq!(pages.page(404, &root, 1).unwrap().0, "text/html; charset=utf-8");
        assert!(pages.page(403, &root, 1).is_none());
        fs::write(dir.path().join("404.html"), "moved away").unwrap();
        assert_eq!(body(&mut pages, 1).unwrap(), b"gone", "looked at once a turn");
        assert_eq!(body(&mut pages, 2).unwrap(), b"moved away");
        fs::remove_file(dir.path().join("404.html")).unwrap();
        assert_eq!(body(&mut pages, 3).unwrap(), b"moved away");
    }

    #[test]
    fn what_is_no_page_is_told_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("max"), vec![b'x'; ERROR_PAGE_MAX as usize]).unwrap();
        fs::write(dir.path().join("over"), vec![b'x'; ERROR_PAGE_MAX as usize + 1]).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("out")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        for (status, name, why) in [
            (200, "max", PageError::Status),
            (600, "max", PageError::Status),
            (404, "/", PageError::Name),
            (404, "../max", PageError::Name),
            (404, ".hidden", PageError::Name),
            (404, "missing", PageError::Missing),
            (404, "d", PageError::Missing),
            (404, "out", PageError::Missing),
            (404, "over", PageError::Large),
        ] {
            assert_eq!(load(&root, status, name).unwrap_err(), why, "{status} {name}");
        }
        assert!(load(&root, 503, "max").is_ok());
        let twice = [(404, "max".to_owned()), (404, "max".to_owned())];
        assert_eq!(Pages::load(&twice, &root).unwrap_err().2, PageError::Twice);
    }
}
