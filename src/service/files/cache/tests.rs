//! The cache on real files: what is found, what is dropped, and that the bounds hold.

use super::super::path;
use super::super::root::Resolver;
use super::super::testing::LATER;
use super::*;
use std::fs;

struct World {
    dir: tempfile::TempDir,
    root: Root,
    cache: Cache,
}

impl World {
    fn new(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open_with(dir.path(), Resolver::Auto).unwrap();
        Self { dir, root, cache: Cache::new(limits) }
    }

    fn write(&self, name: &str, len: usize) {
        fs::write(self.dir.path().join(name), vec![b'x'; len]).unwrap();
    }

    fn load(&self, name: &str, now: u64) -> Arc<Entry> {
        let rel = path::resolve(format!("/{name}").as_bytes()).unwrap().rel;
        let opened = self.root.open_file(&rel).unwrap();
        Arc::new(Entry::load(rel, opened, now, self.cache.limits().small_max).unwrap())
    }

    fn keep(&mut self, name: &str, turn: u64) {
        let entry = self.load(name, LATER);
        self.cache.keep(name.as_bytes(), &entry, turn, true);
        self.check();
    }

    fn has(&mut self, name: &str, turn: u64) -> bool {
        let found = self.cache.find(name.as_bytes(), &self.root, turn);
        self.check();
        found.is_some_and(|kept| current(kept).rel().as_bytes() == name.as_bytes())
    }

    /// The index and the rings agree, and no bound is exceeded.
    fn check(&self) {
        let Cache { limits, index, small, large, bytes } = &self.cache;
        assert_eq!(index.len(), small.slots.len() + large.slots.len());
        for (key, place) in index {
            let ring = if place.is_large { large } else { small };
            assert_eq!(ring.slots[place.at].key, *key);
        }
        let costs = small.slots.iter().chain(&large.slots).map(|slot| slot.cost);
        assert_eq!(costs.sum::<usize>(), *bytes);
        assert!(*bytes <= limits.bytes_max && index.len() <= limits.entries_max);
        assert!(large.slots.len() <= limits.descriptors_max);
    }
}

fn current(kept: Kept) -> Arc<Entry> {
    match kept {
        Kept::Current(entry) => entry,
        Kept::Unchecked(entry) => panic!("{entry:?} lies on a disk of this machine"),
    }
}

#[test]
fn what_may_wait_is_never_looked_at_here_and_stays_until_it_is_forgotten() {
    let mut w = World::new(Limits::default());
    w.write("a", 3);
    let entry = w.load("a", LATER);
    w.cache.keep(b"a", &entry, 1, false);
    fs::remove_file(w.dir.path().join("a")).unwrap();
    for turn in 2..4 {
        let Some(Kept::Unchecked(kept)) = w.cache.find(b"a", &w.root, turn) else { panic!() };
        assert!(Arc::ptr_eq(&kept, &entry));
        w.cache.confirm(b"a");
    }
    w.cache.forget(b"a");
    w.cache.confirm(b"a");
    assert!(w.cache.find(b"a", &w.root, 4).is_none());
    w.check();
}

#[test]
fn a_kept_file_is_found_until_its_name_leads_to_another_state() {
    let mut w = World::new(Limits::default());
    w.write("a", 10);
    w.keep("a", 1);
    assert!(w.has("a", 1) && w.has("a", 2) && !w.has("b", 2));
    let at = w.dir.path().join("a");
    let changes: [(&str, &dyn Fn()); 5] = [
        ("rewritten in place, as long as before", &|| fs::write(&at, [b'y'; 10]).unwrap()),
        ("grown", &|| fs::write(&at, [b'y'; 11]).unwrap()),
        ("replaced", &|| {
            fs::write(w.dir.path().join("new"), [b'x'; 10]).unwrap();
            fs::rename(w.dir.path().join("new"), &at).unwrap();
        }),
        ("mode changed", &|| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            fs::set_permissions(&at, mode).unwrap();
        }),
        ("removed", &|| fs::remove_file(&at).unwrap()),
    ];
    let mut turn = 10;
    let mut cache = Cache::new(Limits::default());
    for (what, change) in changes {
        turn += 10;
        cache.keep(b"a", &w.load("a", LATER), turn, true);
        assert!(cache.find(b"a", &w.root, turn + 1).is_some(), "{what}");
        change();
        assert!(cache.find(b"a", &w.root, turn + 2).is_none(), "{what}");
        assert_eq!(cache.usage(), Usage::default(), "{what}");
    }
}

#[test]
fn within_one_turn_a_name_is_looked_at_once() {
    let mut w = World::new(Limits::default());
    w.write("a", 10);
    w.keep("a", 7);
    fs::remove_file(w.dir.path().join("a")).unwrap();
    assert!(w.has("a", 7));
    assert!(!w.has("a", 8));
    assert!(!w.has("a", 7));
}

#[test]
fn a_file_written_just_now_is_not_kept() {
    let mut w = World::new(Limits::default());
    w.write("a", 10);
    let ctime = u64::try_from(w.load("a", LATER).meta().ctime.sec).unwrap();
    for (now, kept) in [(ctime, false), (ctime + 2, false), (ctime - 100, false), (ctime + 3, true)] {
        let entry = w.load("a", now);
        w.cache.keep(b"a", &entry, 1, true);
        assert_eq!(w.cache.usage().entries == 1, kept, "{now}");
    }
    // A state that is not at rest also displaces the one kept before.
    let entry = w.load("a", ctime);
    w.cache.keep(b"a", &entry, 1, true);
    assert_eq!(w.cache.usage(), Usage::default());
}

#[test]
fn each_bound_holds_and_used_entries_outlive_unused_ones() {
    let mut w = World::new(Limits { entries_max: 4, ..Limits::default() });
    for at in 0..100 {
        w.write(&format!("f{at}"), 10);
    }
    w.keep("f0", 1);
    for at in 1..100 {
        assert!(w.has("f0", 1), "{at}");
        w.keep(&format!("f{at}"), 1);
    }
    assert_eq!(w.cache.usage().entries, 4);
    assert!(w.has("f0", 2) && w.has("f99", 2) && !w.has("f50", 2));
}

#[test]
fn memory_is_bounded_by_what_is_held_not_by_what_is_read() {
    let mut w = World::new(Limits { bytes_max: 100_000, ..Limits::default() });
    for at in 0..20 {
        w.write(&format!("f{at}"), 30_000);
        w.keep(&format!("f{at}"), 1);
    }
    assert_eq!(w.cache.usage().entries, 3);
    w.write("big", 60_000);
    w.keep("big", 1);
    assert!(w.has("big", 1));
    let mut w = World::new(Limits { bytes_max: 30_000, ..Limits::default() });
    w.write("a", 30_000);
    w.keep("a", 1);
    assert_eq!(w.cache.usage(), Usage::default());
}

#[test]
fn descriptors_are_bounded_apart_from_small_files() {
    let mut w = World::new(Limits { descriptors_max: 2, small_max: 100, ..Limits::default() });
    for at in 0..10 {
        w.write(&format!("small{at}"), 100);
        w.write(&format!("large{at}"), 101);
        w.keep(&format!("small{at}"), 1);
        w.keep(&format!("large{at}"), 1);
    }
    assert_eq!((w.cache.usage().entries, w.cache.usage().descriptors), (12, 2));
    assert!(w.has("large9", 2));
    assert_eq!(w.cache.release_descriptors(), 2);
    assert_eq!((w.cache.usage().entries, w.cache.usage().descriptors), (10, 0));
    w.check();
    w.cache.clear();
    assert_eq!(w.cache.usage(), Usage::default());
}

#[test]
fn the_entry_bound_reaches_across_both_rings() {
    let mut w = World::new(Limits { entries_max: 2, small_max: 100, ..Limits::default() });
    for (name, len) in [("s0", 1), ("s1", 1), ("l0", 200), ("l1", 200), ("l2", 200), ("s2", 1)] {
        w.write(name, len);
        w.keep(name, 1);
    }
    assert!(w.has("s2", 1));
}

#[test]
fn bounds_of_zero_turn_it_off() {
    for limits in [
        Limits { entries_max: 0, ..Limits::default() },
        Limits { bytes_max: 0, ..Limits::default() },
        Limits { descriptors_max: 0, small_max: 0, ..Limits::default() },
    ] {
        let mut w = World::new(limits);
        w.write("a", 10);
        w.keep("a", 1);
        assert_eq!(w.cache.usage(), Usage::default());
    }
}
