use std::os::unix::fs::symlink;
use std::path::Path;

use super::super::cache::Limits;
use super::super::entry::Body;
use super::super::gzip::Gzip;
use super::super::lookup::Lookup;
use super::super::options::Options;
use super::super::root::{Resolver, Root};
use super::super::testing::{LATER, make_fifo, set_mtime};
use super::*;

const OLD: u64 = 1_500_000_000;

fn files(dir: &Path, options: Options) -> Files {
    Files::with_options(Root::open(dir).unwrap(), Limits::default(), options)
}

fn plant(dir: &Path, name: &str, content: &[u8], mtime: u64) {
    std::fs::write(dir.join(name), content).unwrap();
    set_mtime(&dir.join(name), mtime);
}

fn found(files: &mut Files, path: &str, turn: u64) -> Arc<Entry> {
    let found = files.lookup_waiting(path.as_bytes(), turn, LATER);
    let Lookup::Found(entry) = found else { panic!("{found:?}") };
    entry
}

/// What is to be sent, after a look at the disk if one is needed.
fn represented(files: &mut Files, origin: &Arc<Entry>, accept: &AcceptEncoding, turn: u64) -> Representation {
    match files.represent(origin, accept, turn, LATER) {
        Representation::Beside(look) => files.seen(look.run(), accept, turn),
        known @ (Representation::Ready(_) | Representation::Gzip) => known,
    }
}

/// The body that is sent for this field; `*` when it has to be compressed first.
fn sent(files: &mut Files, path: &str, accept: &str, turn: u64) -> String {
    let origin = found(files, path, turn);
    let accept = AcceptEncoding::parse([accept.as_bytes()]);
    match represented(files, &origin, &accept, turn) {
        Representation::Beside(_) => "looked for".to_owned(),
        Representation::Gzip => "*".to_owned(),
        Representation::Ready(entry) => match entry.body() {
            Body::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Body::File(_) => "a file".to_owned(),
        },
    }
}

#[test]
fn a_file_beside_another_is_sent_in_the_order_of_preference() {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in
        [("a.js", "plain"), ("a.js.br", "br"), ("a.js.gz", "gz"), ("b.js", "plain"), ("b.js.zst", "zst")]
    {
        plant(dir.path(), name, content.as_bytes(), OLD);
    }
    let mut all = files(dir.path(), Options::default().precompressed(&Coding::ALL));
    for (turn, (path, accept, want)) in [
        ("/a.js", "gzip, br", "br"),
        ("/a.js", "gzip, br;q=0.9", "gz"),
        ("/a.js", "gzip", "gz"),
        ("/a.js", "zstd", "plain"),
        ("/a.js", "zstd, gzip;q=0.1", "gz"),
        ("/a.js", "*", "br"),
        ("/a.js", "identity", "plain"),
        ("/a.js", "", "plain"),
        ("/b.js", "gzip, br, zstd", "zst"),
        ("/b.js", "gzip, br", "plain"),
        ("/a.js.gz", "gzip, br", "gz"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(sent(&mut all, path, accept, turn as u64), want, "{path} {accept}");
        assert_eq!(sent(&mut all, path, accept, 100), want, "kept: {path} {accept}");
    }
    let mut only_gz = files(dir.path(), Options::default().precompressed(&[Coding::Gzip]));
    assert_eq!(sent(&mut only_gz, "/a.js", "br, gzip;q=0.1", 1), "gz");
    let mut gz_first = files(dir.path(), Options::default().precompressed(&[Coding::Gzip, Coding::Brotli]));
    assert_eq!(sent(&mut gz_first, "/a.js", "br, gzip", 1), "gz");
    let mut off = files(dir.path(), Options::default());
    assert_eq!(sent(&mut off, "/a.js", "br, gzip", 1), "plain");
}

#[test]
fn each_representation_has_its_own_tag_and_says_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    plant(dir.path(), "a.js", b"plain", OLD);
    plant(dir.path(), "a.js.br", b"br", OLD);
    let mut files = files(dir.path(), Options::default().precompressed(&Coding::ALL));
    let origin = found(&mut files, "/a.js", 1);
    let accept = AcceptEncoding::parse([&b"br"[..]]);
    let Representation::Ready(br) = represented(&mut files, &origin, &accept, 1) else { panic!() };
    assert_ne!(br.validators().etag(), origin.validators().etag());
    assert!(br.validators().is_strong() && origin.validators().is_strong());
    assert_eq!((br.coding(), origin.coding()), (Some(Coding::Brotli), None));
    assert_eq!(br.content_type(), origin.content_type());
    assert!(br.varies() && origin.varies());
    assert_eq!(found(&mut files, "/a.js.br", 1).content_type(), "application/octet-stream");
}

#[test]
fn no_range_rests_on_the_date_that_representations_share() {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in [("a.js", "plain"), ("a.js.gz", "gz"), ("a.png", "picture")] {
        plant(dir.path(), name, content.as_bytes(), OLD);
    }
    let mut files = files(dir.path(), Options::default().precompressed(&Coding::ALL));
    let origin = found(&mut files, "/a.js", 1);
    let accept = AcceptEncoding::parse([&b"gzip"[..]]);
    let Representation::Ready(gz) = represented(&mut files, &origin, &accept, 1) else { panic!() };
    assert_eq!(gz.validators().last_modified(), origin.validators().last_modified());
    let made = Entry::gzipped(&origin, b"made"[..].into(), "-gz");
    for entry in [&origin, &gz, &Arc::new(made)] {
        let date = entry.validators().last_modified().unwrap();
        assert!(!entry.validators().admits_range(date.as_bytes(), LATER));
        assert!(entry.validators().admits_range(entry.validators().etag().as_bytes(), LATER));
    }
    let alone = found(&mut files, "/a.png", 1);
    let date = alone.validators().last_modified().unwrap();
    assert!(alone.validators().admits_range(date.as_bytes(), LATER), "it has one representation");
}

#[test]
fn a_sibling_counts_when_it_is_as_new_settled_regular_and_within_the_root() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let is_sent = |make: &dyn Fn(&Path)| {
        plant(&root, "a.js", b"plain", OLD);
        let sibling = root.join("a.js.gz");
        make(&sibling);
        let mut files = files(&root, Options::default().precompressed(&[Coding::Gzip]));
        let is_sent = sent(&mut files, "/a.js", "gzip", 1) == "gz";
        let _ = std::fs::remove_file(&sibling).or_else(|_| std::fs::remove_dir(&sibling));
        is_sent
    };
    let written = |at: u64| move |path: &Path| plant(path.parent().unwrap(), "a.js.gz", b"gz", at);
    assert!(is_sent(&written(OLD)) && is_sent(&written(OLD + 1)));
    assert!(!is_sent(&written(OLD - 1)), "older");
    assert!(!is_sent(&written(LATER - 1)), "it may still be written to");
    assert!(!is_sent(&|path| make_fifo(path)));
    assert!(!is_sent(&|path| std::fs::create_dir(path).unwrap()));
    plant(dir.path(), "outside.gz", b"gz", OLD);
    assert!(!is_sent(&|path| symlink("../outside.gz", path).unwrap()));
    assert!(!is_sent(&|path| symlink(dir.path().join("outside.gz"), path).unwrap()));
    plant(&root, "inside.gz", b"gz", OLD);
    assert!(is_sent(&|path| symlink("inside.gz", path).unwrap()));
}

#[test]
fn a_sibling_that_goes_comes_or_is_overtaken_shows_in_the_next_turn() {
    let dir = tempfile::tempdir().unwrap();
    plant(dir.path(), "a.js", b"plain", OLD);
    let mut files = files(dir.path(), Options::default().precompressed(&[Coding::Gzip]));
    assert_eq!(sent(&mut files, "/a.js", "gzip", 1), "plain");
    plant(dir.path(), "a.js.gz", b"gz", OLD);
    assert_eq!(sent(&mut files, "/a.js", "gzip", 2), "gz");
    assert_eq!(sent(&mut files, "/a.js", "gzip", 3), "gz");
    plant(dir.path(), "a.js", b"newer", OLD + 1);
    assert_eq!(sent(&mut files, "/a.js", "gzip", 4), "newer");
    plant(dir.path(), "a.js.gz", b"newer gz", OLD + 1);
    assert_eq!(sent(&mut files, "/a.js", "gzip", 5), "newer gz");
    std::fs::remove_file(dir.path().join("a.js.gz")).unwrap();
    assert_eq!(sent(&mut files, "/a.js", "gzip", 6), "newer");
}

#[test]
fn compressing_comes_after_what_lies_there_in_the_same_coding() {
    let dir = tempfile::tempdir().unwrap();
    let text = "text ".repeat(1000);
    for name in ["a.js", "b.js", "c.js"] {
        plant(dir.path(), name, text.as_bytes(), OLD);
    }
    plant(dir.path(), "b.js.gz", b"gz", OLD);
    plant(dir.path(), "c.js.br", b"br", OLD);
    plant(dir.path(), "d.png", text.as_bytes(), OLD);
    plant(dir.path(), "e.js", b"short", OLD);
    let options =
        Options::default().precompressed(&[Coding::Brotli, Coding::Gzip]).gzip(Some(Gzip::default()));
    let mut both = files(dir.path(), options);
    assert_eq!(sent(&mut both, "/a.js", "gzip, br", 1), "*");
    assert_eq!(sent(&mut both, "/b.js", "gzip, br", 1), "gz");
    assert_eq!(sent(&mut both, "/c.js", "gzip, br", 1), "br");
    assert_eq!(sent(&mut both, "/c.js", "gzip, br;q=0.5", 1), "*");
    assert_eq!(sent(&mut both, "/a.js", "br", 1), text);
    assert_eq!(sent(&mut both, "/d.png", "gzip, br", 1), text);
    assert_eq!(sent(&mut both, "/e.js", "gzip, br", 1), "short");
    let mut only = files(dir.path(), Options::default().gzip(Some(Gzip::default())));
    assert_eq!(sent(&mut only, "/b.js", "gzip", 1), "*");
    let origin = found(&mut only, "/b.js", 1);
    let store = only.gzip.as_mut().unwrap();
    let done = store.start(&origin).unwrap().run();
    let made = store.finish(done);
    let accept = AcceptEncoding::parse([&b"gzip"[..]]);
    let Representation::Ready(kept) = represented(&mut only, &origin, &accept, 2) else { panic!() };
    assert!(Arc::ptr_eq(&kept, &made));
    only.clear();
    assert_eq!(sent(&mut only, "/b.js", "gzip", 3), "*");
}

#[test]
fn index_files_are_tried_in_their_order_also_when_an_earlier_one_comes_later() {
    let dir = tempfile::tempdir().unwrap();
    plant(dir.path(), "second.html", b"second", OLD);
    let options = Options::default().index(["first.html", "second.html"]).unwrap();
    let mut files = files(dir.path(), options);
    assert_eq!(sent(&mut files, "/", "", 1), "second");
    assert_eq!(sent(&mut files, "/", "", 2), "second");
    plant(dir.path(), "first.html", b"first", OLD);
    assert_eq!(sent(&mut files, "/", "", 3), "first");
    assert_eq!(sent(&mut files, "//", "", 4), "first");
    std::fs::remove_file(dir.path().join("first.html")).unwrap();
    assert_eq!(sent(&mut files, "/", "", 5), "second");
    std::fs::create_dir(dir.path().join("first.html")).unwrap();
    assert_eq!(sent(&mut files, "/", "", 6), "second");
    let mut none = Files::with_options(
        Root::open(dir.path()).unwrap(),
        Limits::default(),
        Options::default().index([]).unwrap(),
    );
    assert!(matches!(none.lookup_waiting(b"/", 1, LATER), Lookup::NotFound));
}

#[test]
fn hidden_files_are_found_only_where_they_are_allowed() {
    use super::super::options::Hidden;
    let dir = tempfile::tempdir().unwrap();
    plant(dir.path(), ".env", b"secret", OLD);
    let mut refused = files(dir.path(), Options::default());
    assert!(matches!(refused.lookup_waiting(b"/.env", 1, LATER), Lookup::NotFound));
    let mut allowed = files(dir.path(), Options::default().hidden(Hidden::Allow));
    assert_eq!(sent(&mut allowed, "/.env", "", 1), "secret");
    assert_eq!(sent(&mut allowed, "/.env", "", 2), "secret");
}

/// Files of which every look may wait, as far as is known.
fn far(dir: &Path, options: Options) -> Files {
    Files::with_options(Root::open_with(dir, Resolver::Stepwise).unwrap(), Limits::default(), options)
}

#[test]
fn where_a_look_may_wait_a_thread_looks_and_finds_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let text = "text ".repeat(1000);
    for (name, content) in
        [("a.js", &*text), ("a.js.zst", "zst"), ("b.js", &text), ("b.js.br", "br"), ("b.js.gz", "gz")]
    {
        plant(dir.path(), name, content.as_bytes(), OLD);
    }
    let beside = Options::default().precompressed(&Coding::ALL);
    let both = beside.clone().gzip(Some(Gzip::default()));
    for (options, accept) in [&beside, &both].into_iter().flat_map(|options| {
        [
            "br",
            "gzip",
            "zstd",
            "*",
            "gzip, br;q=0.5",
            "zstd;q=0.5, gzip",
            "gzip;q=0.5, zstd",
            "identity",
            "deflate",
        ]
        .map(|accept| (options, accept))
    }) {
        let (mut near, mut far) = (files(dir.path(), options.clone()), far(dir.path(), options.clone()));
        for path in ["/a.js", "/b.js"] {
            for turn in 0..3 {
                assert_eq!(
                    sent(&mut far, path, accept, turn),
                    sent(&mut near, path, accept, turn),
                    "{path} {accept}"
                );
            }
        }
    }
    let mut far = far(dir.path(), beside);
    let origin = found(&mut far, "/a.js", 1);
    let accept = AcceptEncoding::parse([&b"br, zstd"[..]]);
    assert!(matches!(far.represent(&origin, &accept, 1, LATER), Representation::Beside(_)));
}

#[test]
fn index_files_are_tried_in_their_order_where_each_look_may_wait() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::default().index(["first.html", "second.html", "third.html"]).unwrap();
    let mut far = far(dir.path(), options).list(true);
    assert!(matches!(far.lookup_waiting(b"/", 1, LATER), Lookup::Directory(rel) if rel.is_root()));
    plant(dir.path(), "third.html", b"third", OLD);
    assert_eq!(sent(&mut far, "/", "", 2), "third");
    assert_eq!(sent(&mut far, "/", "", 3), "third");
    plant(dir.path(), "first.html", b"first", OLD);
    assert_eq!(sent(&mut far, "/", "", 4), "first");
    std::fs::remove_file(dir.path().join("first.html")).unwrap();
    std::fs::create_dir(dir.path().join("second.html")).unwrap();
    assert_eq!(sent(&mut far, "/", "", 5), "third");
}
