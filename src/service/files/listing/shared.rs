//! Listings that many ask for at once: read and written once, sent to all, and bounded together.
//!
//! Owns who may share a page with whom, and how much memory the pages may hold that are still being sent. A page is shared
//! by those who ask while it is made; who comes later gets one that is read later.

use std::sync::{Arc, OnceLock, Weak};

use super::order::View;
use super::{Listing, Page};
use crate::service::files::path::RelPath;
use crate::service::files::root::OpenError;

/// The most bytes of pages that are being sent; one more is made only when some of them are gone.
const BYTES_MAX: usize = 64 << 20;
/// Pages that are remembered for sharing.
const RECENT_MAX: usize = 64;

/// What becomes of a listing: whoever comes first makes it, and the others wait for that.
type Making = OnceLock<Result<Page, OpenError>>;

/// The listings of one root.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    recent: Vec<Recent>,
    sent: Vec<(Weak<[u8]>, usize)>,
}

#[derive(Debug)]
struct Recent {
    rel: RelPath,
    view: View,
    /// Held by the jobs that wait for it, and by nobody when they are done.
    making: Weak<Making>,
}

impl Shared {
    /// The work of `listing`, which somebody else may be doing already. `None` when too much is being sent.
    pub(crate) fn begin(
        &mut self,
        listing: Listing,
    ) -> Option<impl FnOnce() -> Result<Page, OpenError> + Send + 'static + use<>> {
        self.recent.retain(|recent| recent.making.strong_count() > 0);
        let same = |recent: &&Recent| recent.view == listing.view && recent.rel == listing.rel;
        let making = match self.recent.iter().find(same).and_then(|recent| recent.making.upgrade()) {
            Some(making) => making,
            None if self.bytes() > BYTES_MAX => return None,
            None => {
                let making = Arc::new(Making::new());
                if self.recent.len() < RECENT_MAX {
                    let (rel, view) = (listing.rel.clone(), listing.view);
                    self.recent.push(Recent { rel, view, making: Arc::downgrade(&making) });
                }
                making
            }
        };
        Some(move || making.get_or_init(|| listing.run()).clone())
    }

    /// A page is about to be sent.
    pub(crate) fn sends(&mut self, page: &Page) {
        let place = Arc::downgrade(&page.body);
        if !self.sent.iter().any(|(known, _)| known.ptr_eq(&place)) {
            self.sent.retain(|(known, _)| known.strong_count() > 0);
            self.sent.push((place, page.body.len()));
        }
    }

    /// Bytes of pages that somebody still holds.
    fn bytes(&self) -> usize {
        let held = self.sent.iter().filter(|(page, _)| page.strong_count() > 0);
        held.fold(0, |sum, (_, len)| sum.saturating_add(*len))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::path;
    use super::super::super::root::Root;
    use super::*;

    fn listing(root: &Arc<Root>, query: &str) -> Listing {
        Listing::new(root, path::resolve(b"/d").unwrap().rel, Some(query.as_bytes()), None)
    }

    #[test]
    fn who_asks_while_it_is_made_shares_a_page_and_who_comes_later_does_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        let root = Arc::new(Root::open(dir.path()).unwrap());
        let mut shared = Shared::default();
        let one = shared.begin(listing(&root, "")).unwrap();
        let two = shared.begin(listing(&root, "")).unwrap();
        let other = shared.begin(listing(&root, "format=json")).unwrap();
        let first = one().unwrap();
        std::fs::write(dir.path().join("d/new"), "").unwrap();
        assert!(Arc::ptr_eq(&first.body, &two().unwrap().body));
        assert!(!Arc::ptr_eq(&first.body, &other().unwrap().body));
        let later = shared.begin(listing(&root, "")).unwrap()().unwrap();
        assert_ne!(first.body, later.body);
        shared.sends(&first);
        shared.sends(&first);
        assert_eq!(shared.bytes(), first.body.len());
    }

    #[test]
    fn no_page_is_made_while_too_much_is_being_sent() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        let root = Arc::new(Root::open(dir.path()).unwrap());
        let mut shared = Shared::default();
        let mut page = shared.begin(listing(&root, "")).unwrap()().unwrap();
        page.body = vec![0; BYTES_MAX + 1].into();
        shared.sends(&page);
        assert!(shared.begin(listing(&root, "")).is_none());
        drop(page);
        assert!(shared.begin(listing(&root, "")).is_some());
    }
}
