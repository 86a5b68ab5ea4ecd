//! A listing as JSON (RFC 8259). Pure.
//!
//! `{"path":"/a/","truncated":false,"entries":[{"name":"b.txt","href":"b.txt","type":"file","size":3,"mtime":"…Z"}]}`.
//! A name that is no UTF-8 has replacement characters in `name`; `href`, relative to the path, is exact always.

use super::super::path::RelPath;
use super::super::redirect;
use super::civil::Civil;
use super::read::{Contents, Kind};

/// The whole object.
pub(super) fn page(rel: &RelPath, contents: &Contents) -> String {
    let mut out = String::with_capacity(64 + contents.items.len() * 128);
    out.push_str("{\"path\":");
    string(&mut out, &display_path(rel));
    out.push_str(if contents.truncated { ",\"truncated\":true" } else { ",\"truncated\":false" });
    out.push_str(",\"entries\":[");
    for (nth, item) in contents.items.iter().enumerate() {
        out.push_str(if nth == 0 { "\n" } else { ",\n" });
        out.push_str("{\"name\":");
        string(&mut out, &String::from_utf8_lossy(&item.name));
        let (slash, kind, size) = match item.kind {
            Kind::Directory => ("/", "directory", "null".to_owned()),
            Kind::File => ("", "file", item.size.to_string()),
        };
        let (href, time) = (redirect::segment(&item.name), Civil::new(item.mtime.sec).exact());
        out.push_str(&format!(
            ",\"href\":\"{href}{slash}\",\"type\":\"{kind}\",\"size\":{size},\"mtime\":\"{time}\"}}"
        ));
    }
    out.push_str("\n]}\n");
    out
}

/// The path as text, with its slashes.
pub(super) fn display_path(rel: &RelPath) -> String {
    let slash = if rel.is_root() { "" } else { "/" };
    format!("/{}{slash}", String::from_utf8_lossy(rel.as_bytes()))
}

fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // What a script would take for a line's end, should somebody paste it into one.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
