//! The log: records go to a bounded ring, and one thread writes them through simple_logger.
//!
//! Logging never blocks the loop and never ends the program: a record costs its formatting and a short lock. A full
//! ring drops records and counts them; the count is logged when there is room again. simple_logger writes at once,
//! blocks with its stream and panics when it cannot write; all of that stays in the writer thread, which is the only
//! caller. Standard error itself is left as it was found.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use log::{Level, LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;

/// Records that wait at most. As many again can be in the writer's hands.
const RECORDS_MAX: usize = 1024;
/// Bytes of text that wait at most.
const BYTES_MAX: usize = 256 * 1024;
/// Bytes of one record; the rest is cut.
const RECORD_BYTES_MAX: usize = 8 * 1024;

thread_local! {
    /// This thread writes the log: what it panics with must not be logged in turn.
    static IS_WRITER: Cell<bool> = const { Cell::new(false) };
}

/// Which records are kept: a level, and levels for targets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Filter {
    level: LevelFilter,
    /// The longest names first, so that the first match is the closest.
    targets: Vec<(String, LevelFilter)>,
}

impl Filter {
    /// One level for all.
    pub(crate) const fn plain(level: LevelFilter) -> Self {
        Self { level, targets: Vec::new() }
    }

    /// Reads `LEVEL` or `TARGET=LEVEL`, several with commas between them. Info where nothing is said.
    ///
    /// # Errors
    /// The part that is neither.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut filter = Self::plain(LevelFilter::Info);
        for part in text.split(',') {
            filter.add(part.trim())?;
        }
        filter.targets.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        Ok(filter)
    }

    /// As [`Filter::parse`], without what is not understood.
    pub(crate) fn parse_leniently(text: &str) -> Self {
        let good: Vec<&str> = text.split(',').filter(|part| Self::parse(part).is_ok()).collect();
        Self::parse(&good.join(",")).unwrap_or(Self::plain(LevelFilter::Info))
    }

    fn add(&mut self, part: &str) -> Result<(), String> {
        let level = |text: &str| text.parse::<LevelFilter>().map_err(|_| format!("'{text}' is no level"));
        match part.split_once('=') {
            Some(("", _)) => return Err(format!("'{part}' names no target")),
            Some((target, text)) => self.targets.push((target.to_owned(), level(text)?)),
            None => self.level = level(part)?,
        }
        Ok(())
    }

    fn max(&self) -> LevelFilter {
        self.targets.iter().map(|(_, level)| *level).max().unwrap_or(self.level).max(self.level)
    }

    fn passes(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let of_target = self.targets.iter().find(|(name, _)| {
            target.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        });
        metadata.level() <= of_target.map_or(self.level, |(_, level)| *level)
    }
}

/// A record that waits.
struct Entry {
    level: Level,
    target: String,
    text: String,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Entry>,
    bytes: usize,
    dropped: u64,
    /// The writer sleeps: whoever adds a record wakes it.
    idle: bool,
}

/// The ring between those who log and the writer.
#[derive(Default)]
struct Ring {
    state: Mutex<State>,
    filled: Condvar,
    /// The writer has nothing left to write.
    drained: Condvar,
}

impl Ring {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, entry: Entry) {
        let mut state = self.lock();
        if state.queue.len() >= RECORDS_MAX || state.bytes + entry.text.len() > BYTES_MAX {
            state.dropped += 1;
            return;
        }
        state.bytes += entry.text.len();
        state.queue.push_back(entry);
        if std::mem::take(&mut state.idle) {
            drop(state);
            self.filled.notify_one();
        }
    }

    /// What waits, in order, and a note of what was dropped behind it. Sleeps until there is something.
    fn take(&self) -> VecDeque<Entry> {
        let mut state = self.lock();
        while state.queue.is_empty() && state.dropped == 0 {
            state.idle = true;
            self.drained.notify_all();
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.idle = false;
        state.bytes = 0;
        let mut batch = std::mem::take(&mut state.queue);
        let dropped = std::mem::take(&mut state.dropped);
        drop(state);
        if dropped > 0 {
            batch.push_back(Entry {
                level: Level::Warn,
                target: module_path!().to_owned(),
                text: format!(
                    "{dropped} log records were dropped: nobody took them off standard error in time"
                ),
            });
        }
        batch
    }

    /// Waits until all is written, at most `wait`. Whether it is.
    fn flush(&self, wait: Duration) -> bool {
        let busy = |state: &mut State| !(state.queue.is_empty() && state.dropped == 0 && state.idle);
        let waited = self.drained.wait_timeout_while(self.lock(), wait, busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

/// The front: what `log`'s macros call.
struct Front {
    filter: Filter,
    ring: Arc<Ring>,
}

impl Log for Front {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.passes(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let mut text = OneLine(String::new());
            // Fails only when the text is full, and is then cut on purpose.
            let _ = text.write_fmt(*record.args());
            self.ring.push(Entry { level: record.level(), target: record.target().to_owned(), text: text.0 });
        }
    }

    fn flush(&self) {}
}

/// Text of a record: one line, whatever a peer put into it, and not endless.
struct OneLine(String);

impl Write for OneLine {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        for c in s.chars() {
            if self.0.len() >= RECORD_BYTES_MAX {
                return Err(std::fmt::Error);
            }
            if c.is_control() {
                self.0.extend(c.escape_default());
            } else {
                self.0.push(c);
            }
        }
        Ok(())
    }
}

/// The running log, to be flushed before the program ends.
pub(crate) struct Running(Arc<Ring>);

impl Running {
    /// Gives the writer at most `wait` to write what there is.
    pub(crate) fn flush(&self, wait: Duration) {
        self.0.flush(wait);
    }
}

/// Starts the writer and becomes the program's logger.
pub(crate) fn start(filter: Filter) -> Running {
    let ring = Arc::new(Ring::default());
    let max = filter.max();
    let theirs = Arc::clone(&ring);
    let writer = std::thread::Builder::new().name("log".to_owned()).spawn(move || write_for_ever(&theirs));
    // Without a thread, or beside another logger, there is no log; that is no reason not to serve.
    if writer.is_ok() {
        let front = Front { filter, ring: Arc::clone(&ring) };
        if log::set_boxed_logger(Box::new(front)).is_ok() {
            log::set_max_level(max);
        }
    }
    Running(ring)
}

fn write_for_ever(ring: &Ring) {
    IS_WRITER.set(true);
    let logger = SimpleLogger::new();
    loop {
        for entry in ring.take() {
            // It panics when standard error is a closed pipe or a full disk: the record is lost, nothing else.
            let _ = catch_unwind(AssertUnwindSafe(|| write(&logger, &entry)));
        }
    }
}

fn write(logger: &SimpleLogger, entry: &Entry) {
    let text = &entry.text;
    logger.log(
        &Record::builder().level(entry.level).target(&entry.target).args(format_args!("{text}")).build(),
    );
}

/// Has panics logged as one line each instead of the several that Rust prints.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        if IS_WRITER.get() {
            return;
        }
        let payload = info.payload();
        let literal = payload.downcast_ref::<&str>().copied();
        let text = literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("without a message");
        match info.location() {
            Some(at) => log::error!("task.panicked: {text} ({at})"),
            None => log::error!("task.panicked: {text}"),
        }
    }));
}

#[cfg(test)]
mod tests;
