//! Listings that many ask for at once: read and written once, sent to all, and bounded together.
//!
//! Owns who may share a page with whom, and how much memory the pages may hold that are still being sent. A page is shared
//! by those who ask within a second, which is what a listing may be old.

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
type Making = Arc<OnceLock<Result<Page, OpenError>>>;

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
    begun: u64,
    making: Making,
}

impl Shared {
    /// The work of `listing`, asked for at `now_unix`; it may be done already. `None` when too much is being sent.
    pub(crate) fn begin(
        &mut self,
        listing: Listing,
        now_unix: u64,
    ) -> Option<impl FnOnce() -> Result<Page, OpenError> + Send + 'static> {
        self.recent.retain(|recent| recent.begun == now_unix);
        let same = |recent: &&Recent| recent.view == listing.view && recent.rel == listing.rel;
        let making = match self.recent.iter().find(same) {
            Some(recent) => Arc::clone(&recent.making),
            None if self.bytes() > BYTES_MAX => return None,
            None => {
                let making = Making::default();
                if self.recent.len() < RECENT_MAX {
                    let (rel, view) = (listing.rel.clone(), listing.view);
                    self.recent.push(Recent { rel, view, begun: now_unix, making: Arc::clone(&making) });
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
    fn who_asks_in_the_same_second_for_the_same_shares_one_page() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        let root = Arc::new(Root::open(dir.path()).unwrap());
        let mut shared = Shared::default();
        let mut get = |query: &str, now| {
            let page = shared.begin(listing(&root, query), now).unwrap()().unwrap();
            shared.sends(&page);
            page
        };
        let first = get("", 7);
        assert!(Arc::ptr_eq(&first.body, &get("", 7).body));
        assert!(!Arc::ptr_eq(&first.body, &get("format=json", 7).body));
        assert!(!Arc::ptr_eq(&first.body, &get("", 8).body));
        assert!(shared.bytes() > 0);
    }

    #[test]
    fn no_page_is_made_while_too_much_is_being_sent() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        let root = Arc::new(Root::open(dir.path()).unwrap());
        let mut shared = Shared::default();
        let mut page = shared.begin(listing(&root, ""), 1).unwrap()().unwrap();
        page.body = vec![0; BYTES_MAX + 1].into();
        shared.sends(&page);
        assert!(
            shared.begin(listing(&root, ""), 1).is_some(),
            "one that is there already is shared all the same"
        );
        assert!(shared.begin(listing(&root, ""), 2).is_none());
        drop(page);
        assert!(shared.begin(listing(&root, ""), 2).is_some());
    }
}
