//! Request paths against a real tree.

use super::super::condition::Fields;
use super::super::entry::Body;
use super::super::plan::{Plan, plan};
use super::super::redirect::location;
use super::super::root::Resolver;
use super::super::testing::{LATER, as_ordinary_user, make_fifo, set_mtime};
use super::*;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::PathBuf;

mod cold;

struct World {
    dir: tempfile::TempDir,
    files: Files,
    turn: u64,
}

impl World {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open_with(dir.path(), Resolver::Auto).unwrap();
        Self { files: Files::new(root, limits), dir, turn: 0 }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        if let Some(parent) = self.at(name).parent() {
            fs::create_dir_all(parent).unwrap();
        }
        fs::write(self.at(name), content).unwrap();
    }

    fn get(&mut self, path: &str) -> Lookup {
        self.turn += 1;
        self.files.lookup_waiting(path.as_bytes(), self.turn, LATER)
    }

    /// The content, or a word for the answer.
    fn text(&mut self, path: &str) -> String {
        describe(&self.get(path))
    }
}

fn describe(found: &Lookup) -> String {
    if let Lookup::Found(entry) = found {
        String::from_utf8(bytes(entry)).unwrap()
    } else if let Lookup::Redirect(rel) = found {
        location(rel, None)
    } else {
        format!("{found:?}")
    }
}

fn bytes(entry: &Entry) -> Vec<u8> {
    match entry.body() {
        Body::Bytes(bytes) => bytes.to_vec(),
        Body::File(file) => {
            let mut bytes = vec![0; usize::try_from(entry.size()).unwrap()];
            file.read_exact_at(&mut bytes, 0).unwrap();
            bytes
        }
    }
}

#[test]
fn paths_lead_to_files_indexes_redirects_and_refusals() {
    let mut w = World::new();
    w.write("index.html", b"home");
    w.write("a.txt", b"a");
    w.write("docs/index.html", b"docs");
    w.write("docs/with space.txt", b"space");
    w.write("100%.txt", b"percent");
    w.write("\u{e4}/x", b"umlaut");
    w.write("odd/index.html/x", b"nested");
    w.write(".env", b"secret");
    w.write("docs/.git/config", b"secret");
    w.write(".well-known/token", b"token");
    w.write(".well-known/.secret", b"secret");
    fs::create_dir(w.at("empty")).unwrap();
    make_fifo(&w.at("fifo"));
    symlink("docs", w.at("link")).unwrap();
    symlink("/etc", w.at("etc")).unwrap();
    let table = [
        ("/", "home"),
        ("/.", "home"),
        ("/docs/..", "home"),
        ("/a.txt", "a"),
        ("//a.txt", "a"),
        ("/%61.txt", "a"),
        ("/none/../a.txt", "a"),
        ("/docs/", "docs"),
        ("/docs/index.html", "docs"),
        ("/docs/.", "docs"),
        ("/link/", "docs"),
        ("/docs/with%20space.txt", "space"),
        ("/docs/with space.txt", "space"),
        ("/100%25.txt", "percent"),
        ("/%C3%A4/x", "umlaut"),
        ("/\u{e4}/x", "umlaut"),
        ("/.well-known/token", "token"),
        ("/docs", "/docs/"),
        ("//docs", "/docs/"),
        ("/link", "/link/"),
        ("/empty", "/empty/"),
        ("/odd/index.html", "/odd/index.html/"),
        ("/%c3%a4", "/%C3%A4/"),
        ("/a.txt/", "NotFound"),
        ("/a.txt/.", "NotFound"),
        ("/empty/", "NotFound"),
        ("/odd/", "NotFound"),
        ("/none", "NotFound"),
        ("/none/", "NotFound"),
        ("/.env", "NotFound"),
        ("/%2eenv", "NotFound"),
        ("/docs/.git/config", "NotFound"),
        ("/.well-known/.secret", "NotFound"),
        ("/fifo", "NotFound"),
        ("/fifo/", "NotFound"),
        ("/docs%2findex.html", "NotFound"),
        ("/docs\\index.html", "NotFound"),
        ("/etc/passwd", "Forbidden"),
        ("/etc", "Forbidden"),
        ("/..", "BadRequest"),
        ("/%2e%2e/etc/passwd", "BadRequest"),
        ("/a.txt%00", "BadRequest"),
        ("/%", "BadRequest"),
        ("a.txt", "BadRequest"),
    ];
    // Twice: the second time the files come out of the cache.
    for (path, want) in table.into_iter().chain(table) {
        assert_eq!(w.text(path), want, "{path}");
    }
}

#[test]
fn all_spellings_of_a_name_share_one_entry_and_misses_leave_none() {
    let mut w = World::new();
    w.write("a.txt", b"a");
    w.write("docs/index.html", b"docs");
    for _ in 0..2 {
        for path in ["//a.txt", "/a.txt", "/./a.txt", "/%61.txt", "//docs//", "/docs/", "/docs/x/.."] {
            assert!(matches!(w.get(path), Lookup::Found(_)), "{path}");
        }
        for path in ["/none", "/docs", "/..", "/a.txt/"] {
            assert!(!matches!(w.get(path), Lookup::Found(_)), "{path}");
        }
        assert_eq!(w.files.usage().entries, 2);
    }
    w.files.clear();
    assert_eq!(w.files.usage(), Usage::default());
}

#[test]
fn a_hit_is_the_very_entry_and_a_change_shows_in_the_next_turn() {
    let mut w = World::new();
    w.write("a.txt", b"one");
    let (Lookup::Found(first), Lookup::Found(second)) = (w.get("/a.txt"), w.get("/a.txt")) else { panic!() };
    assert!(Arc::ptr_eq(&first, &second));
    w.write("a.txt", b"two");
    assert_eq!(w.text("/a.txt"), "two");
    fs::remove_file(w.at("a.txt")).unwrap();
    assert_eq!(w.text("/a.txt"), "NotFound");
    symlink("/etc/passwd", w.at("a.txt")).unwrap();
    assert_eq!(w.text("/a.txt"), "Forbidden");
}

#[test]
fn a_file_written_just_now_is_served_with_a_weak_tag_and_read_anew_each_time() {
    let mut w = World::new();
    w.write("a.txt", b"one");
    let now = w.files.root().stat(&path::resolve(b"/a.txt").unwrap().rel).unwrap().mtime.sec;
    let now = u64::try_from(now).unwrap();
    for turn in 0..3 {
        let Lookup::Found(entry) = w.files.lookup_waiting(b"/a.txt", turn, now) else { panic!() };
        assert!(!entry.validators().is_strong());
        assert_eq!(w.files.usage().entries, 0);
    }
    set_mtime(&w.at("a.txt"), now - 100);
    let Lookup::Found(entry) = w.files.lookup_waiting(b"/a.txt", 9, now) else { panic!() };
    assert!(entry.validators().is_strong());
    let Lookup::Found(entry) = w.files.lookup_waiting(b"/a.txt", 9, now + 60) else { panic!() };
    assert!(entry.validators().is_strong());
    assert_eq!(w.files.usage().entries, 1);
}

#[test]
fn large_files_share_one_descriptor_and_keep_the_opened_content() {
    let mut w = World::with(Limits { small_max: 4, ..Limits::default() });
    w.write("large", b"first content");
    let (Lookup::Found(first), Lookup::Found(_)) = (w.get("/large"), w.get("/large")) else { panic!() };
    assert_eq!((w.files.usage().entries, w.files.usage().descriptors), (1, 1));
    w.write("new", b"other");
    fs::rename(w.at("new"), w.at("large")).unwrap();
    assert_eq!(w.text("/large"), "other");
    assert_eq!(bytes(&first), b"first content");
}

#[test]
fn a_sparse_file_past_4_gib_is_planned_in_64_bits() {
    let mut w = World::new();
    let file = fs::File::create(w.at("huge")).unwrap();
    file.set_len((5 << 30) + 3).unwrap();
    file.write_all_at(b"end", 5 << 30).unwrap();
    let Lookup::Found(entry) = w.get("/huge") else { panic!() };
    let fields = Fields { range: Some(b"bytes=-3"), ..Fields::default() };
    let Plan::Partial { start, end, total } = plan(false, entry.size(), entry.validators(), &fields) else {
        panic!()
    };
    assert_eq!((start, end, total), (5 << 30, (5 << 30) + 3, (5 << 30) + 3));
    let Body::File(file) = entry.body() else { panic!() };
    let mut tail = [0; 3];
    file.read_exact_at(&mut tail, start).unwrap();
    assert_eq!(&tail, b"end");
}

#[test]
fn what_an_ordinary_user_may_not_read_is_forbidden_also_when_it_was_kept() {
    let mut w = World::new();
    fs::set_permissions(w.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    w.write("a.txt", b"a");
    w.write("docs/index.html", b"docs");
    assert_eq!((w.text("/a.txt"), w.text("/docs/")), ("a".to_owned(), "docs".to_owned()));
    for name in ["a.txt", "docs/index.html"] {
        fs::set_permissions(w.at(name), fs::Permissions::from_mode(0o000)).unwrap();
    }
    // The directory stays behind: its owner removes it.
    let World { dir: _dir, mut files, .. } = w;
    as_ordinary_user(move || {
        for (path, want) in [("/a.txt", "Forbidden"), ("/docs/", "Forbidden"), ("/docs", "/docs/")] {
            assert_eq!(describe(&files.lookup_waiting(path.as_bytes(), 99, LATER)), want, "{path}");
        }
    });
}

#[test]
fn a_file_that_is_written_to_all_the_time_is_still_answered() {
    let w = World::new();
    w.write("busy", b"0");
    let at = w.at("busy");
    let mut files = w.files;
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                fs::write(&at, b"short").unwrap();
                fs::write(&at, vec![b'l'; 60_000]).unwrap();
            }
        });
        let all =
            (0..2000).all(|turn| matches!(files.lookup_waiting(b"/busy", turn, 1_000_000), Lookup::Found(_)));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(all);
    });
}

/// The limit of descriptors belongs to the process, so this runs in a child: this very test, told so by a variable.
#[test]
fn when_descriptors_run_out_the_cache_gives_its_own_and_then_says_busy() {
    const CHILD: &str = "TIDEMILL_TEST_CHILD";
    const NAME: &str = "when_descriptors_run_out_the_cache_gives_its_own_and_then_says_busy";
    if std::env::var_os(CHILD).is_none() {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let output = child.args([NAME, "--test-threads=1"]).env(CHILD, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let mut w = World::with(Limits { small_max: 4, ..Limits::default() });
    for name in ["one", "two", "three"] {
        w.write(name, b"content");
    }
    let limit = rustix::process::Rlimit { current: Some(64), maximum: Some(64) };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    assert_eq!((w.text("/one"), w.text("/two")), ("content".to_owned(), "content".to_owned()));
    assert_eq!(w.files.usage().descriptors, 2);
    let mut hogs = Vec::new();
    while let Ok(hog) = fs::File::open("/dev/null") {
        hogs.push(hog);
    }
    let Lookup::Found(third) = w.get("/three") else { panic!() };
    assert_eq!(w.files.usage().descriptors, 1);
    hogs.push(fs::File::open("/dev/null").unwrap());
    // What is being sent keeps its descriptor.
    assert_eq!(w.text("/one"), "Busy");
    assert_eq!(w.files.usage().descriptors, 0);
    assert_eq!(bytes(&third), b"content");
    drop(hogs);
    assert_eq!(w.text("/one"), "content");
}
