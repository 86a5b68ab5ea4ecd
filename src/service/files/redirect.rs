//! What the service writes back from a peer's bytes: `Location` values and small HTML pages. Pure.
//!
//! Owns the escaping. A `Location` made here is a path only: it begins with exactly one `/`, so that `//host/..`
//! can never lead to another host, and holds visible ASCII only, so that no CR or LF can split a head.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::path::{RelPath, Resolved};

/// All but the unreserved characters of RFC 3986 2.3 and the slash between segments.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// All but the unreserved characters.
const IN_SEGMENT: &AsciiSet = &IN_PATH.add(b'/');

/// All but the query characters of RFC 3986 3.4; `%` stays, because a query comes encoded already.
const IN_QUERY: &AsciiSet = &IN_PATH
    .remove(b'%')
    .remove(b'?')
    .remove(b':')
    .remove(b'@')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=');

/// The `Location` of directory `rel`: `/`, the name re-encoded, `/`, and the request's query kept. Bytes that no
/// query may hold are encoded.
pub fn location(rel: &RelPath, query: Option<&[u8]>) -> String {
    let mut location = encoded(rel, true);
    if let Some(query) = query {
        location.push('?');
        location.extend(percent_encode(query, IN_QUERY));
    }
    location
}

/// A decoded path as it stands in a `Location`: visible ASCII, the slashes kept.
pub(crate) fn encode_path(path: &[u8]) -> impl Iterator<Item = &str> {
    percent_encode(path, IN_PATH)
}

/// A query as it came in, as it stands in a `Location`: its escapes kept, what no query may hold encoded.
pub(crate) fn encode_query(query: &[u8]) -> impl Iterator<Item = &str> {
    percent_encode(query, IN_QUERY)
}

/// As [`location`], relative to the path that was asked for: `./`, the last segment, `/`. For a root that is not at `/`;
/// it can lead to no other host either.
pub fn relative_location(rel: &RelPath, query: Option<&[u8]>) -> String {
    let whole = location(rel, query);
    let path = whole.find('?').unwrap_or(whole.len());
    let name = whole.get(..path).unwrap_or_default().trim_end_matches('/').rfind('/').unwrap_or(0);
    format!(".{}", whole.get(name..).unwrap_or_default())
}

/// One name as it stands in a path: every byte that could end it or mean something else is encoded.
pub(super) fn segment(name: &[u8]) -> String {
    percent_encode(name, IN_SEGMENT).to_string()
}

/// The one spelling under which the cache knows a path, so that the many spellings of one name fill one entry.
pub(super) fn canonical(resolved: &Resolved) -> String {
    encoded(&resolved.rel, resolved.dir)
}

fn encoded(rel: &RelPath, dir: bool) -> String {
    let mut path = String::with_capacity(rel.as_bytes().len() + 2);
    path.push('/');
    path.extend(percent_encode(rel.as_bytes(), IN_PATH));
    if dir && !rel.is_root() {
        path.push('/');
    }
    path
}

/// `text` with the five characters that mean something in HTML text and quoted attributes replaced.
pub fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// The body of an error answer, `text/html; charset=utf-8`. It repeats nothing of the request.
pub fn error_page(status: u16, reason: &str) -> String {
    let reason = escape_html(reason);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{status} {reason}</title></head>\n\
         <body><h1>{status} {reason}</h1></body></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::path;
    use super::*;
    use proptest::prelude::*;

    fn to(target: &[u8], query: Option<&[u8]>) -> String {
        location(&path::resolve(target).unwrap().rel, query)
    }

    #[test]
    fn a_location_is_a_clean_path_with_its_query() {
        assert_eq!(to(b"/docs", None), "/docs/");
        assert_eq!(to(b"/docs", Some(b"")), "/docs/?");
        assert_eq!(to(b"/docs", Some(b"a=1&b=%20?/x")), "/docs/?a=1&b=%20?/x");
        assert_eq!(to(b"/a%20b/%c3%a4:@", None), "/a%20b/%C3%A4%3A%40/");
        assert_eq!(to(b"/100%25", None), "/100%25/");
    }

    #[test]
    fn a_location_never_names_another_host_nor_splits_the_head() {
        assert_eq!(to(b"//evil.example/", None), "/evil.example/");
        assert_eq!(to(b"//evil.example/..", None), "/");
        assert_eq!(to(b"/./%2e//evil.example", None), "/evil.example/");
        assert_eq!(to(b"/a", Some(b"x\r\nSet-Cookie: y")), "/a/?x%0D%0ASet-Cookie:%20y");
        assert_eq!(to(b"/a", Some(b"\"<>#\\\xff\0")), "/a/?%22%3C%3E%23%5C%FF%00");
    }

    #[test]
    fn pages_hold_no_markup_but_their_own() {
        assert_eq!(escape_html("<a href='x' b=\"&\">"), "&lt;a href=&#39;x&#39; b=&quot;&amp;&quot;&gt;");
        let page = error_page(404, "Not <Found>");
        assert!(page.contains("<h1>404 Not &lt;Found&gt;</h1>"));
    }

    proptest! {
        #[test]
        fn any_query_is_written_as_visible_ascii(query in proptest::collection::vec(any::<u8>(), 0..64)) {
            let location = to(b"/d", Some(&query));
            prop_assert!(location.bytes().all(|b| b.is_ascii_graphic() && b != b'#' && b != b'\\'));
        }
    }
}
