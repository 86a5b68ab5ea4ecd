//! A listing as a page for people: no script, one style sheet, nothing loaded. Pure.
//!
//! Names come from whoever may write to the directory. They stand in text and quoted attributes only, escaped, each in
//! a `bdi`, so that one that is written from right to left does not turn its neighbours round.

use super::super::path::RelPath;
use super::super::redirect::{escape_html, segment};
use super::civil::Civil;
use super::json::display_path;
use super::order::{Key, View};
use super::read::{Contents, Item, Kind};

/// The style sheet, whose hash the answer's policy allows.
pub(super) const STYLE: &str = include_str!("style.css");

/// `sha256-` and the Base64 of the SHA-256 of [`STYLE`]; `tests/blackbox/test_listing.py` computes it anew.
pub(super) const STYLE_HASH: &str = "sha256-3D8MIKmdv+l0f6/uqIclXx0cvX+d119erA0j+zlwy+U=";

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// The whole page.
pub(super) fn page(rel: &RelPath, contents: &Contents, view: &View) -> String {
    let mut out = String::with_capacity(4096 + contents.items.len() * 320);
    let title = escape_html(&display_path(rel));
    out.push_str(&format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <title>{title}</title><style>{STYLE}</style></head>\n<body><main>\n"
    ));
    crumbs(&mut out, rel);
    summary(&mut out, contents);
    out.push_str("<table>\n<thead><tr>");
    for (key, word, class) in
        [(Key::Name, "Name", "n"), (Key::Size, "Size", "s"), (Key::Time, "Last written (UTC)", "t")]
    {
        column(&mut out, view, key, word, class);
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    if !rel.is_root() {
        out.push_str(
            "<tr class=\"up\"><td class=\"n\"><a href=\"../\"><span class=\"i\" aria-hidden=\"true\">\u{2191}</span>\
             <span>Parent directory</span></a></td><td class=\"s\"></td><td class=\"t\"></td></tr>\n",
        );
    }
    for item in &contents.items {
        row(&mut out, item);
    }
    out.push_str("</tbody></table>\n");
    if contents.items.is_empty() {
        out.push_str("<p class=\"e\">Nothing to see in this directory.</p>\n");
    }
    out.push_str("</main></body></html>\n");
    out
}

/// Each directory on the way, as a link to it.
fn crumbs(out: &mut String, rel: &RelPath) {
    out.push_str("<nav aria-label=\"Path\"><h1><a href=\"/\">Home</a><span>/</span>");
    let mut href = String::from("/");
    let mut names = rel.as_bytes().split(|&b| b == b'/').filter(|name| !name.is_empty()).peekable();
    while let Some(name) = names.next() {
        href.push_str(&segment(name));
        href.push('/');
        let text = escape_html(&String::from_utf8_lossy(name));
        let here = if names.peek().is_none() { " aria-current=\"page\"" } else { "" };
        out.push_str(&format!("<a href=\"{href}\"{here}><bdi>{text}</bdi></a><span>/</span>"));
    }
    out.push_str("</h1></nav>\n");
}

fn summary(out: &mut String, contents: &Contents) {
    let folders = contents.items.iter().filter(|item| item.kind == Kind::Directory).count();
    let files = contents.items.len() - folders;
    let sizes = contents.items.iter().filter(|item| item.kind == Kind::File).map(|item| item.size);
    let total = sizes.fold(0, u64::saturating_add);
    let count = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    out.push_str(&format!(
        "<p>{}, {}, <span title=\"{total} bytes\">{}</span></p>\n",
        count(folders, "directory", "directories"),
        count(files, "file", "files"),
        human(total)
    ));
    if contents.truncated {
        out.push_str("<p class=\"w\" role=\"alert\">This directory holds more than is listed here.</p>\n");
    }
}

/// The head of a column, a link that orders by it, and the other way round when it is ordered by it already.
fn column(out: &mut String, view: &View, key: Key, word: &str, class: &str) {
    let name = match key {
        Key::Name => "name",
        Key::Size => "size",
        Key::Time => "time",
    };
    let (state, arrow, order) = match (view.key == key, view.descending) {
        (false, _) => ("", "", "asc"),
        (true, false) => (" aria-sort=\"ascending\"", " \u{25b2}", "desc"),
        (true, true) => (" aria-sort=\"descending\"", " \u{25bc}", "asc"),
    };
    out.push_str(&format!(
        "<th class=\"{class}\"{state}><a href=\"?sort={name}&amp;order={order}\">{word}{arrow}</a></th>"
    ));
}

fn row(out: &mut String, item: &Item) {
    let (icon, slash, class) = match item.kind {
        Kind::Directory => ("\u{25b8}", "/", " class=\"d\""),
        Kind::File => ("\u{b7}", "", ""),
    };
    let size = match item.kind {
        Kind::Directory => String::new(),
        Kind::File => format!("<span title=\"{} bytes\">{}</span>", item.size, human(item.size)),
    };
    let time = Civil::new(item.mtime.sec);
    out.push_str(&format!(
        "<tr{class}><td class=\"n\"><a href=\"{}{slash}\"><span class=\"i\" aria-hidden=\"true\">{icon}</span>\
         <bdi>{}{slash}</bdi></a></td><td class=\"s\">{size}</td>\
         <td class=\"t\"><time datetime=\"{}\">{}</time></td></tr>\n",
        segment(&item.name),
        escape_html(&String::from_utf8_lossy(&item.name)),
        time.exact(),
        time.short(),
    ));
}

/// A size in the unit in which it has one to four digits before the point, and one behind it where it was divided.
pub(super) fn human(bytes: u64) -> String {
    let (mut whole, mut tenths, mut unit) = (bytes, 0, 0);
    while whole >= 1024 && unit + 1 < UNITS.len() {
        tenths = (whole % 1024) * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 { format!("{whole} {name}") } else { format!("{whole}.{tenths} {name}") }
}
