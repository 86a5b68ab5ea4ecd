//! Whole-input checks of the pure parts, for property tests and fuzz targets: each takes any bytes and panics when
//! a rule is broken. Never part of a release build: only under `test` or feature `testing`.

mod range;

pub use range::{LINES, range_vs_model};

use super::path::{self, PathError};
use super::redirect;

/// Any bytes as a request path: what resolves never leaves the root, and its redirect is safe and leads back to it.
///
/// # Panics
/// When a rule is broken.
pub fn target_to_path(target: &[u8]) {
    let Ok(resolved) = path::resolve(target) else { return };
    let name = resolved.rel.as_bytes();
    assert!(!name.contains(&0) && !name.contains(&b'\\'), "forbidden byte");
    assert!(name.iter().all(|b| !b.is_ascii_control()), "control byte");
    if !name.is_empty() {
        for (at, segment) in name.split(|&b| b == b'/').enumerate() {
            assert!(!segment.is_empty() && segment != b"." && segment != b"..", "segment that is no name");
            assert!(!segment.starts_with(b".") || (at == 0 && segment == b".well-known"), "hidden segment");
        }
    }
    assert!(!resolved.rel.is_root() || resolved.dir, "the root is a directory");
    let location = redirect::location(&resolved.rel, Some(target));
    assert!(location.starts_with('/') && !location.starts_with("//"), "open redirect");
    assert!(location.bytes().all(|b| b.is_ascii_graphic() && b != b'\\'), "unclean Location");
    let path = location.split('?').next().unwrap_or_default();
    let back = path::resolve(path.as_bytes());
    assert!(back.as_ref().is_ok_and(|b| b.dir && b.rel == resolved.rel), "the redirect leads elsewhere");
    let again = path::resolve(redirect::canonical(&resolved).as_bytes());
    assert!(
        again != Err(PathError::BadRequest) && again.is_ok_and(|a| a == resolved),
        "canonical form differs"
    );
}
