//! Files as routes: the file service under a prefix, with the conditions and ranges that it has anywhere.

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use super::router::Call;
use crate::proto::http1::Response;
use crate::service::files::Files;

/// Answers with the file that the route's tail names.
pub(super) fn call<S: 'static>(mut files: Files) -> Call<S> {
    Box::new(move |_, request, reply, _| {
        let tail = request.nth_raw(last(request)).unwrap_or_default();
        let path = request.raw().head.path;
        // The tail begins behind a slash, which belongs to the name beneath the root.
        let from = path.len().saturating_sub(tail.len() + 1);
        files.respond(path.get(from..).unwrap_or(b"/"), request.raw(), reply);
    })
}

/// The number of the last parameter.
fn last(request: &super::Request<'_>) -> usize {
    request.names_len().saturating_sub(1)
}

/// Redirects to the last segment of the request's own path with a slash behind it. It is relative, so that nothing in
/// the path before it can name a host.
pub(super) fn to_directory(name: &[u8], query: Option<&[u8]>) -> Response {
    let query = query.and_then(|query| std::str::from_utf8(query).ok());
    let mark = if query.is_some() { "?" } else { "" };
    let name = percent_encode(name, NON_ALPHANUMERIC);
    Response::redirect(301, &format!("./{name}/{mark}{}", query.unwrap_or_default()))
}
