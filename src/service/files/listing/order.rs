//! What a request wants of a listing: its format and its order. Pure.

use std::cmp::Ordering;

use super::read::{Item, Kind};

/// How a listing is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A page for people.
    Html,
    /// An object for programs.
    Json,
}

/// What entries are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Name,
    Size,
    Time,
}

/// Format and order of a listing. Directories always come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    pub(super) format: Format,
    pub(super) key: Key,
    pub(super) descending: bool,
}

impl View {
    /// As `query` says: `sort=name`, `size` or `time`; `order=asc` or `desc`; `format=html` or `json`. What is not
    /// understood counts for nothing. Without a format there, `Accept` decides, and HTML when it does not.
    pub fn new(query: Option<&[u8]>, accept: Option<&[u8]>) -> Self {
        let json = accept.is_some_and(|accept| {
            quality(accept, b"application", b"json") > quality(accept, b"text", b"html")
        });
        let format = if json { Format::Json } else { Format::Html };
        let mut view = Self { format, key: Key::Name, descending: false };
        for pair in query.unwrap_or_default().split(|&b| b == b'&') {
            match pair {
                b"sort=name" => view.key = Key::Name,
                b"sort=size" => view.key = Key::Size,
                b"sort=time" => view.key = Key::Time,
                b"order=asc" => view.descending = false,
                b"order=desc" => view.descending = true,
                b"format=html" => view.format = Format::Html,
                b"format=json" => view.format = Format::Json,
                _ => {}
            }
        }
        view
    }

    /// Orders entries. The name decides between equals, so that there is one order only.
    pub(super) fn sort(&self, items: &mut [Item]) {
        items.sort_unstable_by(|a, b| {
            let folders = (a.kind != Kind::Directory).cmp(&(b.kind != Kind::Directory));
            let by_key = match self.key {
                Key::Name => Ordering::Equal,
                // The size of a directory means nothing to anybody.
                Key::Size if a.kind == Kind::Directory => Ordering::Equal,
                Key::Size => a.size.cmp(&b.size),
                Key::Time => a.mtime.cmp(&b.mtime),
            };
            let wanted = by_key.then_with(|| by_name(&a.name, &b.name));
            folders.then(if self.descending { wanted.reverse() } else { wanted })
        });
    }
}

/// As people order names: case does not matter, and numbers count by their value; bytes decide between equals.
fn by_name(a: &[u8], b: &[u8]) -> Ordering {
    let (mut x, mut y) = (a, b);
    while let (Some((&c, x_rest)), Some((&d, y_rest))) = (x.split_first(), y.split_first()) {
        let order = if c.is_ascii_digit() && d.is_ascii_digit() {
            let (n, m) = (digits(&mut x), digits(&mut y));
            n.len().cmp(&m.len()).then_with(|| n.cmp(m))
        } else {
            (x, y) = (x_rest, y_rest);
            c.to_ascii_lowercase().cmp(&d.to_ascii_lowercase())
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    x.len().cmp(&y.len()).then_with(|| a.cmp(b))
}

/// Takes the digits off the front of `text`; those that count.
fn digits<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    *text = rest;
    let first = number.iter().position(|&b| b != b'0').unwrap_or(number.len());
    number.get(first..).unwrap_or_default()
}

/// How much an `Accept` value (RFC 9110 section 12.5.1) wants a type, in thousandths: by its most precise range.
fn quality(accept: &[u8], main: &[u8], sub: &[u8]) -> u16 {
    let mut best = (0, 0);
    for range in accept.split(|&b| b == b',') {
        let mut parts = range.split(|&b| b == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let mut halves = name.splitn(2, |&b| b == b'/');
        let (Some(m), Some(s)) = (halves.next(), halves.next()) else { continue };
        let precision = match (m, s) {
            _ if m.eq_ignore_ascii_case(main) && s.eq_ignore_ascii_case(sub) => 3,
            (_, b"*") if m.eq_ignore_ascii_case(main) => 2,
            (b"*", b"*") => 1,
            _ => continue,
        };
        let weight = parts.find_map(|p| p.strip_prefix(b"q=").or_else(|| p.strip_prefix(b"Q=")));
        if precision > best.0 {
            best = (precision, weight.map_or(1000, thousandths));
        }
    }
    best.1
}

/// A weight such as `0.8`; what is none counts as 0, for nobody asked for it so.
fn thousandths(weight: &[u8]) -> u16 {
    let (whole, part) = match weight {
        [whole] => (*whole, &[][..]),
        [whole, b'.', part @ ..] if part.len() <= 3 => (*whole, part),
        _ => return 0,
    };
    if !matches!(whole, b'0' | b'1') || !part.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let place = |n: usize| part.get(n).map_or(0, |digit| u16::from(digit - b'0'));
    (u16::from(whole - b'0') * 1000 + place(0) * 100 + place(1) * 10 + place(2)).min(1000)
}
