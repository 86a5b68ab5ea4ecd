//! Listings of real directories, and pages read back by a small parser of their own.

use super::super::path;
use super::super::root::Resolver;
use super::super::testing::make_fifo;
use super::civil::Civil;
use super::read::{Contents, Item, Kind};
use super::*;
use crate::proto::http1::head::Method;
use crate::service::files::meta::Stamp;
use crate::service::files::{Fields, Verdict, evaluate};
use proptest::prelude::*;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::time::Duration;

fn rel(name: &str) -> RelPath {
    path::resolve(format!("/{name}").as_bytes()).unwrap().rel
}

fn item(name: &[u8], kind: Kind, size: u64, sec: i64) -> Item {
    Item { name: name.into(), kind, size, mtime: Stamp { sec, nsec: 0 } }
}

fn html(contents: &Contents) -> String {
    html::page(&rel("x"), contents, &View::new(None, None))
}

/// The rows of a page: what each links to and its text. It knows HTML as little as can be: tags, quoted attributes and
/// five entities; anything else fails.
fn rows(page: &str) -> Vec<(String, String)> {
    let body = page.split_once("<tbody>").unwrap().1.split_once("</tbody>").unwrap().0;
    let mut rows = Vec::new();
    let (mut href, mut text, mut in_name) = (String::new(), String::new(), false);
    let mut rest = body;
    while let Some(at) = rest.find('<') {
        if in_name {
            text.push_str(&unescape(&rest[..at]));
        } else {
            assert!(!rest[..at].contains('&') || rest[..at].contains("bytes"), "markup outside of names");
        }
        let end = at + rest[at..].find('>').expect("a tag ends");
        let tag = &rest[at + 1..end];
        assert_eq!(tag.matches('"').count() % 2, 0, "quotes pair up in <{tag}>");
        match tag.split(' ').next().unwrap() {
            "a" => href = unescape(tag.split('"').nth(1).unwrap()),
            "bdi" => in_name = true,
            "/bdi" => {
                in_name = false;
                rows.push((std::mem::take(&mut href), std::mem::take(&mut text)));
            }
            "tr" | "/tr" | "td" | "/td" | "/a" | "span" | "/span" | "time" | "/time" => {}
            other => panic!("<{other}> was not written by us"),
        }
        rest = &rest[end + 1..];
    }
    rows
}

fn unescape(text: &str) -> String {
    let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

fn kind() -> impl Strategy<Value = Kind> {
    any::<bool>().prop_map(|d| if d { Kind::Directory } else { Kind::File })
}

/// Names as nobody should choose them.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let nasty = prop::sample::select(vec![
        "<script>",
        "\"",
        "'",
        "&amp;",
        "&",
        "</bdi>",
        "<!--",
        "-->",
        "%2f",
        "?",
        "#",
        ";",
        "\u{202e}",
        "\u{1f30a}",
        "javascript:",
        "//",
        "a b",
        "\n",
        "\\",
        ":",
        "..",
        "\u{2028}",
    ]);
    let piece =
        prop_oneof![nasty.prop_map(|s| s.as_bytes().to_vec()), prop::collection::vec(any::<u8>(), 1..4)];
    prop::collection::vec(piece, 1..6)
        .prop_map(|pieces| pieces.concat())
        .prop_map(|name| name.into_iter().filter(|b| !matches!(b, 0 | b'/')).collect::<Vec<u8>>())
        .prop_filter("a name", |name| !name.is_empty())
}

proptest! {
    #[test]
    fn no_name_breaks_out_of_its_row_and_each_link_leads_to_its_name(
        names in prop::collection::vec((name(), kind()), 0..8)
    ) {
        let items: Vec<Item> = names.iter().map(|(name, kind)| item(name, *kind, 7, 0)).collect();
        let rows = rows(&html(&Contents { items, truncated: false }));
        prop_assert_eq!(rows.len(), names.len());
        for ((href, text), (name, kind)) in rows.iter().zip(&names) {
            let slash = if *kind == Kind::Directory { "/" } else { "" };
            prop_assert_eq!(text, &format!("{}{slash}", String::from_utf8_lossy(name)));
            let safe = |b: u8| b.is_ascii_alphanumeric() || b"-._~%".contains(&b);
            let bare = href.strip_suffix(slash).unwrap();
            prop_assert!(bare.bytes().all(safe), "{href}");
            prop_assert_eq!(percent_encoding::percent_decode_str(bare).collect::<Vec<u8>>(), name.clone());
        }
    }

    #[test]
    fn the_same_holds_for_the_way_to_a_directory_and_for_json(names in prop::collection::vec(name(), 1..4)) {
        let path: String = names.iter().map(|name| format!("/{}", redirect_segment(name))).collect();
        if let Ok(resolved) = path::resolve(path.as_bytes()) {
            let contents = Contents { items: vec![item(&names[0], Kind::File, 1, 0)], truncated: true };
            let page = html::page(&resolved.rel, &contents, &View::new(None, None));
            let nav = page.split_once("<nav").unwrap().1.split_once("</nav>").unwrap().0;
            let depth = resolved.rel.as_bytes().split(|&b| b == b'/').filter(|s| !s.is_empty()).count();
            prop_assert_eq!(nav.matches('<').count(), 6 + 6 * depth, "{}", nav);
            let json = json::page(&resolved.rel, &contents);
            prop_assert!(json.chars().all(|c| !c.is_control() || c == '\n'));
            let strings = json.replace("\\\\", "").replace("\\\"", "");
            prop_assert_eq!(strings.matches('"').count() % 2, 0);
        }
    }

    #[test]
    fn a_moment_is_what_httpdate_makes_of_it(unix in 0_i64..253_402_300_799) {
        let time = std::time::UNIX_EPOCH + Duration::from_secs(unix.unsigned_abs());
        let theirs = httpdate::fmt_http_date(time);
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let ours = Civil::new(unix);
        let month = months[usize::try_from(ours.month - 1).unwrap()];
        let clock = &ours.exact()[11..19];
        prop_assert_eq!(&theirs[5..25], &format!("{:02} {month} {:04} {clock}", ours.day, ours.year));
        prop_assert_eq!(ours.short(), ours.exact()[..16].replace('T', " "));
    }

    #[test]
    fn every_order_is_total_with_directories_first(
        entries in prop::collection::vec((name(), kind(), 0_u64..4, 0_i64..4), 0..12),
        sort in prop::sample::select(vec!["name", "size", "time"]),
        descending in any::<bool>(),
    ) {
        let mut items: Vec<Item> = entries.iter().map(|(n, k, s, t)| item(n, *k, *s, *t)).collect();
        let query = format!("sort={sort}&order={}", if descending { "desc" } else { "asc" });
        let view = View::new(Some(query.as_bytes()), None);
        view.sort(&mut items);
        let mut again = items.clone();
        again.reverse();
        view.sort(&mut again);
        let names = |items: &[Item]| items.iter().map(|i| (i.name.clone(), i.kind)).collect::<Vec<_>>();
        prop_assert_eq!(names(&items), names(&again));
        for pair in items.windows(2) {
            prop_assert!(pair[0].kind == Kind::Directory || pair[1].kind == Kind::File);
            if pair[0].kind == pair[1].kind {
                let key = |i: &Item| match sort {
                    "size" if i.kind == Kind::File => i.size,
                    "time" => i.mtime.sec.unsigned_abs(),
                    _ => 0,
                };
                let (a, b) = (key(&pair[0]), key(&pair[1]));
                let in_order = if descending { a >= b } else { a <= b };
                prop_assert!(in_order);
            }
        }
    }

    #[test]
    fn any_query_and_any_accept_are_survived(query: Vec<u8>, accept: Vec<u8>) {
        let _ = View::new(Some(&query), Some(&accept));
    }
}

fn redirect_segment(name: &[u8]) -> String {
    super::super::redirect::segment(name)
}

#[test]
fn numbers_in_names_count_by_their_value_and_case_does_not() {
    let mut items: Vec<Item> =
        ["b10", "B2", "a", "b1", "b", "b02", "C"].map(|n| item(n.as_bytes(), Kind::File, 0, 0)).into();
    View::new(None, None).sort(&mut items);
    let names: Vec<&[u8]> = items.iter().map(|i| &*i.name).collect();
    assert_eq!(names, [&b"a"[..], b"b", b"b1", b"B2", b"b02", b"b10", b"C"]);
}

#[test]
fn the_format_is_what_the_query_says_else_what_is_accepted_more_than_html() {
    let table = [
        (None, None, Format::Html),
        (None, Some("*/*"), Format::Html),
        (None, Some("application/json"), Format::Json),
        (None, Some("text/html,application/json;q=0.9"), Format::Html),
        (None, Some("text/html;q=0.8, Application/JSON"), Format::Json),
        (None, Some("application/*, text/html;q=0.1"), Format::Json),
        (None, Some("application/json;q=0"), Format::Html),
        (None, Some("application/json;q=2"), Format::Html),
        (None, Some("*/*;q=0.1, text/html;q=0"), Format::Json),
        (Some("format=json"), Some("text/html"), Format::Json),
        (Some("x=1&format=html"), Some("application/json"), Format::Html),
        (Some("format=xml&sort=&order=up"), None, Format::Html),
    ];
    for (query, accept, want) in table {
        let view = View::new(query.map(str::as_bytes), accept.map(str::as_bytes));
        assert_eq!(view.format, want, "{query:?} {accept:?}");
    }
}

#[test]
fn sizes_are_told_in_their_unit() {
    let table = [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024 * 1024 - 1, "1023.9 KiB"),
        (5 << 30, "5.0 GiB"),
        (u64::MAX, "15.9 EiB"),
    ];
    for (bytes, want) in table {
        assert_eq!(html::human(bytes), want);
    }
}

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("in/d/sub")).unwrap();
        fs::write(dir.path().join("out.txt"), "outside").unwrap();
        Self { dir }
    }

    fn at(&self, name: &[u8]) -> std::path::PathBuf {
        self.dir.path().join("in").join(std::ffi::OsStr::from_bytes(name))
    }

    fn names(&self, resolver: Resolver, name: &str) -> Result<Vec<String>, OpenError> {
        let root = Root::open_with(&self.dir.path().join("in"), resolver).unwrap();
        let contents = read::read(&root, &rel(name), &Bounds::default())?;
        let mut names: Vec<String> =
            contents.items.iter().map(|i| format!("{}{:?}", i.name.escape_ascii(), i.kind)).collect();
        names.sort();
        Ok(names)
    }
}

#[test]
fn what_can_be_asked_for_is_listed_and_nothing_else() {
    let w = World::new();
    for name in [&b"a.txt"[..], b"\"q\"", b"\xff", b"new\nline", b"back\\slash", b".hidden", b"%2f"] {
        fs::write(w.at(name), "x").unwrap();
    }
    fs::create_dir(w.at(b".well-known")).unwrap();
    make_fifo(&w.at(b"fifo"));
    for (target, link) in [
        ("a.txt", "to-file"),
        ("d", "to-dir"),
        ("d/../a.txt", "to-climb"),
        ("../out.txt", "to-outside"),
        ("/etc", "to-etc"),
        ("none", "to-none"),
        ("to-loop", "to-loop"),
        ("fifo", "to-fifo"),
    ] {
        symlink(target, w.at(link.as_bytes())).unwrap();
    }
    for resolver in [Resolver::Openat2, Resolver::Stepwise] {
        assert_eq!(
            w.names(resolver, "").unwrap(),
            [
                "%2fFile",
                "\\\"q\\\"File",
                "\\xffFile",
                "a.txtFile",
                "dDirectory",
                "to-climbFile",
                "to-dirDirectory",
                "to-fileFile"
            ]
        );
        assert_eq!(w.names(resolver, "to-dir").unwrap(), ["subDirectory"]);
        assert!(w.names(resolver, "d/sub").unwrap().is_empty());
        for name in ["a.txt", "none", "fifo"] {
            assert_eq!(w.names(resolver, name), Err(OpenError::NotFound), "{name}");
        }
        assert_eq!(w.names(resolver, "to-etc"), Err(OpenError::Forbidden));
    }
}

#[test]
fn both_bounds_cut_a_listing_and_it_says_so() {
    let w = World::new();
    for n in 0..300 {
        fs::write(w.at(format!("f{n}").as_bytes()), "x").unwrap();
    }
    let root = Arc::new(Root::open(&w.dir.path().join("in")).unwrap());
    let read = |bounds| read::read(&root, &rel(""), &bounds).unwrap();
    let count = |entries_max| read(Bounds { entries_max, ..Bounds::default() });
    assert_eq!((count(301).items.len(), count(301).truncated), (301, false));
    assert_eq!((count(300).items.len(), count(300).truncated), (300, true));
    assert_eq!((count(0).items.len(), count(0).truncated), (0, true));
    let late = read(Bounds { time_max: Duration::ZERO, ..Bounds::default() });
    assert!(late.truncated && late.items.len() < 300);
    let bounds = Bounds { entries_max: 1, ..Bounds::default() };
    for (query, mark) in [("", "role=\"alert\""), ("format=json", "\"truncated\":true")] {
        let page = Listing::new(&root, rel(""), Some(query.as_bytes()), None).bounds(bounds).run().unwrap();
        assert!(String::from_utf8_lossy(&page.body).contains(mark));
    }
}

fn is_current(page: &Page, if_none_match: &str) -> bool {
    let fields = Fields::from_lines([("If-None-Match", if_none_match.as_bytes())], 0);
    evaluate(&Method::Get, &fields, Some(page.validators())) == Verdict::NotModified
}

#[test]
fn a_page_has_its_fields_and_a_tag_that_changes_with_what_is_listed() {
    let w = World::new();
    let root = Arc::new(Root::open(&w.dir.path().join("in")).unwrap());
    let page = |query: &str| Listing::new(&root, rel("d"), Some(query.as_bytes()), None).run().unwrap();
    let first = page("");
    let lines = String::from_utf8(first.lines.to_vec()).unwrap();
    assert!(lines.contains(&format!("Content-Length: {}\r\n", first.body.len())));
    assert!(lines.ends_with("\r\n") && !lines.contains("\r\n\r\n"));
    let etag = lines.strip_prefix("ETag: ").unwrap().split("\r\n").next().unwrap();
    let strong = etag.strip_prefix("W/").unwrap();
    for (value, current) in [
        (etag, true),
        (strong, true),
        ("*", true),
        (&*format!("\"a,b\", {etag}"), true),
        ("W/\"0\"", false),
        ("", false),
        (&etag[1..], false),
    ] {
        assert_eq!(is_current(&first, value), current, "{value}");
    }
    assert!(is_current(&first, etag) && is_current(&page(""), etag));
    assert!(!is_current(&page("format=json"), etag));
    fs::write(w.at(b"d/new"), "x").unwrap();
    assert!(!is_current(&page(""), etag));
    assert!(first.lines.starts_with(first.lines_not_modified()));
}
