//! Lookups that leave the waiting to a thread.

use super::*;
use crate::reactor::sys::Presence;
use rustix::fs::Advice;
use std::path::Path;

/// Writes a file and has the kernel forget its bytes; false where they cannot be had forgotten or told missing.
fn write_away(w: &World, name: &str, content: &[u8]) -> bool {
    w.write(name, content);
    let file = fs::File::open(w.at(name)).unwrap();
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    super::super::super::disk::presence(&file, &mut [0]) == Presence::Away
}

fn far() -> Files {
    // Each call on procfs is answered by code that may wait; nobody has measured all of it.
    Files::new(Root::open(Path::new("/proc/sys/kernel")).unwrap(), Limits::default())
}

#[test]
fn what_a_thread_finds_is_what_waiting_finds() {
    let mut w = World::new();
    w.write("a", b"a");
    w.write("d/index.html", b"d");
    fs::create_dir(w.at("e")).unwrap();
    symlink("/etc", w.at("etc")).unwrap();
    symlink("a", w.at("link")).unwrap();
    make_fifo(&w.at("fifo"));
    for path in ["/a", "/link", "/d/", "/d", "/e/", "/e", "/etc/passwd", "/none", "/a/", "/fifo", "/none/x"] {
        let rel = path::resolve(path.as_bytes()).unwrap().rel;
        if let Now::Known(now) = w.files.root().open_now(&rel) {
            let waited = w.files.root().open_file(&rel);
            assert_eq!(now.map(|o| (o.meta, o.is_near)), waited.map(|o| (o.meta, o.is_near)), "{path}");
        }
        let mut found = w.get(path);
        if let Lookup::Cold(cold) = found {
            let done = std::thread::spawn(|| cold.run()).join().unwrap();
            found = w.files.warmed(done, 7);
        }
        assert_eq!(describe(&found), w.text(path), "{path}");
    }
}

#[test]
fn a_small_file_whose_bytes_are_not_in_memory_is_read_on_a_thread_and_then_kept() {
    let mut w = World::new();
    if !write_away(&w, "a", &[b'a'; 9000]) {
        eprintln!("skipped: this file system does not tell what is in memory");
        return;
    }
    let Lookup::Cold(cold) = w.files.lookup(b"/a", 1, LATER) else { panic!("it would have waited") };
    let Lookup::Found(entry) = w.files.warmed(cold.run(), 2) else { panic!() };
    assert_eq!(bytes(&entry), [b'a'; 9000]);
    let Lookup::Found(again) = w.files.lookup(b"/a", 2, LATER) else { panic!("its copy is in memory") };
    assert!(Arc::ptr_eq(&entry, &again));
}

#[test]
fn a_large_file_is_opened_without_a_look_at_its_bytes() {
    let mut w = World::with(Limits { small_max: 100, ..Limits::default() });
    if write_away(&w, "a", &[b'a'; 9000]) {
        assert!(matches!(w.files.lookup(b"/a", 1, LATER), Lookup::Found(_)));
    }
}

#[test]
fn what_a_thread_found_is_looked_at_again_before_others_get_it() {
    let mut w = World::new();
    if !write_away(&w, "a", b"one") {
        eprintln!("skipped: this file system does not tell what is in memory");
        return;
    }
    let Lookup::Cold(cold) = w.files.lookup(b"/a", 1, LATER) else { panic!() };
    let warmed = cold.run();
    w.write("a", b"other");
    let Lookup::Found(first) = w.files.warmed(warmed, 5) else { panic!() };
    assert_eq!(bytes(&first), b"one", "it was asked for before the change");
    let Lookup::Found(second) = w.files.lookup_waiting(b"/a", 5, LATER) else { panic!() };
    assert_eq!(bytes(&second), b"other");
}

#[test]
fn beneath_a_far_root_nothing_is_looked_at_on_the_loop_hits_included() {
    let mut files = far();
    for turn in 1..4 {
        let Lookup::Cold(cold) = files.lookup(b"/ostype", turn, LATER) else { panic!("turn {turn}") };
        let Lookup::Found(_) = files.warmed(cold.run(), turn) else { panic!("turn {turn}") };
        assert_eq!(files.usage().entries, 1);
        assert!(matches!(files.lookup(b"//ostype", turn, LATER), Lookup::Cold(_)));
    }
    let Lookup::Cold(cold) = files.lookup(b"/no-such", 9, LATER) else { panic!() };
    assert!(matches!(files.warmed(cold.run(), 9), Lookup::NotFound));
}

#[test]
fn what_has_gone_from_a_far_root_is_forgotten() {
    let mut files = far();
    let Lookup::Found(entry) = files.lookup_waiting(b"/ostype", 1, LATER) else { panic!() };
    let Lookup::Cold(cold) = files.lookup(b"/ostype", 2, LATER) else { panic!() };
    let gone = Cold { rel: path::resolve(b"/gone").unwrap().rel, ..cold };
    assert!(matches!(files.warmed(gone.run(), 2), Lookup::NotFound));
    assert_eq!(files.usage().entries, 0);
    assert_eq!(Arc::strong_count(&entry), 1);
}

#[test]
fn a_directory_without_an_index_is_one_only_where_listings_are_on() {
    let mut w = World::new();
    fs::create_dir(w.at("d")).unwrap();
    w.write("d/x", b"x");
    w.write("i/index.html", b"i");
    assert_eq!(w.text("/d/"), "NotFound");
    w.files = Files::new(Root::open(w.dir.path()).unwrap(), Limits::default()).list(true);
    for (path, want) in [("/d/", "d"), ("/", ""), ("/d/none/", "d/none")] {
        let Lookup::Directory(rel) = w.get(path) else { panic!("{path}") };
        assert_eq!(rel.as_bytes(), want.as_bytes());
        let Lookup::Directory(_) = w.files.lookup_waiting(path.as_bytes(), 90, LATER) else { panic!() };
    }
    assert_eq!((w.text("/i/"), w.text("/d"), w.text("/none")), ("i".into(), "/d/".into(), "NotFound".into()));
}
