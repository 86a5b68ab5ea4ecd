//! What the tests of this service share. Only under `test`.

use crate::proto::http1::head::{FieldStore, Head, Limits, Progress, Status, parse};

/// Parses `request` and hands its head out.
pub(super) fn with_head<T>(request: &str, then: impl FnOnce(&Head<'_>) -> T) -> T {
    let mut store = FieldStore::new();
    match parse(request.as_bytes(), &Limits::default(), &mut Progress::default(), &mut store) {
        Ok(Status::Complete(head)) => then(&head),
        other => panic!("{request:?}: {other:?}"),
    }
}
