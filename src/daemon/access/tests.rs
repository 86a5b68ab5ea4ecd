//! The writer against files, FIFOs and disks of every mood: whole lines, each written or counted, and nobody waits.
//! That signals and requests reach it is tested in `tests/blackbox/test_access_log.py`.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

fn start(path: &Path) -> AccessLog {
    AccessLog::start(Target::File(path.to_owned()), "common".parse().unwrap()).unwrap()
}

impl AccessLog {
    /// Adds a line of `size` bytes that begins with its number.
    fn add(&self, n: usize, size: usize) {
        self.shared.add(n as u64, |buffer| buffer.extend(line(n, size).as_bytes()));
    }

    /// Ends the log. How many lines it has lost, and why.
    fn end(self) -> (u64, Option<Why>) {
        let shared = Arc::clone(&self.shared);
        shared.order(|state| {
            // Nobody but this test is to take what was lost.
            state.told = Some(state.second);
            state.stop = true;
        });
        let state = shared.lock();
        let wait = Duration::from_secs(10);
        let (mut state, _) = shared.ended.wait_timeout_while(state, wait, |state| !state.done).unwrap();
        assert!(state.done, "the writer is stuck");
        assert_eq!((state.lines, state.in_hand), (0, 0));
        (std::mem::take(&mut state.lost), state.why)
    }
}

fn line(n: usize, size: usize) -> String {
    format!("{n:07}{}\n", "x".repeat(size - 8))
}

/// The numbers of the lines of `text`, which are whole.
fn numbers(text: &str, size: usize) -> Vec<usize> {
    assert!(text.is_empty() || text.ends_with('\n'));
    let number = |l: &str| {
        let n = l[..7].parse().unwrap();
        assert_eq!(format!("{l}\n"), line(n, size));
        n
    };
    text.lines().map(number).collect()
}

#[allow(clippy::disallowed_methods, reason = "a deadline for what another thread does")]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::yield_now();
    }
}

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

#[test]
fn lines_are_appended_in_order_to_a_file_that_only_its_group_may_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    for round in 0..2 {
        let log = start(&path);
        for n in 0..10_000 {
            log.add(round * 10_000 + n, 20);
        }
        assert_eq!(log.end(), (0, None));
    }
    assert_eq!(numbers(&fs::read_to_string(&path).unwrap(), 20), Vec::from_iter(0..20_000));
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
}

#[test]
fn a_line_is_written_soon_though_it_stays_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let log = start(&path);
    log.add(0, 20);
    until("the line", || fs::read_to_string(&path).unwrap() == line(0, 20));
    log.add(1, 20);
    until("the next", || numbers(&fs::read_to_string(&path).unwrap(), 20) == [0, 1]);
    assert_eq!(log.end(), (0, None));
}

#[test]
fn renamed_and_reopened_it_loses_no_line_and_mixes_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let log = start(&path);
    let mut old = Vec::new();
    for n in 0..50 {
        for m in 0..200 {
            log.add(n * 200 + m, 50);
        }
        if n % 10 == 5 {
            let to = dir.path().join(format!("access.log.{n}"));
            fs::rename(&path, &to).unwrap();
            log.reopen().ask();
            until("the new file", || path.exists());
            old.push(to);
        }
    }
    assert_eq!(log.end(), (0, None));
    old.push(path);
    let parts: Vec<_> = old.iter().map(|path| numbers(&fs::read_to_string(path).unwrap(), 50)).collect();
    assert!(parts.iter().all(|part| !part.is_empty()));
    assert_eq!(parts.concat(), Vec::from_iter(0..10_000));
}

#[test]
fn what_cannot_be_reopened_goes_on_to_the_old_file() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("access.log"), dir.path().join("moved"));
    let log = start(&path);
    log.add(0, 20);
    fs::rename(&path, &moved).unwrap();
    fs::create_dir(&path).unwrap();
    log.reopen().ask();
    until("the order to be taken", || !log.shared.lock().reopen);
    log.add(1, 20);
    assert_eq!(log.end(), (0, None));
    assert_eq!(numbers(&fs::read_to_string(&moved).unwrap(), 20), [0, 1]);
}

#[test]
fn a_fifo_that_nobody_reads_holds_up_nobody_and_what_is_lost_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    fifo(&path);
    let log = start(&path);
    const LINES: usize = 100_000;
    const SIZE: usize = 100;
    let mut told = 0;
    for n in 0..LINES {
        // In the same second, so that the count is this test's to take.
        log.shared.lock().told = Some(0);
        log.shared.add(0, |buffer| buffer.extend(line(n, SIZE).as_bytes()));
        told += std::mem::take(&mut log.shared.lock().lost);
    }
    assert!(told > 0);
    let mut reader = File::open(&path).unwrap();
    let (lost, why) = log.end();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    // The last one in the pipe may have been cut by the end.
    let whole = text.rfind('\n').map_or(0, |at| at + 1);
    let got = numbers(&text[..whole], SIZE);
    assert!(got.len() > 500, "{}", got.len());
    assert_eq!(why, Some(Why::Slow));
    assert_eq!(got.len() as u64 + told + lost, LINES as u64);
}

#[test]
fn a_fifo_whose_reader_comes_late_gets_all_that_fits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    fifo(&path);
    let log = start(&path);
    for n in 0..10_000 {
        log.add(n, 100);
    }
    let mut reader = File::open(&path).unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        numbers(&text, 100)
    });
    assert_eq!(log.end(), (0, None));
    assert_eq!(reading.join().unwrap(), Vec::from_iter(0..10_000));
}

#[test]
fn a_full_fifo_is_given_up_for_a_file_and_no_line_is_in_both() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("log"), dir.path().join("moved"));
    fifo(&path);
    let log = start(&path);
    for n in 0..4000 {
        log.add(n, 99);
    }
    until("the writer to have them", || log.shared.lock().in_hand > 0);
    let mut reader = File::open(&path).unwrap();
    fs::rename(&path, &moved).unwrap();
    // As if losses had been told in this second, so that the count is this test's to take.
    log.shared.lock().told = Some(3999);
    log.reopen().ask();
    until("the new file", || path.exists());
    let (lost, why) = log.end();
    let in_file = numbers(&fs::read_to_string(&path).unwrap(), 99);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let whole = text.rfind('\n').map_or(0, |at| at + 1);
    let in_pipe = numbers(&text[..whole], 99);
    assert_eq!(u64::from(whole < text.len()), lost, "the line that was cut");
    assert_eq!(why.is_some(), lost > 0);
    assert!(!in_pipe.is_empty() && !in_file.is_empty());
    let mut all = in_pipe;
    if lost > 0 {
        all.push(all.len());
    }
    all.extend(in_file);
    assert_eq!(all, Vec::from_iter(0..4000));
}

#[test]
fn a_full_disk_loses_lines_and_counts_them_with_the_reason() {
    let log = start(Path::new("/dev/full"));
    for n in 0..100 {
        log.shared.lock().told = Some(0);
        log.shared.add(0, |buffer| buffer.extend(line(n, 50).as_bytes()));
    }
    assert_eq!(log.end(), (100, Some(Why::Failed(Errno::NOSPC))));
}

#[test]
fn a_cut_line_does_not_run_into_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let mut sink = Sink::open(&Target::File(path.clone())).unwrap();
    assert_eq!(sink.write(b"whole\npa"), Wrote::All);
    assert!(sink.is_in_line());
    assert_eq!(sink.write(b"rt\nanoth"), Wrote::All);
    // The same file again: what was begun stays cut.
    sink.replace(Sink::open(&Target::File(path.clone())).unwrap());
    assert!(!sink.is_in_line());
    assert_eq!(sink.write(b"new\nnext"), Wrote::All);
    let other = dir.path().join("other");
    sink.replace(Sink::open(&Target::File(other.clone())).unwrap());
    assert_eq!(sink.write(b"fresh\n"), Wrote::All);
    assert_eq!(fs::read_to_string(&path).unwrap(), "whole\npart\nanoth\nnew\nnext");
    assert_eq!(fs::read_to_string(&other).unwrap(), "fresh\n");
}

#[test]
fn losses_are_told_once_a_second_with_the_sum() {
    let mut state = State { second: 5, ..State::default() };
    assert_eq!(state.loss(), None);
    state.lose(1, Why::Slow);
    assert_eq!(state.loss().map(|loss| loss.records), Some(1));
    state.lose(2, Why::Slow);
    state.lose(3, Why::Failed(Errno::NOSPC));
    assert_eq!(state.loss(), None);
    state.second = 6;
    let loss = state.loss().unwrap();
    assert_eq!(loss.to_string(), "access log: 5 records dropped: No space left on device");
    state.second = 7;
    assert_eq!(state.loss(), None);
}

#[test]
fn a_file_that_cannot_be_opened_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("no/access.log");
    for (path, code, says) in [
        (missing.as_path(), failure::CANNOT_CREATE, "Make the directory first"),
        (dir.path(), failure::CANNOT_CREATE, "Is a directory"),
    ] {
        let failure = AccessLog::start(Target::File(path.to_owned()), "json".parse().unwrap()).unwrap_err();
        assert_eq!(failure.code, code);
        let text = failure.to_string();
        assert!(text.starts_with("cannot open the access log '") && text.contains(says), "{text}");
    }
}
