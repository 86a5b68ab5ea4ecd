use std::io::Read;
use std::path::Path;

use super::super::options::Options;
use super::super::path;
use super::super::root::{Resolver, Root};
use super::super::testing::LATER;
use super::*;

fn entry(dir: &Path, name: &str, small_max: u64, now: u64) -> Arc<Entry> {
    let rel = path::resolve(name.as_bytes()).unwrap().rel;
    let opened = Root::open_with(dir, Resolver::Auto).unwrap().open_file(&rel).unwrap();
    let shape = Options::default().gzip(Some(Gzip::default())).shape(rel.as_bytes());
    Arc::new(Entry::load(rel, opened, shape, now, small_max).unwrap())
}

fn site(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    dir
}

fn unpacked(entry: &Entry) -> Vec<u8> {
    let Body::Bytes(bytes) = entry.body() else { panic!("not in memory") };
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut out).unwrap();
    out
}

fn finished(store: &mut Store, origin: &Arc<Entry>) -> Arc<Entry> {
    let done = store.start(origin).unwrap().run();
    store.finish(done)
}

/// Bytes that no coding makes smaller.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn what_shrinks_is_kept_and_the_same_bytes_for_the_same_state_from_memory_and_from_a_descriptor() {
    let text: Vec<u8> = b"some text that repeats itself. ".repeat(20_000);
    let dir = site(&[("a.txt", &text)]);
    let (small, large) = (entry(dir.path(), "/a.txt", 1 << 30, LATER), entry(dir.path(), "/a.txt", 0, LATER));
    let mut store = Store::new(Gzip::default());
    let from_memory = finished(&mut store, &small);
    assert!(matches!(store.find(&large), Some(Outcome::Smaller(kept)) if Arc::ptr_eq(&kept, &from_memory)));
    store.clear();
    assert!(store.find(&large).is_none() && store.bytes == 0);
    let from_file = finished(&mut store, &large);
    assert_eq!(unpacked(&from_file), text);
    let (Body::Bytes(one), Body::Bytes(other)) = (from_memory.body(), from_file.body()) else { panic!() };
    assert_eq!(one, other);
    assert_eq!(from_memory.validators(), from_file.validators());
    assert_ne!(from_file.validators().etag(), small.validators().etag());
    assert!(from_file.size() < small.size() / 10);
}

#[test]
fn what_does_not_shrink_is_sent_as_it_is_and_not_tried_again() {
    let dir = site(&[("a.txt", &noise(TRIAL as usize * 4)), ("b.txt", &noise(2000))]);
    let mut store = Store::new(Gzip::default());
    for name in ["/a.txt", "/b.txt"] {
        let origin = entry(dir.path(), name, 1 << 30, LATER);
        assert!(Arc::ptr_eq(&finished(&mut store, &origin), &origin));
        assert!(matches!(store.find(&origin), Some(Outcome::NotSmaller)));
    }
    assert!(store.bytes < 2000, "nothing but the names is kept: {}", store.bytes);
}

#[test]
fn another_state_of_a_file_is_another_file() {
    let dir = site(&[("a.txt", &[b'a'; 5000])]);
    let mut store = Store::new(Gzip::default());
    finished(&mut store, &entry(dir.path(), "/a.txt", 1 << 30, LATER));
    std::fs::write(dir.path().join("a.txt"), [b'b'; 5000]).unwrap();
    let changed = entry(dir.path(), "/a.txt", 1 << 30, LATER);
    assert!(store.find(&changed).is_none());
    assert_eq!(unpacked(&finished(&mut store, &changed)), [b'b'; 5000]);
    assert_eq!((store.kept.len(), store.order.len()), (1, 1), "the old state has left");
}

#[test]
fn a_file_that_has_not_come_to_rest_is_compressed_and_not_kept() {
    let dir = site(&[("a.txt", &[b'a'; 5000])]);
    let written = std::fs::metadata(dir.path().join("a.txt")).unwrap().modified().unwrap();
    let now = written.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let origin = entry(dir.path(), "/a.txt", 1 << 30, now);
    let mut store = Store::new(Gzip::default());
    let sent = finished(&mut store, &origin);
    assert!(sent.validators().etag().starts_with("W/\"") && store.find(&origin).is_none());
    assert_eq!(unpacked(&sent), [b'a'; 5000]);
}

#[test]
fn a_file_that_changes_under_the_job_is_sent_as_it_is() {
    let dir = site(&[("a.txt", &[b'a'; 5000])]);
    let origin = entry(dir.path(), "/a.txt", 0, LATER);
    let mut store = Store::new(Gzip::default());
    let job = store.start(&origin).unwrap();
    std::fs::File::options().write(true).open(dir.path().join("a.txt")).unwrap().set_len(10).unwrap();
    assert!(Arc::ptr_eq(&store.finish(job.run()), &origin));
    assert!(store.find(&origin).is_none());
    let job = store.start(&origin).unwrap();
    std::fs::write(dir.path().join("a.txt"), [b'c'; 5000]).unwrap();
    assert!(Arc::ptr_eq(&store.finish(job.run()), &origin), "the same length, and another state");
}

#[test]
fn so_many_jobs_run_at_one_time_and_one_for_each_file() {
    let files: Vec<String> = (0..4).map(|n| format!("{n}.txt")).collect();
    let text = [b'a'; 5000];
    let dir = site(&files.iter().map(|name| (&**name, &text[..])).collect::<Vec<_>>());
    let entries: Vec<_> =
        files.iter().map(|name| entry(dir.path(), &format!("/{name}"), 1 << 30, LATER)).collect();
    let mut store = Store::new(Gzip { jobs_max: 2, ..Gzip::default() });
    let first = store.start(&entries[0]).unwrap();
    assert!(store.start(&entries[0]).is_none(), "it is under way");
    let second = store.start(&entries[1]).unwrap();
    assert!(store.start(&entries[2]).is_none(), "two are under way");
    drop(first);
    let third = store.start(&entries[2]).unwrap().run();
    assert!(store.start(&entries[3]).is_none(), "what was done and not yet told counts");
    drop(third);
    drop(second);
    assert!(store.start(&entries[0]).is_some() && store.start(&entries[1]).is_some());
    let mut none = Store::new(Gzip { jobs_max: 0, ..Gzip::default() });
    assert!(none.start(&entries[0]).is_none());
}

#[test]
fn what_is_kept_stays_within_its_bound_and_what_is_asked_for_stays_longest() {
    let files: Vec<String> = (0..20).map(|n| format!("{n}.txt")).collect();
    let text = [b'a'; 5000];
    let dir = site(&files.iter().map(|name| (&**name, &text[..])).collect::<Vec<_>>());
    let entries: Vec<_> =
        files.iter().map(|name| entry(dir.path(), &format!("/{name}"), 1 << 30, LATER)).collect();
    let mut one = Store::new(Gzip::default());
    finished(&mut one, &entries[0]);
    let each = one.bytes;
    let kept_max = each * 5 + each / 2;
    let mut store = Store::new(Gzip { kept_max, ..Gzip::default() });
    for origin in &entries {
        finished(&mut store, origin);
        assert!(store.find(&entries[0]).is_some(), "it is asked for again and again");
        assert!(store.bytes <= kept_max && store.kept.len() == store.order.len());
    }
    assert_eq!(store.kept.len(), 5);
    let mut nothing = Store::new(Gzip { kept_max: each / 2, ..Gzip::default() });
    assert_eq!(unpacked(&finished(&mut nothing, &entries[0])), text);
    assert_eq!((nothing.bytes, nothing.kept.len()), (0, 0));
}

#[test]
fn an_empty_file_and_the_edges_of_a_chunk_come_back_as_they_were() {
    for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, TRIAL as usize] {
        let text = vec![b'x'; len];
        let dir = site(&[("a.txt", &text)]);
        for small_max in [0, 1 << 30] {
            let origin = entry(dir.path(), "/a.txt", small_max, LATER);
            let sent = finished(&mut Store::new(Gzip::default()), &origin);
            match sent.coding() {
                Some(_) => assert_eq!(unpacked(&sent), text, "{len}"),
                None => assert!(len < 32, "{len}"),
            }
        }
    }
}
