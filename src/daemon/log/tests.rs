//! The ring and its bounds; that the program survives its standard error is tested in `tests/cli.rs`.

use super::*;

fn entry(text: &str) -> Entry {
    Entry { level: Level::Info, target: "test".to_owned(), text: text.to_owned() }
}

fn texts(ring: &Ring) -> Vec<String> {
    ring.take().into_iter().map(|e| e.text).collect()
}

#[test]
fn records_come_out_in_their_order() {
    let ring = Ring::default();
    for text in ["one", "two", "three"] {
        ring.push(entry(text));
    }
    assert_eq!(texts(&ring), ["one", "two", "three"]);
}

#[test]
fn a_full_ring_drops_what_is_new_and_says_how_much() {
    let ring = Ring::default();
    for n in 0..RECORDS_MAX + 7 {
        ring.push(entry(&n.to_string()));
    }
    let got = texts(&ring);
    assert_eq!(got.len(), RECORDS_MAX + 1);
    assert_eq!(got[RECORDS_MAX - 1], (RECORDS_MAX - 1).to_string());
    assert!(got[RECORDS_MAX].starts_with("7 log records were dropped"), "{}", got[RECORDS_MAX]);
    ring.push(entry("room again"));
    assert_eq!(texts(&ring), ["room again"]);
}

#[test]
fn bytes_are_bounded_too() {
    let ring = Ring::default();
    let large = "x".repeat(RECORD_BYTES_MAX);
    for _ in 0..RECORDS_MAX {
        ring.push(entry(&large));
    }
    assert_eq!(ring.lock().queue.len(), BYTES_MAX / RECORD_BYTES_MAX);
}

#[test]
fn a_record_is_one_bounded_line() {
    let mut line = OneLine(String::new());
    line.write_str("a\nb\x1b[31m\u{7f}ü").unwrap();
    assert_eq!(line.0, "a\\nb\\u{1b}[31m\\u{7f}ü");
    let mut line = OneLine(String::new());
    assert!(line.write_str(&"x".repeat(3 * RECORD_BYTES_MAX)).is_err());
    assert_eq!(line.0.len(), RECORD_BYTES_MAX);
}

#[test]
fn flush_waits_for_the_writer_but_not_for_ever() {
    let ring = Arc::new(Ring::default());
    ring.push(entry("nobody writes this"));
    assert!(!ring.flush(Duration::from_millis(1)));
    let theirs = Arc::clone(&ring);
    // The writer stays behind, asleep, until the test process ends.
    std::thread::spawn(move || {
        loop {
            drop(theirs.take());
        }
    });
    assert!(ring.flush(Duration::from_secs(10)));
}

#[test]
fn a_filter_takes_levels_and_the_closest_target() {
    let filter = Filter::parse("warn, tidemill::reactor=trace,tidemill=debug").unwrap();
    let passes = |target, level| filter.passes(&Metadata::builder().target(target).level(level).build());
    assert!(passes("other", Level::Warn) && !passes("other", Level::Info));
    assert!(passes("tidemill", Level::Debug) && !passes("tidemill", Level::Trace));
    assert!(passes("tidemill::reactor::link", Level::Trace));
    assert!(!passes("tidemillions", Level::Info));
    assert_eq!(filter.max(), LevelFilter::Trace);
    for bad in ["", "loud", "a=loud", "=warn", "warn,,info"] {
        assert!(Filter::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(Filter::parse_leniently("x=[y],debug"), Filter::plain(LevelFilter::Debug));
    assert_eq!(Filter::parse_leniently(""), Filter::plain(LevelFilter::Info));
}
